//! What snapshots reach: every node of their trees is read once, and every blob is marked (format-spec,
//! "Prune", P2 and D5).

use std::collections::HashSet;

use rayon::prelude::*;

use super::Listener;
use super::marks::{Marking, Marks};
use crate::format::content::{Body, Content, Item, ListNode, ListRef};
use crate::format::limits::TREE_DEPTH_MAX;
use crate::format::pack::BlobKind;
use crate::format::tree::{Node, TreeNode, TreeRef};
use crate::id::BlobId;
use crate::ops::walk::{can_be_followed, contents};
use crate::repo::{RepoError, Repository, Result};

/// Nodes that are read side by side: bounds memory to some ten megabytes.
const BATCH: usize = 64;

/// A node that is to be read.
enum Task {
    Tree(TreeRef, usize),
    List(ListRef),
}

/// What reading a node gave.
#[derive(Default)]
struct Look {
    below: Vec<Task>,
    blobs: Vec<BlobId>,
    lost: Option<RepoError>,
}

/// Walks trees, each node once, however many snapshots share it.
pub(super) struct Reach<'r> {
    repository: &'r Repository,
    listener: &'r Listener<'r>,
    /// Halves of the ids of nodes that were read.
    seen: HashSet<u128>,
    marking: Marking,
    /// Nodes that could not be read.
    lost: u64,
    first_lost: Option<RepoError>,
}

impl<'r> Reach<'r> {
    pub fn new(repository: &'r Repository, listener: &'r Listener<'r>) -> Self {
        let marking = Marking::new(repository.cache_dir());
        Reach { repository, listener, seen: HashSet::new(), marking, lost: 0, first_lost: None }
    }

    /// Marks all that `root` reaches and is not marked yet.
    pub fn walk(&mut self, root: &TreeRef) -> Result<()> {
        let mut open = Vec::new();
        self.add(&mut open, Task::Tree(root.clone(), 0))?;
        while !open.is_empty() {
            self.listener.go_on()?;
            let batch = open.split_off(open.len().saturating_sub(BATCH));
            let looks: Vec<Look> = batch.par_iter().map(|task| self.look(task)).collect::<Result<_>>()?;
            self.listener.counters.done.fetch_add(batch.len() as u64, std::sync::atomic::Ordering::Relaxed);
            for look in looks {
                for id in &look.blobs {
                    self.marking.mark(id)?;
                }
                for task in look.below {
                    self.add(&mut open, task)?;
                }
                if let Some(error) = look.lost {
                    self.lost += 1;
                    self.first_lost.get_or_insert(error);
                }
            }
        }
        Ok(())
    }

    /// What was marked, how many nodes could not be read, and why of the first.
    pub fn finish(self) -> Result<(Marks, u64, Option<RepoError>)> {
        Ok((self.marking.finish()?, self.lost, self.first_lost))
    }

    fn add(&mut self, open: &mut Vec<Task>, task: Task) -> Result<()> {
        let id = match &task {
            Task::Tree(tree, _) => &tree.id,
            Task::List(list) => &list.id,
        };
        let half = u128::from_le_bytes(*id.as_bytes().first_chunk().expect("an id is 32 bytes long"));
        if self.seen.insert(half) {
            self.marking.mark(id)?;
            open.push(task);
        }
        Ok(())
    }

    fn look(&self, task: &Task) -> Result<Look> {
        let mut look = Look::default();
        let read = match task {
            Task::Tree(tree, depth) => self.look_at_tree(tree, *depth, &mut look),
            Task::List(list) => self.look_at_list(list, &mut look),
        };
        match read {
            Ok(()) => {}
            Err(error @ (RepoError::Damaged { .. } | RepoError::Missing { .. })) => look.lost = Some(error),
            Err(error) => return Err(error),
        }
        Ok(look)
    }

    fn look_at_tree(&self, tree: &TreeRef, depth: usize, look: &mut Look) -> Result<()> {
        match self.repository.read_tree(tree)? {
            TreeNode::Interior(children) => {
                look.below.extend(children.iter().map(|child| Task::Tree(child.tree.clone(), depth)));
            }
            TreeNode::Leaf(entries) => {
                if depth > TREE_DEPTH_MAX {
                    let why = "deeper than the limit".into();
                    return Err(RepoError::Damaged { object: format!("tree blob {}", tree.id), why });
                }
                for entry in entries.iter() {
                    // What it refers to cannot be known, and would be deleted.
                    can_be_followed(&entry.extras, &entry.key.name)?;
                    if let Node::Directory(tree) = &entry.node {
                        look.below.push(Task::Tree(tree.clone(), depth + 1));
                    }
                    let contents = contents(entry)
                        .map_err(|error| RepoError::malformed(String::from_utf8_lossy(&entry.key.name), error))?;
                    contents.iter().for_each(|content| look.take_content(content));
                }
            }
        }
        Ok(())
    }

    fn look_at_list(&self, list: &ListRef, look: &mut Look) -> Result<()> {
        match self.repository.read_list(list)? {
            ListNode::Interior(children) => look.below.extend(children.iter().cloned().map(Task::List)),
            ListNode::Leaf(items) => look.take_items(&items),
        }
        Ok(())
    }
}

impl Look {
    fn take_content(&mut self, content: &Content) {
        match &content.body {
            Body::Inline(_) => {}
            Body::Items(items) => self.take_items(items),
            Body::Split(list) => self.below.push(Task::List(list.clone())),
        }
    }

    fn take_items(&mut self, items: &[Item]) {
        self.blobs.extend(items.iter().filter_map(|item| match item {
            Item::Data { id, .. } => Some(*id),
            Item::Hole { .. } => None,
        }));
    }
}

/// The word for a node that is lost.
pub(super) fn noun_of_nodes(lost: u64) -> String {
    let kind = crate::repo::noun(BlobKind::Tree);
    format!("{lost} {kind} or list node{}", if lost == 1 { "" } else { "s" })
}
