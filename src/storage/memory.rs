//! Objects in memory, for tests and fuzzing. Clones share one content.

use super::name::check_directory;
use super::{Listed, ObjectName, Result, Staged, Store, StoreError};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Objects = BTreeMap<ObjectName, Vec<u8>>;

/// A store in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<Objects>>);

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// A store of its own that begins with these objects: one start, many endings.
    pub fn holding(objects: BTreeMap<ObjectName, Vec<u8>>) -> Self {
        Self(Arc::new(Mutex::new(objects)))
    }

    /// Everything it holds now, as a copy.
    pub fn objects(&self) -> BTreeMap<ObjectName, Vec<u8>> {
        self.lock().clone()
    }

    /// Makes the object so, behind the back of whoever uses the store.
    pub fn set(&self, name: &ObjectName, bytes: impl Into<Vec<u8>>) {
        self.lock().insert(name.clone(), bytes.into());
    }

    /// Takes the object away, behind the back of whoever uses the store.
    pub fn remove(&self, name: &ObjectName) -> Option<Vec<u8>> {
        self.lock().remove(name)
    }

    /// A thread that panicked left the map whole: each change of it is one call.
    fn lock(&self) -> MutexGuard<'_, Objects> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, name: &ObjectName, look: impl FnOnce(&[u8]) -> Result<T>) -> Result<T> {
        match self.lock().get(name) {
            Some(bytes) => look(bytes),
            None => Err(StoreError::NotFound { name: name.clone(), place: self.place() }),
        }
    }

    /// The next object in order of names. The lock is not held between two of them, so that whoever
    /// lists may use the store.
    fn after(&self, last: &Option<ObjectName>) -> Option<Listed> {
        let from = last.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        self.lock()
            .range::<ObjectName, _>((from, Bound::Unbounded))
            .next()
            .map(|(name, bytes)| Listed { name: name.clone(), len: bytes.len() as u64 })
    }
}

impl Store for MemoryStore {
    fn place(&self) -> String {
        "memory".to_owned()
    }

    fn get(&self, name: &ObjectName, max_len: u64) -> Result<Vec<u8>> {
        self.read(name, |bytes| match bytes.len() as u64 {
            len if len > max_len => Err(StoreError::TooLong { name: name.clone(), place: self.place(), len, max_len }),
            _ => Ok(bytes.to_vec()),
        })
    }

    fn get_range(&self, name: &ObjectName, offset: u64, len: u64) -> Result<Vec<u8>> {
        self.read(name, |bytes| {
            let end = offset.saturating_add(len).min(bytes.len() as u64);
            let start = offset.min(end);
            Ok(bytes[start as usize..end as usize].to_vec())
        })
    }

    fn len(&self, name: &ObjectName) -> Result<u64> {
        self.read(name, |bytes| Ok(bytes.len() as u64))
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<()> {
        self.set(name, bytes);
        Ok(())
    }

    fn stage(&self) -> Result<Box<dyn Staged>> {
        Ok(Box::new(StagedInMemory { store: self.clone(), bytes: Vec::new() }))
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        self.remove(name);
        Ok(())
    }

    fn list(&self, dir: &str, each: &mut dyn FnMut(Listed) -> Result<()>) -> Result<()> {
        check_directory(dir)?;
        let mut last = None;
        while let Some(listed) = self.after(&last) {
            last = Some(listed.name.clone());
            if listed.name.is_below(dir) {
                each(listed)?;
            }
        }
        Ok(())
    }
}

struct StagedInMemory {
    store: MemoryStore,
    bytes: Vec<u8>,
}

impl Staged for StagedInMemory {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn commit(self: Box<Self>, name: &ObjectName) -> Result<()> {
        self.store.set(name, self.bytes);
        Ok(())
    }
}
