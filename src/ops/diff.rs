//! Comparing two snapshots: reads only what differs, down to the nodes of split directories.

use std::cmp::Ordering;
use std::vec::IntoIter;

use super::walk::{Go, Visit, join, understood, walk_from};
use crate::format::limits::TREE_DEPTH_MAX;
use crate::format::tree::{Entry, EntryKey, Meta, Node, TreeChild, TreeNode, TreeRef};
use crate::repo::{RepoError, Repository, Result};

/// How an entry differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is only in the second.
    Added,
    /// It is only in the first.
    Removed,
    /// Its content, its target or its device number differs.
    Modified,
    /// Only its owner, mode, times or attributes differ.
    Metadata,
    /// It is something else; what was below it and what is below it now is removed and added.
    Type,
}

/// A difference. One of the two entries is always there, and both unless something was added or removed.
#[derive(Debug, Clone, Copy)]
pub struct Difference<'a> {
    /// What it is.
    pub change: Change,
    /// Where, from the top of both.
    pub path: &'a [u8],
    /// In the first.
    pub before: Option<&'a Entry>,
    /// In the second.
    pub after: Option<&'a Entry>,
}

/// Things on one side that are not on the other.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Files.
    pub files: u64,
    /// Directories.
    pub dirs: u64,
    /// Everything else.
    pub others: u64,
    /// Sizes of files that are new or gone, and of modified ones before or after.
    pub bytes: u64,
}

/// What differs, counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Only in the second.
    pub added: Tally,
    /// Only in the first.
    pub removed: Tally,
    /// Things whose content differs.
    pub modified: u64,
    /// Things of which only the metadata differs.
    pub metadata: u64,
    /// Things that are something else now.
    pub types: u64,
}

impl Tally {
    fn count(&mut self, entry: &Entry) {
        match &entry.node {
            Node::File(content) => {
                self.files += 1;
                self.bytes = self.bytes.saturating_add(content.size);
            }
            Node::Directory(_) => self.dirs += 1,
            _ => self.others += 1,
        }
    }
}

/// Called for each difference, in the order of paths' parts.
pub type OnDifference<'a> = &'a mut dyn FnMut(&Difference<'_>) -> Result<()>;

/// Compares the trees of two snapshots, or of those of a bucket the objects whose keys begin with `prefix`. Where both
/// refer to one node, nothing of it is read: one change among a million entries costs a few nodes.
pub fn diff(
    repository: &Repository,
    before: &TreeRef,
    after: &TreeRef,
    prefix: &[u8],
    each: OnDifference<'_>,
) -> Result<Totals> {
    let mut diff = Diff { repository, prefix, totals: Totals::default(), each, levels: Vec::new() };
    diff.descend(Vec::new(), before, after)?;
    while let Some(level) = diff.levels.last_mut() {
        match level.next_pair(repository)? {
            None => drop(diff.levels.pop()),
            Some(pair) => diff.compare(pair)?,
        }
    }
    Ok(diff.totals)
}

struct Diff<'a> {
    repository: &'a Repository,
    /// What the names at the top begin with that are compared.
    prefix: &'a [u8],
    totals: Totals,
    each: OnDifference<'a>,
    /// The directories that both have and that differ, from the top to where the comparison is.
    levels: Vec<Level>,
}

/// One directory on both sides.
struct Level {
    path: Vec<u8>,
    before: Side,
    after: Side,
}

/// The entries of one key, at least one.
type Pair = (Option<Entry>, Option<Entry>);

