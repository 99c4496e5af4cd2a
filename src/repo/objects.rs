//! Objects by their ids: what is read is what its name says, what is written is durable.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::closings::Closings;
use super::error::{RepoError, Result};
use super::keychain::KeyWatch;
use super::names::{self, Record, Stored};
use super::small::SmallCache;
use crate::crypto::{Chance, Keyset, ObjectKeys, Sealed};
use crate::format::control::Snapshot;
use crate::format::envelope::ObjectKind;
use crate::format::limits::{OBJECT_MAX, SEGMENT_MAX};
use crate::id::{AnyId, Id, RepositoryId, SnapshotId};
use crate::storage::{ObjectName, Store, StoreError};

/// An id of something that a finished put has made durable. Only this module makes one: an index is
/// built from durable packs, a snapshot is committed with durable segments, because nothing else compiles.
pub struct Durable<I>(I);

impl<I: Copy> Durable<I> {
    /// The id, durable or not.
    pub fn id(&self) -> I {
        self.0
    }

    /// Says that a store has finished putting what `id` names. For this layer's own writers.
    pub(super) fn after_put(id: I) -> Self {
        Durable(id)
    }
}

/// A store, seen as the objects of one repository.
pub struct Objects {
    pub(super) store: Box<dyn Store>,
    pub(super) repository: RepositoryId,
    pub(super) keys: Keyset,
    pub(super) chance: Box<dyn Chance>,
    pub(super) closings: RwLock<Arc<Closings>>,
    pub(super) watch: KeyWatch,
    /// Copies of small objects.
    pub(super) small: SmallCache,
    /// The snapshots as they were last listed.
    pub(super) seen: Mutex<Option<Vec<AnyId>>>,
}

