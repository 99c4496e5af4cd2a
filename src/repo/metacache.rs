//! Touches the disk. Metadata packs, kept beside the index as they are stored, so that walking old trees
//! needs no store. What is read from here is opened and named like anything else: a damaged file is
//! fetched anew.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::error::{RepoError, Result};
use super::names;
use super::objects::get_named;
use crate::format::limits::PACK_MAX;
use crate::id::PackId;
use crate::storage::Store;

/// No copy takes so long to make.
const ABANDONED_AFTER: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);
/// Files that are kept open.
const OPEN_FILES: usize = 64;

/// A directory of metadata packs.
pub struct MetaCache {
    dir: PathBuf,
    open: Mutex<Vec<(PackId, Arc<File>)>>,
    /// Packs that cannot be kept here, so that they are not fetched whole for each of their blobs.
    refused: Mutex<HashSet<PackId>>,
}

impl MetaCache {
    /// The cache in this directory, which is made.
    pub fn open(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).map_err(|error| local("create", dir, error))?;
        Ok(MetaCache { dir: dir.to_owned(), open: Mutex::default(), refused: Mutex::default() })
    }

    /// `len` bytes at `offset` of `pack`, fetched from the store first if it is not here.
    pub fn read(&self, store: &dyn Store, pack: &PackId, offset: u64, len: usize) -> Result<Vec<u8>> {
        let file = match self.opened(pack) {
            Some(file) => file,
            None => self.fetch(store, pack)?,
        };
        let mut bytes = vec![0; len];
        match file.read_exact_at(&mut bytes, offset) {
            Ok(()) => Ok(bytes),
            Err(error) => Err(local("read", &self.path(pack), error)),
        }
    }

    /// Whether a copy of the pack is here, whole or not.
    pub fn holds(&self, pack: &PackId) -> bool {
        self.path(pack).exists()
    }

    /// Remembers that a pack cannot be kept here.
    pub fn refuse(&self, pack: &PackId) {
        self.refused().insert(*pack);
    }

    /// Whether that is so.
    pub fn refuses(&self, pack: &PackId) -> bool {
        self.refused().contains(pack)
    }

    /// Drops the copy of a pack that turned out to be damaged. Whether one was there.
    pub fn forget(&self, pack: &PackId) -> bool {
        self.lock().retain(|(open, _)| open != pack);
        fs::remove_file(self.path(pack)).is_ok()
    }

    /// Removes the copies of packs that are not `known`.
    pub fn retain(&self, known: impl Fn(&PackId) -> bool) -> Result<()> {
        let entries = fs::read_dir(&self.dir).map_err(|error| local("list", &self.dir, error))?;
        for entry in entries.flatten() {
            let id = entry.file_name().to_str().and_then(PackId::from_hex);
            if id.is_none() {
                remove_abandoned(&entry.path());
            }
            if id.is_some_and(|id| !known(&id)) {
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    /// Begins the copy of a pack that is being written. A cache that cannot take it is no reason to fail.
    pub fn begin_copy(&self) -> Option<CacheCopy> {
        let file = tempfile::Builder::new().prefix(".copy-").tempfile_in(&self.dir).ok()?;
        Some(CacheCopy { dir: self.dir.clone(), file })
    }

    fn opened(&self, pack: &PackId) -> Option<Arc<File>> {
        let mut open = self.lock();
        if let Some(at) = open.iter().position(|(id, _)| id == pack) {
            let found = open.remove(at);
            open.push(found);
        } else {
            let file = File::open(self.path(pack)).ok()?;
            Self::push(&mut open, *pack, file);
        }
        open.last().map(|(_, file)| Arc::clone(file))
    }

    fn push(open: &mut Vec<(PackId, Arc<File>)>, pack: PackId, file: File) {
        if open.len() >= OPEN_FILES {
            open.remove(0);
        }
        open.push((pack, Arc::new(file)));
    }

    fn fetch(&self, store: &dyn Store, pack: &PackId) -> Result<Arc<File>> {
        let bytes = get_named(store, &names::pack(pack), pack, PACK_MAX)?;
        let path = self.path(pack);
        // Someone may have cleared the cache since it was opened.
        fs::create_dir_all(&self.dir).map_err(|error| local("create", &self.dir, error))?;
        let mut file = tempfile::Builder::new()
            .prefix(".copy-")
            .tempfile_in(&self.dir)
            .map_err(|error| local("write", &path, error))?;
        file.write_all(&bytes).map_err(|error| local("write", &path, error))?;
        let file = file.persist(&path).map_err(|error| local("write", &path, error))?;
        let mut open = self.lock();
        Self::push(&mut open, *pack, file);
        Ok(Arc::clone(&open.last().expect("it was just pushed").1))
    }

    fn path(&self, pack: &PackId) -> PathBuf {
        self.dir.join(pack.to_hex())
    }

    fn refused(&self) -> std::sync::MutexGuard<'_, HashSet<PackId>> {
        self.refused.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(PackId, Arc<File>)>> {
        self.open.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// The copy of a pack in the making.
pub struct CacheCopy {
    dir: PathBuf,
    file: tempfile::NamedTempFile,
}

impl CacheCopy {
    /// Whether the bytes could be kept.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        self.file.write_all(bytes).is_ok()
    }

    /// Gives the copy its name, after its last bytes.
    pub fn finish(mut self, pack: &PackId, end: &[u8]) {
        if self.write(end) {
            let _ = self.file.persist(self.dir.join(pack.to_hex()));
        }
    }
}

/// Removes a temporary file that a killed process left behind, once it is a day old.
pub(super) fn remove_abandoned(path: &Path) {
    let is_temporary = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let modified = fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    let age = modified.ok().and_then(|modified| modified.elapsed().ok());
    if is_temporary && age.is_some_and(|age| age > ABANDONED_AFTER) {
        let _ = fs::remove_file(path);
    }
}

fn local(verb: &str, path: &Path, why: impl ToString) -> RepoError {
    RepoError::local(format!("{verb} the metadata cache {}", path.display()), why)
}
