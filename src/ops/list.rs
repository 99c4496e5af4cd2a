//! Listing what is in a snapshot.

use super::snapshots::{Spot, find_path};
use super::walk::{Go, Visit, walk_from};
use crate::format::tree::{Entry, TreeRef};
use crate::repo::{Repository, Result};

/// How far a listing goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// What is in the directory.
    Shallow,
    /// And all below it.
    Recursive,
}

/// Called for each entry, with its path from the snapshot's top.
pub type OnEntry<'a> = &'a mut dyn FnMut(&[u8], &Entry) -> Result<()>;

/// Lists what stands at `path`: of a directory its entries, of anything else itself. Reads nothing that
/// was not asked for.
pub fn list(repository: &Repository, root: &TreeRef, path: &[u8], depth: Depth, each: OnEntry<'_>) -> Result<()> {
    let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".");
    let base = names.collect::<Vec<_>>().join(&b'/');
    let spot = find_path(repository, root, path)?;
    match (&spot, spot.tree()) {
        (_, Some(tree)) => walk_from(repository, tree, &base, &mut Listed { depth, each }),
        (Spot::Entry(entry), None) => each(&base, entry),
        (Spot::Root(_), None) => Ok(()),
    }
}

struct Listed<'a> {
    depth: Depth,
    each: OnEntry<'a>,
}

impl Visit for Listed<'_> {
    fn entry(&mut self, path: &[u8], entry: &Entry) -> Result<Go> {
        (self.each)(path, entry)?;
        Ok(match self.depth {
            Depth::Shallow => Go::Past,
            Depth::Recursive => Go::Into,
        })
    }
}
