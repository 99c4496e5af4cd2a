//! The port that a component fills so that it can be backed up.
//!
//! A source is a tree of things that are found, described and read. The engine asks for one directory
//! at a time, in ascending order of names, and holds nothing else of it.

use std::fmt;
use std::io;

use crate::format::extras::Extra;
use crate::format::tree::{Device, EntryKey, HardLink, Time, Xattrs};

/// What can be backed up.
pub trait Source: Sync {
    /// Where something is: enough to list, describe or open it. Cheap to clone.
    type Place: Clone + Send + Sync + 'static;

    /// The directory that everything is in. It has no entry of its own.
    fn root(&self) -> Self::Place;

    /// What is in a directory, strictly ascending by key. Trouble with one thing is an item, and does
    /// not end the listing; trouble with the directory itself is the error.
    fn list<'a>(&'a self, directory: &Self::Place) -> Result<Listing<'a, Self::Place>, Trouble>;

    /// The same, by whoever knows the directory from before: `marks` are keys in it, ascending and some thousand
    /// entries apart, for a source that lists stretches of a long directory at a time. Hints: there may be
    /// none, and what stood there may be gone.
    fn list_marked<'a>(
        &'a self,
        directory: &Self::Place,
        marks: Vec<EntryKey>,
    ) -> Result<Listing<'a, Self::Place>, Trouble> {
        drop(marks);
        self.list(directory)
    }

    /// What the source itself names the content of a file by (an ETag): the same, with the same size, means the same
    /// content. `None` where only sizes and times tell.
    fn version<'f>(&self, found: &'f Found<Self::Place>) -> Option<&'f [u8]> {
        let _ = found;
        None
    }

    /// Says that a file will be opened before long, after those that this was said of before: a source that is far
    /// away may begin to fetch it.
    fn expect(&self, found: &Found<Self::Place>) {
        let _ = found;
    }

    /// What `list` did not tell because it costs a call, or more, for each thing: asked only of what is
    /// new or changed since the parent snapshot.
    fn describe(&self, found: &Found<Self::Place>) -> Result<Description, Trouble>;

    /// Opens a file's content for one reading from start to end.
    fn open(&self, found: &Found<Self::Place>) -> Result<Box<dyn Reading + Send>, Trouble>;

    /// What trouble with one item means for the whole.
    fn on_trouble(&self) -> OnTrouble {
        OnTrouble::GoOn
    }
}

/// A directory's things, as they come.
pub type Listing<'a, P> = Box<dyn Iterator<Item = Result<Found<P>, Trouble>> + Send + 'a>;

/// Whether a snapshot without some of its items is worth keeping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnTrouble {
    /// The rest is backed up, and the trouble counted and named (files).
    GoOn,
    /// No snapshot is made (the output of a command that failed).
    Stop,
}

/// One thing in a directory of the source.
#[derive(Debug, Clone)]
pub struct Found<P> {
    /// Its name.
    pub key: EntryKey,
    /// What it is.
    pub kind: Kind,
    /// What tells whether it changed, and what comes back with it.
    pub stat: Stat,
    /// Where it is.
    pub place: P,
}

/// What a found thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file or an object.
    File {
        /// Its length in bytes; `None` when only reading tells (a stream).
        size: Option<u64>,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharDevice(Device),
    /// A block device.
    BlockDevice(Device),
}

/// What a listing tells of each thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stat {
    /// Permission bits with set-id and sticky, at most 0o7777.
    pub mode: u32,
    /// Owner's number.
    pub uid: u32,
    /// Group's number.
    pub gid: u32,
    /// When the content last changed.
    pub mtime: Time,
    /// When the entry last changed.
    pub ctime: Time,
    /// Inode number, or 0.
    pub inode: u64,
    /// Link identity, when the file has more than one name.
    pub hard_link: Option<HardLink>,
}

/// What costs extra to find out.
#[derive(Debug, Clone, Default)]
pub struct Description {
    /// Owner's name; empty if unknown.
    pub user: String,
    /// Group's name; empty if unknown.
    pub group: String,
    /// Extended attributes with ACLs.
    pub xattrs: Xattrs,
    /// A symlink's target; empty for everything else.
    pub target: Vec<u8>,
    /// What else comes back with it.
    pub extras: Vec<Extra>,
    /// What the file was when it was opened, if it was no longer what had been found.
    pub stat: Option<Stat>,
}

/// A stretch of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// So many bytes follow and are to be read; `None`: as many as there are.
    Data(Option<u64>),
    /// So many zeros that take no room.
    Hole(u64),
}

/// Another content has taken the place of the one that is being read; opened again, the file is read from its
/// beginning. What a [`Reading`] fails with then, as the inner error.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("was replaced while it was read")]
pub struct Replaced;

/// One reading of a file's content.
pub trait Reading {
    /// Whether what was opened is what was found. If not, what an earlier backup read is no beginning of it, and what is
    /// read now is not kept as one.
    fn is_as_found(&self) -> bool {
        true
    }

    /// Passes over the first `offset` bytes, holes counted; asked before anything else, and perhaps again. The
    /// next stretch then begins there. `false` if that is impossible: then nothing is passed over.
    fn begin_at(&mut self, offset: u64) -> io::Result<bool> {
        let _ = offset;
        Ok(false)
    }

    /// The next stretch; `None` at the end. After `Data` its bytes are read to their end (a `read` of 0,
    /// or the whole length) before the next call.
    fn next_extent(&mut self) -> io::Result<Option<Extent>>;

    /// Bytes of the current data stretch; 0 at its end.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Called after the last stretch: whether what was read is what was found, in words if not
    /// ("grew from 5 to 7 bytes while it was read").
    fn finish(self: Box<Self>) -> Result<(), String>;
}

/// Trouble with one thing; named, counted, and no reason to end.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// The thing, as people would name it.
    pub path: String,
    /// What was attempted and why it failed.
    pub why: String,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.why)
    }
}
