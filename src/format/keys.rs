//! The config, key slots and keyrings (format-spec, "Keys").

use std::collections::BTreeSet;
use std::fmt;

use super::codec::{Ascending, Decode, Encode, Keyed, Malformed, Structure};
use super::control::Label;
use super::envelope::{Fields, MAGIC, PREFIX_LEN, Prefix, TAG_LEN, VERSION};
use super::extras::Extras;
use super::limits::{ARGON2_LANES, ARGON2_MEMORY_KIB, ARGON2_PASSES, EPOCHS_MAX, FEATURES_MAX, SLOTS_MAX};
use super::tree::Time;
use crate::id::{ID_LEN, KeyringId, KeyslotId, RepositoryId};

/// The config's length, in bytes.
pub const CONFIG_LEN: usize = 48;
/// A key slot's length, in bytes.
pub const KEYSLOT_LEN: usize = 232;
/// Length of a slot's header: what its commitment and its sealed part authenticate.
pub const KEYSLOT_HEADER_LEN: usize = 152;
/// Length of a slot's header before the commitment.
pub const KEYSLOT_COMMITTED_LEN: usize = 88;
/// Length of what a slot seals: a private key, and the key that authenticates the slot's first keyring.
pub const KEYSLOT_SECRET_LEN: usize = 64;

/// The object `config`: which repository this is. Constant for life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// The repository.
    pub repository: RepositoryId,
}

impl Config {
    const WHAT: &'static str = "config";

    /// Its bytes.
    pub fn to_bytes(&self) -> [u8; CONFIG_LEN] {
        let mut bytes = Vec::with_capacity(CONFIG_LEN);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 6]);
        bytes.extend_from_slice(self.repository.as_bytes());
        bytes.try_into().expect("the fields above are 48 bytes long")
    }

    /// The config in exactly these bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new(Self::WHAT, bytes);
        fields.magic_and_version()?;
        if fields.array::<6>()? != [0; 6] {
            return Err(Malformed::newer(Self::WHAT, "reserved bytes are in use"));
        }
        let repository = RepositoryId::from_bytes(fields.array::<ID_LEN>()?);
        fields.end()?;
        Ok(Config { repository })
    }
}

/// What Argon2id is asked to spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argon2Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

/// A key slot: a private key, sealed under a passphrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyslot {
    /// The cost of trying a passphrase.
    pub cost: Argon2Cost,
    /// The repository that it belongs to.
    pub repository: RepositoryId,
    /// Makes the passphrase's key the slot's own.
    pub salt: [u8; 32],
    /// Tells a wrong passphrase before anything is opened under its key.
    pub commitment: [u8; 32],
    /// The public key of the sealed private key.
    pub public: [u8; 32],
    /// The sealed secret with its tag.
    pub sealed: [u8; KEYSLOT_SECRET_LEN + TAG_LEN],
}

impl Keyslot {
    const WHAT: &'static str = "key slot";

    /// Its bytes.
    pub fn to_bytes(&self) -> [u8; KEYSLOT_LEN] {
        let mut bytes = Vec::with_capacity(KEYSLOT_LEN);
        bytes.extend_from_slice(&self.header());
        bytes.extend_from_slice(&self.sealed);
        bytes.try_into().expect("the fields above are 232 bytes long")
    }

