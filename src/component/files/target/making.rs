//! Files in the making. Touches the disk.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Mode, OFlags};

use super::Inside;
use super::meta::Handle;
use super::spot::Spot;
use super::temp::Temp;
use crate::format::tree::{Entry, Xattrs};
use crate::ops::source::Trouble;
use crate::ops::target::{DirPath, NewFile};

/// A file that is written under another name than it will have.
pub(super) struct Making {
    inside: Arc<Inside>,
    path: Arc<DirPath>,
    dir: Arc<OwnedFd>,
    name: Vec<u8>,
    temp: Temp,
    file: File,
    size: u64,
    /// Where the furthest write ended.
    end: AtomicU64,
}

impl Making {
    pub fn begin(inside: &Arc<Inside>, spot: &Spot, size: u64) -> io::Result<Making> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = |name: &str| rustix::fs::openat(&spot.dir, name, flags, Mode::RUSR | Mode::WUSR);
        let (temp, fd) = Temp::make(&inside.temps, &spot.dir, open)?;
        Ok(Making {
            inside: Arc::clone(inside),
            path: Arc::clone(spot.path),
            dir: Arc::clone(&spot.dir),
            name: spot.name.to_vec(),
            temp,
            file: File::from(fd),
            size,
            end: AtomicU64::new(0),
        })
    }
}

impl NewFile for Making {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)?;
        // Cannot overflow: the kernel has just written there.
        self.end.fetch_max(offset.saturating_add(bytes.len() as u64), Ordering::Relaxed);
        Ok(())
    }

    fn finish(self: Box<Self>, entry: &Entry, xattrs: &Xattrs) -> Result<(), Trouble> {
        let Making { inside, path, dir, name, temp, file, size, end } = *self;
        let spot = Spot { path: &path, dir, name: &name };
        if end.into_inner() != size {
            file.set_len(size).map_err(|error| spot.trouble("setting its length", error))?;
        }
        // A file whose metadata could not be restored is still worth having: it gets its name all the same.
        let given = inside.give(&Handle::open(file.as_fd()), &spot, entry, xattrs);
        inside.place(temp, &spot).map_err(|error| spot.trouble("giving it its name", error))?;
        given
    }
}
