//! The port that a component fills so that a snapshot can be restored to it.
//!
//! A target is a tree of directories that is changed one name at a time. Names come from a snapshot and
//! are not to be trusted: a target refuses what it cannot hold, and never leaves its own place.

use std::io;
use std::sync::Arc;

use super::source::{Kind, Stat, Trouble};
use crate::format::tree::{Entry, Meta, Xattrs};

/// A directory within a target, by the names that lead to it from its top.
#[derive(Debug)]
pub struct DirPath {
    above: Option<(Arc<DirPath>, Vec<u8>)>,
}

impl DirPath {
    /// The target's own place.
    pub fn top() -> Arc<DirPath> {
        Arc::new(DirPath { above: None })
    }

    /// The directory `name` in this one.
    pub fn child(self: &Arc<Self>, name: &[u8]) -> Arc<DirPath> {
        Arc::new(DirPath { above: Some((Arc::clone(self), name.to_vec())) })
    }

    /// Where it is and its name there; `None` for the top.
    pub fn split(&self) -> Option<(&Arc<DirPath>, &[u8])> {
        self.above.as_ref().map(|(parent, name)| (parent, &name[..]))
    }

    /// The names that lead here, from the top.
    pub fn names(&self) -> Vec<&[u8]> {
        let mut names: Vec<&[u8]> =
            std::iter::successors(self.split(), |(parent, _)| parent.split()).map(|(_, name)| name).collect();
        names.reverse();
        names
    }

    /// The path of `name` in it, for people.
    pub fn show(&self, name: &[u8]) -> String {
        let mut path: Vec<u8> = self.names().join(&b'/');
        if !path.is_empty() && !name.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        String::from_utf8_lossy(&path).into_owned()
    }
}

// A chain of ten thousand parents must not be dropped by recursion.
impl Drop for DirPath {
    fn drop(&mut self) {
        let mut next = self.above.take();
        while let Some((parent, _)) = next {
            next = Arc::into_inner(parent).and_then(|mut parent| parent.above.take());
        }
    }
}

/// Something that stands at a name in the target already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// What it is.
    pub kind: Kind,
    /// Its metadata.
    pub stat: Stat,
}

/// The names in a directory, as they come.
pub type Names<'a> = Box<dyn Iterator<Item = Result<Vec<u8>, Trouble>> + Send + 'a>;

/// Where a snapshot can be restored to. All names are single names in the given directory.
pub trait Target: Sync {
    /// What stands at `name`, links not followed; `None` if nothing does.
    fn inspect(&self, dir: &Arc<DirPath>, name: &[u8]) -> Result<Option<Standing>, Trouble>;

    /// Makes the directory `name`, or keeps the one that is there; replaces anything else that stands there.
    /// It is writable for its owner only until [`settle`](Target::settle) gives it its metadata.
    fn make_dir(&self, dir: &Arc<DirPath>, name: &[u8]) -> Result<(), Trouble>;

    /// Begins the file `entry` under another name; it appears, whole, when it is finished.
    fn begin(&self, dir: &Arc<DirPath>, entry: &Entry) -> Result<Box<dyn NewFile>, Trouble>;

    /// Makes a symlink, pipe, socket or device with its metadata; replaces what stands there.
    fn make_node(&self, dir: &Arc<DirPath>, entry: &Entry, xattrs: &Xattrs) -> Result<(), Trouble>;

    /// Makes `name` another name of the file `of`; replaces what stands there.
    fn link(&self, dir: &Arc<DirPath>, name: &[u8], of: (&Arc<DirPath>, &[u8])) -> Result<(), Trouble>;

    /// Opens the regular file that stands at `name`, to see which of its bytes are right already.
    fn read_standing(&self, dir: &Arc<DirPath>, name: &[u8]) -> Result<Box<dyn ReadAt>, Trouble>;

    /// Gives what stands at `entry`'s name the entry's owner, mode, times and attributes: a directory after all
    /// in it is done, or a file whose content is right already.
    fn settle(&self, dir: &Arc<DirPath>, entry: &Entry, xattrs: &Xattrs) -> Result<(), Trouble>;

    /// The names in a directory, ascending.
    fn names(&self, dir: &Arc<DirPath>) -> Result<Names<'_>, Trouble>;

    /// Removes what stands at `name`, with all below it; never follows a link.
    fn remove(&self, dir: &Arc<DirPath>, name: &[u8]) -> Result<(), Trouble>;

    /// Whether what was [inspected](Target::inspect) is known, without being read, to be the content of `entry`.
    fn holds(&self, dir: &Arc<DirPath>, entry: &Entry, standing: &Standing) -> bool {
        let _ = (dir, entry, standing);
        false
    }

    /// Whether names are whole keys, with slashes in them; otherwise a key is the path of a file.
    fn takes_keys(&self) -> bool {
        false
    }

    /// Whether the parts of a new file may come in any order; otherwise they come from its start to its end.
    fn takes_any_order(&self) -> bool {
        true
    }

    /// Gives what was no file of a file system the owner and the permissions that a new one has.
    fn adopt(&self, meta: &mut Meta) {
        let _ = meta;
    }

    /// What could not be done for all entries alike, in one clear sentence each ("owner and group were
    /// not restored for 512 entries: not permitted").
    fn shortcomings(&self) -> Vec<String>;
}

/// A file in the making; dropping it leaves nothing behind. Parts may come from several threads.
pub trait NewFile: Send + Sync {
    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Gives the file its length (what was not written is a hole), its metadata and its name.
    fn finish(self: Box<Self>, entry: &Entry, xattrs: &Xattrs) -> Result<(), Trouble>;
}

/// Reads parts of a file that stands in the target.
pub trait ReadAt: Send + Sync {
    /// Reads up to the buffer's length; 0 at the end.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
}
