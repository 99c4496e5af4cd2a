//! The directories of a target, opened without leaving it and kept open while of use. Touches the disk.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::meta::Handle;
use super::spot::{Spot, check_name};
use crate::ops::target::DirPath;

/// Threads that share no shelf, and so never wait for each other.
const SHELVES: usize = 8;
/// Directories on a shelf.
const HELD_MAX: usize = 32;
/// Names walked in one call. Where a deep tree is entered, every so many levels stay open for the way back.
const STEP_NAMES_MAX: usize = 64;
/// Bytes of a path walked in one call; the kernel takes up to 4096.
const STEP_LEN_MAX: usize = 2048;

/// A directory and all below it.
pub(super) struct Dirs {
    top: Arc<OwnedFd>,
    shelves: [Mutex<Shelf>; SHELVES],
    /// Grows when directories were removed: what is held open from before may be one of them.
    generation: AtomicU64,
    /// There is no `openat2` here (before Linux 5.6, or forbidden).
    one_by_one: AtomicBool,
}

/// Directories that were used of late, the latest at the end. It holds the paths too, so that the address
/// of a path tells which it is.
#[derive(Default)]
struct Shelf {
    generation: u64,
    held: Vec<(Arc<DirPath>, Arc<OwnedFd>)>,
}

impl Dirs {
    pub fn new(top: OwnedFd) -> Dirs {
        let (generation, one_by_one) = (AtomicU64::new(0), AtomicBool::new(false));
        Dirs { top: Arc::new(top), shelves: Default::default(), generation, one_by_one }
    }

    /// The target directory itself.
    pub fn top(&self) -> &OwnedFd {
        &self.top
    }

    /// The directory at `path`; it is good as a place, not for reading it.
    pub fn open(&self, path: &Arc<DirPath>) -> io::Result<Arc<OwnedFd>> {
        let shelf = &self.shelves[thread_number() % SHELVES];
        let mut shelf = shelf.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.renew(self.generation.load(Ordering::Acquire));
        let (mut at, missing) = self.nearest(&mut shelf, path);
        let mut missing = &missing[..];
        while !missing.is_empty() {
            let names = next_step(missing)?;
            let fd = self.step(at.as_fd(), &names, OFlags::PATH, ResolveFlags::empty())?;
            at = Arc::new(fd);
            shelf.hold(missing[names.len() - 1], &at);
            missing = &missing[names.len()..];
        }
        Ok(at)
    }

    /// The nearest directory that is open already, and those that lead from it to `path`.
    fn nearest<'a>(&self, shelf: &mut Shelf, path: &'a Arc<DirPath>) -> (Arc<OwnedFd>, Vec<&'a Arc<DirPath>>) {
        let mut missing = Vec::new();
        let mut here = path;
        let open = loop {
            let Some((above, _)) = here.split() else { break Arc::clone(&self.top) };
            if let Some(fd) = shelf.find(here) {
                break fd;
            }
            missing.push(here);
            here = above;
        };
        missing.reverse();
        (open, missing)
    }

    /// Opens the directory that `names` lead to, which were checked.
    fn step(&self, at: BorrowedFd, names: &[&[u8]], flags: OFlags, more: ResolveFlags) -> rustix::io::Result<OwnedFd> {
        let flags = flags | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if !self.one_by_one.load(Ordering::Relaxed) {
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | more;
            match rustix::fs::openat2(at, names.join(&b'/'), flags, Mode::empty(), resolve) {
                Err(Errno::NOSYS | Errno::PERM) => self.one_by_one.store(true, Ordering::Relaxed),
                opened => return opened,
            }
        }
        let mut open = None;
        for name in names {
            let at = open.as_ref().map_or(at, OwnedFd::as_fd);
            open = Some(rustix::fs::openat(at, *name, flags, Mode::empty())?);
        }
        open.ok_or(Errno::INVAL)
    }

    /// Opens the directory `name` to read it and to change what is in it, not the root of another mount.
    /// Tells what it is, as it was found.
    pub fn enter(&self, at: BorrowedFd, name: &[u8]) -> io::Result<(OwnedFd, Stat)> {
        let open = || self.step(at, &[name], OFlags::RDONLY, ResolveFlags::NO_XDEV);
        let fd = match open() {
            Err(Errno::ACCESS) => {
                Handle::standing(at, name, FileType::Directory)?.chmod(0o700)?;
                open()?
            }
            opened => opened?,
        };
        let stat = rustix::fs::fstat(&fd)?;
        if stat.st_mode & 0o700 != 0o700 {
            ignore_forbidden(rustix::fs::fchmod(&fd, Mode::from_raw_mode(stat.st_mode | 0o700)))?;
        }
        Ok((fd, stat))
    }

    /// Holds no directory open any longer: some are no more.
    pub fn forget_all(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }
}

