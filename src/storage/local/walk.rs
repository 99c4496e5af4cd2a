//! Touches the disk. Steps through directories by handle, one segment at a time, and follows no link:
//! whoever can write into a store must not be able to point us out of it.

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

pub(super) const DIRECTORY_MODE: Mode = Mode::RWXU;
pub(super) const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// The directory `segment` of `here`. A plain file in its place is `NotADirectory`; a link is neither
/// that nor `NotFound`, because what the link hides may well exist.
pub(super) fn enter(here: &OwnedFd, segment: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(here, segment, flags, Mode::empty()) {
        Err(Errno::NOTDIR | Errno::LOOP) if is_link(here, segment)? => Err(foreign("a link")),
        result => Ok(result?),
    }
}

/// The same, made if it is not there: 0700, whatever the umask.
pub(super) fn enter_or_make(here: &OwnedFd, segment: &str) -> io::Result<OwnedFd> {
    match enter(here, segment) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_directory(here, segment)?;
            enter(here, segment)
        }
        result => result,
    }
}

/// Steps from `root` through a path of segments; `""` is `root` itself.
pub(super) fn enter_all(root: &OwnedFd, path: &str) -> io::Result<OwnedFd> {
    segments(path).try_fold(root.try_clone()?, |here, segment| enter(&here, segment))
}

pub(super) fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

/// Opens a regular file for reading. Non-blocking, so that a pipe somebody left there cannot hang us.
pub(super) fn open_file(here: &OwnedFd, segment: &str) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::openat(here, segment, flags, Mode::empty()) {
        Err(Errno::LOOP) => Err(foreign("a link")),
        Err(error) => Err(error.into()),
        Ok(fd) => {
            plain_len(&rustix::fs::fstat(&fd)?)?;
            Ok(File::from(fd))
        }
    }
}

pub(super) fn look(here: &OwnedFd, segment: impl rustix::path::Arg) -> io::Result<Stat> {
    Ok(rustix::fs::statat(here, segment, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// The length of a regular file; everything else is no object.
pub(super) fn plain_len(stat: &Stat) -> io::Result<u64> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => u64::try_from(stat.st_size).map_err(io::Error::other),
        FileType::Symlink => Err(foreign("a link")),
        _ => Err(foreign("no regular file")),
    }
}

/// Makes what was done in a directory durable: new, renamed and removed names.
pub(super) fn sync_directory(here: &OwnedFd) -> io::Result<()> {
    match File::from(here.try_clone()?).sync_all() {
        // Some network and FUSE file systems cannot sync a directory, and keep order by other means.
        Err(error) if is_unsupported(&error) => Ok(()),
        result => result,
    }
}

/// What the umask took away from the owner comes back. A file system without modes refuses that, and
/// needs it least.
pub(super) fn settle_mode(changed: io::Result<()>) -> io::Result<()> {
    use io::ErrorKind::{PermissionDenied, Unsupported};
    match changed {
        Err(error) if matches!(error.kind(), PermissionDenied | Unsupported) => Ok(()),
        changed => changed,
    }
}

fn make_directory(here: &OwnedFd, segment: &str) -> io::Result<()> {
    match rustix::fs::mkdirat(here, segment, DIRECTORY_MODE) {
        Ok(()) => {
            let changed = rustix::fs::chmodat(here, segment, DIRECTORY_MODE, AtFlags::empty());
            settle_mode(changed.map_err(Into::into))
        }
        // Another writer was faster.
        Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn is_link(here: &OwnedFd, segment: &str) -> io::Result<bool> {
    let mode = look(here, segment)?.st_mode;
    Ok(FileType::from_raw_mode(mode) == FileType::Symlink)
}

fn is_unsupported(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, Unsupported};
    matches!(error.kind(), InvalidInput | Unsupported)
}

fn foreign(what: &str) -> io::Error {
    io::Error::other(format!("there is {what} in its way, and a store holds none"))
}
