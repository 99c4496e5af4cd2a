//! What a program knew of the keys when it opened the repository, to notice that they changed since.

use std::collections::BTreeSet;

use super::generations::{self, StoredKeyrings};
use crate::crypto::SlotSecret;
use crate::id::KeyringId;
use crate::repo::error::{RepoError, Result};
use crate::storage::Store;

/// The keys as they were.
pub struct KeyWatch {
    pub(super) secret: SlotSecret,
    pub(super) listed: BTreeSet<KeyringId>,
    pub(super) epoch: u32,
}

impl KeyWatch {
    /// Fails if an epoch began since, or if someone changed the keys who left this slot out: he began one.
    /// One listing, if nothing changed.
    pub fn no_epoch_began(&self, store: &dyn Store) -> Result<()> {
        if generations::list(store)?.is_subset(&self.listed) {
            return Ok(());
        }
        let stored = StoredKeyrings::read(store)?;
        let newest = stored.newest(&self.secret)?.keyring;
        let public = self.secret.public();
        let leaves_us_out = stored.iter().any(|(id, _, header)| {
            !self.listed.contains(id)
                && header.prefix.epoch > newest.generation
                && header.stanzas.iter().all(|stanza| stanza.public != public)
        });
        if leaves_us_out || newest.current_epoch().is_none_or(|epoch| epoch.number != self.epoch) {
            let why = "the keys of this repository were changed since this command began; run it again";
            return Err(RepoError::Conflict(why.into()));
        }
        Ok(())
    }
}