impl Shelf {
    fn renew(&mut self, generation: u64) {
        if self.generation != generation {
            self.held.clear();
            self.generation = generation;
        }
    }

    fn find(&mut self, path: &Arc<DirPath>) -> Option<Arc<OwnedFd>> {
        let at = self.held.iter().rposition(|(held, _)| Arc::ptr_eq(held, path))?;
        self.held[at..].rotate_left(1);
        self.held.last().map(|(_, fd)| Arc::clone(fd))
    }

    fn hold(&mut self, path: &Arc<DirPath>, fd: &Arc<OwnedFd>) {
        if self.held.len() >= HELD_MAX {
            self.held.remove(0);
        }
        self.held.push((Arc::clone(path), Arc::clone(fd)));
    }
}

/// The names that are walked in the next call, at least one.
fn next_step<'a>(missing: &'a [&'a Arc<DirPath>]) -> io::Result<Vec<&'a [u8]>> {
    let (mut names, mut len) = (Vec::new(), 0);
    for path in missing.iter().take(STEP_NAMES_MAX) {
        let name = path.split().map_or(&b""[..], |(_, name)| name);
        check_name(name)?;
        len += name.len() + 1;
        if len > STEP_LEN_MAX && !names.is_empty() {
            break;
        }
        names.push(name);
    }
    Ok(names)
}

fn thread_number() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = THREADS.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.with(|number| *number)
}

/// Lets the owner work in a directory that stands: one that was restored before may be read-only. What
/// others may do in it stays as it is.
pub(super) fn make_workable(spot: &Spot, stat: &Stat) -> io::Result<()> {
    if stat.st_mode & 0o700 == 0o700 {
        return Ok(());
    }
    let handle = Handle::standing(spot.dir.as_fd(), spot.name, FileType::Directory)?;
    Ok(ignore_forbidden(handle.chmod(stat.st_mode | 0o700))?)
}

/// What only its owner may change may still be open to us; if not, the next step says so.
fn ignore_forbidden(result: rustix::io::Result<()>) -> rustix::io::Result<()> {
    if result == Err(Errno::PERM) { Ok(()) } else { result }
}

/// The same directory, opened to read it.
pub(super) fn reopen(dir: BorrowedFd) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat(dir, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// The names in a directory.
pub(super) fn names_in(dir: BorrowedFd) -> rustix::io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::new(reopen(dir)?)? {
        match entry?.file_name().to_bytes() {
            b"." | b".." => {}
            name => names.push(name.to_vec()),
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_openat2_links_are_not_followed_either() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(place.path().join("a/b/c")).unwrap();
        std::os::unix::fs::symlink("a", place.path().join("link")).unwrap();
        let ways = |one_by_one: bool| {
            let dirs = Dirs::new(rustix::fs::open(place.path(), OFlags::PATH, Mode::empty()).unwrap());
            dirs.one_by_one.store(one_by_one, Ordering::Relaxed);
            let top = DirPath::top();
            let opens = |path: &Arc<DirPath>| dirs.open(path).is_ok();
            let straight = opens(&top.child(b"a").child(b"b").child(b"c"));
            let linked = [opens(&top.child(b"link")), opens(&top.child(b"link").child(b"b").child(b"c"))];
            let entered = dirs.enter(dirs.top().as_fd(), b"a").is_ok();
            (straight, linked, entered, dirs.enter(dirs.top().as_fd(), b"link").is_ok())
        };
        for one_by_one in [false, true] {
            assert_eq!(ways(one_by_one), (true, [false, false], true, false), "one by one: {one_by_one}");
        }
    }

    #[test]
    fn a_shelf_holds_no_more_than_its_bound_and_keeps_what_is_in_use() {
        let place = tempfile::tempdir().unwrap();
        let dirs = Dirs::new(rustix::fs::open(place.path(), OFlags::PATH, Mode::empty()).unwrap());
        let top = DirPath::top();
        let paths: Vec<_> = (0..3 * HELD_MAX).map(|n| top.child(format!("d{n}").as_bytes())).collect();
        for n in 0..paths.len() {
            std::fs::create_dir(place.path().join(format!("d{n}"))).unwrap();
        }
        let first = dirs.open(&paths[0]).unwrap();
        for path in &paths {
            dirs.open(path).unwrap();
            assert!(Arc::ptr_eq(&dirs.open(&paths[0]).unwrap(), &first));
        }
        let shelf = dirs.shelves[thread_number() % SHELVES].lock().unwrap();
        assert_eq!(shelf.held.len(), HELD_MAX);
    }
}
