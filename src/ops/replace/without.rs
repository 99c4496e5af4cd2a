//! A tree without some of what is in it. Directories in which nothing can be taken out keep their trees; the others
//! are built anew, and come out as any backup of the same entries would have built them.

use super::keeper::{Keeper, too_deep};
use super::{Listener, Result};
use crate::format::control::Summary;
use crate::format::limits::TREE_DEPTH_MAX;
use crate::format::tree::{Entry, Node, TreeRef};
use crate::ops::pattern::{Patterns, Steps, Verdict};
use crate::ops::walk::{Go, Visit, walk};
use crate::repo::split::TreeBuilder;
use crate::repo::walk::Entries;
use crate::repo::{RepoError, Repository};

/// What was taken out of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Entries, those below directories included.
    pub entries: u64,
    /// Files among them.
    pub files: u64,
    /// Directories among them.
    pub dirs: u64,
    /// Bytes of the files.
    pub bytes: u64,
}

impl Removed {
    fn count(&mut self, entry: &Entry) {
        match &entry.node {
            Node::File(_) => self.files = self.files.saturating_add(1),
            Node::Directory(_) => self.dirs = self.dirs.saturating_add(1),
            _ => {}
        }
    }

    /// The summary of a snapshot speaks of what is in it now.
    pub(super) fn subtract_from(&self, summary: &mut Summary) {
        let mut files = self.files;
        for part in [&mut summary.files_unmodified, &mut summary.files_changed, &mut summary.files_new] {
            let less = files.min(*part);
            (*part, files) = (*part - less, files - less);
        }
        let others = self.entries.saturating_sub(self.files).saturating_sub(self.dirs);
        summary.dirs = summary.dirs.saturating_sub(self.dirs);
        summary.others = summary.others.saturating_sub(others);
        summary.bytes_processed = summary.bytes_processed.saturating_sub(self.bytes);
    }
}

/// A directory in the making.
struct Open<'r> {
    entries: Entries<'r>,
    builder: TreeBuilder,
    /// The directory itself, unless it is the top.
    itself: Option<Entry>,
}

/// The tree `root` without what matches, and what that was. What stays may be relied on by the keeper's session.
pub(super) fn without(
    keeper: &mut Keeper<'_>,
    root: &TreeRef,
    excludes: &[Patterns],
    listener: &Listener<'_>,
) -> Result<(TreeRef, Removed)> {
    let (repository, keys) = (keeper.repository(), keeper.keys());
    let open = |tree: &TreeRef, itself| Open {
        entries: Entries::new(repository, tree),
        builder: TreeBuilder::default(),
        itself,
    };
    let (mut removed, mut path) = (Removed::default(), Steps::new());
    let mut levels = vec![open(root, None)];
    loop {
        let level = levels.last_mut().expect("the top is left only by returning");
        if let Some(entry) = level.entries.next().transpose()? {
            let depth = path.len();
            match &entry.node {
                Node::Directory(_) => path.push(&entry.key.name),
                // It may be a key.
                _ => path.extend(&entry.key.name),
            }
            let verdict = judge(excludes, &path);
            match &entry.node {
                _ if verdict.matched => take_out(repository, &entry, &path, &mut removed, listener),
                Node::Directory(tree) if verdict.below => {
                    if levels.len() > TREE_DEPTH_MAX {
                        return Err(too_deep());
                    }
                    stop_if_told(listener)?;
                    levels.push(open(&tree.clone(), Some(entry)));
                    continue;
                }
                node => {
                    if let Node::Directory(tree) = node {
                        keeper.rely_on_tree(tree)?;
                    }
                    keeper.rely_on_entry(&entry)?;
                    level.builder.push(keys, &entry, &mut |kind, plain| keeper.save(kind, plain))?;
                }
            }
            path.truncate(depth);
            continue;
        }
        let Some(Open { builder, itself, .. }) = levels.pop() else { continue };
        let tree = builder.finish(keys, &mut |kind, plain| keeper.save(kind, plain))?;
        let (Some(above), Some(itself)) = (levels.last_mut(), itself) else { return Ok((tree, removed)) };
        keeper.rely_on_entry(&itself)?;
        let entry = Entry { node: Node::Directory(tree), ..itself };
        above.builder.push(keys, &entry, &mut |kind, plain| keeper.save(kind, plain))?;
        path.pop();
    }
}

fn judge(excludes: &[Patterns], path: &Steps) -> Verdict {
    let verdicts = excludes.iter().map(|patterns| patterns.judge(path));
    verdicts.fold(Verdict { matched: false, below: false }, |so_far, verdict| Verdict {
        matched: so_far.matched || verdict.matched,
        below: so_far.below || verdict.below,
    })
}

fn stop_if_told(listener: &Listener<'_>) -> Result<()> {
    if (listener.interrupted)() { Err(RepoError::Interrupted) } else { Ok(()) }
}

/// Counts what goes. What is in a directory that cannot be read goes uncounted: it goes all the same.
fn take_out(repository: &Repository, entry: &Entry, path: &Steps, removed: &mut Removed, listener: &Listener<'_>) {
    (listener.on_removed)(&path.to_path());
    removed.entries = removed.entries.saturating_add(entry.entries());
    removed.bytes = removed.bytes.saturating_add(entry.bytes());
    removed.count(entry);
    if let Node::Directory(tree) = &entry.node
        && let Err(error) = walk(repository, tree, &mut Counting(removed))
    {
        tracing::warn!("{}: what is in it cannot be counted: {error}", path);
    }
}

struct Counting<'c>(&'c mut Removed);

impl Visit for Counting<'_> {
    fn entry(&mut self, _path: &[u8], entry: &Entry) -> Result<Go> {
        self.0.count(entry);
        Ok(Go::Into)
    }
}
