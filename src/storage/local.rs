//! Touches the disk. Objects as files below a directory, on a local or a mounted file system.
//!
//! An object is written under a temporary name in `tmp/`, synced, renamed to its place, and the
//! directory that now holds it is synced: whatever happens between, a name stands for a whole object.
//! Everything is reached from one open handle of the root: what is renamed, or mounted over it, while a
//! command runs does not turn one store into another.

mod handles;
mod temporary;
mod walk;

use super::name::check_directory;
use super::{Listed, ObjectName, Result, Staged, Store, StoreError};
use handles::Handles;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use temporary::Temporary;

/// Clones share the open root and the open files.
#[derive(Clone, Debug)]
pub struct LocalStore(Arc<Root>);

#[derive(Debug)]
struct Root {
    path: PathBuf,
    dir: OwnedFd,
    /// Directories whose own name is known to be durable.
    anchored: Mutex<HashSet<String>>,
    handles: Handles,
}

impl LocalStore {
    /// Makes the directory (0700, with its parents) and opens it; an empty one will do as well.
    pub fn create(path: &Path) -> Result<Self> {
        let failed = |error| StoreError::from_io(format!("create {}", path.display()), error);
        std::path::absolute(path).and_then(|path| make_root(&path)).map_err(failed)?;
        let store = Self::open(path)?;
        match store.0.is_vacant().map_err(failed)? {
            true => Ok(store),
            false => Err(StoreError::Occupied { place: store.place() }),
        }
    }

    /// Opens the store in a directory that is there.
    pub fn open(path: &Path) -> Result<Self> {
        match open_root(path) {
            Ok(root) => Ok(Self(Arc::new(root))),
            Err(error) if is_absence(&error) => Err(StoreError::NoPlace { place: path.display().to_string() }),
            Err(error) => {
                let attempted = format!("open {}", path.display());
                Err(StoreError::from_io(attempted, error))
            }
        }
    }

    /// Removes what killed processes left unfinished and nobody has written to since; returns how
    /// many. A writer that is alive after all loses one object, is told so, and nothing else.
    pub fn discard_abandoned(&self, untouched_since: SystemTime) -> Result<u64> {
        temporary::discard_abandoned(&self.0.dir, untouched_since)
            .map_err(|error| self.failed("discard abandoned files", error))
    }

    /// `what` failed here: verb and object.
    fn failed(&self, what: &str, error: io::Error) -> StoreError {
        StoreError::from_io(format!("{what} in {}", self.place()), error)
    }

    /// Reading `name` failed, perhaps because it is not there.
    fn unread(&self, verb: &str, name: &ObjectName, error: io::Error) -> StoreError {
        match is_absence(&error) {
            true => StoreError::NotFound { name: name.clone(), place: self.place() },
            false => self.failed(&format!("{verb} {name}"), error),
        }
    }
}

impl Store for LocalStore {
    fn place(&self) -> String {
        self.0.path.display().to_string()
    }

    fn get(&self, name: &ObjectName, max_len: u64) -> Result<Vec<u8>> {
        let unread = |error| self.unread("get", name, error);
        let file = self.0.open_object(name).map_err(unread)?;
        let len = file.metadata().map_err(unread)?.len();
        if len > max_len {
            return Err(StoreError::TooLong { name: name.clone(), place: self.place(), len, max_len });
        }
        read_range(&file, 0, len).map_err(unread)
    }

    fn get_range(&self, name: &ObjectName, offset: u64, len: u64) -> Result<Vec<u8>> {
        self.0
            .open_object_again(name)
            .and_then(|file| read_range(&file, offset, len))
            .map_err(|error| self.unread("read", name, error))
    }

