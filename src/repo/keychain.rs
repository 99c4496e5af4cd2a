//! The keychain: from a passphrase to the newest keyring, and on to the next (format-spec, "Keys").

use super::error::{RepoError, Result};
use super::names::{self, KeyringObject, KeyslotObject};
use super::objects::{get_named, list_ids};
use crate::crypto::{
    Argon2Profile, Chance, CryptoError, SlotSecret, create_slot, generate_epoch, generate_keyring, open_keyring,
    open_slot, seal_keyring,
};
use crate::format::codec::Ascending;
use crate::format::control::Label;
use crate::format::extras::Extras;
use crate::format::keys::{Config, KEYSLOT_LEN, Key, Keyring, KeyringHeader, Keyslot, Settings, Slot};
use crate::format::limits::{OBJECT_MAX, SLOTS_MAX};
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
    /// The generations that lead to it, oldest first, from the first that lists the slot.
    pub branch: Vec<KeyringId>,
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
        let Branch { ids: branch, keyring } = newest(store, &secret)?;
        let id = *branch.last().expect("a branch has a newest generation");
        if keyring.repository != repository {
            let why = "it belongs to another repository".into();
            return Err(RepoError::Damaged { object: names::of::<KeyringObject>(&id).to_string(), why });
        }
        let unknown = keyring.required_to_read.iter().find(|feature| !KNOWN_FEATURES.contains(feature));
        if let Some(feature) = unknown {
            let why = format!("feature {feature} is needed to read it");
            return Err(RepoError::NeedsNewer { object: "the repository".into(), why });
        }
        Ok(Keychain { keyring, id, slot, branch, secret })
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

    /// Writes the next generation. If another one follows the same predecessor, ours is taken back and
    /// written anew on top of it: of two that change keys at once, the later sees the earlier and yields.
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
            let next = self.next_generation(slots, !remove.is_empty(), chance)?;
            let put = put_keyring(store, &next, &auth, chance)?;
            if self.is_only_successor(store, &put)? {
                self.take_over(store, put, next, added.clone(), remove);
                return Ok(added.map_or(self.slot, |(id, _)| id));
            }
            if let Some((slot, _)) = added {
                store.delete(&names::of::<KeyslotObject>(&slot))?;
            }
            store.delete(&names::of::<KeyringObject>(&put))?;
            let branch = newest(store, &self.secret)?;
            self.id = *branch.ids.last().expect("a branch has a newest generation");
            (self.branch, self.keyring) = (branch.ids, branch.keyring);
        }
        Err(RepoError::Conflict("someone else keeps changing the keys of this repository".into()))
    }

    /// Whether no other object claims to be of the generation that `put` is, as far as a header tells.
    fn is_only_successor(&self, store: &dyn Store, put: &KeyringId) -> Result<bool> {
        let public = self.secret.public();
        let claims = |bytes: &[u8]| {
            KeyringHeader::split(bytes).is_ok_and(|(header, _)| {
                // One that leaves us out cannot be opened to see: it may be the one that removed us.
                let leaves_us_out = header.stanzas.iter().all(|stanza| stanza.public != public);
                header.prefix.epoch == self.keyring.generation.saturating_add(1)
                    && (leaves_us_out || open_keyring(bytes, &self.secret, &self.keyring.next_auth).is_ok())
            })
        };
        for id in list_ids(store, <KeyringObject as names::Stored>::DIR)? {
            if id != *put && read_keyring(store, &id).is_ok_and(|bytes| claims(&bytes)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The generation after this one. Whoever is removed knows the keys of all epochs so far: what is
    /// written from here on is sealed under those of a new one.
    fn next_generation(&self, slots: Vec<Slot>, new_epoch: bool, chance: &dyn Chance) -> Result<Keyring> {
        let generation = self.keyring.generation.checked_add(1);
        let too_many = |_| RepoError::Refused("a repository takes at most 32 keys".into());
        let mut epochs = self.keyring.epochs.to_vec();
        if new_epoch {
            let last = self.keyring.current_epoch().map_or(0, |epoch| epoch.number);
            epochs.push(generate_epoch(last + 1, chance));
        }
        let worn_out = |_| RepoError::Refused("a repository takes at most 1024 epochs".into());
        Ok(Keyring {
            generation: generation.ok_or_else(|| RepoError::Refused("the keys were changed too often".into()))?,
            predecessor: Some(self.id),
            created: chance.now(),
            next_auth: Key(chance.random()),
            epochs: Ascending::new(epochs).map_err(worn_out)?,
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
        self.branch.push(id);
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
    // More than a repository can have were not all put there by us; each costs time and memory to try.
    for id in slots.into_iter().take(SLOTS_MAX) {
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

/// A line of generations, and the newest of them.
struct Branch {
    ids: Vec<KeyringId>,
    keyring: Keyring,
}

/// The branch that leads on from the generation that `secret`'s slot was first listed in. Where
/// generations fork, the branch with the highest last generation counts, then the smallest id.
fn newest(store: &dyn Store, secret: &SlotSecret) -> Result<Branch> {
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
    let mut best: Option<Branch> = None;
    let mut open: Vec<Branch> =
        openable(&stored, secret, &secret.auth).map(|(id, keyring)| Branch { ids: vec![id], keyring }).collect();
    while let Some(branch) = open.pop() {
        for (id, next) in openable(&stored, secret, &branch.keyring.next_auth) {
            if leads_on(&branch, &next) {
                open.push(Branch { ids: [&branch.ids[..], &[id]].concat(), keyring: next });
            }
        }
        if best.as_ref().is_none_or(|best| branch.rank() > best.rank()) {
            best = Some(branch);
        }
    }
    best.ok_or_else(|| trouble.unwrap_or_else(|| RepoError::Missing { what: "a keyring that this key opens".into() }))
}

impl Branch {
    fn rank(&self) -> (u32, std::cmp::Reverse<Option<&KeyringId>>) {
        (self.keyring.generation, std::cmp::Reverse(self.ids.last()))
    }
}

/// Whether `next` is a generation after the branch: what lasts for life is carried over, no epoch is lost.
fn leads_on(branch: &Branch, next: &Keyring) -> bool {
    let keyring = &branch.keyring;
    next.predecessor.as_ref() == branch.ids.last()
        && Some(next.generation) == keyring.generation.checked_add(1)
        && (next.repository, &next.identity, &next.chunking)
            == (keyring.repository, &keyring.identity, &keyring.chunking)
        && next
            .epochs
            .iter()
            .map(|epoch| &epoch.number)
            .take(keyring.epochs.len())
            .eq(keyring.epochs.iter().map(|epoch| &epoch.number))
        && next.epochs.iter().zip(keyring.epochs.iter()).all(|(next, old)| {
            (&next.data, &next.metadata, &next.index, &next.control)
                == (&old.data, &old.metadata, &old.index, &old.control)
        })
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
