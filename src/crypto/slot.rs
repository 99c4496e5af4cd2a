//! Key slots: a private key under a passphrase (format-spec, "Key slots").

use argon2::{Algorithm, Argon2, Params, Version};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::aead::{Cipher, derive};
use super::chance::{Chance, hedged_salt};
use super::{CryptoError, key_from};
use crate::format::keys::{Argon2Cost, KEYSLOT_COMMITTED_LEN, KEYSLOT_SECRET_LEN, Key, Keyslot};
use crate::id::RepositoryId;

/// How much a passphrase costs to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argon2Profile {
    /// 64 MiB, 3 passes, 4 lanes: RFC 9106's second recommendation.
    Default,
    /// As little as the format allows: for tests alone.
    Cheap,
}

impl Argon2Profile {
    fn cost(self) -> Argon2Cost {
        match self {
            Argon2Profile::Default => Argon2Cost { memory_kib: 64 << 10, passes: 3, lanes: 4 },
            Argon2Profile::Cheap => Argon2Cost { memory_kib: 8, passes: 1, lanes: 1 },
        }
    }
}

/// What a slot keeps.
#[derive(Debug, Clone)]
pub struct SlotSecret {
    /// The X25519 private key that keyrings are sealed to.
    pub private: Key,
    /// Authenticates the first keyring that lists this slot.
    pub auth: Key,
}

impl SlotSecret {
    /// The public key of the private one.
    pub fn public(&self) -> [u8; 32] {
        PublicKey::from(&StaticSecret::from(self.private.0)).to_bytes()
    }
}

/// A new slot that `passphrase` opens. `auth` authenticates the first keyring that will list it.
pub fn create_slot(
    repository: RepositoryId,
    passphrase: &[u8],
    auth: &Key,
    profile: Argon2Profile,
    chance: &dyn Chance,
) -> (Keyslot, SlotSecret) {
    let secret = SlotSecret { private: Key(chance.random()), auth: auth.clone() };
    let mut slot = Keyslot {
        cost: profile.cost(),
        repository,
        salt: hedged_salt(chance, repository.as_bytes()),
        commitment: [0; 32],
        public: secret.public(),
        sealed: [0; 80],
    };
    let root = stretch(&slot, passphrase).expect("our own cost is within Argon2's limits");
    slot.commitment = commitment(&slot, &root);
    let mut sealed = Vec::with_capacity(80);
    sealed.extend_from_slice(&secret.private.0);
    sealed.extend_from_slice(&secret.auth.0);
    slot_cipher(&root).seal([0; 12], &slot.header(), &mut sealed);
    slot.sealed = sealed.try_into().expect("64 bytes and a tag are 80");
    (slot, secret)
}

/// What `slot` keeps, if `passphrase` opens it.
pub fn open_slot(slot: &Keyslot, passphrase: &[u8]) -> Result<SlotSecret, CryptoError> {
    let root = stretch(slot, passphrase)?;
    // Compared before anything is opened: no ciphertext can be made that several passphrases open.
    if blake3::Hash::from(commitment(slot, &root)) != blake3::Hash::from(slot.commitment) {
        return Err(CryptoError::WrongPassphrase);
    }
    let mut plain = Zeroizing::new(slot.sealed.to_vec());
    slot_cipher(&root).open([0; 12], &slot.header(), &mut plain).map_err(|_| CryptoError::NotAuthentic("key slot"))?;
    let (private, auth) = plain.split_at(KEYSLOT_SECRET_LEN / 2);
    Ok(SlotSecret { private: key_from(private), auth: key_from(auth) })
}

fn stretch(slot: &Keyslot, passphrase: &[u8]) -> Result<Key, CryptoError> {
    let Argon2Cost { memory_kib, passes, lanes } = slot.cost;
    let unusable = |_| CryptoError::NotAuthentic("key slot");
    let params = Params::new(memory_kib, passes, lanes, Some(32)).map_err(unusable)?;
    let mut root = Key([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase, &slot.salt, &mut root.0)
        .map_err(unusable)?;
    Ok(root)
}

fn commitment(slot: &Keyslot, root: &Key) -> [u8; 32] {
    derive(root, "keepstone v1 slot commitment", &[&slot.header()[..KEYSLOT_COMMITTED_LEN]]).0
}

fn slot_cipher(root: &Key) -> Cipher {
    Cipher::new(&derive(root, "keepstone v1 slot key", &[]))
}
