//! Walking a tree with everything below it, node by node, so that whoever knows a node passes it over.

use std::vec::IntoIter;

use crate::format::content::Content;
use crate::format::extras::Extras;
use crate::format::limits::TREE_DEPTH_MAX;
use crate::format::tree::{Entry, EntryKey, Node, TreeChild, TreeNode, TreeRef, tag};
use crate::format::{Malformed, Structure};
use crate::repo::{RepoError, Repository, Result};

/// Extras of an entry that this version understands.
const KNOWN_TAGS: &[u32] = &[tag::XATTRS, tag::XATTRS_CONTENT, tag::HARD_LINK];

/// Whether a walk goes on below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Go {
    /// Everything in it and below it comes next.
    Into,
    /// It is passed over.
    Past,
}

/// What a walk meets, in order: directories before what is in them.
pub trait Visit {
    /// A node of a directory's tree is about to be read.
    fn enter(&mut self, _node: &TreeRef) -> Go {
        Go::Into
    }

    /// An entry, and its path from where the walk began.
    fn entry(&mut self, path: &[u8], entry: &Entry) -> Result<Go>;

    /// All in a node and below it was visited.
    fn leave(&mut self, _node: &TreeRef) {}

    /// A node in the directory at `path` cannot be read. Passing the error on ends the walk; otherwise the
    /// node is left next.
    fn trouble(&mut self, _path: &[u8], error: RepoError) -> Result<()> {
        Err(error)
    }
}

/// Visits all entries of `root` and below it. Holds one node per level, whatever the number of entries.
pub fn walk(repository: &Repository, root: &TreeRef, visit: &mut dyn Visit) -> Result<()> {
    walk_from(repository, root, &[], visit)
}

/// As [`walk`], with paths that begin at `base`.
pub fn walk_from(repository: &Repository, root: &TreeRef, base: &[u8], visit: &mut dyn Visit) -> Result<()> {
    let mut walk = Walk { repository, path: base.to_vec(), directories: Vec::new(), frames: Vec::new() };
    walk.begin_directory(root, visit)?;
    while !walk.frames.is_empty() {
        walk.step(visit)?;
    }
    Ok(())
}

/// The path of `name` in the directory at `directory`.
pub fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    match directory {
        [] => name.to_vec(),
        _ => [directory, b"/", name].concat(),
    }
}

/// Refuses an entry that means nothing without an extra that this version does not know.
pub(super) fn understood(extras: &Extras, name: &[u8]) -> Result<()> {
    understood_with(extras, name, KNOWN_TAGS)
}

/// The same for whoever follows what entries refer to, also in checkpoints: the beginning of a file refers to
/// blobs as a whole one does.
pub(super) fn can_be_followed(extras: &Extras, name: &[u8]) -> Result<()> {
    understood_with(extras, name, &[KNOWN_TAGS, &[tag::BEGUN]].concat())
}

fn understood_with(extras: &Extras, name: &[u8], known: &[u32]) -> Result<()> {
    match extras.not_understood(known) {
        None => Ok(()),
        Some(tag) => {
            let object = String::from_utf8_lossy(name).into_owned();
            Err(RepoError::NeedsNewer { object, why: format!("its extra {tag:#x} must be understood") })
        }
    }
}

/// The contents of an entry: a file's own, and its attributes' if they are stored as content.
pub(super) fn contents(entry: &Entry) -> std::result::Result<Vec<Content>, Malformed> {
    let own = match &entry.node {
        Node::File(content) => Some(content.clone()),
        _ => None,
    };
    let attributes = entry.extras.get(tag::XATTRS_CONTENT).map(Content::from_bytes).transpose()?;
    Ok(own.into_iter().chain(attributes).collect())
}

struct Walk<'r> {
    repository: &'r Repository,
    /// Of the directory that is being walked.
    path: Vec<u8>,
    directories: Vec<Directory>,
    frames: Vec<Frame>,
}

