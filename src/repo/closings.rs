//! Closed epochs: what is valid under them, and that all else is refused (format-spec, "Epochs").

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::{RepoError, Result};
use super::names;
use super::objects::{Objects, get_named};
use crate::crypto::Sealed;
use crate::format::envelope::ObjectKind;
use crate::format::epochs::EpochRecord;
use crate::format::keys::Keyring;
use crate::format::limits::OBJECT_MAX;
use crate::id::{AnyId, EpochRecordId};

/// The closed epochs of a keyring. What is valid under one is read when it is first asked for.
#[derive(Default)]
pub(super) struct Closings(BTreeMap<u32, Closed>);

struct Closed {
    records: Vec<EpochRecordId>,
    valid: Mutex<Valid>,
}

/// What is valid under a closed epoch.
#[derive(Clone, Default)]
enum Valid {
    #[default]
    NotAsked,
    /// These, ascending.
    These(Arc<Vec<AnyId>>),
    /// Nobody can tell, and why: everything is taken for valid, and nothing is written.
    Unknown(String),
}

impl Closings {
    /// The closed epochs of `keyring`, which obeys the spec.
    pub(super) fn of(keyring: &Keyring) -> Self {
        let closed = keyring.epochs.iter().filter_map(|epoch| {
            let closing = epoch.closing().ok().flatten()?;
            Some((epoch.number, Closed { records: closing.records.into_vec(), valid: Mutex::default() }))
        });
        Closings(closed.collect())
    }
}

impl Objects {
    /// Whether an epoch is closed.
    pub(super) fn has_closed_epochs(&self) -> bool {
        !self.closings().0.is_empty()
    }

    /// Whether this epoch is closed.
    pub fn is_closed(&self, epoch: u32) -> bool {
        self.closings().0.contains_key(&epoch)
    }

    fn closings(&self) -> Arc<Closings> {
        Arc::clone(&self.closings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From here on the epochs are closed that `keyring` closes.
    pub(super) fn adopt_closings(&self, keyring: &Keyring) {
        *self.closings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Closings::of(keyring));
    }

    /// Whether the object `id`, which is sealed under `epoch`, counts: whether its epoch is open, or it is
    /// valid under it. No session is at work under a closed epoch.
    ///
    /// # Errors
    ///
    /// Only if the store cannot be asked.
    pub(super) fn counts(&self, kind: ObjectKind, epoch: u32, id: &AnyId) -> Result<bool> {
        let closings = self.closings();
        let Some(closed) = closings.0.get(&epoch) else { return Ok(true) };
        match kind {
            ObjectKind::Session => Ok(false),
            // Named by the keyring, by its hash.
            ObjectKind::EpochRecord => Ok(true),
            _ => Ok(match self.valid_under(epoch, closed)? {
                Valid::These(valid) => valid.binary_search(id).is_ok(),
                _ => true,
            }),
        }
    }

    fn valid_under(&self, epoch: u32, closed: &Closed) -> Result<Valid> {
        let mut valid = lock(&closed.valid);
        if matches!(*valid, Valid::NotAsked) {
            *valid = match self.read_records(epoch, &closed.records) {
                Ok(ids) => Valid::These(Arc::new(ids)),
                Err(error @ (RepoError::Missing { .. } | RepoError::Damaged { .. })) => {
                    tracing::warn!(
                        "{error}: nobody can tell what is valid under epoch {epoch}, and all of it is taken for valid"
                    );
                    Valid::Unknown(error.to_string())
                }
                Err(error) => return Err(error),
            };
        }
        Ok(valid.clone())
    }

    fn read_records(&self, epoch: u32, records: &[EpochRecordId]) -> Result<Vec<AnyId>> {
        let mut valid = Vec::new();
        for id in records {
            let record = self.epoch_record(id)?;
            if record.epoch != epoch {
                let (object, why) = (names::of::<EpochRecord>(id).to_string(), "it is of another epoch".into());
                return Err(RepoError::Damaged { object, why });
            }
            valid.extend_from_slice(&record.valid);
        }
        valid.sort_unstable();
        Ok(valid)
    }

    fn epoch_record(&self, id: &EpochRecordId) -> Result<EpochRecord> {
        let name = names::of::<EpochRecord>(id);
        let sealed = Sealed::<EpochRecord>::claimed(get_named(self.store(), &name, id, OBJECT_MAX)?);
        let opened = self.object_keys().open(&sealed).map_err(|error| RepoError::unopened(&name, error))?;
        opened.decode().map_err(|error| RepoError::malformed(&name, error))
    }

    /// Fails if an object was met of which nobody can tell whether it is valid: who writes would rely on it.
    pub(super) fn knows_what_is_valid(&self) -> Result<()> {
        for (epoch, closed) in &self.closings().0 {
            if let Valid::Unknown(why) = &*lock(&closed.valid) {
                return Err(RepoError::Damaged {
                    object: format!("the record of what is valid under epoch {epoch}"),
                    why: format!("{why}; nothing is written until `keepstone key close --again` records it anew"),
                });
            }
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
