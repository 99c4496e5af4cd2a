//! Removing what stands at a name, with all below it. Touches the disk.
//!
//! One directory is open at a time and the way down is a list, not the stack, so that depth costs
//! neither descriptors nor stack. The way back up is `..`, and is taken only where it leads to the
//! directory that we came from: whoever moves a directory meanwhile must not lead us out of the target.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::dirs::{Dirs, names_in};

/// A directory on the way down.
struct Level {
    name: Vec<u8>,
    identity: (u64, u64),
    left: Vec<Vec<u8>>,
}

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Removed {
    /// One thing that was no directory, or nothing.
    One,
    /// A directory with all below it.
    Tree,
}

/// Removes `name` in `dir`, if anything stands there.
pub(super) fn remove_at(dirs: &Dirs, dir: BorrowedFd, name: &[u8]) -> io::Result<Removed> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => remove_tree(dirs, dir, name).map(|()| Removed::Tree),
        Ok(()) | Err(Errno::NOENT) => Ok(Removed::One),
        Err(errno) => Err(errno.into()),
    }
}

fn remove_tree(dirs: &Dirs, base: BorrowedFd, name: &[u8]) -> io::Result<()> {
    let device = rustix::fs::fstat(base)?.st_dev;
    let (mut here, level) = enter(dirs, base, name, device)?;
    let mut way = vec![level];
    while let Some(level) = way.last_mut() {
        if let Some(name) = level.left.pop() {
            match rustix::fs::unlinkat(&here, &name[..], AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::ISDIR) => {
                    let (below, level) = enter(dirs, here.as_fd(), &name, device)?;
                    here = below;
                    way.push(level);
                }
                Err(errno) => return Err(named(&name, errno.into())),
            }
        } else if let Some(done) = way.pop() {
            let above = way.last().map(|above| leave(&here, above)).transpose()?;
            let at = above.as_ref().map_or(base, OwnedFd::as_fd);
            let removed = rustix::fs::unlinkat(at, &done.name[..], AtFlags::REMOVEDIR);
            removed.map_err(|errno| named(&done.name, errno.into()))?;
            here = above.unwrap_or(here);
        }
    }
    Ok(())
}

fn enter(dirs: &Dirs, at: BorrowedFd, name: &[u8], device: u64) -> io::Result<(OwnedFd, Level)> {
    let (fd, stat) = dirs.enter(at, name).map_err(|error| named(name, error))?;
    // Without openat2 this is all that tells another mount.
    if stat.st_dev != device {
        return Err(named(name, Errno::XDEV.into()));
    }
    let left = names_in(fd.as_fd()).map_err(|errno| named(name, errno.into()))?;
    Ok((fd, Level { name: name.to_vec(), identity: identity(&stat), left }))
}

fn leave(below: &OwnedFd, above: &Level) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(below, c"..", flags, Mode::empty())?;
    if identity(&rustix::fs::fstat(&fd)?) != above.identity {
        return Err(io::Error::other("a directory was moved while it was removed"));
    }
    Ok(fd)
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

fn named(name: &[u8], error: io::Error) -> io::Error {
    let name = String::from_utf8_lossy(name);
    match Errno::from_io_error(&error) {
        Some(Errno::XDEV) => io::Error::other(format!("another file system is mounted at {name}")),
        _ => io::Error::new(error.kind(), format!("{name}: {error}")),
    }
}
