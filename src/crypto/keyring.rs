//! Keyrings: sealed to the public keys of all slots, and to the key that only holders of the generation
//! before know (format-spec, "Keyrings").
//!
//! The second key makes a forged generation impossible for whoever knows the slots' public keys, which
//! stand in the clear under `keys/`.

use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::aead::{Cipher, derive};
use super::chance::{Chance, hedged_salt};
use super::object::{open_records, seal_records};
use super::{CryptoError, SlotSecret, key_from};
use crate::format::envelope::{self, KeyMode, ObjectKind, PREFIX_LEN, Prefix};
use crate::format::keys::{Key, Keyring, KeyringHeader, Stanza};
use crate::format::{Malformed, Structure};

/// Seals `keyring` to all its slots. `auth` is the previous generation's `next_auth`; of the first
/// generation the key that its slot keeps.
pub fn seal_keyring(keyring: &Keyring, auth: &Key, chance: &dyn Chance) -> Vec<u8> {
    let content = Zeroizing::new(keyring.to_bytes());
    let salt = hedged_salt(chance, blake3::hash(&content).as_bytes());
    let prefix = Prefix { kind: ObjectKind::Keyring, mode: KeyMode::Slots, epoch: keyring.generation, salt };
    let ephemeral = StaticSecret::from(chance.random());
    let file_key = Key(chance.random());
    let mut stanzas: Vec<Stanza> =
        keyring.slots.iter().map(|slot| wrap(&file_key, &ephemeral, slot.public, &prefix)).collect();
    stanzas.sort_by_key(|stanza| stanza.public);
    let header = KeyringHeader { prefix, ephemeral: PublicKey::from(&ephemeral).to_bytes(), stanzas };
    let stored = header.to_bytes();
    let cipher = content_cipher(&file_key, auth, &stored);
    seal_records(&cipher, stored, &Zeroizing::new(envelope::pad(&content)))
}

/// The keyring in `stored`, if it lists `secret`'s slot and was authenticated with `auth`.
pub fn open_keyring(stored: &[u8], secret: &SlotSecret, auth: &Key) -> Result<Keyring, CryptoError> {
    let (header, body) = KeyringHeader::split(stored)?;
    let public = secret.public();
    let stanza = header.stanzas.iter().find(|stanza| stanza.public == public);
    let stanza = stanza.ok_or(CryptoError::NotAuthentic("keyring"))?;
    let file_key = unwrap_stanza(stanza, &header, secret)?;
    let header_bytes = stored.get(..stored.len() - body.len()).unwrap_or_default();
    let cipher = content_cipher(&file_key, auth, header_bytes);
    let plain = Zeroizing::new(open_records(&cipher, body)?);
    let keyring = Keyring::from_bytes(envelope::unpad(&plain)?)?;
    if keyring.generation != header.prefix.epoch {
        return Err(Malformed::new("keyring", "a generation that is not its envelope's").into());
    }
    Ok(keyring)
}

/// The content's cipher: bound to every byte before it, and to both secrets.
fn content_cipher(file_key: &Key, auth: &Key, header: &[u8]) -> Cipher {
    Cipher::new(&derive(file_key, "keepstone v1 keyring key", &[&auth.0, header]))
}

fn wrap(file_key: &Key, ephemeral: &StaticSecret, public: [u8; 32], prefix: &Prefix) -> Stanza {
    let shared = Key(ephemeral.diffie_hellman(&PublicKey::from(public)).to_bytes());
    let ephemeral_public = PublicKey::from(ephemeral).to_bytes();
    let cipher = wrap_cipher(&shared, &ephemeral_public, &public, &prefix.to_bytes());
    let mut wrapped = file_key.0.to_vec();
    cipher.seal([0; 12], &[], &mut wrapped);
    Stanza { public, wrapped: wrapped.try_into().expect("32 bytes and a tag are 48") }
}

fn unwrap_stanza(stanza: &Stanza, header: &KeyringHeader, secret: &SlotSecret) -> Result<Key, CryptoError> {
    let private = StaticSecret::from(secret.private.0);
    let shared = private.diffie_hellman(&PublicKey::from(header.ephemeral));
    if !shared.was_contributory() {
        return Err(CryptoError::NotAuthentic("keyring"));
    }
    let cipher = wrap_cipher(&Key(shared.to_bytes()), &header.ephemeral, &stanza.public, &header.prefix.to_bytes());
    let mut plain = Zeroizing::new(stanza.wrapped.to_vec());
    cipher.open([0; 12], &[], &mut plain).map_err(|_| CryptoError::NotAuthentic("keyring"))?;
    Ok(key_from(&plain))
}

fn wrap_cipher(shared: &Key, ephemeral: &[u8; 32], public: &[u8; 32], prefix: &[u8; PREFIX_LEN]) -> Cipher {
    Cipher::new(&derive(shared, "keepstone v1 keyring wrap", &[ephemeral, public, prefix]))
}
