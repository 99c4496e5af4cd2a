//! From a passphrase to the slot that leads to the newest generation.

use std::collections::BTreeSet;

use super::generations::{Branch, StoredKeyrings};
use crate::crypto::{CryptoError, SlotSecret, open_slot};
use crate::format::keys::{Config, KEYSLOT_LEN, Keyslot};
use crate::format::limits::{OBJECT_MAX, SLOTS_MAX};
use crate::id::{KeyringId, KeyslotId, RepositoryId};
use crate::repo::error::{RepoError, Result};
use crate::repo::names::{self, KeyslotObject};
use crate::repo::objects::{get_named, list_ids};
use crate::storage::{Store, StoreError};

/// Slots that are read at all.
const SLOTS_LOOKED_AT: usize = 1024;

/// The repository's id; `None` when the config is lost but keys are there, which know it too.
pub(super) fn read_config(store: &dyn Store) -> Result<Option<RepositoryId>> {
    let object = names::config();
    match store.get(&object, OBJECT_MAX) {
        Ok(bytes) => match Config::from_bytes(&bytes) {
            Ok(config) => Ok(Some(config.repository)),
            Err(error) if error.newer => Err(RepoError::malformed(&object, error)),
            Err(error) => {
                tracing::warn!("the object config is damaged ({error}); going on by what the keys say");
                Ok(None)
            }
        },
        Err(StoreError::NotFound { .. }) => {
            if list_slots(store)?.is_empty() {
                return Err(RepoError::NoRepository { place: store.place() });
            }
            tracing::warn!("the object config is missing; going on by what the keys say");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn list_slots(store: &dyn Store) -> Result<Vec<KeyslotId>> {
    list_ids(store, <KeyslotObject as names::Stored>::DIR)
}

/// A slot that a passphrase opens, and the generations that it leads to.
pub(super) struct Found {
    pub(super) slot: KeyslotId,
    pub(super) repository: RepositoryId,
    pub(super) secret: SlotSecret,
    pub(super) branch: Branch,
    /// All keyrings that were listed.
    pub(super) listed: BTreeSet<KeyringId>,
}

/// The slot that leads to the newest generation. An old slot that a crash left behind, or that someone put
/// back, may open as well: it is not to hide the newer ones.
pub(super) fn find_slot(store: &dyn Store, repository: Option<RepositoryId>, passphrase: &[u8]) -> Result<Found> {
    let stored = StoredKeyrings::read(store)?;
    let mut trouble = None;
    let mut best: Option<Found> = None;
    for (id, slot) in likely_slots(store, &stored, repository, &mut trouble)? {
        let secret = match open_slot(&slot, passphrase) {
            Ok(secret) => secret,
            Err(CryptoError::WrongPassphrase) => continue,
            Err(error) => {
                trouble = Some(RepoError::unopened(names::of::<KeyslotObject>(&id), error));
                continue;
            }
        };
        match stored.newest(&secret) {
            Ok(branch) if best.as_ref().is_none_or(|best| branch.rank() > best.branch.rank()) => {
                let listed = stored.listed.clone();
                best = Some(Found { slot: id, repository: slot.repository, secret, branch, listed });
            }
            Ok(_) => {}
            Err(error @ RepoError::NeedsNewer { .. }) => return Err(error),
            Err(error) => trouble = Some(error),
        }
        if best.as_ref().is_some_and(|best| best.branch.keyring.generation >= stored.newest_claimed()) {
            break;
        }
    }
    match (best, trouble) {
        (Some(best), _) => Ok(best),
        (None, Some(trouble)) => Err(trouble),
        (None, None) => Err(RepoError::WrongPassword),
    }
}

/// The slots that are worth a try, those first that the newest keyrings list. More than a repository can
/// have were not all put there by us, and each costs time and memory.
fn likely_slots(
    store: &dyn Store,
    stored: &StoredKeyrings,
    repository: Option<RepositoryId>,
    trouble: &mut Option<RepoError>,
) -> Result<Vec<(KeyslotId, Keyslot)>> {
    let ids = list_slots(store)?;
    if ids.is_empty() {
        return Err(RepoError::Missing { what: "every key slot of this repository".into() });
    }
    let mut slots = Vec::new();
    for id in ids.into_iter().take(SLOTS_LOOKED_AT) {
        match read_slot(store, &id) {
            Ok(slot) if repository.is_none_or(|repository| repository == slot.repository) => slots.push((id, slot)),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!("{error}");
                *trouble = Some(error);
            }
        }
    }
    slots.sort_by_key(|(id, slot)| (std::cmp::Reverse(stored.newest_that_lists(&slot.public)), *id));
    slots.truncate(SLOTS_MAX);
    Ok(slots)
}

fn read_slot(store: &dyn Store, id: &KeyslotId) -> Result<Keyslot> {
    let object = names::of::<KeyslotObject>(id);
    let bytes = get_named(store, &object, id, KEYSLOT_LEN as u64)?;
    Keyslot::from_bytes(&bytes).map_err(|error| RepoError::malformed(&object, error))
}
