//! The cipher of one pack: a blob's nonce is its byte offset (format-spec, "Packs").

use super::aead::Cipher;
use super::chance::{Chance, hedged_salt};
use super::object::object_key;
use super::{CryptoError, ObjectKeys};
use crate::format::Malformed;
use crate::format::envelope::{KeyMode, ObjectKind, PREFIX_LEN, Prefix, TAG_LEN};
use crate::format::limits::PACK_MAX;
use crate::format::pack::{BlobHeader, Directory, Placed, TRAILER_STORED_LEN, Trailer};

fn nonce(offset: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&offset.to_le_bytes());
    nonce
}

/// Seals one pack, from its prefix to its trailer, in order. It hands out each offset once, and can be
/// neither cloned nor stored: no nonce is used twice.
pub struct PackSealer {
    cipher: Cipher,
    prefix: Prefix,
    offset: u64,
    blobs: Vec<Placed>,
}

impl PackSealer {
    /// Begins a pack of `kind`; `context` hedges its salt (the session and its first blob's id).
    pub fn new(keys: &ObjectKeys<'_>, kind: ObjectKind, context: &[u8], chance: &dyn Chance) -> Self {
        let epoch = keys.keys.current();
        let prefix = Prefix { kind, mode: KeyMode::Symmetric, epoch, salt: hedged_salt(chance, context) };
        let key = keys.keys.class_key(kind, epoch).expect("the current epoch is one of ours");
        let cipher = Cipher::new(&object_key(key, keys.repository, &prefix));
        PackSealer { cipher, prefix, offset: PREFIX_LEN as u64, blobs: Vec::new() }
    }

    /// The bytes that the pack begins with.
    pub fn prefix(&self) -> [u8; PREFIX_LEN] {
        self.prefix.to_bytes()
    }

    /// Byte offset at which the next blob will begin: the pack's length so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The blobs so far.
    pub fn blobs(&self) -> &[Placed] {
        &self.blobs
    }

    /// Seals a blob in place: `stored` is its compressed plaintext, and then what stands in the pack.
    pub fn seal(&mut self, blob: BlobHeader, stored: &mut Vec<u8>) {
        debug_assert_eq!(stored.len(), blob.stored_len as usize);
        self.cipher.seal(nonce(self.offset), &blob.to_bytes(), stored);
        self.blobs.push(Placed { blob, offset: self.offset });
        self.offset += blob.sealed_len();
    }

    /// What ends the pack: its sealed directory and trailer; and its blobs.
    pub fn finish(self, session: crate::id::SessionId) -> (Vec<u8>, Vec<Placed>) {
        let directory = Directory { session, blobs: self.blobs };
        let mut end = directory.to_bytes();
        self.cipher.seal(nonce(self.offset), b"directory", &mut end);
        let directory_stored_len = end.len() as u64;
        let mut trailer = Trailer { directory_stored_len }.to_bytes().to_vec();
        self.cipher.seal(nonce(self.offset + directory_stored_len), b"trailer", &mut trailer);
        end.extend_from_slice(&trailer);
        (end, directory.blobs)
    }
}

/// Opens the parts of one pack.
#[derive(Clone)]
pub struct PackOpener {
    cipher: Cipher,
    kind: ObjectKind,
}

impl PackOpener {
    /// The opener of the pack that begins with `prefix` and claims to be of `kind`.
    pub fn new(keys: &ObjectKeys<'_>, kind: ObjectKind, prefix: &[u8]) -> Result<Self, CryptoError> {
        let (prefix, _) = Prefix::split(prefix)?;
        if prefix.kind != kind {
            return Err(Malformed::new("pack", "another kind of object").into());
        }
        let key = keys.keys.class_key(kind, prefix.epoch).ok_or(CryptoError::NoSuchEpoch(prefix.epoch))?;
        Ok(PackOpener { cipher: Cipher::new(&object_key(key, keys.repository, &prefix)), kind })
    }

    /// Opens a sealed blob in place: its compressed plaintext.
    pub fn open(&self, placed: &Placed, sealed: &mut Vec<u8>) -> Result<(), CryptoError> {
        self.cipher
            .open(nonce(placed.offset), &placed.blob.to_bytes(), sealed)
            .map_err(|_| CryptoError::NotAuthentic("blob"))
    }

    /// Opens the trailer of a pack of `pack_len` bytes.
    pub fn open_trailer(&self, pack_len: u64, sealed: &[u8]) -> Result<Trailer, CryptoError> {
        let too_short = || Malformed::new("pack", "shorter than any pack");
        let offset = pack_len.checked_sub(TRAILER_STORED_LEN as u64).ok_or_else(too_short)?;
        if pack_len > PACK_MAX {
            return Err(Malformed::new("pack", "over the limit").into());
        }
        let mut plain = sealed.to_vec();
        self.cipher
            .open(nonce(offset), b"trailer", &mut plain)
            .map_err(|_| CryptoError::NotAuthentic("pack trailer"))?;
        Ok(Trailer::from_bytes(pack_len, &plain)?)
    }

    /// Opens the sealed directory that begins at `offset`, which must be where its blobs end.
    pub fn open_directory(&self, offset: u64, sealed: Vec<u8>) -> Result<Directory, CryptoError> {
        let mut plain = sealed;
        debug_assert!(plain.len() >= TAG_LEN);
        self.cipher
            .open(nonce(offset), b"directory", &mut plain)
            .map_err(|_| CryptoError::NotAuthentic("pack directory"))?;
        let directory = Directory::from_bytes(self.kind, &plain)?;
        if directory.offset() != offset {
            return Err(Malformed::new("pack directory", "blobs that do not end where it begins").into());
        }
        Ok(directory)
    }
}
