//! A name in an opened directory: where everything in a target happens. Touches the disk.

use std::fmt::Display;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType};

use crate::format::tree::{Device, HardLink, Time};
use crate::ops::source::{Kind, Stat, Trouble};
use crate::ops::target::{DirPath, Standing};

/// A checked name in a directory that is open.
pub(super) struct Spot<'a> {
    pub path: &'a Arc<DirPath>,
    pub dir: Arc<OwnedFd>,
    pub name: &'a [u8],
}

impl Spot<'_> {
    /// What stands there, links not followed.
    pub fn stat(&self) -> rustix::io::Result<rustix::fs::Stat> {
        stat_at(self.dir.as_fd(), self.name)
    }

    /// Its path, for people.
    pub fn shown(&self) -> String {
        self.path.show(self.name)
    }

    /// Trouble with what is here.
    pub fn trouble(&self, doing: &str, error: impl Display) -> Trouble {
        trouble(self.path, self.name, doing, error)
    }
}

/// Trouble with `name` in `dir`.
pub(super) fn trouble(dir: &DirPath, name: &[u8], doing: &str, error: impl Display) -> Trouble {
    Trouble { path: dir.show(name), why: format!("{doing}: {error}") }
}

/// Whether `name` is the name of something in a directory, and leads nowhere else.
pub(super) fn check_name(name: &[u8]) -> io::Result<()> {
    let why = match name {
        b"" => "a name that is empty",
        b"." | b".." => "a name that stands for another directory",
        _ if name.contains(&b'/') => "a name with a slash in it",
        _ if name.contains(&0) => "a name with a zero byte in it",
        _ => return Ok(()),
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, why))
}

/// What stands at `name`, links not followed.
pub(super) fn stat_at(dir: BorrowedFd, name: &[u8]) -> rustix::io::Result<rustix::fs::Stat> {
    rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
}

/// What kind of thing was looked at.
pub(super) fn file_type(stat: &rustix::fs::Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// What was looked at, in the engine's words; `None` for a kind that cannot be backed up.
pub(super) fn standing(stat: &rustix::fs::Stat) -> Option<Standing> {
    let device = Device { major: rustix::fs::major(stat.st_rdev), minor: rustix::fs::minor(stat.st_rdev) };
    let kind = match file_type(stat) {
        FileType::RegularFile => Kind::File { size: u64::try_from(stat.st_size).ok() },
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        FileType::CharacterDevice => Kind::CharDevice(device),
        FileType::BlockDevice => Kind::BlockDevice(device),
        FileType::Unknown => return None,
    };
    let shared = stat.st_nlink > 1 && kind != Kind::Directory;
    let stat = Stat {
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: Time { secs: stat.st_mtime, nanos: nanos(stat.st_mtime_nsec) },
        ctime: Time { secs: stat.st_ctime, nanos: nanos(stat.st_ctime_nsec) },
        inode: stat.st_ino,
        hard_link: shared.then_some(HardLink { device: stat.st_dev, inode: stat.st_ino }),
    };
    Some(Standing { kind, stat })
}

fn nanos(nanos: impl TryInto<u32>) -> u32 {
    nanos.try_into().unwrap_or_default()
}
