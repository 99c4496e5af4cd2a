//! What a program knew of the keys when it opened the repository, to notice that they changed since.

use std::collections::BTreeSet;

use super::generations::{self, Branch, StoredKeyrings};
use crate::crypto::SlotSecret;
use crate::id::KeyringId;
use crate::repo::error::{RepoError, Result};
use crate::repo::names::{self, KeyringObject};
use crate::storage::{Store, StoreError};

/// The keys as they were.
pub struct KeyWatch {
    pub(super) secret: SlotSecret,
    pub(super) keyring: KeyringId,
    pub(super) listed: BTreeSet<KeyringId>,
    pub(super) epoch: u32,
}

impl KeyWatch {
    /// Fails if an epoch began since, or if someone changed the keys who left this slot out: he began one. Also if
    /// the keys that were opened are no longer those of the repository: of two that changed them at once, he who
    /// had put them yielded. One listing, if nothing changed.
    pub fn no_epoch_began(&self, store: &dyn Store) -> Result<()> {
        let there = generations::list(store)?;
        if there.contains(&self.keyring) && there.is_subset(&self.listed) {
            return Ok(());
        }
        let stored = StoredKeyrings::read_all(store)?;
        let Branch { ids, keyring: newest } = stored.newest(&self.secret)?;
        let public = self.secret.public();
        let leaves_us_out = stored.iter().any(|(id, _, header)| {
            !self.listed.contains(id)
                && header.prefix.epoch > newest.generation
                && header.stanzas.iter().all(|stanza| stanza.public != public)
        });
        if leaves_us_out
            || !ids.contains(&self.keyring)
            || newest.current_epoch().is_none_or(|epoch| epoch.number != self.epoch)
        {
            let why = "the keys of this repository were changed since this command began; run it again";
            return Err(RepoError::Conflict(why.into()));
        }
        Ok(())
    }

    /// Whether the keyring that was opened is still there. If whoever put it yielded to another and took it back,
    /// nobody will ever open what is sealed under an epoch that it began.
    pub fn is_keyring_there(&self, store: &dyn Store) -> Result<bool> {
        match store.len(&names::of::<KeyringObject>(&self.keyring)) {
            Ok(_) => Ok(true),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
