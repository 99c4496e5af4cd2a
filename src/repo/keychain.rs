//! The keychain: from a passphrase to the newest keyring, and on to the next (format-spec, "Keys").

use super::error::{RepoError, Result};
use super::names::{self, KeyringObject, KeyslotObject};
use super::objects::{get_named, list_ids};
use crate::crypto::{
    Argon2Profile, Chance, CryptoError, SlotSecret, create_slot, generate_keyring, open_keyring, open_slot,
    seal_keyring,
};
use crate::format::codec::Ascending;
use crate::format::control::Label;
use crate::format::extras::Extras;
use crate::format::keys::{Config, KEYSLOT_LEN, Key, Keyring, KeyringHeader, Keyslot, Settings, Slot};
use crate::format::limits::OBJECT_MAX;
use crate::id::{KeyringId, KeyslotId, RepositoryId};
use crate::storage::{Store, StoreError};

/// Features that this version knows; a keyring that requires another cannot be used.
const KNOWN_FEATURES: &[u32] = &[];
/// How often a change of keys is begun anew when another one came first.
const ATTEMPTS: usize = 5;

/// An opened keyring, and how it was opened.
pub struct Keychain {
    /// The newest generation.
    pub keyring: Keyring,
    /// Its object.
    pub id: KeyringId,
    /// The slot that opened it.
    pub slot: KeyslotId,
    secret: SlotSecret,
}

/// Makes the keys of a new repository; `config` comes last, so that half a repository is none.
pub fn create(
    store: &dyn Store,
    passphrase: &[u8],
    label: &str,
    settings: Settings,
    profile: Argon2Profile,
    chance: &dyn Chance,
) -> Result<RepositoryId> {
    let repository = RepositoryId::from_bytes(chance.random());
    let auth = Key(chance.random());
    let (slot, _) = create_slot(repository, passphrase, &auth, profile, chance);
    let slot = put_slot(store, &slot, label, chance)?;
    let keyring = generate_keyring(repository, slot, settings, chance);
    put_keyring(store, &keyring, &auth, chance)?;
    store.put(&names::config(), &Config { repository }.to_bytes())?;
    Ok(repository)
}

fn put_slot(store: &dyn Store, slot: &Keyslot, label: &str, chance: &dyn Chance) -> Result<Slot> {
    let bytes = slot.to_bytes();
    let id = KeyslotId::of_stored(&bytes);
    store.put(&names::of::<KeyslotObject>(&id), &bytes)?;
    let label = Label::truncated(label);
    Ok(Slot { id, public: slot.public, label, created: chance.now(), extras: Extras::default() })
}

fn put_keyring(store: &dyn Store, keyring: &Keyring, auth: &Key, chance: &dyn Chance) -> Result<KeyringId> {
    let bytes = seal_keyring(keyring, auth, chance);
    let id = KeyringId::of_stored(&bytes);
    store.put(&names::of::<KeyringObject>(&id), &bytes)?;
    Ok(id)
}

impl Keychain {
    /// Opens the newest keyring with a passphrase.
    pub fn unlock(store: &dyn Store, passphrase: &[u8]) -> Result<Keychain> {
        let config = read_config(store)?;
        let (slot, repository, secret) = find_slot(store, config, passphrase)?;
        let (id, keyring) = newest(store, &secret)?;
        if keyring.repository != repository {
            let why = "it belongs to another repository".into();
            return Err(RepoError::Damaged { object: names::of::<KeyringObject>(&id).to_string(), why });
        }
        let unknown = keyring.required_to_read.iter().find(|feature| !KNOWN_FEATURES.contains(feature));
        if let Some(feature) = unknown {
            let why = format!("feature {feature} is needed to read it");
            return Err(RepoError::NeedsNewer { object: "the repository".into(), why });
        }
        Ok(Keychain { keyring, id, slot, secret })
    }

    /// Whether this version may write here.
    pub fn may_write(&self) -> Result<()> {
        match self.keyring.required_to_write.iter().find(|feature| !KNOWN_FEATURES.contains(feature)) {
            None => Ok(()),
            Some(feature) => Err(RepoError::NeedsNewer {
                object: "the repository".into(),
                why: format!("feature {feature} is needed to write to it"),
            }),
        }
    }

