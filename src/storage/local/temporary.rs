//! Touches the world: disk, chance. A file in the making: it has a name of its own in `tmp/` until it is
//! published, and is removed when it is dropped before that.

use super::walk::{self, FILE_MODE};
use rustix::fs::{AtFlags, Dir, OFlags};
use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime};

/// Where temporaries lie, below the root: on the same file system, so that a rename is atomic.
const TMP: &str = "tmp";

#[derive(Debug)]
pub(super) struct Temporary {
    tmp: OwnedFd,
    /// Begins with a dot, which no object's name does.
    name: String,
    file: File,
    published: bool,
}

impl Temporary {
    pub(super) fn new(root: &OwnedFd) -> io::Result<Self> {
        let tmp = walk::enter_or_make(root, TMP)?;
        let name = random_name()?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&tmp, &name, flags, FILE_MODE)?);
        let temporary = Self { tmp, name, file, published: false };
        walk::settle_mode(rustix::fs::fchmod(&temporary.file, FILE_MODE).map_err(Into::into))?;
        Ok(temporary)
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Gives the file its name. Its bytes are on the medium before the name is: a failed sync is never
    /// tried again, because the kernel may by then have dropped the pages it could not write.
    pub(super) fn publish(mut self, dir: &OwnedFd, name: &str) -> io::Result<()> {
        self.file.sync_all()?;
        rustix::fs::renameat(&self.tmp, &self.name, dir, name)?;
        self.published = true;
        walk::sync_directory(dir)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.published {
            // What cannot be removed now is what `discard_abandoned` is for.
            let _ = rustix::fs::unlinkat(&self.tmp, &self.name, AtFlags::empty());
        }
    }
}

/// Removes temporaries that nobody has written to since, and says how many.
pub(super) fn discard_abandoned(root: &OwnedFd, untouched_since: SystemTime) -> io::Result<u64> {
    let tmp = match walk::enter(root, TMP) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        result => result?,
    };
    let mut discarded = 0;
    for entry in Dir::read_from(&tmp)? {
        match discard_if_abandoned(&tmp, entry?.file_name(), untouched_since) {
            // Published or discarded meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => discarded += u64::from(result?),
        }
    }
    Ok(discarded)
}

fn discard_if_abandoned(tmp: &OwnedFd, name: &CStr, since: SystemTime) -> io::Result<bool> {
    let stat = walk::look(tmp, name)?;
    let ours = name.to_bytes().starts_with(b".") && walk::plain_len(&stat).is_ok();
    let touched = Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0));
    let abandoned = SystemTime::UNIX_EPOCH.checked_add(touched).is_some_and(|touched| touched < since);
    if ours && abandoned {
        rustix::fs::unlinkat(tmp, name, AtFlags::empty())?;
    }
    Ok(ours && abandoned)
}

fn random_name() -> io::Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(format!(".{:032x}", u128::from_le_bytes(random)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> (tempfile::TempDir, OwnedFd) {
        let dir = tempfile::tempdir().unwrap();
        let fd = OwnedFd::from(File::open(dir.path()).unwrap());
        (dir, fd)
    }

    #[test]
    fn a_file_that_could_not_be_synced_is_not_published() {
        let (dir, root) = directory();
        let mut temporary = Temporary::new(&root).unwrap();
        // The kernel refuses to sync a character device.
        temporary.file = File::options().write(true).open("/dev/null").unwrap();

        temporary.publish(&root, "object").unwrap_err();

        assert!(!dir.path().join("object").exists());
        assert_eq!(dir.path().join(TMP).read_dir().unwrap().count(), 0);
    }

    #[test]
    fn only_temporaries_that_were_left_alone_are_discarded() {
        let (dir, root) = directory();
        let mut temporary = Temporary::new(&root).unwrap();
        temporary.published = true; // as if the process had been killed
        drop(temporary);
        std::fs::write(dir.path().join(TMP).join("somebodys"), "file").unwrap();

        let an_hour = Duration::from_secs(3600);
        let now = SystemTime::now();
        assert_eq!(discard_abandoned(&root, now - an_hour).unwrap(), 0);
        assert_eq!(discard_abandoned(&root, now + an_hour).unwrap(), 1);

        assert!(dir.path().join(TMP).join("somebodys").exists());
    }

    #[test]
    fn a_store_that_was_never_written_to_has_nothing_abandoned() {
        let (_dir, root) = directory();
        assert_eq!(discard_abandoned(&root, SystemTime::now()).unwrap(), 0);
    }
}
