//! The keychain: from a passphrase to the newest keyring, and on to the next (format-spec, "Keys").

mod close;
mod generations;
mod slots;
mod watch;

use std::collections::BTreeSet;

use super::error::{RepoError, Result};
use super::names::{self, KeyringObject, KeyslotObject};
use crate::crypto::{
    Argon2Profile, Chance, SlotSecret, create_slot, generate_epoch, generate_keyring, open_keyring, seal_keyring,
};
use crate::format::codec::Ascending;
use crate::format::control::Label;
use crate::format::extras::Extras;
use crate::format::keys::{Config, Key, Keyring, KeyringHeader, Keyslot, Settings, Slot};
use crate::id::{KeyringId, KeyslotId, RepositoryId};
use crate::storage::{ObjectName, Store};
pub use close::{AtWork, Closed};
use generations::{Branch, StoredKeyrings};
use slots::{Found, find_slot, read_config};
pub(super) use watch::{KeyStanding, KeyWatch};

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
    /// Why this is not the newest generation, if this machine has seen a newer one. Nothing is written then:
    /// whoever was removed since knows the keys that it would be sealed under.
    pub(super) outdated: Option<String>,
    secret: SlotSecret,
    /// All keyrings that were there.
    listed: BTreeSet<KeyringId>,
}

/// Makes the keys of a new repository; `config` comes last, so that half a repository is none. A repository
/// that is related to another one names blobs and cuts streams as that one does.
///
/// # Errors
///
/// A conflict if someone else makes one in the same place at the same time: each has put his keyring before he looks
/// for others, so the later sees the earlier and yields. Both may.
pub fn create(
    store: &dyn Store,
    passphrase: &[u8],
    label: &str,
    settings: Settings,
    related: Option<&Keyring>,
    profile: Argon2Profile,
    chance: &dyn Chance,
) -> Result<RepositoryId> {
    let repository = RepositoryId::from_bytes(chance.random());
    let auth = Key(chance.random());
    let (slot, _) = create_slot(repository, passphrase, &auth, profile, chance);
    let slot = put_slot(store, &slot, label, chance)?;
    let slot_object = names::of::<KeyslotObject>(&slot.id);
    let mut keyring = generate_keyring(repository, slot, settings, chance);
    if let Some(other) = related {
        keyring.identity = other.identity.clone();
        keyring.chunking = other.chunking.clone();
    }
    let put = put_keyring(store, &keyring, &auth, chance)?;
    let is_alone = generations::list(store)?.iter().all(|id| *id == put);
    // Should that listing lag behind, a store that can put on condition still knows who was first.
    if !is_alone || !store.put_new(&names::config(), &Config { repository }.to_bytes())? {
        store.delete(&names::of::<KeyringObject>(&put))?;
        store.delete(&slot_object)?;
        let place = store.place();
        return Err(RepoError::Conflict(format!("someone else is making a repository at {place} now; run it again")));
    }
    Ok(repository)
}

