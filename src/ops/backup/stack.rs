//! The directories that are being built, each within the one before it.

use super::blobs::Blobs;
use crate::format::extras::Extras;
use crate::format::tree::{Entry, EntryKey, Meta, Node, TreeRef};
use crate::repo::Result;
use crate::repo::split::TreeBuilder;

/// What a directory's own entry will hold beside its tree.
pub(super) type OwnEntry = (EntryKey, Meta, Extras);

/// Open directories. A clone, closed, is the tree of what there is so far; it takes one unfinished node per
/// level of each directory.
#[derive(Clone, Default)]
pub(super) struct Stack {
    root: TreeBuilder,
    /// Those below the root, with their own entries.
    open: Vec<(OwnEntry, TreeBuilder)>,
}

impl Stack {
    /// Opens a directory in the one that was opened last.
    pub fn enter(&mut self, own: OwnEntry) {
        self.open.push((own, TreeBuilder::default()));
    }

    /// Adds an entry to the directory that was opened last.
    pub fn add(&mut self, blobs: &Blobs<'_>, entry: &Entry) -> Result<()> {
        let builder = self.open.last_mut().map_or(&mut self.root, |(_, builder)| builder);
        builder.push(blobs.keys(), entry, &mut |kind, plain| blobs.save(kind, plain))
    }

    /// Ends the directory that was opened last; the root is [closed](Self::close) instead.
    pub fn leave(&mut self, blobs: &Blobs<'_>) -> Result<()> {
        let Some(((key, meta, extras), builder)) = self.open.pop() else { return Ok(()) };
        let tree = builder.finish(blobs.keys(), &mut |kind, plain| blobs.save(kind, plain))?;
        self.add(blobs, &Entry { key, node: Node::Directory(tree), meta, extras })
    }

    /// Ends all of them, and gives the tree of the root.
    pub fn close(&mut self, blobs: &Blobs<'_>) -> Result<TreeRef> {
        while !self.open.is_empty() {
            self.leave(blobs)?;
        }
        std::mem::take(&mut self.root).finish(blobs.keys(), &mut |kind, plain| blobs.save(kind, plain))
    }
}
