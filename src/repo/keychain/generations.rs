//! Generations of the keyring: which follows which, and which is the newest (format-spec, "Generations").

use std::collections::BTreeSet;

use crate::crypto::{CryptoError, SlotSecret, open_keyring};
use crate::format::keys::{Key, Keyring, KeyringHeader};
use crate::format::limits::OBJECT_MAX;
use crate::id::KeyringId;
use crate::repo::error::{RepoError, Result};
use crate::repo::names::{self, KeyringObject};
use crate::repo::objects::{get_named, list_ids};
use crate::storage::Store;

/// All keyrings as they are stored, with what their headers claim.
pub(super) struct StoredKeyrings {
    keyrings: Vec<(KeyringId, Vec<u8>, KeyringHeader)>,
    /// All that were listed, what cannot be read among them.
    pub(super) listed: BTreeSet<KeyringId>,
}

impl StoredKeyrings {
    pub(super) fn read(store: &dyn Store) -> Result<Self> {
        let mut stored = StoredKeyrings { keyrings: Vec::new(), listed: list(store)? };
        for id in stored.listed.clone() {
            match read_keyring(store, &id) {
                Ok((bytes, header)) => stored.keyrings.push((id, bytes, header)),
                // Another one that changes keys took its own back.
                Err(RepoError::Missing { .. }) => {}
                Err(error) => tracing::warn!("{error}"),
            }
        }
        Ok(stored)
    }

    /// All of them: id, bytes, header.
    pub(super) fn iter(&self) -> std::slice::Iter<'_, (KeyringId, Vec<u8>, KeyringHeader)> {
        self.keyrings.iter()
    }

    /// The highest generation that anything here claims to be of.
    pub(super) fn newest_claimed(&self) -> u32 {
        self.keyrings.iter().map(|(.., header)| header.prefix.epoch).max().unwrap_or(0)
    }

    /// The highest generation that claims to be sealed to this public key.
    pub(super) fn newest_that_lists(&self, public: &[u8; 32]) -> u32 {
        let lists = |header: &KeyringHeader| header.stanzas.iter().any(|stanza| stanza.public == *public);
        let generations = self.keyrings.iter().filter(|(.., header)| lists(header));
        generations.map(|(.., header)| header.prefix.epoch).max().unwrap_or(0)
    }

    /// The branch that leads on from the generation that `secret`'s slot was first listed in. Where
    /// generations fork, the branch with the highest last generation counts, then the smallest id.
    pub(super) fn newest(&self, secret: &SlotSecret) -> Result<Branch> {
        let mut best: Option<Branch> = None;
        let starts = self.opened_by(secret, &secret.auth)?;
        let mut open: Vec<Branch> = starts.into_iter().map(|(id, keyring)| Branch { ids: vec![id], keyring }).collect();
        while let Some(branch) = open.pop() {
            for (id, next) in self.opened_by(secret, &branch.keyring.next_auth)? {
                if leads_on(&branch, &next) {
                    open.push(Branch { ids: [&branch.ids[..], &[id]].concat(), keyring: next });
                }
            }
            if best.as_ref().is_none_or(|best| branch.rank() > best.rank()) {
                best = Some(branch);
            }
        }
        best.ok_or_else(|| RepoError::Missing { what: "a keyring that this key opens".into() })
    }

    fn opened_by(&self, secret: &SlotSecret, auth: &Key) -> Result<Vec<(KeyringId, Keyring)>> {
        let mut opened = Vec::new();
        for (id, bytes, _) in &self.keyrings {
            match open_keyring(bytes, secret, auth) {
                Ok(keyring) => opened.push((*id, keyring)),
                // Authentic, and beyond us: an older generation in its place would be a lie.
                Err(CryptoError::Malformed(error)) if error.newer => {
                    return Err(RepoError::malformed(names::of::<KeyringObject>(id), error));
                }
                Err(_) => {}
            }
        }
        Ok(opened)
    }
}

/// The keyrings that are there.
pub(super) fn list(store: &dyn Store) -> Result<BTreeSet<KeyringId>> {
    Ok(list_ids(store, <KeyringObject as names::Stored>::DIR)?.into_iter().collect())
}

/// A line of generations, and the newest of them.
pub(super) struct Branch {
    pub(super) ids: Vec<KeyringId>,
    pub(super) keyring: Keyring,
}

impl Branch {
    pub(super) fn rank(&self) -> (u32, std::cmp::Reverse<Option<&KeyringId>>) {
        (self.keyring.generation, std::cmp::Reverse(self.ids.last()))
    }
}

/// Whether `next` is a generation after the branch: what lasts for life is carried over, no epoch is lost, none
/// that was closed is open again.
fn leads_on(branch: &Branch, next: &Keyring) -> bool {
    let keyring = &branch.keyring;
    next.predecessor.as_ref() == branch.ids.last()
        && Some(next.generation) == keyring.generation.checked_add(1)
        && (next.repository, &next.identity, &next.chunking)
            == (keyring.repository, &keyring.identity, &keyring.chunking)
        && next.epochs.len() >= keyring.epochs.len()
        && next.epochs.iter().zip(keyring.epochs.iter()).all(|(next, old)| {
            (next.number, &next.data, &next.metadata, &next.index, &next.control)
                == (old.number, &old.data, &old.metadata, &old.index, &old.control)
                && (next.is_closed() || !old.is_closed())
        })
}

fn read_keyring(store: &dyn Store, id: &KeyringId) -> Result<(Vec<u8>, KeyringHeader)> {
    let object = names::of::<KeyringObject>(id);
    let bytes = get_named(store, &object, id, OBJECT_MAX)?;
    let (header, _) = KeyringHeader::split(&bytes).map_err(|error| RepoError::malformed(&object, error))?;
    Ok((bytes, header))
}
