//! Hints: what earlier snapshots have where the walk is now.

use std::iter::Peekable;

use super::assemble::is_sound;
use super::parent::Earlier;
use crate::format::content::Content;
use crate::format::control::Snapshot;
use crate::format::tree::{Entry, EntryKey, Meta, Node, Time, TreeRef, tag};
use crate::ops::source::{Found, Kind, Stat};
use crate::repo::Repository;
use crate::repo::walk::{Entries, milestones};

/// Entries between the marks that a source is given.
const MARKS_APART: u64 = 5500;
/// There are no more of them than that.
const MARKS_MAX: u64 = 4096;

/// An earlier snapshot's tree of one directory, read beside the source's listing.
pub(super) struct Hint<'p> {
    of: Of,
    entries: Peekable<Entries<'p>>,
}

/// The snapshot that a hint is of.
#[derive(Clone, Copy)]
pub(super) struct Of {
    /// When it was begun, if it can be believed: what changed after that may have changed after it was read.
    began: Option<Time>,
    pub is_checkpoint: bool,
}

/// What an earlier snapshot has under a name.
pub(super) struct Before {
    pub of: Of,
    pub entry: Entry,
}

/// The hints for the root of the source, the parent's first.
pub(super) fn at_root<'p>(repository: &'p Repository, earlier: &Earlier) -> Vec<Hint<'p>> {
    let hint = |snapshot: &Snapshot, is_checkpoint| {
        // Dated by hand, a snapshot does not tell when it began: then nothing looks settled.
        let began = Some(snapshot.time).filter(|began| *began <= snapshot.finished);
        Hint::new(repository, Of { began, is_checkpoint }, &snapshot.root)
    };
    let parent = earlier.parent.iter().map(|(_, parent)| hint(parent, false));
    parent.chain(earlier.checkpoints.iter().map(|(_, checkpoint)| hint(checkpoint, true))).collect()
}

/// Some keys in the root of the source, as far as they are known from before.
pub(super) fn marks_at_root(repository: &Repository, earlier: &Earlier) -> Vec<EntryKey> {
    let Some((_, parent)) = &earlier.parent else { return Vec::new() };
    let apart = MARKS_APART.max(parent.root.entries / MARKS_MAX);
    milestones(repository, &parent.root, apart).collect()
}

/// What the hints have under this key. One that cannot be read is no help, and no harm.
pub(super) fn look(hints: &mut Vec<Hint<'_>>, key: &EntryKey) -> Vec<Before> {
    let mut before = Vec::new();
    hints.retain_mut(|hint| match hint.look(key) {
        Ok(entry) => {
            before.extend(entry.map(|entry| Before { of: hint.of, entry }));
            true
        }
        Err(error) => {
            tracing::warn!("an earlier snapshot cannot be read here, files are read anew: {error}");
            false
        }
    });
    before
}

impl<'p> Hint<'p> {
    fn new(repository: &'p Repository, of: Of, tree: &TreeRef) -> Self {
        let entries = match of.is_checkpoint {
            true => Entries::of_checkpoint(repository, tree),
            false => Entries::new(repository, tree),
        };
        Hint { of, entries: entries.peekable() }
    }

    fn look(&mut self, key: &EntryKey) -> crate::repo::Result<Option<Entry>> {
        while self.entries.next_if(|entry| matches!(entry, Ok(entry) if entry.key < *key)).is_some() {}
        self.entries.next_if(|entry| !matches!(entry, Ok(entry) if entry.key > *key)).transpose()
    }
}

impl Before {
    /// The same, one directory further down.
    pub fn below<'p>(&self, repository: &'p Repository) -> Option<Hint<'p>> {
        match &self.entry.node {
            Node::Directory(tree) => Some(Hint::new(repository, self.of, tree)),
            _ => None,
        }
    }

    /// Whether the file that was found is the one that was read then, with all that is said of it.
    pub fn is_unchanged_file<P>(&self, found: &Found<P>, version: Option<&[u8]>) -> bool {
        let is_whole = self.entry.extras.get(tag::BEGUN).is_none();
        let is_same = match version {
            Some(version) => self.has_version(version) && is_same_stat(&self.entry.meta, &found.stat),
            None => self.is_settled_file(found),
        };
        is_whole && self.has_size(found) && is_same
    }

    /// What was read then of the file that was found: its beginning; or all of it, if only what is said of it is
    /// not what it was.
    pub fn content<P>(self, found: &Found<P>, version: Option<&[u8]>) -> Option<Content> {
        let is_begun = self.entry.extras.get(tag::BEGUN).is_some();
        let is_same = match version {
            Some(version) => self.has_version(version) && is_sound(&self.entry.meta),
            None => is_begun && self.is_settled_file(found),
        };
        match self.entry.node {
            Node::File(ref content) if is_same && self.has_size(found) => Some(content.clone()),
            _ => None,
        }
    }

    fn has_version(&self, version: &[u8]) -> bool {
        self.entry.extras.get(tag::ETAG) == Some(version)
    }

    /// Whether it was as long then, all of it, as it is now.
    fn has_size<P>(&self, found: &Found<P>) -> bool {
        let Kind::File { size: Some(size) } = found.kind else { return false };
        match (self.entry.begun(), &self.entry.node) {
            (Ok(Some(begun)), _) => size != 0 && size == begun.size,
            (Ok(None), Node::File(content)) => size == content.size,
            _ => false,
        }
    }

    fn is_settled_file<P>(&self, found: &Found<P>) -> bool {
        // Changed after that snapshot began: perhaps after it was read, within one tick of the clock.
        let settled = self.of.began.is_some_and(|began| self.entry.meta.ctime < began);
        settled && is_same_stat(&self.entry.meta, &found.stat) && self.has_same_link(&found.stat)
    }

    /// Whether metadata and attributes need not be asked for again.
    pub fn is_described_as<P>(&self, found: &Found<P>) -> bool {
        is_same_stat(&self.entry.meta, &found.stat)
            && self.has_same_link(&found.stat)
            && self.entry.extras.get(tag::XATTRS_CONTENT).is_none()
    }

    /// Device numbers change with a mount: an old identity beside a new one would join two files.
    fn has_same_link(&self, stat: &Stat) -> bool {
        self.entry.hard_link().is_ok_and(|link| link == stat.hard_link)
    }
}

fn is_same_stat(meta: &Meta, stat: &Stat) -> bool {
    (meta.mtime, meta.ctime, meta.inode) == (stat.mtime, stat.ctime, stat.inode)
        && (meta.mode, meta.uid, meta.gid) == (stat.mode, stat.uid, stat.gid)
}