impl Diff<'_> {
    fn descend(&mut self, path: Vec<u8>, before: &TreeRef, after: &TreeRef) -> Result<()> {
        if self.levels.len() > TREE_DEPTH_MAX {
            return Err(RepoError::Damaged { object: "a tree".into(), why: "deeper than the limit".into() });
        }
        self.levels.push(Level { path, before: Side::new(before), after: Side::new(after) });
        Ok(())
    }

    fn compare(&mut self, pair: Pair) -> Result<()> {
        let directory = self.levels.last().map_or(&[][..], |level| &level.path);
        let is_wanted = |entry: &Entry| self.levels.len() > 1 || entry.key.name.starts_with(self.prefix);
        if !pair.0.as_ref().or(pair.1.as_ref()).is_some_and(is_wanted) {
            return Ok(());
        }
        match pair {
            (Some(before), None) => self.one_sided(Change::Removed, join(directory, &before.key.name), &before),
            (None, Some(after)) => self.one_sided(Change::Added, join(directory, &after.key.name), &after),
            (Some(before), Some(after)) => self.two_sided(join(directory, &after.key.name), &before, &after),
            (None, None) => Ok(()),
        }
    }

    fn two_sided(&mut self, path: Vec<u8>, before: &Entry, after: &Entry) -> Result<()> {
        let change = change_between(before, after);
        if let Some(change) = change {
            self.count(change, before, after);
            let (before, after) = (Some(before), Some(after));
            (self.each)(&Difference { change, path: &path, before, after })?;
        }
        match (&before.node, &after.node) {
            (Node::Directory(old), Node::Directory(new)) if old.id != new.id => self.descend(path, old, new),
            _ if change == Some(Change::Type) => {
                self.all_below(Change::Removed, &path, before)?;
                self.all_below(Change::Added, &path, after)
            }
            _ => Ok(()),
        }
    }

    fn count(&mut self, change: Change, before: &Entry, after: &Entry) {
        let Totals { added, removed, modified, metadata, types } = &mut self.totals;
        match change {
            Change::Modified => {
                *modified += 1;
                removed.bytes = removed.bytes.saturating_add(before.bytes());
                added.bytes = added.bytes.saturating_add(after.bytes());
            }
            Change::Type => {
                *types += 1;
                removed.count(before);
                added.count(after);
            }
            _ => *metadata += 1,
        }
    }

    fn one_sided(&mut self, change: Change, path: Vec<u8>, entry: &Entry) -> Result<()> {
        self.emit(change, &path, entry)?;
        self.all_below(change, &path, entry)
    }

    fn all_below(&mut self, change: Change, path: &[u8], entry: &Entry) -> Result<()> {
        match &entry.node {
            Node::Directory(tree) => {
                let repository = self.repository;
                walk_from(repository, tree, path, &mut OneSided { diff: self, change })
            }
            _ => Ok(()),
        }
    }

    fn emit(&mut self, change: Change, path: &[u8], entry: &Entry) -> Result<()> {
        let (tally, before, after) = match change {
            Change::Removed => (&mut self.totals.removed, Some(entry), None),
            _ => (&mut self.totals.added, None, Some(entry)),
        };
        tally.count(entry);
        (self.each)(&Difference { change, path, before, after })
    }
}

/// Everything that is met is on one side only.
struct OneSided<'d, 'a> {
    diff: &'d mut Diff<'a>,
    change: Change,
}

impl Visit for OneSided<'_, '_> {
    fn entry(&mut self, path: &[u8], entry: &Entry) -> Result<Go> {
        self.diff.emit(self.change, path, entry)?;
        Ok(Go::Into)
    }
}

/// What changed in an entry of one key; what is below a directory does not count.
fn change_between(before: &Entry, after: &Entry) -> Option<Change> {
    let same_content = match (&before.node, &after.node) {
        (Node::Directory(_), Node::Directory(_)) => true,
        (old, new) if std::mem::discriminant(old) != std::mem::discriminant(new) => return Some(Change::Type),
        (old, new) => old == new,
    };
    let same_metadata = comes_back(&before.meta) == comes_back(&after.meta) && before.extras == after.extras;
    match (same_content, same_metadata) {
        (false, _) => Some(Change::Modified),
        (true, false) => Some(Change::Metadata),
        (true, true) => None,
    }
}

/// Metadata without what is never restored.
fn comes_back(meta: &Meta) -> Meta {
    Meta { ctime: Default::default(), inode: 0, ..meta.clone() }
}

