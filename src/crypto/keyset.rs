//! The keys that a keyring gives, by what they are for.

use super::Chance;
use super::naming::Namer;
use crate::format::codec::Ascending;
use crate::format::envelope::ObjectKind;
use crate::format::extras::Extras;
use crate::format::keys::{Epoch, Key, Keyring, Settings, Slot};
use crate::id::RepositoryId;

/// All keys of a repository, taken from its newest keyring.
#[derive(Debug, Clone)]
pub struct Keyset {
    epochs: Vec<Epoch>,
    namer: Namer,
    chunking: Key,
    split: Key,
}

impl Keyset {
    /// The keys in `keyring`.
    pub fn new(keyring: &Keyring) -> Self {
        Keyset {
            epochs: keyring.epochs.to_vec(),
            namer: Namer::new(&keyring.identity),
            chunking: keyring.chunking.clone(),
            split: super::aead::derive(&keyring.chunking, "keepstone v1 split", &[]),
        }
    }

    /// The epoch that is written under.
    pub fn current(&self) -> u32 {
        self.epochs.last().map_or(0, |epoch| epoch.number)
    }

    /// The key for objects of `kind` under `epoch`; `None` if we have no such epoch.
    pub(super) fn class_key(&self, kind: ObjectKind, epoch: u32) -> Option<&Key> {
        let epoch = self.epochs.iter().find(|known| known.number == epoch)?;
        Some(match kind {
            ObjectKind::DataPack => &epoch.data,
            ObjectKind::MetaPack => &epoch.metadata,
            ObjectKind::Index => &epoch.index,
            _ => &epoch.control,
        })
    }

    /// Names blobs.
    pub fn namer(&self) -> &Namer {
        &self.namer
    }

    /// Cuts streams; the secret of the chunker's table.
    pub fn chunking(&self) -> &[u8; 32] {
        &self.chunking.0
    }

    /// Where trees and lists split: keyed BLAKE3 of level and item, by its first four bytes
    /// (format-spec, "Splitting").
    pub fn split_hash(&self, level: u8, item: &[u8]) -> u32 {
        let mut hasher = blake3::Hasher::new_keyed(&self.split.0);
        let hash = hasher.update(&[level]).update(item).finalize();
        let [a, b, c, d, ..] = *hash.as_bytes();
        u32::from_le_bytes([a, b, c, d])
    }
}

/// Fresh keys for the epoch `number`.
pub fn generate_epoch(number: u32, chance: &dyn Chance) -> Epoch {
    Epoch {
        number,
        data: Key(chance.random()),
        metadata: Key(chance.random()),
        index: Key(chance.random()),
        control: Key(chance.random()),
        extras: Extras::default(),
    }
}

/// The first keyring of a new repository.
pub fn generate_keyring(repository: RepositoryId, slot: Slot, settings: Settings, chance: &dyn Chance) -> Keyring {
    let one = "one item fits every list";
    Keyring {
        repository,
        generation: 1,
        predecessor: None,
        created: chance.now(),
        next_auth: Key(chance.random()),
        identity: Key(chance.random()),
        chunking: Key(chance.random()),
        epochs: Ascending::new(vec![generate_epoch(1, chance)]).expect(one),
        slots: Ascending::new(vec![slot]).expect(one),
        settings,
        required_to_read: Ascending::default(),
        required_to_write: Ascending::default(),
        extras: Extras::default(),
    }
}
