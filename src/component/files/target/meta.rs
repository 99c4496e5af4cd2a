//! An entry's owner, mode, attributes and times, given to what stands for it. Touches the disk.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags};
use rustix::io::Errno;

use super::shortcomings::Shortcoming;
use super::spot::{file_type, stat_at};
use crate::format::tree::{Entry, Meta, Xattr, Xattrs};

const ACL_ACCESS: &[u8] = b"system.posix_acl_access";
const ACL_DEFAULT: &[u8] = b"system.posix_acl_default";
const SET_ID_BITS: u32 = 0o6000;

/// One inode, held so that no change of names can put another in its place.
pub(super) enum Handle<'a> {
    /// A file in the making.
    Open(BorrowedFd<'a>),
    /// A file or a directory that stands.
    Owned(OwnedFd),
    /// What must not or cannot be opened. Some calls take it only by its path in `/proc`.
    Pinned { fd: OwnedFd, proc: String },
}

impl<'a> Handle<'a> {
    /// What is open for writing already.
    pub fn open(fd: BorrowedFd<'a>) -> Handle<'a> {
        Handle::Open(fd)
    }

    /// What stands at `name`, be it a link: not opened, only held.
    pub fn pin(dir: BorrowedFd, name: &[u8]) -> rustix::io::Result<Handle<'static>> {
        let fd = rustix::fs::openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        let proc = format!("/proc/self/fd/{}", fd.as_raw_fd());
        Ok(Handle::Pinned { fd, proc })
    }

    /// What stands there, if it is of this kind.
    pub fn standing(dir: BorrowedFd, name: &[u8], expected: FileType) -> io::Result<Handle<'static>> {
        let insist = |stat: Stat| match file_type(&stat) {
            found if found == expected => Ok(()),
            found => Err(io::Error::other(format!("expected {expected:?}, but {found:?} stands there"))),
        };
        // Looked at before it is opened: to open a device may already do something.
        insist(stat_at(dir, name)?)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let open = || rustix::fs::openat(dir, name, flags, Mode::empty());
        let handle = match expected {
            FileType::RegularFile | FileType::Directory => match open() {
                Err(Errno::ACCESS) => Handle::pin(dir, name)?,
                opened => Handle::Owned(opened?),
            },
            _ => Handle::pin(dir, name)?,
        };
        insist(handle.stat()?)?;
        Ok(handle)
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Handle::Open(fd) => *fd,
            Handle::Owned(fd) | Handle::Pinned { fd, .. } => fd.as_fd(),
        }
    }

    fn stat(&self) -> rustix::io::Result<Stat> {
        rustix::fs::fstat(self.fd())
    }

    fn chown(&self, uid: Option<Uid>, gid: Option<Gid>) -> rustix::io::Result<()> {
        rustix::fs::chownat(self.fd(), c"", uid, gid, AtFlags::EMPTY_PATH)
    }

    /// Changes the permission bits, with set-id and sticky.
    pub fn chmod(&self, mode: u32) -> rustix::io::Result<()> {
        let mode = Mode::from_raw_mode(mode & 0o7777);
        match self {
            Handle::Pinned { proc, .. } => rustix::fs::chmod(&**proc, mode),
            _ => rustix::fs::fchmod(self.fd(), mode),
        }
    }

    fn set_times(&self, times: &Timestamps) -> rustix::io::Result<()> {
        let Handle::Pinned { fd, proc } = self else { return rustix::fs::futimens(self.fd(), times) };
        match rustix::fs::utimensat(fd, c"", times, AtFlags::EMPTY_PATH) {
            // Before Linux 5.8.
            Err(Errno::INVAL) => rustix::fs::utimensat(rustix::fs::CWD, &**proc, times, AtFlags::empty()),
            set => set,
        }
    }

    fn set_xattr(&self, name: &[u8], value: &[u8]) -> rustix::io::Result<()> {
        match self {
            Handle::Pinned { proc, .. } => rustix::fs::setxattr(&**proc, name, value, XattrFlags::empty()),
            _ => rustix::fs::fsetxattr(self.fd(), name, value, XattrFlags::empty()),
        }
    }

    fn remove_xattr(&self, name: &[u8]) -> rustix::io::Result<()> {
        match self {
            Handle::Pinned { proc, .. } => rustix::fs::removexattr(&**proc, name),
            _ => rustix::fs::fremovexattr(self.fd(), name),
        }
    }

    fn list_xattrs(&self, list: &mut [u8]) -> rustix::io::Result<usize> {
        match self {
            Handle::Pinned { proc, .. } => rustix::fs::listxattr(&**proc, list),
            _ => rustix::fs::flistxattr(self.fd(), list),
        }
    }
}

