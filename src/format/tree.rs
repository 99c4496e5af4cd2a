//! Trees: the sorted entries of a directory or a bucket, split by content (format-spec, "Trees").
//!
//! A tree is one leaf, or leaves under interior nodes. Entries ascend strictly by (name,
//! discriminator) through all leaves. Names are bytes; whether a place can hold them is its concern.

use super::codec::{Ascending, Bytes, Decode, Encode, Keyed, List, Malformed, Structure, Text};
use super::content::Content;
use super::extras::Extras;
use super::limits::{
    LEVEL_MAX, NAME_MAX, NODE_ENTRIES_MAX, OWNER_NAME_MAX, TARGET_MAX, XATTR_NAME_MAX, XATTR_VALUE_MAX, XATTRS_MAX,
};
use crate::id::BlobId;

/// A name within a tree; never empty.
pub type Name = Bytes<NAME_MAX>;

/// A point in time: seconds since 1970-01-01T00:00:00Z and nanoseconds within the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
pub struct Time {
    /// May be negative.
    pub secs: i64,
    /// Below 1,000,000,000.
    pub nanos: u32,
}

impl Time {
    pub(super) fn obey(&self, what: &'static str) -> Result<(), Malformed> {
        match self.nanos {
            0..1_000_000_000 => Ok(()),
            _ => Err(Malformed::new(what, "a second of more than a billion nanoseconds")),
        }
    }
}

/// What entries are sorted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct EntryKey {
    /// The file's name, or the whole object key.
    pub name: Name,
    /// Tells entries of one name apart; 0 where there is one.
    pub discriminator: u64,
}

/// One thing in a directory or a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Entry {
    /// Its name.
    pub key: EntryKey,
    /// What it is, and what it holds.
    pub node: Node,
    /// Who owns it and what may be done with it.
    pub meta: Meta,
    /// Extended attributes, links and what will be thought of; tags in [`tag`].
    pub extras: Extras,
}

/// The tags of an entry's extras.
pub mod tag {
    /// An encoded [`super::Xattrs`].
    pub const XATTRS: u32 = 1;
    /// An encoded [`super::Content`] whose bytes are an encoded [`super::Xattrs`] too long for an extra.
    pub const XATTRS_CONTENT: u32 = 2;
    /// An encoded [`super::HardLink`].
    pub const HARD_LINK: u32 = 3;
    /// What the store names this content of an object by: its ETag, without quotes, as bytes.
    pub const ETAG: u32 = 16;
    /// The id of the version of an object that was read, as bytes.
    pub const VERSION: u32 = 17;
    /// An object's content headers: encoded [`Pairs`](crate::format::object_meta::Pairs).
    pub const HEADERS: u32 = 18;
    /// An object's user metadata: encoded pairs.
    pub const USER_METADATA: u32 = 19;
    /// An object's tags: encoded pairs.
    pub const OBJECT_TAGS: u32 = 20;
    /// An object's storage class, as bytes; none if it is the store's usual one.
    pub const STORAGE_CLASS: u32 = 21;
    // 22..=31 are reserved for objects of buckets; see the spec.
    /// An encoded [`super::Begun`]: the file's content is only its beginning. Must be understood.
    pub const BEGUN: u32 = crate::format::extras::MUST_UNDERSTAND | 1;
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Node {
    /// A regular file, or an object.
    File(Content),
    /// A directory.
    Directory(TreeRef),
    /// A symbolic link and its target.
    Symlink(Bytes<TARGET_MAX>),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharDevice(Device),
    /// A block device.
    BlockDevice(Device),
}

/// A device's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Device {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

/// Refers to a tree by its root node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct TreeRef {
    /// The root node's blob, of kind tree.
    pub id: BlobId,
    /// 0 for a leaf.
    pub level: u8,
    /// Entries in it and in all directories below it.
    pub entries: u64,
    /// Sizes of all files in it and below it.
    pub bytes: u64,
}

/// Ownership, permissions and times.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Encode, Decode)]
pub struct Meta {
    /// Permission bits with set-id and sticky: at most 0o7777.
    pub mode: u32,
    /// Owner's number.
    pub uid: u32,
    /// Group's number.
    pub gid: u32,
    /// Owner's name; empty if unknown.
    pub user: Text<OWNER_NAME_MAX>,
    /// Group's name; empty if unknown.
    pub group: Text<OWNER_NAME_MAX>,
    /// When the content last changed.
    pub mtime: Time,
    /// When the entry last changed; never restored, tells a changed file from an unchanged one.
    pub ctime: Time,
    /// Inode number, for the same purpose; 0 if there is none.
    pub inode: u64,
}

/// Entries with the same link identity within one snapshot are names of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub struct HardLink {
    /// The device that the file was on.
    pub device: u64,
    /// Its inode there.
    pub inode: u64,
}
impl Structure for HardLink {
    const WHAT: &'static str = "hard link identity";
}

/// An extended attribute.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Xattr {
    /// Its full name, as in `user.comment`.
    pub name: Bytes<XATTR_NAME_MAX>,
    /// Its value.
    pub value: Bytes<XATTR_VALUE_MAX>,
}
impl Keyed for Xattr {
    type Key = Bytes<XATTR_NAME_MAX>;
    fn key(&self) -> &Self::Key {
        &self.name
    }
}