impl Objects {
    /// What seals and opens here.
    pub fn object_keys(&self) -> ObjectKeys<'_> {
        ObjectKeys { repository: self.repository, keys: &self.keys }
    }

    /// The store below.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Chance and clock.
    pub fn chance(&self) -> &dyn Chance {
        &*self.chance
    }

    /// The keys.
    pub fn keys(&self) -> &Keyset {
        &self.keys
    }

    /// The `T` named `id`: its bytes have that hash, are authentic, obey the spec, and did not appear under a
    /// closed epoch.
    pub fn get<T: Record>(&self, id: &Id<T::Mark>) -> Result<T> {
        self.get_with_epoch(id).map(|(value, _)| value)
    }

    /// The same, and the epoch that it is sealed under.
    pub fn get_with_epoch<T: Record>(&self, id: &Id<T::Mark>) -> Result<(T, u32)> {
        let name = names::of::<T>(id);
        let bytes = match self.small.get::<T>(id) {
            Some(bytes) => bytes,
            None => {
                let bytes = get_named(self.store(), &name, id, max_len::<T>())?;
                self.small.put::<T>(id, &bytes);
                bytes
            }
        };
        let sealed = Sealed::<T>::claimed(bytes);
        let opened = self.object_keys().open(&sealed).map_err(|error| RepoError::unopened(&name, error))?;
        let epoch = self.refuse_late(id, &sealed)?;
        opened.decode().map(|value| (value, epoch)).map_err(|error| RepoError::malformed(&name, error))
    }

    /// The `T` named `id`, which appeared under a closed epoch: for whoever looks into what it claims, and believes
    /// none of it.
    pub(super) fn get_refused<T: Record>(&self, id: &Id<T::Mark>) -> Result<T> {
        let name = names::of::<T>(id);
        let sealed = Sealed::<T>::claimed(get_named(self.store(), &name, id, max_len::<T>())?);
        let opened = self.object_keys().open(&sealed).map_err(|error| RepoError::unopened(&name, error))?;
        opened.decode().map_err(|error| RepoError::malformed(&name, error))
    }

    /// Refuses an authentic object that appeared under a closed epoch. Gives its epoch.
    pub fn refuse_late<T: Record>(&self, id: &Id<T::Mark>, sealed: &Sealed<T>) -> Result<u32> {
        let name = names::of::<T>(id);
        let epoch = sealed.epoch().map_err(|error| RepoError::malformed(&name, error))?;
        match self.counts(T::KIND, epoch, &id.of_any())? {
            true => Ok(epoch),
            false => Err(RepoError::AfterClosing { object: name.to_string(), epoch }),
        }
    }

    /// Fails if an epoch began since the repository was opened: what is sealed under the one that this program
    /// knows may come too late. For whoever has just put something that says that it is at work, or that no
    /// session stands for. If only an older epoch was closed since, what is refused under it is refused from here on.
    pub fn no_epoch_began(&self) -> Result<()> {
        if let Some(keyring) = self.watch.no_epoch_began(self.store())? {
            self.adopt_closings(&keyring);
        }
        Ok(())
    }

    /// Seals `value` and stores it durably.
    pub fn put<T: Record>(&self, value: &T) -> Result<Durable<Id<T::Mark>>> {
        self.put_by(value, |name, bytes| self.store.put(name, bytes))
    }

    /// The same, with a put that the store never tries again by itself: after an unclear result, this id is over.
    pub fn put_once<T: Record>(&self, value: &T) -> Result<Durable<Id<T::Mark>>> {
        self.put_by(value, |name, bytes| self.store.put_once(name, bytes))
    }

    fn put_by<T: Record>(
        &self,
        value: &T,
        put: impl FnOnce(&ObjectName, &[u8]) -> crate::storage::Result<()>,
    ) -> Result<Durable<Id<T::Mark>>> {
        let sealed = self.object_keys().seal(value, self.chance());
        let (len, max) = (sealed.as_stored().len() as u64, max_len::<T>());
        if len > max {
            return Err(RepoError::Refused(format!("an object in {} of {len} bytes; readers take {max}", T::DIR)));
        }
        let id = Id::of_stored(sealed.as_stored());
        put(&names::of::<T>(&id), sealed.as_stored())?;
        // We shall read it again: the next backup asks what the last snapshot was.
        self.small.put::<T>(&id, sealed.as_stored());
        Ok(Durable::after_put(id))
    }

    /// The ids of all `T`s, ascending.
    pub fn list<T: Stored>(&self) -> Result<Vec<Id<T::Mark>>> {
        let ids = list_ids(self.store(), T::DIR)?;
        self.small.retain::<T>(&ids);
        if T::DIR == Snapshot::DIR {
            *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(ids.iter().map(Id::of_any).collect());
        }
        Ok(ids)
    }

    /// The snapshots as they were last listed since the repository was opened; they are listed if they never were.
    pub(super) fn seen_snapshots(&self) -> Result<Vec<SnapshotId>> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match seen {
            Some(seen) => Ok(seen.iter().map(|id| Id::from_bytes(*id.as_bytes())).collect()),
            None => self.list::<Snapshot>(),
        }
    }

    /// Finds out whether snapshots may be deleted here, before anything is done that is of no use if not: one is
    /// deleted that cannot be there.
    ///
    /// # Errors
    ///
    /// Refused, and the permission is named, if they may not.
    pub fn may_delete_snapshots(&self) -> Result<()> {
        let absent = names::of::<Snapshot>(&Id::from_bytes(self.chance().random()));
        self.may_delete(&absent, "no snapshot was removed")
    }

    /// The same of packs.
    pub fn may_delete_packs(&self) -> Result<()> {
        self.may_delete(&names::pack(&Id::from_bytes(self.chance().random())), "nothing was pruned")
    }

    fn may_delete(&self, absent: &ObjectName, outcome: &str) -> Result<()> {
        match self.store.delete(absent) {
            Err(error @ StoreError::Denied { .. }) => {
                Err(RepoError::Refused(format!("{outcome}: these credentials may not delete: {error}")))
            }
            // What else is in the way will be told by whoever does it.
            _ => Ok(()),
        }
    }

    /// Removes the `T` named `id`.
    pub fn delete<T: Stored>(&self, id: &Id<T::Mark>) -> Result<()> {
        Ok(self.store.delete(&names::of::<T>(id))?)
    }
}

fn max_len<T: Record>() -> u64 {
    match T::KIND {
        ObjectKind::Index => SEGMENT_MAX,
        _ => OBJECT_MAX,
    }
}

/// The object's bytes, if their hash is its name. An object that is gone is told apart by its error.
pub(super) fn get_named<T>(store: &dyn Store, name: &ObjectName, id: &Id<T>, max_len: u64) -> Result<Vec<u8>> {
    let bytes = store.get(name, max_len).map_err(|error| match error {
        StoreError::NotFound { .. } => RepoError::Missing { what: name.to_string() },
        StoreError::TooLong { .. } => RepoError::Damaged { object: name.to_string(), why: error.to_string() },
        other => other.into(),
    })?;
    if Id::<T>::of_stored(&bytes) != *id {
        return Err(RepoError::Damaged {
            object: name.to_string(),
            why: "its bytes do not have the hash that it is named by".into(),
        });
    }
    Ok(bytes)
}

/// The ids that the objects in `dir` are named by, ascending. Leases and foreign objects are passed over.
pub(super) fn list_ids<T>(store: &dyn Store, dir: &str) -> Result<Vec<Id<T>>> {
    let mut ids = Vec::new();
    store.list(dir, &mut |listed| {
        ids.extend(names::id_of(&listed.name));
        Ok(())
    })?;
    ids.sort_unstable();
    // A store may list an object twice.
    ids.dedup();
    Ok(ids)
}
