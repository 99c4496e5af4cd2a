//! Splitting: trees and chunk lists as nodes whose boundaries depend on their content alone
//! (format-spec, "Splitting"). After prolly trees: one changed entry of a million costs a leaf and its
//! ancestors.
//!
//! Written in order, in one pass: one unfinished node per level is all that is held.

use super::error::{RepoError, Result};
use crate::crypto::Keyset;
use crate::format::codec::{Bytes, Encode, List, append};
use crate::format::content::{Body, Content, Item, ListRef};
use crate::format::limits::{INLINE_MAX, ITEMS_IN_ENTRY_MAX, LEVEL_MAX, NODE_BYTES_MAX, NODE_ENTRIES_MAX};
use crate::format::pack::BlobKind;
use crate::format::tree::{Entry, EntryKey, TreeChild, TreeRef};
use crate::id::BlobId;

/// One in so many items ends a node.
const SPLIT_EVERY: u32 = 256;

/// Takes a finished node's plaintext and gives the id of its blob.
pub type SaveBlob<'a> = &'a mut dyn FnMut(BlobKind, Vec<u8>) -> Result<BlobId>;

/// A node in the making: its items, already encoded.
#[derive(Clone, Default)]
struct Pending {
    encoded: Vec<u8>,
    count: u32,
    entries: u64,
    bytes: u64,
}

impl Pending {
    fn push(&mut self, item: &impl Encode, entries: u64, bytes: u64) -> Result<()> {
        append(item, &mut self.encoded);
        self.count += 1;
        let sum = self.entries.checked_add(entries).zip(self.bytes.checked_add(bytes));
        (self.entries, self.bytes) =
            sum.ok_or_else(|| RepoError::Refused("more bytes than 64 bits can count".into()))?;
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.count as usize >= NODE_ENTRIES_MAX || self.encoded.len() >= NODE_BYTES_MAX
    }

    /// The node's plaintext: its choice, its count, its items.
    fn take(&mut self, choice: u32) -> (Vec<u8>, u64, u64) {
        let Pending { encoded, count, entries, bytes } = std::mem::take(self);
        let mut node = Vec::with_capacity(encoded.len() + 8);
        node.extend_from_slice(&choice.to_le_bytes());
        node.extend_from_slice(&count.to_le_bytes());
        node.extend_from_slice(&encoded);
        (node, entries, bytes)
    }
}

/// The choice that says leaf or interior in both kinds of node.
const LEAF: u32 = 0;
const INTERIOR: u32 = 1;

/// What the levels above the leaves are made of: references to trees or to lists.
trait Reference: Encode + Clone {
    const KIND: BlobKind;
    fn entries(&self) -> u64;
    fn bytes(&self) -> u64;
    /// What decides whether a node ends after it.
    fn split_item(&self) -> &[u8];
    /// The reference to a node made of references, of which `last` is the last.
    fn above(id: BlobId, level: u8, entries: u64, bytes: u64, last: &Self) -> Self;
}

impl Reference for TreeChild {
    const KIND: BlobKind = BlobKind::Tree;
    fn entries(&self) -> u64 {
        self.tree.entries
    }
    fn bytes(&self) -> u64 {
        self.tree.bytes
    }
    fn split_item(&self) -> &[u8] {
        &self.last.name
    }
    fn above(id: BlobId, level: u8, entries: u64, bytes: u64, last: &Self) -> Self {
        TreeChild { last: last.last.clone(), tree: TreeRef { id, level, entries, bytes } }
    }
}

impl Reference for ListRef {
    const KIND: BlobKind = BlobKind::List;
    fn entries(&self) -> u64 {
        self.items
    }
    fn bytes(&self) -> u64 {
        self.bytes
    }
    fn split_item(&self) -> &[u8] {
        self.id.as_bytes()
    }
    fn above(id: BlobId, level: u8, entries: u64, bytes: u64, _last: &Self) -> Self {
        ListRef { id, level, items: entries, bytes }
    }
}

