//! ChaCha20-Poly1305 (RFC 8439) in place, under keys that are used for one object only.

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce, Tag};

use crate::format::envelope::TAG_LEN;
use crate::format::keys::Key;

/// One object's cipher.
#[derive(Clone)]
pub(super) struct Cipher(ChaCha20Poly1305);

/// The tag does not fit.
pub(super) struct NotAuthentic;

impl Cipher {
    pub(super) fn new(key: &Key) -> Self {
        Cipher(ChaCha20Poly1305::new((&key.0).into()))
    }

    /// Encrypts all of `buffer` and appends the tag.
    pub(super) fn seal(&self, nonce: [u8; 12], associated: &[u8], buffer: &mut Vec<u8>) {
        let tag = self
            .0
            .encrypt_inout_detached(&Nonce::from(nonce), associated, buffer.as_mut_slice().into())
            .expect("no buffer of ours comes near the cipher's limit of 256 GiB");
        buffer.extend_from_slice(&tag);
    }

    /// Decrypts `buffer` in place and cuts the tag off.
    pub(super) fn open(&self, nonce: [u8; 12], associated: &[u8], buffer: &mut Vec<u8>) -> Result<(), NotAuthentic> {
        let body_len = buffer.len().checked_sub(TAG_LEN).ok_or(NotAuthentic)?;
        let (body, tag) = buffer.split_at_mut(body_len);
        let tag = Tag::try_from(&*tag).map_err(|_| NotAuthentic)?;
        self.0.decrypt_inout_detached(&Nonce::from(nonce), associated, body.into(), &tag).map_err(|_| NotAuthentic)?;
        buffer.truncate(body_len);
        Ok(())
    }
}

/// A key for one purpose: keyed BLAKE3 of the purpose, a zero byte, and what it is bound to.
pub(super) fn derive(key: &Key, purpose: &str, bound_to: &[&[u8]]) -> Key {
    let mut hasher = blake3::Hasher::new_keyed(&key.0);
    hasher.update(purpose.as_bytes()).update(&[0]);
    bound_to.iter().for_each(|part| {
        hasher.update(part);
    });
    Key(*hasher.finalize().as_bytes())
}
