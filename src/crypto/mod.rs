//! Crypto: sealing and opening, keys from passphrases, ids from plaintext (format-spec, "Cryptography").
//!
//! Bytes climb one rung at a time: bare `&[u8]` (hostile), [`Sealed<T>`] (a claim), [`Opened<T>`]
//! (authentic), `T` (obeys the spec). There is no way to skip one.
//!
//! Pure: chance and time come in through [`Chance`].

mod aead;
mod chance;
mod keyring;
mod keyset;
mod naming;
mod object;
mod pack;
mod slot;

pub use chance::Chance;
pub use keyring::{open_keyring, seal_keyring};
pub use keyset::{Keyset, generate_epoch, generate_keyring};
pub use naming::Namer;
pub use object::{ObjectKeys, Opened, Sealable, Sealed};
pub use pack::{PackOpener, PackSealer};
pub use slot::{Argon2Profile, SlotSecret, create_slot, open_slot};

/// Why something sealed could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// The tag does not fit: altered, or sealed under another key.
    #[error("{0} is not authentic: altered, or sealed with another key")]
    NotAuthentic(&'static str),
    /// The passphrase does not open this slot.
    #[error("wrong password")]
    WrongPassphrase,
    /// No key of ours opens it.
    #[error("sealed under epoch {0}, whose key we do not have")]
    NoSuchEpoch(u32),
    /// It obeys no spec that we know.
    #[error(transparent)]
    Malformed(#[from] crate::format::Malformed),
}

/// The key that these 32 bytes are.
fn key_from(bytes: &[u8]) -> crate::format::keys::Key {
    crate::format::keys::Key(bytes.try_into().expect("the caller cut 32 authentic bytes"))
}
