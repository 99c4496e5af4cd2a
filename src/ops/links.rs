//! Which entries of a snapshot are names of one file.

use crate::format::Malformed;
use crate::format::codec::append;
use crate::format::tree::{Entry, HardLink};

/// What names of one file have in common: their link identity, and what they hold. The identity alone is
/// not enough: devices are numbered anew at each mount, and an inode is given to another file when its
/// last name is gone, so that entries of different files may bear the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SameFile {
    link: HardLink,
    node: [u8; 32],
}

impl SameFile {
    /// The entry's; `None` if its file has no other name.
    pub fn of(entry: &Entry) -> Result<Option<SameFile>, Malformed> {
        let Some(link) = entry.hard_link()? else { return Ok(None) };
        let mut node = Vec::new();
        append(&entry.node, &mut node);
        Ok(Some(SameFile { link, node: *blake3::hash(&node).as_bytes() }))
    }
}
