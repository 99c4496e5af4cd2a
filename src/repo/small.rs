//! Touches the disk. Copies of small objects that never change, snapshots above all: finding the parent of a
//! backup among a thousand of them is a listing, and not a thousand requests.
//!
//! A copy is kept as it is stored, and is believed no more than the store is: its hash is its name, and it is
//! opened like anything else. That an object exists is never learned from here, only what is in it.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::error::{RepoError, Result};
use super::names::Stored;
use crate::id::Id;

/// Kinds whose objects are read again and again.
const KINDS: [&str; 5] = ["snapshots", "forgotten", "runs", "condemned", "keyring"];
/// What is longer is not kept.
const LONGEST: usize = 1 << 20;

/// A directory of copies.
#[derive(Debug)]
pub(super) struct SmallCache {
    dir: PathBuf,
}

impl SmallCache {
    /// The copies in this directory, which is made.
    pub(super) fn open(dir: &Path) -> Result<Self> {
        for kind in KINDS {
            fs::create_dir_all(dir.join(kind))
                .map_err(|error| RepoError::local(format!("create {}", dir.display()), error))?;
        }
        Ok(SmallCache { dir: dir.to_owned() })
    }

    /// The object as it is stored, if there is a copy with the right hash.
    pub(super) fn get<T: Stored>(&self, id: &Id<T::Mark>) -> Option<Vec<u8>> {
        let path = self.path::<T>(id)?;
        let bytes = fs::read(&path).ok()?;
        if Id::<T::Mark>::of_stored(&bytes) == *id {
            return Some(bytes);
        }
        // It is fetched anew.
        let _ = fs::remove_file(path);
        None
    }

    /// Keeps a copy. A cache that cannot take it is no reason to fail.
    pub(super) fn put<T: Stored>(&self, id: &Id<T::Mark>, bytes: &[u8]) {
        let Some(path) = self.path::<T>(id).filter(|_| bytes.len() <= LONGEST) else { return };
        let kept = tempfile::Builder::new().prefix(".copy-").tempfile_in(self.dir.join(T::DIR)).and_then(|mut file| {
            file.write_all(bytes)?;
            file.persist(path).map(drop).map_err(|error| error.error)
        });
        if let Err(error) = kept {
            tracing::debug!("a copy of {}/{id} cannot be kept: {error}", T::DIR);
        }
    }

    /// Removes the copies of objects that were not listed.
    pub(super) fn retain<T: Stored>(&self, listed: &[Id<T::Mark>]) {
        if !KINDS.contains(&T::DIR) {
            return;
        }
        let Ok(entries) = fs::read_dir(self.dir.join(T::DIR)) else { return };
        let listed: HashSet<String> = listed.iter().map(|id| id.to_hex()).collect();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let stale = name.to_str().is_none_or(|name| !name.starts_with('.') && !listed.contains(name));
            if stale {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn path<T: Stored>(&self, id: &Id<T::Mark>) -> Option<PathBuf> {
        KINDS.contains(&T::DIR).then(|| self.dir.join(T::DIR).join(id.to_hex()))
    }
}
