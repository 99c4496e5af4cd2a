//! Walking trees and content: one node per level in memory, however many entries there are.

use std::vec::IntoIter;

use super::Repository;
use super::error::{RepoError, Result};
use crate::format::Structure;
use crate::format::content::{Body, Content, Item, ListNode, ListRef};
use crate::format::limits::{TREE_DEPTH_MAX, XATTRS_ENCODED_MAX};
use crate::format::pack::BlobKind;
use crate::format::tree::{Entry, EntryKey, Name, Node, TreeChild, TreeNode, TreeRef, Xattrs, tag};
use crate::id::BlobId;

/// Extras of an entry that this version understands.
const KNOWN_TAGS: &[u32] = &[tag::XATTRS, tag::XATTRS_CONTENT, tag::HARD_LINK];
/// The same in a checkpoint. Nobody else takes the beginning of a file for the file.
const KNOWN_IN_CHECKPOINTS: &[u32] = &[tag::XATTRS, tag::XATTRS_CONTENT, tag::HARD_LINK, tag::BEGUN];

/// The entries of one tree in order, strictly ascending across its leaves.
pub struct Entries<'r> {
    repository: &'r Repository,
    above: Vec<IntoIter<TreeChild>>,
    leaf: IntoIter<Entry>,
    last: Option<EntryKey>,
    next: Option<TreeRef>,
    /// What the interior node says the last entry of the node at hand is.
    expected: Option<EntryKey>,
    /// Entries before this one are passed over.
    begin: Option<EntryKey>,
    known: &'static [u32],
}

impl<'r> Entries<'r> {
    /// The entries of `tree`.
    pub fn new(repository: &'r Repository, tree: &TreeRef) -> Self {
        let leaf = Vec::new().into_iter();
        let (next, known) = (Some(tree.clone()), KNOWN_TAGS);
        Entries { repository, above: Vec::new(), leaf, last: None, next, expected: None, begin: None, known }
    }

    /// The entries of a checkpoint's `tree`, those of files that were not read to their end among them.
    pub fn of_checkpoint(repository: &'r Repository, tree: &TreeRef) -> Self {
        Entries { known: KNOWN_IN_CHECKPOINTS, ..Entries::new(repository, tree) }
    }

    /// The entries of `tree` from `begin` on, by way of one node per level.
    pub fn starting_at(repository: &'r Repository, tree: &TreeRef, begin: EntryKey) -> Self {
        Entries { begin: Some(begin), ..Entries::new(repository, tree) }
    }

    fn is_before(&self, key: &EntryKey) -> bool {
        self.begin.as_ref().is_some_and(|begin| key < begin)
    }

    fn step(&mut self) -> Result<Option<Entry>> {
        loop {
            if let Some(entry) = self.leaf.next() {
                if self.is_before(&entry.key) {
                    continue;
                }
                return self.checked(entry).map(Some);
            }
            let Some(node) = self.next_node() else { return Ok(None) };
            let expected = self.expected.take();
            match self.repository.read_tree_node(&node, expected.as_ref())? {
                TreeNode::Leaf(entries) => self.leaf = entries.into_vec().into_iter(),
                TreeNode::Interior(children) => self.above.push(children.into_vec().into_iter()),
            }
        }
    }

    fn next_node(&mut self) -> Option<TreeRef> {
        if let Some(root) = self.next.take() {
            return Some(root);
        }
        while let Some(siblings) = self.above.last_mut() {
            match siblings.next() {
                Some(child) if self.begin.as_ref().is_some_and(|begin| child.last < *begin) => {}
                Some(child) => {
                    self.expected = Some(child.last);
                    return Some(child.tree);
                }
                None => {
                    self.above.pop();
                }
            };
        }
        None
    }

    fn checked(&mut self, entry: Entry) -> Result<Entry> {
        let name = || String::from_utf8_lossy(&entry.key.name).into_owned();
        if self.last.as_ref().is_some_and(|last| *last >= entry.key) {
            let why = format!("{} does not come after the entry before it", name());
            return Err(RepoError::Damaged { object: "a tree".into(), why });
        }
        if let Some(tag) = entry.extras.not_understood(self.known) {
            let why = format!("its extra {tag:#x} must be understood");
            return Err(RepoError::NeedsNewer { object: name(), why });
        }
        self.last = Some(entry.key.clone());
        Ok(entry)
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

/// The entries of a tree whose names begin with `prefix`, in order.
pub fn entries_below<'r>(
    repository: &'r Repository,
    tree: &TreeRef,
    prefix: &[u8],
) -> impl Iterator<Item = Result<Entry>> + Send + use<'r> {
    let prefix = prefix.to_vec();
    let begin = Name::new(prefix.clone()).ok().map(|name| EntryKey { name, discriminator: 0 });
    // No name is longer than a name can be.
    let entries = begin.map(|begin| Entries::starting_at(repository, tree, begin));
    let is_below =
        move |entry: &Result<Entry>| entry.as_ref().map_or(true, |entry| entry.key.name.starts_with(&prefix));
    entries.into_iter().flatten().take_while(is_below)
}

