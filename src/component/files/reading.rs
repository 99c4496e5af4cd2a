//! Reading one file from start to end, holes and all, while others may change it. Touches the disk.
//!
//! What is read is what the file held when it was opened; if it grew meanwhile, that is read as well, once:
//! a file that grows faster than it is read still comes to an end. Files are never mapped, since one that
//! is cut short under a map ends the process.

use std::io;

use rustix::fd::OwnedFd;
use rustix::fs::{Advice, FileType, Mode, OFlags, SeekFrom, Stat as RawStat, fadvise, fstat, openat, seek};
use rustix::io::{Errno, pread, retry_on_intr};

use super::directory::Directory;
use super::stat::{mtime, size};
use crate::format::tree::Time;
use crate::ops::source::{Extent, Found, Kind, Reading};

/// From this length on the kernel is told that the file will be read from start to end.
const READ_AHEAD_FROM: u64 = 1 << 20;

/// One reading of one file.
pub(super) struct FileReading {
    fd: OwnedFd,
    found_size: u64,
    found_mtime: Time,
    /// As last seen.
    now: RawStat,
    /// Where the content ends, as far as this reading is concerned.
    end: u64,
    position: u64,
    /// Where the current stretch of data ends.
    data_end: u64,
    sparse: bool,
    /// Growth has been looked for.
    caught_up: bool,
}

impl FileReading {
    /// Opens `name` if it still is the file that was found; what is wrong in words if not.
    pub(super) fn open<P>(directory: &Directory, name: &[u8], found: &Found<P>) -> Result<FileReading, String> {
        let fd = open_quietly(directory, name).map_err(|errno| match errno {
            Errno::NOENT => "vanished before it was read".to_owned(),
            Errno::LOOP => "became a symbolic link before it was read".to_owned(),
            errno => format!("cannot be opened: {}", io::Error::from(errno)),
        })?;
        let now = fstat(&fd).map_err(|errno| format!("cannot be examined: {}", io::Error::from(errno)))?;
        if FileType::from_raw_mode(now.st_mode) != FileType::RegularFile {
            return Err("is no regular file any more".to_owned());
        }
        if now.st_ino != found.stat.inode {
            return Err("was replaced by another file before it was read".to_owned());
        }
        let (end, found_size) = match found.kind {
            Kind::File { size: Some(found_size) } => (size(&now), found_size),
            _ => (size(&now), size(&now)),
        };
        if end >= READ_AHEAD_FROM {
            // Advice only: a file system that takes none reads all the same.
            let _ = fadvise(&fd, 0, None, Advice::Sequential);
        }
        let sparse = u64::try_from(now.st_blocks).is_ok_and(|blocks| blocks.saturating_mul(512) < end);
        let found_mtime = found.stat.mtime;
        Ok(FileReading { fd, found_size, found_mtime, now, end, position: 0, data_end: 0, sparse, caught_up: false })
    }

    fn stretch(&mut self) -> io::Result<Extent> {
        self.data_end = self.end;
        if self.sparse {
            match seek(&self.fd, SeekFrom::Data(self.position)) {
                Ok(data) if data > self.position => return Ok(self.hole_until(data.min(self.end))),
                Ok(_) => {
                    let hole = seek(&self.fd, SeekFrom::Hole(self.position)).unwrap_or(self.end);
                    self.data_end = if hole > self.position { hole.min(self.end) } else { self.end };
                }
                // No data from here on: a hole to the end, unless the file was cut off.
                Err(Errno::NXIO) if size(&fstat(&self.fd)?) >= self.end => return Ok(self.hole_until(self.end)),
                Err(Errno::NXIO | Errno::INVAL | Errno::OPNOTSUPP) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(Extent::Data(Some(self.data_end - self.position)))
    }

    fn hole_until(&mut self, end: u64) -> Extent {
        let len = end - self.position;
        self.position = end;
        self.data_end = end;
        Extent::Hole(len)
    }
}

impl Reading for FileReading {
    fn is_as_found(&self) -> bool {
        (size(&self.now), mtime(&self.now)) == (self.found_size, self.found_mtime)
    }

    fn begin_at(&mut self, offset: u64) -> io::Result<bool> {
        let is_there = offset <= self.end;
        if is_there {
            (self.position, self.data_end) = (offset, offset);
        }
        Ok(is_there)
    }

    fn next_extent(&mut self) -> io::Result<Option<Extent>> {
        if self.position < self.end {
            return self.stretch().map(Some);
        }
        self.now = fstat(&self.fd)?;
        if self.caught_up || size(&self.now) <= self.end {
            return Ok(None);
        }
        self.caught_up = true;
        self.end = size(&self.now);
        self.stretch().map(Some)
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.data_end - self.position).unwrap_or(usize::MAX);
        let len = left.min(buffer.len());
        let Some(buffer) = buffer.get_mut(..len).filter(|buffer| !buffer.is_empty()) else { return Ok(0) };
        let got = retry_on_intr(|| pread(&self.fd, &mut *buffer, self.position))?;
        self.position += got as u64;
        if got == 0 {
            // The file was cut off: what was read is all there is.
            (self.end, self.data_end, self.caught_up) = (self.position, self.position, true);
        }
        Ok(got)
    }

    fn finish(self: Box<Self>) -> Result<(), String> {
        let (then, now) = (self.found_size, size(&self.now));
        if now != then {
            let how = if now > then { "grew" } else { "shrank" };
            return Err(format!("{how} from {then} to {now} bytes while it was read"));
        }
        match mtime(&self.now) == self.found_mtime {
            true => Ok(()),
            false => Err("was changed while it was read".to_owned()),
        }
    }
}

/// For reading, without waiting for a fifo's writer, and leaving the time of access alone where that is
/// permitted (to the owner and to root).
fn open_quietly(directory: &Directory, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match openat(directory, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => openat(directory, name, flags, Mode::empty()),
        opened => opened,
    }
}