    /// Adds a slot that `passphrase` opens.
    pub fn add(
        &mut self,
        store: &dyn Store,
        passphrase: &[u8],
        label: &str,
        profile: Argon2Profile,
        chance: &dyn Chance,
    ) -> Result<KeyslotId> {
        self.change(store, Some((passphrase, label, profile)), &[], chance)
    }

    /// Removes a slot. Whoever held it keeps what he could read so far.
    pub fn remove(&mut self, store: &dyn Store, slot: &KeyslotId, chance: &dyn Chance) -> Result<()> {
        if *slot == self.slot {
            return Err(RepoError::Refused(
                "the key in use cannot remove itself; open the repository with another one".into(),
            ));
        }
        self.change(store, None, &[*slot], chance).map(|_| ())
    }

    /// Replaces the slot in use by one that `passphrase` opens.
    pub fn change_passphrase(
        &mut self,
        store: &dyn Store,
        passphrase: &[u8],
        profile: Argon2Profile,
        chance: &dyn Chance,
    ) -> Result<KeyslotId> {
        let label = self.keyring.slots.find(&self.slot).map_or(String::new(), |slot| slot.label.to_string());
        let old = self.slot;
        self.change(store, Some((passphrase, &label, profile)), &[old], chance)
    }

    /// Writes the next generation, and sees that it is the one that everybody will follow.
    fn change(
        &mut self,
        store: &dyn Store,
        add: Option<(&[u8], &str, Argon2Profile)>,
        remove: &[KeyslotId],
        chance: &dyn Chance,
    ) -> Result<KeyslotId> {
        self.may_write()?;
        for _ in 0..ATTEMPTS {
            let auth = self.keyring.next_auth.clone();
            let mut slots: Vec<Slot> = self.keyring.slots.to_vec();
            slots.retain(|slot| !remove.contains(&slot.id));
            let mut added = None;
            if let Some((passphrase, label, profile)) = add {
                let (slot, secret) = create_slot(self.keyring.repository, passphrase, &auth, profile, chance);
                let slot = put_slot(store, &slot, label, chance)?;
                added = Some((slot.id, secret));
                slots.push(slot);
            }
            let next = self.next_generation(slots, chance)?;
            let put = put_keyring(store, &next, &auth, chance)?;
            // The slot that was in use may be gone from the next generation: look with one that is in it.
            let in_next = added.as_ref().map_or(&self.secret, |(_, secret)| secret);
            if newest_from(store, in_next, &auth, Some(self.id))?.0 == put {
                self.take_over(store, put, next, added.clone(), remove);
                return Ok(added.map_or(self.slot, |(id, _)| id));
            }
            if let Some((slot, _)) = added {
                store.delete(&names::of::<KeyslotObject>(&slot))?;
            }
            store.delete(&names::of::<KeyringObject>(&put))?;
            let (id, keyring) = newest(store, &self.secret)?;
            (self.id, self.keyring) = (id, keyring);
        }
        Err(RepoError::Conflict("someone else keeps changing the keys of this repository".into()))
    }

    fn next_generation(&self, slots: Vec<Slot>, chance: &dyn Chance) -> Result<Keyring> {
        let generation = self.keyring.generation.checked_add(1);
        let too_many = |_| RepoError::Refused("a repository takes at most 32 keys".into());
        Ok(Keyring {
            generation: generation.ok_or_else(|| RepoError::Refused("the keys were changed too often".into()))?,
            predecessor: Some(self.id),
            created: chance.now(),
            next_auth: Key(chance.random()),
            slots: Ascending::new(slots).map_err(too_many)?,
            ..self.keyring.clone()
        })
    }

    fn take_over(
        &mut self,
        store: &dyn Store,
        id: KeyringId,
        keyring: Keyring,
        added: Option<(KeyslotId, SlotSecret)>,
        removed: &[KeyslotId],
    ) {
        for slot in removed {
            // It opens nothing new any more; that it stays behind is untidy, not unsafe.
            if let Err(error) = store.delete(&names::of::<KeyslotObject>(slot)) {
                tracing::warn!("the removed key slot {} is still there: {error}", slot.short());
            }
        }
        (self.id, self.keyring) = (id, keyring);
        if let Some((slot, secret)) = added.filter(|_| removed.contains(&self.slot)) {
            (self.slot, self.secret) = (slot, secret);
        }
    }
}