/// The levels above the leaves.
#[derive(Clone)]
struct Levels<R> {
    levels: Vec<Level<R>>,
}

#[derive(Clone)]
struct Level<R> {
    node: Pending,
    last: Option<R>,
    /// The only reference that this level was ever given, while that is so.
    only: Option<R>,
    given: u64,
}

impl<R: Reference> Levels<R> {
    fn new() -> Self {
        Levels { levels: Vec::new() }
    }

    /// Takes a finished node's reference at `at`, where 0 is the level above the leaves.
    fn push(&mut self, keys: &Keyset, mut at: usize, mut reference: R, save: SaveBlob<'_>) -> Result<()> {
        loop {
            if self.levels.len() == at {
                self.levels.push(Level { node: Pending::default(), last: None, only: None, given: 0 });
            }
            let height = height(at)?;
            let level = &mut self.levels[at];
            level.given += 1;
            level.only = (level.given == 1).then(|| reference.clone());
            level.node.push(&reference, reference.entries(), reference.bytes())?;
            let ends = is_boundary(keys, height, reference.split_item()) || level.node.is_full();
            level.last = Some(reference);
            if !ends {
                return Ok(());
            }
            reference = level.close(height, save)?.expect("it was just given a reference");
            at += 1;
        }
    }

    /// Closes all levels from below, and gives the one reference that is left.
    fn finish(mut self, keys: &Keyset, save: SaveBlob<'_>) -> Result<R> {
        let mut at = 0;
        loop {
            let level = self.levels.get_mut(at).expect("a leaf was given, and each closed level gives to the next");
            if let Some(only) = level.only.take() {
                return Ok(only);
            }
            if let Some(reference) = level.close(height(at)?, save)? {
                self.push(keys, at + 1, reference, save)?;
            }
            at += 1;
        }
    }
}

impl<R: Reference> Level<R> {
    /// Ends the node in the making. A group of one is not wrapped: it rises as it is.
    fn close(&mut self, height: u8, save: SaveBlob<'_>) -> Result<Option<R>> {
        let Some(last) = self.last.take() else { return Ok(None) };
        if self.node.count == 1 {
            self.node = Pending::default();
            return Ok(Some(last));
        }
        let (plain, entries, bytes) = self.node.take(INTERIOR);
        let id = save(R::KIND, plain)?;
        Ok(Some(R::above(id, height, entries, bytes, &last)))
    }
}

/// The level number of the nodes that are made at `at`.
fn height(at: usize) -> Result<u8> {
    let height = u8::try_from(at + 1).ok().filter(|height| *height <= LEVEL_MAX);
    height.ok_or_else(|| RepoError::Refused("more entries than a tree of the greatest depth holds".into()))
}

fn is_boundary(keys: &Keyset, level: u8, item: &[u8]) -> bool {
    keys.split_hash(level, item).is_multiple_of(SPLIT_EVERY)
}

/// Builds the tree of one directory or bucket from its entries in order. A clone, finished, is the tree of
/// what there is so far.
#[derive(Clone)]
pub struct TreeBuilder {
    leaf: Pending,
    last: Option<EntryKey>,
    levels: Levels<TreeChild>,
}

impl Default for TreeBuilder {
    fn default() -> Self {
        TreeBuilder { leaf: Pending::default(), last: None, levels: Levels::new() }
    }
}

impl TreeBuilder {
    /// Adds the next entry; its key is greater than all before it.
    pub fn push(&mut self, keys: &Keyset, entry: &Entry, save: SaveBlob<'_>) -> Result<()> {
        if self.last.as_ref().is_some_and(|last| *last >= entry.key) {
            let name = String::from_utf8_lossy(&entry.key.name).into_owned();
            return Err(RepoError::Refused(format!("the source lists {name} out of order or twice")));
        }
        self.leaf.push(entry, entry.entries(), entry.bytes())?;
        self.last = Some(entry.key.clone());
        if is_boundary(keys, 0, &entry.key.name) || self.leaf.is_full() {
            self.close_leaf(keys, save)?;
        }
        Ok(())
    }