/// A directory that the walk is in.
struct Directory {
    /// Length of its parent's path, to go back to.
    parent_len: usize,
    last: Option<EntryKey>,
}

/// A node that the walk is in.
struct Frame {
    node: TreeRef,
    rest: Rest,
    is_root_of_directory: bool,
}

enum Rest {
    Children(IntoIter<TreeChild>),
    Entries(IntoIter<Entry>),
}

impl Walk<'_> {
    fn step(&mut self, visit: &mut dyn Visit) -> Result<()> {
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        let next = match &mut frame.rest {
            Rest::Children(children) => children.next().map(|child| Next::Node(child.tree)),
            Rest::Entries(entries) => entries.next().map(Next::Entry),
        };
        match next {
            Some(Next::Node(node)) => self.begin_node(&node, false, visit),
            Some(Next::Entry(entry)) => self.visit_entry(entry, visit),
            None => {
                self.end_node(visit);
                Ok(())
            }
        }
    }

    fn visit_entry(&mut self, entry: Entry, visit: &mut dyn Visit) -> Result<()> {
        let directory = self.directories.last_mut().expect("an entry is met in a directory");
        if directory.last.as_ref().is_some_and(|last| *last >= entry.key) {
            let why = format!("{} does not come after the entry before it", String::from_utf8_lossy(&entry.key.name));
            return visit.trouble(&self.path, RepoError::Damaged { object: "a tree".into(), why });
        }
        let path = join(&self.path, &entry.key.name);
        if let Err(error) = understood(&entry.extras, &path) {
            return visit.trouble(&path, error);
        }
        let go = visit.entry(&path, &entry)?;
        directory.last = Some(entry.key);
        match (go, entry.node) {
            (Go::Into, Node::Directory(tree)) => {
                let parent = std::mem::replace(&mut self.path, path);
                self.begin_directory_below(parent.len(), &tree, visit)
            }
            _ => Ok(()),
        }
    }

    fn begin_directory(&mut self, tree: &TreeRef, visit: &mut dyn Visit) -> Result<()> {
        self.begin_directory_below(self.path.len(), tree, visit)
    }

    fn begin_directory_below(&mut self, parent_len: usize, tree: &TreeRef, visit: &mut dyn Visit) -> Result<()> {
        if self.directories.len() > TREE_DEPTH_MAX {
            let error = RepoError::Damaged { object: "a tree".into(), why: "deeper than the limit".into() };
            visit.trouble(&self.path, error)?;
            self.path.truncate(parent_len);
            return Ok(());
        }
        self.directories.push(Directory { parent_len, last: None });
        self.begin_node(tree, true, visit)
    }

    fn begin_node(&mut self, node: &TreeRef, is_root_of_directory: bool, visit: &mut dyn Visit) -> Result<()> {
        let rest = match visit.enter(node) {
            Go::Into => match self.repository.read_tree(node) {
                Ok(TreeNode::Leaf(entries)) => Rest::Entries(entries.into_vec().into_iter()),
                Ok(TreeNode::Interior(children)) => Rest::Children(children.into_vec().into_iter()),
                Err(error) => {
                    visit.trouble(&self.path, error)?;
                    Rest::Children(Vec::new().into_iter())
                }
            },
            Go::Past => {
                if is_root_of_directory {
                    self.end_directory();
                }
                return Ok(());
            }
        };
        self.frames.push(Frame { node: node.clone(), rest, is_root_of_directory });
        Ok(())
    }

    fn end_node(&mut self, visit: &mut dyn Visit) {
        let Some(frame) = self.frames.pop() else { return };
        visit.leave(&frame.node);
        if frame.is_root_of_directory {
            self.end_directory();
        }
    }

    fn end_directory(&mut self) {
        if let Some(directory) = self.directories.pop() {
            self.path.truncate(directory.parent_len);
        }
    }
}

enum Next {
    Node(TreeRef),
    Entry(Entry),
}