/// Keys of a tree's entries, ascending and at least `apart` entries from each other, by way of its interior nodes
/// alone. Hints: it ends early where a node cannot be read.
pub fn milestones<'r>(
    repository: &'r Repository,
    tree: &TreeRef,
    apart: u64,
) -> impl Iterator<Item = EntryKey> + use<'r> {
    let mut passed = 0;
    let mut above: Vec<IntoIter<TreeChild>> = Vec::new();
    let mut next = Some(tree.clone());
    std::iter::from_fn(move || {
        loop {
            if let Some(node) = next.take().filter(|node| node.level > 0)
                && let Ok(TreeNode::Interior(children)) = repository.read_tree(&node)
            {
                above.push(children.into_vec().into_iter());
            }
            let Some(child) = above.last_mut()?.next() else {
                above.pop();
                continue;
            };
            if child.tree.level > 0 && child.tree.entries > apart {
                next = Some(child.tree);
                continue;
            }
            passed += child.tree.entries;
            if passed >= apart {
                passed = 0;
                return Some(child.last);
            }
        }
    })
}

/// The items of some content in order.
pub struct Items<'r> {
    repository: &'r Repository,
    above: Vec<IntoIter<ListRef>>,
    leaf: IntoIter<Item>,
    root: Option<ListRef>,
}

impl<'r> Items<'r> {
    /// The items of `content`; none if it is inline.
    pub fn new(repository: &'r Repository, content: &Content) -> Self {
        let (items, root) = match &content.body {
            Body::Inline(_) => (Vec::new(), None),
            Body::Items(items) => (items.to_vec(), None),
            Body::Split(list) => (Vec::new(), Some(list.clone())),
        };
        Items { repository, above: Vec::new(), leaf: items.into_iter(), root }
    }

    fn step(&mut self) -> Result<Option<Item>> {
        loop {
            if let Some(item) = self.leaf.next() {
                return Ok(Some(item));
            }
            let Some(list) = self.next_node() else { return Ok(None) };
            match self.repository.read_list(&list)? {
                ListNode::Leaf(items) => self.leaf = items.into_vec().into_iter(),
                ListNode::Interior(children) => self.above.push(children.into_vec().into_iter()),
            }
        }
    }

    fn next_node(&mut self) -> Option<ListRef> {
        if let Some(root) = self.root.take() {
            return Some(root);
        }
        while let Some(siblings) = self.above.last_mut() {
            match siblings.next() {
                Some(child) => return Some(child),
                None => self.above.pop(),
            };
        }
        None
    }
}

impl Iterator for Items<'_> {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

impl Repository {
    /// The entry named `key` in a tree, by way of one node per level.
    pub fn find_entry(&self, tree: &TreeRef, key: &EntryKey) -> Result<Option<Entry>> {
        let mut node = self.read_tree(tree)?;
        loop {
            match node {
                TreeNode::Leaf(entries) => {
                    return Ok(entries.into_vec().into_iter().find(|entry| entry.key == *key));
                }
                TreeNode::Interior(children) => {
                    let at = children.partition_point(|child| child.last < *key);
                    let Some(child) = children.get(at) else { return Ok(None) };
                    node = self.read_tree_node(&child.tree, Some(&child.last))?;
                }
            }
        }
    }

    /// All of some content, which is at most `max` bytes long.
    pub fn read_content(&self, content: &Content, max: usize) -> Result<Vec<u8>> {
        if content.size > max as u64 {
            let why = format!("{} bytes where at most {max} are expected", content.size);
            return Err(RepoError::Damaged { object: "content".into(), why });
        }
        if let Body::Inline(bytes) = &content.body {
            return Ok(bytes.to_vec());
        }
        let mut bytes = Vec::new();
        for item in Items::new(self, content) {
            match item? {
                Item::Hole { len } => bytes.resize(bytes.len() + len as usize, 0),
                Item::Data { id, len } => bytes.extend_from_slice(&self.read_chunk(&id, len)?),
            }
        }
        Ok(bytes)
    }