/// The repository's id; `None` when the config is lost but keys are there, which know it too.
fn read_config(store: &dyn Store) -> Result<Option<RepositoryId>> {
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

fn find_slot(
    store: &dyn Store,
    repository: Option<RepositoryId>,
    passphrase: &[u8],
) -> Result<(KeyslotId, RepositoryId, SlotSecret)> {
    let mut unusable = None;
    let slots = list_slots(store)?;
    let none_at_all = slots.is_empty();
    for id in slots {
        let slot = match read_slot(store, &id) {
            Ok(slot) if repository.is_none_or(|repository| repository == slot.repository) => slot,
            Ok(_) => continue,
            Err(error) => {
                tracing::warn!("{error}");
                unusable = Some(error);
                continue;
            }
        };
        match open_slot(&slot, passphrase) {
            Ok(secret) => return Ok((id, slot.repository, secret)),
            Err(CryptoError::WrongPassphrase) => {}
            Err(error) => unusable = Some(RepoError::unopened(names::of::<KeyslotObject>(&id), error)),
        }
    }
    match unusable {
        Some(error) => Err(error),
        None if none_at_all => Err(RepoError::Missing { what: "every key slot of this repository".into() }),
        None => Err(RepoError::WrongPassword),
    }
}

fn read_slot(store: &dyn Store, id: &KeyslotId) -> Result<Keyslot> {
    let object = names::of::<KeyslotObject>(id);
    let bytes = get_named(store, &object, id, KEYSLOT_LEN as u64)?;
    Keyslot::from_bytes(&bytes).map_err(|error| RepoError::malformed(&object, error))
}

/// The newest keyring that leads on from the one that `secret`'s slot was first listed in.
fn newest(store: &dyn Store, secret: &SlotSecret) -> Result<(KeyringId, Keyring)> {
    newest_from(store, secret, &secret.auth, None)
}

fn newest_from(
    store: &dyn Store,
    secret: &SlotSecret,
    auth: &Key,
    predecessor: Option<KeyringId>,
) -> Result<(KeyringId, Keyring)> {
    let ids: Vec<KeyringId> = list_ids(store, <KeyringObject as names::Stored>::DIR)?;
    let mut stored = Vec::new();
    let mut trouble = None;
    for id in ids {
        match read_keyring(store, &id) {
            Ok(keyring) => stored.push((id, keyring)),
            Err(error) => {
                tracing::warn!("{error}");
                trouble = Some(error);
            }
        }
    }
    let first = |keyring: &Keyring| predecessor.is_none() || keyring.predecessor == predecessor;
    let mut best: Option<(KeyringId, Keyring)> = None;
    let mut open: Vec<(KeyringId, Keyring)> =
        openable(&stored, secret, auth).filter(|(_, keyring)| first(keyring)).collect();
    while let Some((id, keyring)) = open.pop() {
        let next = openable(&stored, secret, &keyring.next_auth);
        open.extend(next.filter(|(_, next)| {
            next.predecessor == Some(id) && Some(next.generation) == keyring.generation.checked_add(1)
        }));
        let rank = |id: &KeyringId, keyring: &Keyring| (keyring.generation, std::cmp::Reverse(*id));
        if best.as_ref().is_none_or(|(best_id, best)| rank(&id, &keyring) > rank(best_id, best)) {
            best = Some((id, keyring));
        }
    }
    best.ok_or_else(|| trouble.unwrap_or_else(|| RepoError::Missing { what: "a keyring that this key opens".into() }))
}

fn openable<'a>(
    stored: &'a [(KeyringId, Vec<u8>)],
    secret: &'a SlotSecret,
    auth: &'a Key,
) -> impl Iterator<Item = (KeyringId, Keyring)> + 'a {
    stored.iter().filter_map(move |(id, bytes)| Some((*id, open_keyring(bytes, secret, auth).ok()?)))
}

fn read_keyring(store: &dyn Store, id: &KeyringId) -> Result<Vec<u8>> {
    let object = names::of::<KeyringObject>(id);
    let bytes = get_named(store, &object, id, OBJECT_MAX)?;
    KeyringHeader::split(&bytes).map_err(|error| RepoError::malformed(&object, error))?;
    Ok(bytes)
}
