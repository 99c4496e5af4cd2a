//! What a program knew of the keys when it opened the repository, to notice that they changed since.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::generations::{self, Branch, StoredKeyrings};
use crate::crypto::SlotSecret;
use crate::format::keys::Keyring;
use crate::id::KeyringId;
use crate::repo::error::{RepoError, Result};
use crate::repo::names::{self, KeyringObject};
use crate::storage::{Store, StoreError};

/// The keys as they were.
pub struct KeyWatch {
    secret: SlotSecret,
    keyring: KeyringId,
    listed: BTreeSet<KeyringId>,
    epoch: u32,
    closings: Mutex<KnownClosings>,
}

/// Which epochs are known to be closed, and the keyrings that close no others.
struct KnownClosings {
    through: u32,
    looked_at: BTreeSet<KeyringId>,
}

/// What became of the keys that a session writes under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStanding {
    /// They hold, and so does what is known of closed epochs.
    Hold,
    /// Whoever put them yielded to another and took them back: nobody will ever open what is sealed under an
    /// epoch that they began.
    TakenBack,
    /// An epoch was closed, or may have been: what was looked up may count no longer.
    EpochClosed,
}

impl KeyWatch {
    /// The keys as `keyring` has them, which `secret` opened, and all keyrings that were there.
    pub(super) fn new(secret: SlotSecret, id: KeyringId, keyring: &Keyring, listed: BTreeSet<KeyringId>) -> Self {
        let epoch = keyring.current_epoch().map_or(0, |epoch| epoch.number);
        let closings = KnownClosings { through: keyring.closed_through(), looked_at: listed.clone() };
        KeyWatch { secret, keyring: id, listed, epoch, closings: Mutex::new(closings) }
    }

    /// Fails if an epoch began since, or if someone changed the keys who left this slot out: he began one. Also if
    /// the keys that were opened are no longer those of the repository: of two that changed them at once, he who
    /// had put them yielded. One listing, if nothing changed. Gives the newest keyring if it closes an epoch that
    /// was not known to be closed: from here on it is.
    pub fn no_epoch_began(&self, store: &dyn Store) -> Result<Option<Keyring>> {
        let there = generations::list(store)?;
        if there.contains(&self.keyring) && there.is_subset(&self.listed) {
            return Ok(None);
        }
        let Some(newest) = self.newest(store, &self.listed)?.filter(|newest| self.is_of_this_epoch(newest)) else {
            let why = "the keys of this repository were changed since this command began; run it again";
            return Err(RepoError::Conflict(why.into()));
        };
        let mut known = self.closings.lock().unwrap_or_else(PoisonError::into_inner);
        known.looked_at = there;
        if newest.closed_through() <= known.through {
            return Ok(None);
        }
        known.through = newest.closed_through();
        Ok(Some(newest))
    }

    /// What became of the keyring that was opened, and of what is known of closed epochs. One call, if nothing
    /// changed.
    pub fn standing(&self, store: &dyn Store) -> Result<KeyStanding> {
        let mut known = self.closings.lock().unwrap_or_else(PoisonError::into_inner);
        // Only an epoch before our own can be closed: that waits for whoever is at work under it.
        if known.through.saturating_add(1) >= self.epoch {
            return self.is_keyring_there(store);
        }
        let there = generations::list(store)?;
        if !there.contains(&self.keyring) {
            return Ok(KeyStanding::TakenBack);
        }
        if there.is_subset(&known.looked_at) {
            return Ok(KeyStanding::Hold);
        }
        // Who was left out cannot tell what was closed.
        let newest = self.newest(store, &self.listed)?;
        if newest.is_none_or(|newest| newest.closed_through() > known.through) {
            return Ok(KeyStanding::EpochClosed);
        }
        known.looked_at = there;
        Ok(KeyStanding::Hold)
    }

    fn is_keyring_there(&self, store: &dyn Store) -> Result<KeyStanding> {
        match store.len(&names::of::<KeyringObject>(&self.keyring)) {
            Ok(_) => Ok(KeyStanding::Hold),
            Err(StoreError::NotFound { .. }) => Ok(KeyStanding::TakenBack),
            Err(error) => Err(error.into()),
        }
    }

    fn is_of_this_epoch(&self, newest: &Keyring) -> bool {
        newest.current_epoch().is_some_and(|epoch| epoch.number == self.epoch)
    }

    /// The newest keyring, which follows the one that was opened; `None` if that is not among those that lead to
    /// it, or if one that is not `known` and that came later leaves this slot out.
    fn newest(&self, store: &dyn Store, known: &BTreeSet<KeyringId>) -> Result<Option<Keyring>> {
        let stored = StoredKeyrings::read_all(store)?;
        let Branch { ids, keyring: newest } = stored.newest(&self.secret)?;
        let public = self.secret.public();
        let leaves_us_out = stored.iter().any(|(id, _, header)| {
            !known.contains(id)
                && header.prefix.epoch > newest.generation
                && header.stanzas.iter().all(|stanza| stanza.public != public)
        });
        Ok(Some(newest).filter(|_| !leaves_us_out && ids.contains(&self.keyring)))
    }
}
