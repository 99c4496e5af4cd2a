//! Names for what is being made, beside the names that it will have. Touches the world: disk, chance.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::AtFlags;
use rustix::io::Errno;

/// Names that nothing else has: a prefix drawn for this target, and a counter.
pub(super) struct TempNames {
    prefix: String,
    next: AtomicU64,
}

impl TempNames {
    pub fn new() -> io::Result<TempNames> {
        let drawn = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
        Ok(TempNames { prefix: format!(".keepstone-{drawn:016x}-"), next: AtomicU64::new(0) })
    }

    /// Whether `name` is one of them.
    pub fn is_one(&self, name: &[u8]) -> bool {
        name.starts_with(self.prefix.as_bytes())
    }

    fn draw(&self) -> String {
        format!("{}{}", self.prefix, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// Something that has no name of its own yet; dropping it removes it.
pub(super) struct Temp {
    dir: Arc<OwnedFd>,
    name: String,
    placed: bool,
}

impl Temp {
    /// What `make` makes under a name that was free in `dir`.
    pub fn make<T>(
        names: &TempNames,
        dir: &Arc<OwnedFd>,
        make: impl Fn(&str) -> rustix::io::Result<T>,
    ) -> io::Result<(Temp, T)> {
        for _ in 0..8 {
            let name = names.draw();
            match make(&name) {
                Err(Errno::EXIST) => {}
                made => return Ok((Temp { dir: Arc::clone(dir), name, placed: false }, made?)),
            }
        }
        Err(Errno::EXIST.into())
    }

    /// The name that it has for now.
    pub fn name(&self) -> &[u8] {
        self.name.as_bytes()
    }

    /// Gives it another name in its directory, in place of anything there but a directory.
    pub fn rename_to(&self, name: &[u8]) -> rustix::io::Result<()> {
        rustix::fs::renameat(&self.dir, &*self.name, &self.dir, name)
    }

    /// It has its name, and is here to stay.
    pub fn placed(mut self) {
        self.placed = true;
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        if !self.placed {
            // What cannot be removed now has a name that says whose it is.
            let _ = rustix::fs::unlinkat(&self.dir, &*self.name, AtFlags::empty());
        }
    }
}
