//! The sealing chapters of the spec, written a second time.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};

use super::draft::Draft;

/// `derive(key, purpose, bound to)`.
pub fn derive(key: &[u8; 32], purpose: &str, bound_to: &[u8]) -> [u8; 32] {
    *blake3::keyed_hash(key, &[purpose.as_bytes(), &[0], bound_to].concat()).as_bytes()
}

/// `seal(key, nonce, associated, plain)`.
pub fn seal(key: &[u8; 32], nonce: [u8; 12], associated: &[u8], plain: &[u8]) -> Vec<u8> {
    let cipher = ChaCha20Poly1305::new(key.into());
    cipher.encrypt(&Nonce::from(nonce), Payload { msg: plain, aad: associated }).unwrap()
}

pub fn prefix(kind: u8, mode: u8, epoch: u32, salt: &[u8; 32]) -> Draft {
    let clear = Draft::new().raw("magic", b"keepston").u16("version", 1).u8("kind", kind).u8("key mode", mode);
    clear.u32("domain", 0).u32("epoch", epoch).raw("salt", salt)
}

pub fn object_key(class_key: &[u8; 32], repository: &[u8; 32], prefix: &[u8]) -> [u8; 32] {
    derive(class_key, "keepstone v1 object key", &[repository, prefix].concat())
}

pub fn naming_key(identity: &[u8; 32], kind: u8) -> [u8; 32] {
    derive(identity, "keepstone v1 blob id", &[kind])
}

pub fn blob_id(identity: &[u8; 32], kind: u8, plain: &[u8]) -> [u8; 32] {
    *blake3::keyed_hash(&naming_key(identity, kind), plain).as_bytes()
}

pub fn split_hash(chunking: &[u8; 32], level: u8, item: &[u8]) -> [u8; 4] {
    let split_key = derive(chunking, "keepstone v1 split", &[]);
    let hash = blake3::keyed_hash(&split_key, &[&[level], item].concat());
    hash.as_bytes()[..4].try_into().unwrap()
}

pub fn padme(len: u64) -> u64 {
    if len <= 1 {
        return len;
    }
    let e = len.ilog2();
    let mask = (1 << (e - e.ilog2() - 1)) - 1;
    (len + mask) & !mask
}

pub fn pad(content: &[u8]) -> Vec<u8> {
    let len = content.len() as u64;
    let mut padded = [&len.to_le_bytes()[..], content].concat();
    padded.resize(padme(len + 8).max(512) as usize, 0);
    padded
}

/// The records of a sealed object.
pub fn records(object_key: &[u8; 32], padded: &[u8]) -> Vec<Vec<u8>> {
    let count = padded.chunks(65536).count();
    let seal_one = |(at, record)| {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&(at as u64).to_le_bytes());
        nonce[11] = u8::from(at + 1 == count);
        seal(object_key, nonce, &[], record)
    };
    padded.chunks(65536).enumerate().map(seal_one).collect()
}

/// The nonce of a part of a pack.
pub fn at_offset(offset: usize) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&(offset as u64).to_le_bytes());
    nonce
}