/// Whether there are keyrings: a repository, or one that is being made.
pub fn has_keyrings(store: &dyn Store) -> Result<bool> {
    Ok(!generations::list(store)?.is_empty())
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
        let Found { slot, repository, secret, branch: Branch { ids: branch, keyring }, listed } =
            find_slot(store, config, passphrase)?;
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
        Ok(Keychain { keyring, id, slot, branch, outdated: None, secret, listed })
    }

    /// Whether both repositories cut streams and name blobs in the same way: equal content is equal blobs.
    pub fn is_related_to(&self, other: &Keychain) -> bool {
        let of = |chain: &Keychain| (chain.keyring.identity.clone(), chain.keyring.chunking.clone());
        of(self) == of(other)
    }

    /// Whether this version may write here.
    pub fn may_write(&self) -> Result<()> {
        if let Some(why) = &self.outdated {
            return Err(RepoError::Conflict(format!("nothing is written: {why}")));
        }
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
        self.change(store, Some((passphrase, label, profile)), None, chance)
    }

    /// Removes a slot. Whoever held it keeps what he could read so far.
    pub fn remove(&mut self, store: &dyn Store, slot: &KeyslotId, chance: &dyn Chance) -> Result<()> {
        if *slot == self.slot {
            return Err(RepoError::Refused(
                "the key in use cannot remove itself; open the repository with another one".into(),
            ));
        }
        self.change(store, None, Some(*slot), chance).map(drop)
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
        self.change(store, Some((passphrase, &label, profile)), Some(self.slot), chance)
    }

    /// Begins a new epoch, for all holders alike. Gives its number.
    pub fn rotate(&mut self, store: &dyn Store, chance: &dyn Chance) -> Result<u32> {
        self.succeed(store, chance, &mut |chain| {
            let keyring = chain.next_generation(chain.keyring.slots.to_vec(), true, chance)?;
            Ok(Some(Draft { keyring, put: Vec::new() }))
        })?;
        Ok(self.keyring.current_epoch().map_or(0, |epoch| epoch.number))
    }

    /// Writes a generation with one slot more, one less, or one in the place of another. Who is removed knows
    /// the keys of all epochs so far: a new one begins.
    fn change(
        &mut self,
        store: &dyn Store,
        add: Option<(&[u8], &str, Argon2Profile)>,
        remove: Option<KeyslotId>,
        chance: &dyn Chance,
    ) -> Result<KeyslotId> {
        let mut added = None;
        self.succeed(store, chance, &mut |chain| {
            let mut slots: Vec<Slot> = chain.keyring.slots.to_vec();
            slots.retain(|slot| Some(slot.id) != remove);
            let mut put = Vec::new();
            if let Some((passphrase, label, profile)) = add {
                let (keyring, auth) = (&chain.keyring, &chain.keyring.next_auth);
                let (slot, secret) = create_slot(keyring.repository, passphrase, auth, profile, chance);
                let slot = put_slot(store, &slot, label, chance)?;
                put.push(names::of::<KeyslotObject>(&slot.id));
                added = Some((slot.id, secret));
                slots.push(slot);
            }
            let keyring = chain.next_generation(slots, remove.is_some(), chance)?;
            Ok(Some(Draft { keyring, put }))
        })?;
        if let Some(slot) = remove {
            // It opens nothing new any more; that it stays behind is untidy, not unsafe.
            if let Err(error) = store.delete(&names::of::<KeyslotObject>(&slot)) {
                tracing::warn!("the removed key slot {} is still there: {error}", slot.short());
            }
        }
        let Some((slot, secret)) = added else { return Ok(self.slot) };
        if remove == Some(self.slot) {
            (self.slot, self.secret) = (slot, secret);
        }
        Ok(slot)
    }

    /// Writes the next generation, as `draft` has it of the newest. If another one follows the same
    /// predecessor, ours is taken back and drafted anew on top of it: of two that change keys at once, the
    /// later sees the earlier and yields.
    fn succeed(
        &mut self,
        store: &dyn Store,
        chance: &dyn Chance,
        draft: &mut dyn FnMut(&Keychain) -> Result<Option<Draft>>,
    ) -> Result<()> {
        self.may_write()?;
        for _ in 0..ATTEMPTS {
            let Some(Draft { keyring, put: below }) = draft(self)? else { return Ok(()) };
            let put = put_keyring(store, &keyring, &self.keyring.next_auth, chance)?;
            if self.is_only_successor(store, &put)? {
                (self.id, self.keyring) = (put, keyring);
                self.branch.push(put);
                self.listed.insert(put);
                return Ok(());
            }
            // The keyring first: what it names must be there as long as it is.
            store.delete(&names::of::<KeyringObject>(&put))?;
            below.iter().try_for_each(|name| store.delete(name))?;
            let stored = StoredKeyrings::read(store)?;
            let branch = stored.newest(&self.secret)?;
            self.id = *branch.ids.last().expect("a branch has a newest generation");
            (self.branch, self.keyring, self.listed) = (branch.ids, branch.keyring, stored.listed);
        }
        Err(RepoError::Conflict("someone else keeps changing the keys of this repository".into()))
    }

    /// To notice later that the keys changed.
    pub(super) fn watch(&self) -> KeyWatch {
        KeyWatch::new(self.secret.clone(), self.id, &self.keyring, self.listed.clone())
    }

    /// Whether no other object claims to be of the generation that `put` is.
    fn is_only_successor(&self, store: &dyn Store, put: &KeyringId) -> Result<bool> {
        let public = self.secret.public();
        let is_rival = |bytes: &[u8], header: &KeyringHeader| {
            // One that leaves us out cannot be opened to see: it may be the one that removed us.
            let leaves_us_out = header.stanzas.iter().all(|stanza| stanza.public != public);
            header.prefix.epoch == self.keyring.generation.saturating_add(1)
                && (leaves_us_out || open_keyring(bytes, &self.secret, &self.keyring.next_auth).is_ok())
        };
        let stored = StoredKeyrings::read_all(store)?;
        Ok(!stored.iter().any(|(id, bytes, header)| id != put && is_rival(bytes, header)))
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
}

/// The next generation, and what was put for it below: taken back if another one comes first.
struct Draft {
    keyring: Keyring,
    put: Vec<ObjectName>,
}
