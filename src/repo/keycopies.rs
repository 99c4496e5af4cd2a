//! Touches the disk. Opening a repository without fetching every generation of its keyring again: copies of
//! keyrings, which never change.
//!
//! Which ones there are is asked of the store each time, and a copy is believed by its hash alone, as the store is.
//! Key slots are not copied: whoever came by the cache could try passwords on them.

use std::sync::{Mutex, PoisonError};

use super::names::{KeyringObject, Stored, id_of};
use super::small::SmallCache;
use crate::id::KeyringId;
use crate::storage::{self, Listed, ObjectName, Staged, Store};

/// More generations than this are fetched each time: who writes many did not put them there for us.
const COPIES_MAX: usize = 256;

/// A store whose keyrings are read from copies, where there are any.
#[derive(Debug)]
pub(super) struct KeyCopies<'s> {
    store: &'s dyn Store,
    copies: SmallCache,
    /// Those that were asked for.
    asked: Mutex<Vec<KeyringId>>,
}

impl<'s> KeyCopies<'s> {
    /// `store`, with `copies` beside it.
    pub(super) fn new(store: &'s dyn Store, copies: SmallCache) -> Self {
        KeyCopies { store, copies, asked: Mutex::default() }
    }

    /// Removes the copies that nobody asked for since this was made.
    pub(super) fn tidy(self) {
        let asked = self.asked.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.copies.retain::<KeyringObject>(&asked);
    }

    /// The keyring that an object is, and whether it is worth a copy.
    fn asks_for(&self, name: &ObjectName) -> Option<KeyringId> {
        let id = id_of(name).filter(|_| name.as_str().starts_with(KeyringObject::DIR))?;
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.push(id);
        (asked.len() <= COPIES_MAX).then_some(id)
    }
}

impl Store for KeyCopies<'_> {
    fn get(&self, name: &ObjectName, max_len: u64) -> storage::Result<Vec<u8>> {
        let Some(id) = self.asks_for(name) else { return self.store.get(name, max_len) };
        if let Some(bytes) = self.copies.get::<KeyringObject>(&id) {
            return Ok(bytes);
        }
        let bytes = self.store.get(name, max_len)?;
        if KeyringId::of_stored(&bytes) == id {
            self.copies.put::<KeyringObject>(&id, &bytes);
        }
        Ok(bytes)
    }

    fn place(&self) -> String {
        self.store.place()
    }

    fn get_range(&self, name: &ObjectName, offset: u64, len: u64) -> storage::Result<Vec<u8>> {
        self.store.get_range(name, offset, len)
    }

    fn len(&self, name: &ObjectName) -> storage::Result<u64> {
        self.store.len(name)
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> storage::Result<()> {
        self.store.put(name, bytes)
    }

    fn stage(&self) -> storage::Result<Box<dyn Staged>> {
        self.store.stage()
    }

    fn delete(&self, name: &ObjectName) -> storage::Result<()> {
        self.store.delete(name)
    }

    fn list(&self, dir: &str, each: &mut dyn FnMut(Listed) -> storage::Result<()>) -> storage::Result<()> {
        self.store.list(dir, each)
    }
}
