//! Listing what is in a snapshot.

use super::snapshots::{Spot, find_directory, is_bucket};
use super::walk::{Go, Visit, walk_from};
use crate::format::control::Snapshot;
use crate::format::extras::Extras;
use crate::format::tree::{Entry, EntryKey, Meta, Name, Node, TreeRef};
use crate::id::BlobId;
use crate::repo::walk::{Entries, entries_below};
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
/// was not asked for. In a bucket, keys that go on after a slash are in a directory.
pub fn list(repository: &Repository, snapshot: &Snapshot, path: &[u8], depth: Depth, each: OnEntry<'_>) -> Result<()> {
    let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".");
    let base = names.collect::<Vec<_>>().join(&b'/');
    let spot = find_directory(repository, snapshot, path)?;
    match (&spot, spot.tree()) {
        (_, Some(tree)) => walk_from(repository, tree, &base, &mut Listed { depth, each }),
        (Spot::Keys { tree, prefix }, None) => match depth {
            Depth::Shallow => list_keys(repository, tree, prefix, each),
            Depth::Recursive => entries_below(repository, tree, prefix).try_for_each(|entry| {
                let entry = entry?;
                each(&entry.key.name, &entry)
            }),
        },
        (Spot::Entry(entry), None) if is_bucket(snapshot) => each(&entry.key.name, entry),
        (Spot::Entry(entry), None) => each(&base, entry),
        (Spot::Root(_), None) => Ok(()),
    }
}

/// The objects of which nothing comes after a slash, and what stands before the slash of the others, once each: all of
/// them are passed over without being read.
fn list_keys(repository: &Repository, tree: &TreeRef, prefix: &[u8], each: OnEntry<'_>) -> Result<()> {
    let mut begin = prefix.to_vec();
    loop {
        let Ok(name) = Name::new(begin.clone()) else { return Ok(()) };
        let mut entries = Entries::starting_at(repository, tree, EntryKey { name, discriminator: 0 });
        let below = loop {
            let Some(entry) = entries.next().transpose()? else { return Ok(()) };
            let Some(rest) = entry.key.name.strip_prefix(prefix) else { return Ok(()) };
            match rest.iter().position(|&byte| byte == b'/') {
                None => each(&entry.key.name, &entry)?,
                Some(slash) => break [prefix, &rest[..slash]].concat(),
            }
        };
        each(&below, &directory(&below))?;
        // The byte after a slash: no key below the directory comes after it.
        begin = [&below[..], b"0"].concat();
    }
}

/// What stands for a directory that is in no tree.
fn directory(path: &[u8]) -> Entry {
    let node = Node::Directory(TreeRef { id: BlobId::from_bytes([0; 32]), level: 0, entries: 0, bytes: 0 });
    let name = Name::new(path).expect("a part of a name fits a name");
    let (key, meta) = (EntryKey { name, discriminator: 0 }, Meta::default());
    Entry { key, node, meta, extras: Extras::default() }
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