    fn len(&self, name: &ObjectName) -> Result<u64> {
        self.0.len(name).map_err(|error| self.unread("measure", name, error))
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<()> {
        self.0.put(name, bytes).map_err(|error| self.failed(&format!("put {name}"), error))
    }

    fn stage(&self) -> Result<Box<dyn Staged>> {
        match Temporary::new(&self.0.dir) {
            Ok(temporary) => Ok(Box::new(StagedFile { store: self.clone(), temporary: Some(temporary) })),
            Err(error) => Err(self.failed("begin a new object", error)),
        }
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        self.0.delete(name).map_err(|error| self.failed(&format!("delete {name}"), error))
    }

    fn list(&self, dir: &str, each: &mut dyn FnMut(Listed) -> Result<()>) -> Result<()> {
        check_directory(dir)?;
        match walk::enter_all(&self.0.dir, dir) {
            Ok(here) => self.list_within(&here, dir, each),
            Err(error) if is_absence(&error) => Ok(()),
            Err(error) => Err(self.unlisted(dir, error)),
        }
    }
}

/// Listing: as deep as an object's name can be, one open directory for each step.
impl LocalStore {
    fn list_within(&self, here: &OwnedFd, dir: &str, each: &mut dyn FnMut(Listed) -> Result<()>) -> Result<()> {
        let entries = Dir::read_from(here).map_err(|errno| self.unlisted(dir, errno.into()))?;
        for entry in entries {
            let entry = entry.map_err(|errno| self.unlisted(dir, errno.into()))?;
            let Some((segment, name)) = object_name(dir, entry.file_name()) else {
                continue;
            };
            self.list_entry(here, segment, name, each)?;
        }
        Ok(())
    }

    fn list_entry(
        &self,
        here: &OwnedFd,
        segment: &str,
        name: ObjectName,
        each: &mut dyn FnMut(Listed) -> Result<()>,
    ) -> Result<()> {
        let stat = match walk::look(here, segment) {
            Err(error) if is_absence(&error) => return Ok(()),
            result => result.map_err(|error| self.unlisted(name.as_str(), error))?,
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => match walk::enter(here, segment) {
                Err(error) if is_absence(&error) => Ok(()),
                Err(error) => Err(self.unlisted(name.as_str(), error)),
                Ok(below) => self.list_within(&below, name.as_str(), each),
            },
            FileType::RegularFile => {
                each(Listed { len: walk::plain_len(&stat).map_err(|error| self.unlisted(name.as_str(), error))?, name })
            }
            _ => Ok(()),
        }
    }

    fn unlisted(&self, dir: &str, error: io::Error) -> StoreError {
        self.failed(&format!("list /{dir}"), error)
    }
}

impl Root {
    fn open_object(&self, name: &ObjectName) -> io::Result<File> {
        let (dir, segment) = name.split();
        walk::open_file(&walk::enter_all(&self.dir, dir)?, segment)
    }

    fn open_object_again(&self, name: &ObjectName) -> io::Result<Arc<File>> {
        if let Some(file) = self.handles.find(name) {
            return Ok(file);
        }
        let file = Arc::new(self.open_object(name)?);
        self.handles.keep(name, &file);
        Ok(file)
    }

