//! Extended attributes of anything, POSIX ACLs among them, without following links. Touches the disk.

use std::io;
use std::marker::PhantomData;

use rustix::buffer::spare_capacity;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, fgetxattr, flistxattr, lgetxattr, llistxattr, openat};
use rustix::io::{Errno, Result as Answer};

use crate::format::codec::{Ascending, Bytes, TooLong};
use crate::format::limits::{XATTR_VALUE_MAX, XATTRS_ENCODED_MAX};
use crate::format::tree::{Xattr, Xattrs};

/// The kernel gives a list of at most this many bytes, and values of at most [`XATTR_VALUE_MAX`].
const LIST_MAX: usize = 64 << 10;

/// How the attributes of a thing are reached.
pub(super) enum Holder<'fd> {
    /// By its name in an open directory. There is no call for that before Linux 6.13, and files must not be
    /// opened for it (a fifo, a tape), so the way leads through the directory's link in `/proc`.
    Link(Vec<u8>, PhantomData<BorrowedFd<'fd>>),
    /// Itself, where there is no `/proc`.
    Opened(OwnedFd),
}

impl<'fd> Holder<'fd> {
    /// `name` in `directory`, which stays open as long as this; `.` is the directory itself.
    pub(super) fn link(directory: &'fd impl AsFd, name: &[u8]) -> Self {
        let mut link = format!("/proc/self/fd/{}/", directory.as_fd().as_raw_fd()).into_bytes();
        link.extend_from_slice(name);
        Holder::Link(link, PhantomData)
    }

    /// A regular file or a directory, opened.
    pub(super) fn opened(directory: impl AsFd, name: &[u8]) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(Holder::Opened(openat(directory, name, flags, Mode::empty())?))
    }

    /// Its attributes, but those that the kernel or the file system does not give.
    pub(super) fn read(&self) -> io::Result<Xattrs> {
        let mut list = Vec::with_capacity(LIST_MAX);
        match given(self.list(&mut list))? {
            None | Some(0) => return Ok(Xattrs::default()),
            Some(_) => {}
        }
        let mut value = Vec::with_capacity(XATTR_VALUE_MAX);
        let mut xattrs = Vec::new();
        let mut encoded_len = 4; // the count of the list itself
        for name in list.split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
            value.clear();
            let got = given(self.get(name, &mut value)).map_err(|error| naming(name, &error))?;
            if got.is_some() {
                encoded_len += name.len() + value.len() + 8;
                xattrs.push(xattr(name, &value).map_err(|error| naming(name, &io::Error::other(error)))?);
            }
            if encoded_len > XATTRS_ENCODED_MAX {
                return Err(io::Error::other(format!("they take more than {XATTRS_ENCODED_MAX} bytes")));
            }
        }
        Ascending::new(xattrs).map(Xattrs).map_err(io::Error::other)
    }

    fn list(&self, list: &mut Vec<u8>) -> Answer<usize> {
        match self {
            Holder::Link(link, _) => llistxattr(link, spare_capacity(list)),
            Holder::Opened(fd) => flistxattr(fd, spare_capacity(list)),
        }
    }

    fn get(&self, name: &[u8], value: &mut Vec<u8>) -> Answer<usize> {
        match self {
            Holder::Link(link, _) => lgetxattr(link, name, spare_capacity(value)),
            Holder::Opened(fd) => fgetxattr(fd, name, spare_capacity(value)),
        }
    }
}

fn xattr(name: &[u8], value: &[u8]) -> Result<Xattr, TooLong> {
    Ok(Xattr { name: Bytes::new(name)?, value: Bytes::new(value)? })
}

fn naming(name: &[u8], error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", String::from_utf8_lossy(name)))
}

/// `None` for what is not ours to read, or has gone since it was listed.
fn given(answer: Answer<usize>) -> io::Result<Option<usize>> {
    match answer {
        Ok(len) => Ok(Some(len)),
        Err(Errno::OPNOTSUPP | Errno::NODATA | Errno::PERM | Errno::ACCESS | Errno::NOSYS) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}