/// What became of an entry's metadata.
#[derive(Default)]
pub(super) struct Given {
    /// What this system or this user cannot do.
    pub missed: Vec<(Shortcoming, Errno)>,
    /// What failed besides, the first of it.
    pub failed: Option<(Shortcoming, Errno)>,
}

/// Gives all that can be given; one failure does not keep the rest from being given.
///
/// The order matters: a new owner takes away set-id bits and capabilities, a mode without `w` takes away
/// the right to set attributes, an ACL changes the mode, and times are changed by everything.
pub(super) fn give(handle: &Handle, entry: &Entry, xattrs: &Xattrs) -> rustix::io::Result<Given> {
    let stat = handle.stat()?;
    let mut giving = Giving { handle, given: Given::default() };
    let owned = giving.owner(&entry.meta, &stat);
    let access = xattrs.0.iter().find(|xattr| &xattr.name[..] == ACL_ACCESS);
    giving.xattrs(xattrs, &stat);
    if file_type(&stat) != FileType::Symlink {
        let mode = if owned { entry.meta.mode } else { entry.meta.mode & !SET_ID_BITS };
        giving.mode(mode, access);
    }
    giving.times(&entry.meta);
    Ok(giving.given)
}

struct Giving<'a> {
    handle: &'a Handle<'a>,
    given: Given,
}