    fn len(&self, name: &ObjectName) -> io::Result<u64> {
        let (dir, segment) = name.split();
        walk::plain_len(&walk::look(&walk::enter_all(&self.dir, dir)?, segment)?)
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> io::Result<()> {
        let mut temporary = Temporary::new(&self.dir)?;
        temporary.write(bytes)?;
        self.publish(temporary, name)
    }

    fn publish(&self, temporary: Temporary, name: &ObjectName) -> io::Result<()> {
        let (dir, segment) = name.split();
        temporary.publish(&self.make_way(dir)?, segment)
    }

    fn delete(&self, name: &ObjectName) -> io::Result<()> {
        self.handles.forget(name);
        let (dir, segment) = name.split();
        let here = match walk::enter_all(&self.dir, dir) {
            Err(error) if is_absence(&error) => return Ok(()),
            result => result?,
        };
        match rustix::fs::unlinkat(&here, segment, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
            Ok(()) => walk::sync_directory(&here),
        }
    }

    /// The directory at `path`, made where it is missing. A directory that is already there may have
    /// been made a moment ago by a writer that has not synced its parent yet, so the parent is synced
    /// for every directory that this store meets for the first time.
    fn make_way(&self, path: &str) -> io::Result<OwnedFd> {
        let mut here = self.dir.try_clone()?;
        let mut walked = String::new();
        for segment in walk::segments(path) {
            let next = walk::enter_or_make(&here, segment)?;
            walked = format!("{walked}/{segment}");
            if !self.is_anchored(&walked) {
                walk::sync_directory(&here)?;
                self.anchor(&walked);
            }
            here = next;
        }
        Ok(here)
    }

    fn is_anchored(&self, path: &str) -> bool {
        let anchored = self.anchored.lock();
        anchored.unwrap_or_else(PoisonError::into_inner).contains(path)
    }

    fn anchor(&self, path: &str) {
        let anchored = self.anchored.lock();
        anchored.unwrap_or_else(PoisonError::into_inner).insert(path.to_owned());
    }

    fn is_vacant(&self) -> io::Result<bool> {
        for entry in Dir::read_from(&self.dir)? {
            if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

struct StagedFile {
    store: LocalStore,
    /// `None` once a write failed: an object with a hole must never be committed.
    temporary: Option<Temporary>,
}

impl Staged for StagedFile {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let result = match &mut self.temporary {
            Some(temporary) => temporary.write(bytes),
            None => Err(broken()),
        };
        result.map_err(|error| {
            self.temporary = None;
            self.store.failed("write a new object", error)
        })
    }

    fn commit(self: Box<Self>, name: &ObjectName) -> Result<()> {
        let StagedFile { store, temporary } = *self;
        let result = match temporary {
            Some(temporary) => store.0.publish(temporary, name),
            None => Err(broken()),
        };
        result.map_err(|error| store.failed(&format!("put {name}"), error))
    }
}

fn broken() -> io::Error {
    io::Error::other("an earlier write of this object failed")
}

/// Makes a directory that others cannot look into, with its parents, and syncs what now names it.
fn make_root(path: &Path) -> io::Result<()> {
    let parent = path.parent().unwrap_or(path);
    let mut make = std::fs::DirBuilder::new();
    let made = match make.mode(0o700).create(path) {
        Err(error) if error.kind() == ErrorKind::NotFound && parent != path => {
            make_root(parent)?;
            make.create(path)
        }
        result => result,
    };
    match made {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => {
            let private = std::fs::Permissions::from_mode(0o700);
            walk::settle_mode(std::fs::set_permissions(path, private))?;
            walk::sync_directory(&OwnedFd::from(File::open(parent)?))
        }
    }
}

fn open_root(path: &Path) -> io::Result<Root> {
    let path = std::path::absolute(path)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(Root {
        dir: rustix::fs::open(&path, flags, Mode::empty())?,
        path,
        anchored: Mutex::default(),
        handles: Handles::default(),
    })
}

/// The name that a directory entry would have as an object; foreign names have none.
fn object_name<'a>(dir: &str, entry: &'a std::ffi::CStr) -> Option<(&'a str, ObjectName)> {
    let segment = entry.to_str().ok()?;
    let name = match dir {
        "" => ObjectName::new(segment),
        dir => ObjectName::new(&format!("{dir}/{segment}")),
    };
    Some((segment, name.ok()?))
}

/// Nothing there, or a file where a directory would have to be: either way no such object.
fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// As much of the range as the file has; memory is given only for bytes that exist.
fn read_range(file: &File, offset: u64, len: u64) -> io::Result<Vec<u8>> {
    let there = file.metadata()?.len().saturating_sub(offset).min(len);
    let there = usize::try_from(there).map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(there).map_err(io::Error::other)?;
    bytes.resize(there, 0);
    let read = fill(file, &mut bytes, offset)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Reads until the buffer is full or the file ends, and says how far it came.
fn fill(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
