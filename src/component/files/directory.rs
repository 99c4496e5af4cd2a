//! Touches the world: disk, limits of this process. Open directories, each reached from the one above it,
//! so that no path is ever too long.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Stat, openat, statat};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::ignore_rules::IgnoreRules;
use crate::ops::pattern::Steps;

/// What one call takes of a path; the kernel's limit is 4096 with the NUL.
const PATH_PART_MAX: usize = 4000;

/// Lets this process open as many files as the system allows it at all: a walk holds one for each level
/// of directories. Returns how many.
pub fn raise_open_files_limit() -> io::Result<Option<u64>> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    }
    Ok(limit.maximum)
}

/// An open directory, and what holds for all in it.
#[derive(Debug)]
pub(super) struct Directory {
    fd: OwnedFd,
    whence: Whence,
    /// The device that its source is on.
    pub(super) device: u64,
    /// Those of the directories above it, until it adds its own.
    pub(super) ignore: IgnoreRules,
}

#[derive(Debug)]
enum Whence {
    Path(PathBuf),
    Above(Arc<Directory>, Arc<[u8]>),
}

impl Directory {
    /// The directory at `path`; links within the path are followed, as the caller named it. `access` is
    /// what is to be done with it: `RDONLY` to list it, `PATH` to reach what is in it.
    pub(super) fn at(path: &Path, access: OFlags) -> io::Result<Directory> {
        let fd = open_path(path, access | OFlags::DIRECTORY)?;
        let device = rustix::fs::fstat(&fd)?.st_dev;
        Ok(Directory { fd, whence: Whence::Path(path.to_owned()), device, ignore: IgnoreRules::default() })
    }

    /// The directory `name` in `above`, to be listed; never what a link leads to.
    pub(super) fn below(above: &Arc<Directory>, name: &Arc<[u8]>, device: u64) -> io::Result<Directory> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(above, &name[..], flags, Mode::empty())?;
        let whence = Whence::Above(Arc::clone(above), Arc::clone(name));
        Ok(Directory { fd, whence, device, ignore: above.ignore.clone() })
    }

    /// The names that lead here.
    pub(super) fn steps(&self) -> Steps {
        let mut names = Vec::new();
        let mut here = self;
        let top = loop {
            match &here.whence {
                Whence::Path(path) => break path,
                Whence::Above(above, name) => {
                    names.push(&name[..]);
                    here = above;
                }
            }
        };
        let mut steps = Steps::from_path(top.as_os_str().as_bytes());
        names.iter().rev().for_each(|name| steps.push(name));
        steps
    }

    /// The path of `name` in it, for people.
    pub(super) fn show(&self, name: &[u8]) -> String {
        let mut steps = self.steps();
        steps.push(name);
        steps.to_string()
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

// A chain of ten thousand parents must not be dropped by recursion.
impl Drop for Directory {
    fn drop(&mut self) {
        let mut next = std::mem::replace(&mut self.whence, Whence::Path(PathBuf::new()));
        while let Whence::Above(above, _) = next {
            let above = Arc::into_inner(above);
            next = above.map_or(Whence::Path(PathBuf::new()), |mut above| {
                std::mem::replace(&mut above.whence, Whence::Path(PathBuf::new()))
            });
        }
    }
}

/// Opens `path`, however long; links are followed.
pub(super) fn open_path(path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC;
    match openat(CWD, path, flags, Mode::empty()) {
        Err(Errno::NAMETOOLONG) => {
            let (parent, rest) = open_most(path)?;
            Ok(openat(parent, rest, flags, Mode::empty())?)
        }
        opened => Ok(opened?),
    }
}

/// What is at `path`, however long; only the last name may be left unfollowed.
pub(super) fn stat_path(path: &Path, flags: AtFlags) -> io::Result<Stat> {
    match statat(CWD, path, flags | AtFlags::NO_AUTOMOUNT) {
        Err(Errno::NAMETOOLONG) => {
            let (parent, rest) = open_most(path)?;
            Ok(statat(parent, rest, flags | AtFlags::NO_AUTOMOUNT)?)
        }
        found => Ok(found?),
    }
}

/// A directory on the way, and the rest of an absolute path from there, short enough for one call.
fn open_most(path: &Path) -> io::Result<(OwnedFd, &OsStr)> {
    let mut rest = path.as_os_str().as_bytes();
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut here = openat(CWD, "/", flags, Mode::empty())?;
    loop {
        while let Some(after) = rest.strip_prefix(b"/") {
            rest = after;
        }
        if rest.len() <= PATH_PART_MAX {
            return Ok((here, OsStr::from_bytes(rest)));
        }
        let part = rest.get(..PATH_PART_MAX).and_then(|part| part.iter().rposition(|&byte| byte == b'/'));
        let (part, after) = rest.split_at_checked(part.unwrap_or(0)).ok_or(Errno::NAMETOOLONG)?;
        if part.is_empty() {
            return Err(Errno::NAMETOOLONG.into());
        }
        here = openat(&here, OsStr::from_bytes(part), flags, Mode::empty())?;
        rest = after;
    }
}