/// The extended attributes of an entry, POSIX ACLs among them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Encode, Decode)]
pub struct Xattrs(pub Ascending<Xattr, XATTRS_MAX>);
impl Structure for Xattrs {
    const WHAT: &'static str = "extended attributes";
}

impl Structure for Content {
    const WHAT: &'static str = "content";
    fn obey(&self) -> Result<(), Malformed> {
        Content::obey(self, Self::WHAT)
    }
}

impl Entry {
    /// Size in bytes: of a file its content's, of a directory all files below, else 0.
    pub fn bytes(&self) -> u64 {
        match &self.node {
            Node::File(content) => content.size,
            Node::Directory(tree) => tree.bytes,
            _ => 0,
        }
    }

    /// Entries that it stands for: itself, and of a directory all below.
    pub fn entries(&self) -> u64 {
        match &self.node {
            Node::Directory(tree) => tree.entries.saturating_add(1),
            _ => 1,
        }
    }

    /// Its link identity, when the file has several names.
    pub fn hard_link(&self) -> Result<Option<HardLink>, Malformed> {
        self.extras.get(tag::HARD_LINK).map(HardLink::from_bytes).transpose()
    }

    /// Of a file that was not read to its end, what else is known; only checkpoints have such entries.
    pub fn begun(&self) -> Result<Option<Begun>, Malformed> {
        self.extras.get(tag::BEGUN).map(Begun::from_bytes).transpose()
    }

    fn obey(&self) -> Result<(), Malformed> {
        let broken = |why: &str| Err(Malformed::new(TreeNode::WHAT, why));
        if self.key.name.is_empty() {
            return broken("an entry without a name");
        }
        if self.meta.mode > 0o7777 {
            return broken("mode bits over 0o7777");
        }
        if self.extras.get(tag::XATTRS).is_some() && self.extras.get(tag::XATTRS_CONTENT).is_some() {
            return broken("extended attributes twice");
        }
        self.meta.mtime.obey(TreeNode::WHAT)?;
        self.meta.ctime.obey(TreeNode::WHAT)?;
        match &self.node {
            Node::File(content) => content.obey(TreeNode::WHAT),
            Node::Directory(tree) if tree.level > LEVEL_MAX => broken("deeper than the limit"),
            _ => Ok(()),
        }
    }
}

/// What a checkpoint says of a file of which it holds the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Begun {
    /// The length of the whole file as it was found; 0 if nobody knew.
    pub size: u64,
}
impl Structure for Begun {
    const WHAT: &'static str = "beginning of a file";
}

/// A child of an interior node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct TreeChild {
    /// The key of the last entry below it.
    pub last: EntryKey,
    /// The node, with totals over all below it.
    pub tree: TreeRef,
}

/// A node of a tree: the plaintext of a tree blob.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum TreeNode {
    /// Entries; none only in an empty directory.
    Leaf(List<Entry, NODE_ENTRIES_MAX>),
    /// Nodes of lower levels, at least two.
    Interior(List<TreeChild, NODE_ENTRIES_MAX>),
}

impl TreeNode {
    /// What is in it and below it: (entries, bytes).
    pub fn totals(&self) -> Result<(u64, u64), Malformed> {
        let add = |total: (u64, u64), entries: u64, bytes: u64| {
            let sum = total.0.checked_add(entries).zip(total.1.checked_add(bytes));
            sum.ok_or_else(|| Malformed::new(Self::WHAT, "totals over 64 bits"))
        };
        match self {
            TreeNode::Leaf(entries) => {
                entries.iter().try_fold((0, 0), |total, entry| add(total, entry.entries(), entry.bytes()))
            }
            TreeNode::Interior(children) => {
                children.iter().try_fold((0, 0), |total, child| add(total, child.tree.entries, child.tree.bytes))
            }
        }
    }

    /// Whether it is the node that `reference` describes: a leaf or not, children below its level, totals.
    pub fn is_what(&self, reference: &TreeRef) -> Result<(), Malformed> {
        let fits = match self {
            TreeNode::Leaf(_) => reference.level == 0,
            TreeNode::Interior(children) => children.iter().all(|child| child.tree.level < reference.level),
        };
        if fits && self.totals()? == (reference.entries, reference.bytes) {
            return Ok(());
        }
        Err(Malformed::new(Self::WHAT, "not the level or the totals that it is referred to by"))
    }

    /// The key of the last entry in it or below it.
    pub fn last(&self) -> Option<&EntryKey> {
        match self {
            TreeNode::Leaf(entries) => entries.last().map(|entry| &entry.key),
            TreeNode::Interior(children) => children.last().map(|child| &child.last),
        }
    }
}

impl Structure for TreeNode {
    const WHAT: &'static str = "tree node";

    fn obey(&self) -> Result<(), Malformed> {
        let sorted = match self {
            TreeNode::Leaf(entries) => {
                entries.iter().try_for_each(Entry::obey)?;
                entries.is_sorted_by(|a, b| a.key < b.key)
            }
            TreeNode::Interior(children) => {
                if children.len() < 2 {
                    return Err(Malformed::new(Self::WHAT, "an interior node with fewer than two children"));
                }
                if children.iter().any(|child| child.tree.level >= LEVEL_MAX) {
                    return Err(Malformed::new(Self::WHAT, "deeper than the limit"));
                }
                children.is_sorted_by(|a, b| a.last < b.last)
            }
        };
        if !sorted {
            return Err(Malformed::new(Self::WHAT, "names that do not ascend"));
        }
        self.totals().map(|_| ())
    }
}