    /// The bytes before the sealed secret.
    pub fn header(&self) -> [u8; KEYSLOT_HEADER_LEN] {
        let mut bytes = Vec::with_capacity(KEYSLOT_HEADER_LEN);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[10, 1]); // object kind: key slot; slot kind: passphrase
        bytes.extend_from_slice(&self.cost.memory_kib.to_le_bytes());
        bytes.extend_from_slice(&self.cost.passes.to_le_bytes());
        bytes.extend_from_slice(&self.cost.lanes.to_le_bytes());
        bytes.extend_from_slice(self.repository.as_bytes());
        bytes.extend_from_slice(&self.salt);
        bytes.extend_from_slice(&self.commitment);
        bytes.extend_from_slice(&self.public);
        bytes.try_into().expect("the fields above are 152 bytes long")
    }

    /// The slot in exactly these bytes, its cost within what a reader spends.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new(Self::WHAT, bytes);
        fields.magic_and_version()?;
        match (fields.byte()?, fields.byte()?) {
            (10, 1) => {}
            (10, kind) => return Err(Malformed::newer(Self::WHAT, format!("unknown slot kind {kind}"))),
            _ => return Err(Malformed::new(Self::WHAT, "another kind of object")),
        }
        let cost = Argon2Cost { memory_kib: fields.u32()?, passes: fields.u32()?, lanes: fields.u32()? };
        cost.obey()?;
        let slot = Keyslot {
            cost,
            repository: RepositoryId::from_bytes(fields.array::<ID_LEN>()?),
            salt: fields.array()?,
            commitment: fields.array()?,
            public: fields.array()?,
            sealed: fields.array()?,
        };
        fields.end()?;
        Ok(slot)
    }
}

impl Argon2Cost {
    fn obey(&self) -> Result<(), Malformed> {
        let within = ARGON2_MEMORY_KIB.contains(&self.memory_kib)
            && ARGON2_PASSES.contains(&self.passes)
            && ARGON2_LANES.contains(&self.lanes)
            && self.memory_kib >= self.lanes.saturating_mul(8);
        if within { Ok(()) } else { Err(Malformed::new(Keyslot::WHAT, "Argon2 parameters outside the limits")) }
    }
}

/// A symmetric key. Its bytes are wiped when it is dropped, and never printed.
#[derive(Clone, PartialEq, Eq, Encode, Decode, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
pub struct Key(pub [u8; 32]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(secret)")
    }
}

/// Who can open the repository, with what, and how it is written: one generation.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Keyring {
    /// The repository.
    pub repository: RepositoryId,
    /// 1 for the first; one more than the predecessor's.
    pub generation: u32,
    /// The generation before; `None` for the first.
    pub predecessor: Option<KeyringId>,
    /// When it was written, by the writer's clock.
    pub created: Time,
    /// Authenticates the next generation.
    pub next_auth: Key,
    /// Names blobs; for the life of the repository.
    pub identity: Key,
    /// Cuts streams and trees; for the life of the repository.
    pub chunking: Key,
    /// The epochs, ascending from 1; the last is written under.
    pub epochs: Ascending<Epoch, EPOCHS_MAX>,
    /// Who can open it.
    pub slots: Ascending<Slot, SLOTS_MAX>,
    /// How new content is written.
    pub settings: Settings,
    /// Features without which nothing may be read.
    pub required_to_read: Ascending<u32, FEATURES_MAX>,
    /// Features without which nothing may be written.
    pub required_to_write: Ascending<u32, FEATURES_MAX>,
    /// What will be thought of.
    pub extras: Extras,
}

/// The keys of one epoch.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Epoch {
    /// From 1.
    pub number: u32,
    /// Seals data packs.
    pub data: Key,
    /// Seals metadata packs.
    pub metadata: Key,
    /// Seals index segments.
    pub index: Key,
    /// Seals everything else.
    pub control: Key,
    /// What is valid under it once it is closed; tags in [`super::epochs::tag`].
    pub extras: Extras,
}
impl Keyed for Epoch {
    type Key = u32;
    fn key(&self) -> &u32 {
        &self.number
    }
}

/// Someone who can open the keyring.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Slot {
    /// The object under `keys/`.
    pub id: KeyslotId,
    /// What the keyring is sealed to.
    pub public: [u8; 32],
    /// Whose it is, in words.
    pub label: Label,
    /// When it was added.
    pub created: Time,
    /// What will be thought of.
    pub extras: Extras,
}
impl Keyed for Slot {
    type Key = KeyslotId;
    fn key(&self) -> &KeyslotId {
        &self.id
    }
}