impl Giving<'_> {
    /// Notes how it went, and tells whether it was done.
    fn note(&mut self, what: Shortcoming, result: rustix::io::Result<()>) -> bool {
        let Err(errno) = result else { return true };
        if !cannot_here(what, errno) {
            self.given.failed.get_or_insert((what, errno));
        } else if !self.given.missed.iter().any(|(missed, _)| *missed == what) {
            self.given.missed.push((what, errno));
        }
        false
    }

    fn owner(&mut self, meta: &Meta, stat: &Stat) -> bool {
        if (stat.st_uid, stat.st_gid) == (meta.uid, meta.gid) {
            return true;
        }
        let gid = number(meta.gid).map(Gid::from_raw);
        let chown = match (number(meta.uid).map(Uid::from_raw), gid) {
            (Some(uid), Some(gid)) => self.handle.chown(Some(uid), Some(gid)),
            _ => Err(Errno::INVAL),
        };
        if chown.is_err() {
            // Whoever may not give a file away may still give it to a group of theirs.
            let _ = self.handle.chown(None, gid);
        }
        self.note(Shortcoming::Owner, chown)
    }

    /// The attributes but the access ACL, which comes with the mode.
    fn xattrs(&mut self, wanted: &Xattrs, stat: &Stat) {
        let stray = match self.stray_xattrs(wanted, stat) {
            Ok(stray) => stray,
            Err(errno) => {
                self.note(Shortcoming::Xattrs, Err(errno));
                return;
            }
        };
        if (!stray.is_empty() || !wanted.0.is_empty()) && stat.st_mode & 0o200 == 0 {
            // Refused only where the attributes will be, too.
            let _ = self.handle.chmod(stat.st_mode & 0o1777 | 0o200);
        }
        for name in &stray {
            let removed = match self.handle.remove_xattr(name) {
                Err(Errno::NODATA) => Ok(()),
                removed => removed,
            };
            self.note(Shortcoming::Xattrs, removed);
        }
        for Xattr { name, value } in wanted.0.iter().filter(|xattr| &xattr.name[..] != ACL_ACCESS) {
            let set = self.handle.set_xattr(name, value);
            self.note(Shortcoming::Xattrs, set);
        }
    }

    /// What stands but is not wanted: a directory's default ACL passes to all that is made in it. What the
    /// system manages itself (labels, capabilities) stays.
    fn stray_xattrs(&self, wanted: &Xattrs, stat: &Stat) -> rustix::io::Result<Vec<Vec<u8>>> {
        if file_type(stat) == FileType::Symlink {
            return Ok(Vec::new());
        }
        let is_stray = |name: &&[u8]| {
            let ours = name.starts_with(b"user.") || *name == ACL_ACCESS || *name == ACL_DEFAULT;
            ours && !wanted.0.iter().any(|xattr| &xattr.name[..] == *name)
        };
        let listed = |list: &[u8]| list.split(|byte| *byte == 0).filter(is_stray).map(<[u8]>::to_vec).collect();
        let mut few = [0; 512];
        match self.handle.list_xattrs(&mut few) {
            Ok(len) => Ok(listed(&few[..len])),
            Err(Errno::OPNOTSUPP) => Ok(Vec::new()),
            // The kernel gives no more than 64 KiB.
            Err(Errno::RANGE) => {
                let mut many = vec![0; 1 << 16];
                let len = self.handle.list_xattrs(&mut many)?;
                Ok(listed(&many[..len]))
            }
            Err(errno) => Err(errno),
        }
    }

    /// The mode, then the ACL that goes with it: of an entry with an ACL, the group's bits in the mode are
    /// the ACL's mask. Until the ACL is set, and if it cannot be, the group gets no more than is its own.
    fn mode(&mut self, mode: u32, access: Option<&Xattr>) {
        let plain = match access {
            Some(acl) => mode & (!0o070 | group_bits(&acl.value) << 3),
            None => mode,
        };
        let chmod = self.handle.chmod(plain);
        self.note(Shortcoming::Mode, chmod);
        if let Some(acl) = access {
            let set = self.handle.set_xattr(ACL_ACCESS, &acl.value);
            self.note(Shortcoming::Xattrs, set);
        }
    }

    fn times(&mut self, meta: &Meta) {
        let last_modification = Timespec { tv_sec: meta.mtime.secs, tv_nsec: meta.mtime.nanos.min(999_999_999).into() };
        let last_access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        let set = self.handle.set_times(&Timestamps { last_access, last_modification });
        self.note(Shortcoming::Times, set);
    }
}

/// Whether it is this system or this user that cannot do it, for this entry and others like it.
fn cannot_here(what: Shortcoming, errno: Errno) -> bool {
    match errno {
        Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP | Errno::NOSYS => true,
        // A number that has no meaning in this user namespace or on this file system.
        Errno::INVAL | Errno::OVERFLOW => what == Shortcoming::Owner,
        _ => false,
    }
}

/// The largest number means "leave it as it is" to the kernel, and names nobody.
fn number(raw: u32) -> Option<u32> {
    (raw != u32::MAX).then_some(raw)
}

/// The owning group's bits in an ACL as the kernel stores it: a version in four bytes, then eight for each
/// entry (tag, permissions, number). None if the ACL does not say.
fn group_bits(acl: &[u8]) -> u32 {
    const GROUP_OBJ: u16 = 4;
    let entries = acl.get(4..).unwrap_or_default().chunks_exact(8);
    let group = entries.map(|entry| (u16::from_le_bytes([entry[0], entry[1]]), entry[2])).find(|e| e.0 == GROUP_OBJ);
    group.map_or(0, |(_, bits)| u32::from(bits & 7))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_own_bits_are_found_in_an_acl_and_nothing_is_found_in_a_broken_one() {
        let acl = [2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 4, 0, 5, 0, 255, 255, 255, 255];
        assert_eq!(group_bits(&acl), 5);
        for len in 0..acl.len() {
            assert_eq!(group_bits(&acl[..len]), 0);
        }
    }
}