    fn close_leaf(&mut self, keys: &Keyset, save: SaveBlob<'_>) -> Result<()> {
        let last = self.last.clone().expect("a leaf is closed after an entry");
        let (plain, entries, bytes) = self.leaf.take(LEAF);
        let id = save(BlobKind::Tree, plain)?;
        let child = TreeChild { last, tree: TreeRef { id, level: 0, entries, bytes } };
        self.levels.push(keys, 0, child, save)
    }

    /// Saves what is left and gives the root.
    pub fn finish(mut self, keys: &Keyset, save: SaveBlob<'_>) -> Result<TreeRef> {
        if self.last.is_none() {
            let (plain, entries, bytes) = self.leaf.take(LEAF);
            return Ok(TreeRef { id: save(BlobKind::Tree, plain)?, level: 0, entries, bytes });
        }
        if self.leaf.count > 0 {
            self.close_leaf(keys, save)?;
        }
        Ok(self.levels.finish(keys, save)?.tree)
    }
}

/// Builds content from its items in order. A clone, finished, is the content so far.
#[derive(Clone, Default)]
pub struct ContentBuilder {
    size: u64,
    /// The items, while they are few enough to stand in the entry.
    few: Vec<Item>,
    leaf: Pending,
    levels: Option<Levels<ListRef>>,
}

impl ContentBuilder {
    /// Content that is short enough to stand in its entry.
    pub fn inline(bytes: Vec<u8>) -> Option<Content> {
        let size = bytes.len() as u64;
        let bytes = Bytes::<INLINE_MAX>::new(bytes).ok()?;
        Some(Content { size, body: Body::Inline(bytes) })
    }

    /// How many bytes the items so far stand for.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds the next item.
    pub fn push(&mut self, keys: &Keyset, item: Item, save: SaveBlob<'_>) -> Result<()> {
        let size = self.size.checked_add(item.len());
        self.size = size.ok_or_else(|| RepoError::Refused("more bytes than 64 bits can count".into()))?;
        if self.levels.is_some() {
            return self.push_to_list(keys, &item, save);
        }
        self.few.push(item);
        if self.few.len() > ITEMS_IN_ENTRY_MAX {
            self.levels = Some(Levels::new());
            for item in std::mem::take(&mut self.few) {
                self.push_to_list(keys, &item, save)?;
            }
        }
        Ok(())
    }

    fn push_to_list(&mut self, keys: &Keyset, item: &Item, save: SaveBlob<'_>) -> Result<()> {
        let begins = self.leaf.encoded.len();
        self.leaf.push(item, 1, item.len())?;
        if is_boundary(keys, 0, &self.leaf.encoded[begins..]) || self.leaf.is_full() {
            self.close_leaf(keys, save)?;
        }
        Ok(())
    }

    fn close_leaf(&mut self, keys: &Keyset, save: SaveBlob<'_>) -> Result<()> {
        let (plain, items, bytes) = self.leaf.take(LEAF);
        let id = save(BlobKind::List, plain)?;
        let levels = self.levels.as_mut().expect("only a list has leaves");
        levels.push(keys, 0, ListRef { id, level: 0, items, bytes }, save)
    }

    /// Saves what is left and gives the content.
    pub fn finish(mut self, keys: &Keyset, save: SaveBlob<'_>) -> Result<Content> {
        if self.levels.is_some() && self.leaf.count > 0 {
            self.close_leaf(keys, save)?;
        }
        let body = match self.levels {
            Some(levels) => Body::Split(levels.finish(keys, save)?),
            None if self.few.is_empty() => Body::Inline(Bytes::default()),
            None => Body::Items(List::new(self.few).expect("few is at most what an entry takes")),
        };
        Ok(Content { size: self.size, body })
    }
}