/// How new content is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Settings {
    /// 1: FastCDC with a secret table. 2 is reserved.
    pub chunker: u32,
    /// Least, average and greatest length of a chunk, in bytes.
    pub chunk_min: u32,
    /// See `chunk_min`.
    pub chunk_avg: u32,
    /// See `chunk_min`.
    pub chunk_max: u32,
    /// Length at which a pack is closed, in bytes; 0: grows with the repository.
    pub pack_size: u64,
}

impl Keyring {
    /// The epoch that is written under.
    pub fn current_epoch(&self) -> Option<&Epoch> {
        self.epochs.last()
    }
}

impl Structure for Keyring {
    const WHAT: &'static str = "keyring";

    fn obey(&self) -> Result<(), Malformed> {
        let broken = |why: &str| Err(Malformed::new(Self::WHAT, why));
        if self.epochs.is_empty() || self.slots.is_empty() {
            return broken("no epoch or no slot");
        }
        if self.generation == 0 || (self.generation == 1) != self.predecessor.is_none() {
            return broken("a generation that does not fit its predecessor");
        }
        if !self.epochs.iter().map(|epoch| epoch.number).eq((1..).take(self.epochs.len())) {
            return broken("epochs that are not numbered from 1 without a gap");
        }
        let publics: BTreeSet<_> = self.slots.iter().map(|slot| slot.public).collect();
        if publics.len() < self.slots.len() {
            return broken("two slots with one public key");
        }
        self.extras.obey(Self::WHAT)?;
        self.epochs.iter().try_for_each(|epoch| epoch.extras.obey("epoch"))?;
        self.epochs_close_in_order()?;
        self.slots.iter().try_for_each(|slot| slot.extras.obey("slot"))?;
        self.slots.iter().try_for_each(|slot| slot.created.obey(Self::WHAT))?;
        self.created.obey(Self::WHAT)
    }
}

/// A key that opens one keyring's content, wrapped for one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stanza {
    /// The slot's public key.
    pub public: [u8; 32],
    /// The wrapped key with its tag.
    pub wrapped: [u8; 32 + TAG_LEN],
}

/// What stands before a keyring's sealed content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyringHeader {
    /// The envelope; its epoch is the generation.
    pub prefix: Prefix,
    /// The public half of the key pair made for this object alone.
    pub ephemeral: [u8; 32],
    /// One for each slot, ascending by public key.
    pub stanzas: Vec<Stanza>,
}

impl KeyringHeader {
    const WHAT: &'static str = "keyring";

    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(PREFIX_LEN.saturating_add(2048));
        bytes.extend_from_slice(&self.prefix.to_bytes());
        bytes.extend_from_slice(&self.ephemeral);
        bytes.extend_from_slice(&u16::try_from(self.stanzas.len()).unwrap_or(u16::MAX).to_le_bytes());
        for stanza in &self.stanzas {
            bytes.extend_from_slice(&stanza.public);
            bytes.extend_from_slice(&stanza.wrapped);
        }
        bytes
    }

    /// The header at the start of `bytes`, and the sealed content after it.
    pub fn split(bytes: &[u8]) -> Result<(Self, &[u8]), Malformed> {
        let (prefix, rest) = Prefix::split(bytes)?;
        if prefix.kind != super::envelope::ObjectKind::Keyring {
            return Err(Malformed::new(Self::WHAT, "another kind of object"));
        }
        let mut fields = Fields::new(Self::WHAT, rest);
        let ephemeral = fields.array()?;
        let count = usize::from(fields.u16()?);
        if count == 0 || count > SLOTS_MAX {
            return Err(Malformed::new(Self::WHAT, format!("{count} stanzas")));
        }
        let mut stanzas = Vec::with_capacity(count);
        for _ in 0..count {
            stanzas.push(Stanza { public: fields.array()?, wrapped: fields.array()? });
        }
        if !stanzas.is_sorted_by(|a, b| a.public < b.public) {
            return Err(Malformed::new(Self::WHAT, "stanzas that do not ascend"));
        }
        Ok((KeyringHeader { prefix, ephemeral, stanzas }, fields.rest))
    }
}