    /// The plaintext of a data blob that a reference says is `len` bytes long.
    pub fn read_chunk(&self, id: &BlobId, len: u32) -> Result<Vec<u8>> {
        let plain = self.read_blob(BlobKind::Data, id)?;
        match plain.len() == len as usize {
            true => Ok(plain),
            false => {
                let why = format!("it has {} bytes where {len} are referred to", plain.len());
                Err(RepoError::Damaged { object: format!("data blob {id}"), why })
            }
        }
    }

    /// An entry's extended attributes.
    pub fn xattrs(&self, entry: &Entry) -> Result<Xattrs> {
        let broken = |error| RepoError::malformed(String::from_utf8_lossy(&entry.key.name), error);
        if let Some(encoded) = entry.extras.get(tag::XATTRS) {
            return Xattrs::from_bytes(encoded).map_err(broken);
        }
        match xattrs_content(entry)? {
            None => Ok(Xattrs::default()),
            Some(content) => Xattrs::from_bytes(&self.read_content(&content, XATTRS_ENCODED_MAX)?).map_err(broken),
        }
    }
}

/// The content that an entry's extended attributes are stored as, if they are.
fn xattrs_content(entry: &Entry) -> Result<Option<Content>> {
    let broken = |error| RepoError::malformed(String::from_utf8_lossy(&entry.key.name), error);
    entry.extras.get(tag::XATTRS_CONTENT).map(Content::from_bytes).transpose().map_err(broken)
}

/// Called for each blob that something refers to.
pub type OnBlob<'a> = &'a mut dyn FnMut(BlobKind, &BlobId) -> Result<()>;

/// Calls `each` for every blob that `root` reaches, as often as it is referred to.
pub fn every_blob(repository: &Repository, root: &TreeRef, each: OnBlob<'_>) -> Result<()> {
    // One list of what is still to be visited per directory level: depth is bounded, not the stack.
    let mut levels = vec![vec![root.clone()]];
    while let Some(level) = levels.last_mut() {
        let Some(tree) = level.pop() else {
            levels.pop();
            continue;
        };
        each(BlobKind::Tree, &tree.id)?;
        match repository.read_tree(&tree)? {
            TreeNode::Interior(children) => level.extend(children.iter().rev().map(|child| child.tree.clone())),
            TreeNode::Leaf(entries) => {
                let mut below = Vec::new();
                for entry in entries.iter().rev() {
                    if let Node::Directory(tree) = &entry.node {
                        below.push(tree.clone());
                    }
                    blobs_of_entry(repository, entry, each)?;
                }
                levels.push(below);
                if levels.len() > TREE_DEPTH_MAX + 1 {
                    return Err(RepoError::Damaged { object: "a tree".into(), why: "deeper than the limit".into() });
                }
            }
        }
    }
    Ok(())
}

/// Calls `each` for every blob of an entry's own content and attributes.
///
/// # Errors
///
/// Among others if the entry has an extra that must be understood and is not: it may refer to more.
pub fn blobs_of_entry(repository: &Repository, entry: &Entry, each: OnBlob<'_>) -> Result<()> {
    if let Some(tag) = entry.extras.not_understood(KNOWN_IN_CHECKPOINTS) {
        let object = String::from_utf8_lossy(&entry.key.name).into_owned();
        return Err(RepoError::NeedsNewer { object, why: format!("its extra {tag:#x} must be understood") });
    }
    if let Node::File(content) = &entry.node {
        blobs_of_content(repository, content, each)?;
    }
    match xattrs_content(entry)? {
        Some(content) => blobs_of_content(repository, &content, each),
        None => Ok(()),
    }
}

fn blobs_of_content(repository: &Repository, content: &Content, each: OnBlob<'_>) -> Result<()> {
    match &content.body {
        Body::Inline(_) => Ok(()),
        Body::Items(items) => blobs_of_items(items, each),
        Body::Split(list) => {
            let mut open = vec![list.clone()];
            while let Some(list) = open.pop() {
                each(BlobKind::List, &list.id)?;
                match repository.read_list(&list)? {
                    ListNode::Leaf(items) => blobs_of_items(&items, each)?,
                    ListNode::Interior(children) => open.extend(children.iter().rev().cloned()),
                }
            }
            Ok(())
        }
    }
}

fn blobs_of_items(items: &[Item], each: OnBlob<'_>) -> Result<()> {
    items.iter().try_for_each(|item| match item {
        Item::Data { id, .. } => each(BlobKind::Data, id),
        Item::Hole { .. } => Ok(()),
    })
}