impl Level {
    /// The next entry of either side, or of both if they have one key; nodes that both refer to are
    /// passed over.
    fn next_pair(&mut self, repository: &Repository) -> Result<Option<Pair>> {
        loop {
            let (before, after) = (self.before.head(), self.after.head());
            match (before, after) {
                (Head::End, Head::End) => return Ok(None),
                (Head::Node(old), Head::Node(new)) if old.id == new.id => {
                    self.before.pass();
                    self.after.pass();
                }
                // Of two nodes the higher is opened first: what both share may stand below it.
                (Head::Node(old), Head::Node(new)) => match old.level.cmp(&new.level) {
                    Ordering::Less => self.after.open(repository)?,
                    Ordering::Greater => self.before.open(repository)?,
                    Ordering::Equal => {
                        self.before.open(repository)?;
                        self.after.open(repository)?;
                    }
                },
                (Head::Node(_), _) => self.before.open(repository)?,
                (_, Head::Node(_)) => self.after.open(repository)?,
                (Head::Entry(old), Head::Entry(new)) => {
                    return Ok(Some(match old.cmp(new) {
                        Ordering::Less => (self.before.take(), None),
                        Ordering::Greater => (None, self.after.take()),
                        Ordering::Equal => (self.before.take(), self.after.take()),
                    }));
                }
                (Head::Entry(_), Head::End) => return Ok(Some((self.before.take(), None))),
                (Head::End, Head::Entry(_)) => return Ok(Some((None, self.after.take()))),
            }
        }
    }
}

/// One side's directory, as far as it was opened.
struct Side {
    above: Vec<std::iter::Peekable<IntoIter<TreeChild>>>,
    leaf: std::iter::Peekable<IntoIter<Entry>>,
    root: Option<TreeRef>,
    last: Option<EntryKey>,
}

/// What comes next on a side.
enum Head<'s> {
    Entry(&'s EntryKey),
    Node(&'s TreeRef),
    End,
}

impl Side {
    fn new(root: &TreeRef) -> Self {
        Side { above: Vec::new(), leaf: Vec::new().into_iter().peekable(), root: Some(root.clone()), last: None }
    }

    fn head(&mut self) -> Head<'_> {
        if self.leaf.peek().is_none() {
            while self.above.last_mut().is_some_and(|siblings| siblings.peek().is_none()) {
                self.above.pop();
            }
        }
        match (self.leaf.peek(), &self.root, self.above.last_mut().and_then(|siblings| siblings.peek())) {
            (Some(entry), ..) => Head::Entry(&entry.key),
            (None, Some(root), _) => Head::Node(root),
            (None, None, Some(child)) => Head::Node(&child.tree),
            (None, None, None) => Head::End,
        }
    }

    /// Passes over the node that comes next.
    fn pass(&mut self) -> Option<TreeRef> {
        let child = |side: &mut Self| side.above.last_mut()?.next().map(|child| child.tree);
        self.root.take().or_else(|| child(self))
    }

    /// Reads the node that comes next: what is in it takes its place.
    fn open(&mut self, repository: &Repository) -> Result<()> {
        let Some(node) = self.pass() else { return Ok(()) };
        match repository.read_tree(&node)? {
            TreeNode::Interior(children) => self.above.push(children.into_vec().into_iter().peekable()),
            TreeNode::Leaf(entries) => {
                self.check(&entries)?;
                self.leaf = entries.into_vec().into_iter().peekable();
            }
        }
        Ok(())
    }

    /// A leaf is sorted in itself; it must also come after the leaf before it.
    fn check(&mut self, entries: &[Entry]) -> Result<()> {
        let first = entries.first().map(|entry| &entry.key);
        if self.last.is_some() && first.is_some_and(|first| Some(first) <= self.last.as_ref()) {
            let why = "its leaves do not ascend".into();
            return Err(RepoError::Damaged { object: "a tree".into(), why });
        }
        self.last = entries.last().map(|entry| entry.key.clone());
        entries.iter().try_for_each(|entry| understood(&entry.extras, &entry.key.name))
    }

    fn take(&mut self) -> Option<Entry> {
        self.leaf.next()
    }
}
