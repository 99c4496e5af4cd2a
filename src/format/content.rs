//! Content: how a file's bytes are made of blobs (format-spec, "Content").
//!
//! Short content stands inline; otherwise it is a list of items, data or hole; a list that is too long
//! for its entry is split into chunk-list nodes, blobs of their own kind.

use super::codec::{Bytes, Decode, Encode, List, Malformed, Structure};
use super::limits::{BLOB_PLAIN_MAX, INLINE_MAX, ITEMS_IN_ENTRY_MAX, LEVEL_MAX, NODE_ENTRIES_MAX};
use crate::id::BlobId;

/// A stretch of content.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Item {
    /// The whole plaintext of a data blob.
    Data {
        /// The blob.
        id: BlobId,
        /// Its plaintext length, 1..=[`BLOB_PLAIN_MAX`].
        len: u32,
    },
    /// Zeros that take no room.
    Hole {
        /// How many, at least one.
        len: u64,
    },
}

impl Item {
    /// Bytes of content that it stands for.
    pub fn len(&self) -> u64 {
        match self {
            Item::Data { len, .. } => u64::from(*len),
            Item::Hole { len } => *len,
        }
    }

    /// Never: an item stands for at least one byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn obey(&self, what: &'static str) -> Result<(), Malformed> {
        match self {
            Item::Data { len, .. } if *len == 0 || *len > BLOB_PLAIN_MAX => {
                Err(Malformed::new(what, format!("a data item of {len} bytes")))
            }
            Item::Hole { len: 0 } => Err(Malformed::new(what, "a hole of no bytes")),
            _ => Ok(()),
        }
    }
}

/// The bytes of a file, or of another long value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Content {
    /// Its length in bytes; what the body adds up to.
    pub size: u64,
    /// Where the bytes are.
    pub body: Body,
}

/// Where the bytes of a [`Content`] are. Which of the three is never a choice:
/// no longer than [`INLINE_MAX`] and without holes is inline, up to [`ITEMS_IN_ENTRY_MAX`] items are
/// in the entry, more are a split list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Body {
    /// The bytes themselves.
    Inline(Bytes<INLINE_MAX>),
    /// All the items.
    Items(List<Item, ITEMS_IN_ENTRY_MAX>),
    /// The root of a split list of items.
    Split(ListRef),
}

/// Refers to a node of a split chunk list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct ListRef {
    /// The node's blob, of kind list.
    pub id: BlobId,
    /// 0 for a leaf.
    pub level: u8,
    /// Items in all leaves below.
    pub items: u64,
    /// Bytes of content in all leaves below.
    pub bytes: u64,
}

impl Content {
    /// No bytes at all.
    pub fn empty() -> Self {
        Content { size: 0, body: Body::Inline(Bytes::default()) }
    }

    /// Lengths add up, and the body is the one that the size and the items call for.
    pub fn obey(&self, what: &'static str) -> Result<(), Malformed> {
        let bytes = match &self.body {
            Body::Inline(bytes) => bytes.len() as u64,
            Body::Items(items) => {
                let has_hole = items.iter().any(|item| matches!(item, Item::Hole { .. }));
                if items.is_empty() || (self.size <= INLINE_MAX as u64 && !has_hole) {
                    return Err(Malformed::new(what, "short content that is not inline"));
                }
                sum(items, what)?
            }
            Body::Split(list) => {
                if list.items <= ITEMS_IN_ENTRY_MAX as u64 || list.level > LEVEL_MAX {
                    return Err(Malformed::new(what, "a split list that should not be one"));
                }
                list.bytes
            }
        };
        if bytes == self.size {
            return Ok(());
        }
        Err(Malformed::new(what, format!("size {} but content of {bytes} bytes", self.size)))
    }
}

/// What the items add up to; each within its bounds.
fn sum(items: &[Item], what: &'static str) -> Result<u64, Malformed> {
    items.iter().try_fold(0u64, |sum, item| {
        item.obey(what)?;
        sum.checked_add(item.len()).ok_or_else(|| Malformed::new(what, "a size over 64 bits"))
    })
}

/// A node of a split chunk list: the plaintext of a list blob.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ListNode {
    /// Items, at least one.
    Leaf(List<Item, NODE_ENTRIES_MAX>),
    /// Nodes of lower levels, at least two.
    Interior(List<ListRef, NODE_ENTRIES_MAX>),
}

impl ListNode {
    /// What the node's items or children add up to: (items, bytes).
    pub fn totals(&self) -> Result<(u64, u64), Malformed> {
        match self {
            ListNode::Leaf(items) => Ok((items.len() as u64, sum(items, Self::WHAT)?)),
            ListNode::Interior(children) => children.iter().try_fold((0u64, 0u64), |total, child| {
                let items = total.0.checked_add(child.items);
                let bytes = total.1.checked_add(child.bytes);
                items.zip(bytes).ok_or_else(|| Malformed::new(Self::WHAT, "totals over 64 bits"))
            }),
        }
    }
}

impl ListNode {
    /// Whether it is the node that `reference` describes: a leaf or not, children below its level, totals.
    pub fn is_what(&self, reference: &ListRef) -> Result<(), Malformed> {
        let fits = match self {
            ListNode::Leaf(_) => reference.level == 0,
            ListNode::Interior(children) => children.iter().all(|child| child.level < reference.level),
        };
        if fits && self.totals()? == (reference.items, reference.bytes) {
            return Ok(());
        }
        Err(Malformed::new(Self::WHAT, "not the level or the totals that it is referred to by"))
    }
}

impl Structure for ListNode {
    const WHAT: &'static str = "chunk list";

    fn obey(&self) -> Result<(), Malformed> {
        match self {
            ListNode::Leaf(items) if items.is_empty() => Err(Malformed::new(Self::WHAT, "an empty leaf")),
            ListNode::Interior(children) if children.len() < 2 => {
                Err(Malformed::new(Self::WHAT, "an interior node with fewer than two children"))
            }
            ListNode::Interior(children) if children.iter().any(|child| child.level >= LEVEL_MAX) => {
                Err(Malformed::new(Self::WHAT, "deeper than the limit"))
            }
            _ => self.totals().map(|_| ()),
        }
    }
}
