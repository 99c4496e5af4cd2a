//! Sealed objects: one salt, one key, records with a counter and a last flag (format-spec, "Sealed
//! objects"). After STREAM (Hoang, Reyhanitabar, Rogaway, Vizár, CRYPTO 2015).

use std::marker::PhantomData;

use super::aead::{Cipher, derive};
use super::chance::{Chance, hedged_salt};
use super::{CryptoError, Keyset};
use crate::format::control::{Condemned, Forgotten, Run, Session, Snapshot};
use crate::format::envelope::{self, KeyMode, ObjectKind, PREFIX_LEN, Prefix, TAG_LEN};
use crate::format::epochs::EpochRecord;
use crate::format::keys::Key;
use crate::format::limits::RECORD_LEN;
use crate::format::segment::Segment;
use crate::format::{Malformed, Structure};
use crate::id::RepositoryId;

/// A value that is stored as a sealed object of its own.
pub trait Sealable: Sized {
    /// Its kind in the envelope.
    const KIND: ObjectKind;
    /// Its bytes before sealing.
    fn encode(&self) -> Vec<u8>;
    /// The value in exactly these bytes.
    fn decode(bytes: &[u8]) -> Result<Self, Malformed>;
}

macro_rules! sealable {
    ($($type:ty: $kind:ident;)*) => {$(
        impl Sealable for $type {
            const KIND: ObjectKind = ObjectKind::$kind;
            fn encode(&self) -> Vec<u8> {
                self.to_bytes()
            }
            fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
                <$type>::from_bytes(bytes)
            }
        }
    )*};
}
sealable! {
    Snapshot: Snapshot;
    Forgotten: Forgotten;
    Run: Run;
    Session: Session;
    Condemned: Condemned;
    EpochRecord: EpochRecord;
    Segment: Index;
}

/// Bytes that claim to be a sealed `T`.
#[derive(Debug)]
pub struct Sealed<T> {
    bytes: Vec<u8>,
    claim: PhantomData<fn() -> T>,
}

impl<T> Sealed<T> {
    /// What a store gave for a `T`.
    pub fn claimed(bytes: Vec<u8>) -> Self {
        Sealed { bytes, claim: PhantomData }
    }

    /// The bytes as they are stored.
    pub fn as_stored(&self) -> &[u8] {
        &self.bytes
    }

    /// The epoch that it claims to be sealed under. What opens was sealed under it.
    pub fn epoch(&self) -> Result<u32, Malformed> {
        Prefix::split(&self.bytes).map(|(prefix, _)| prefix.epoch)
    }
}

/// The authentic bytes of a `T`: someone with the key wrote them as a `T`.
#[derive(Debug)]
pub struct Opened<T> {
    plain: Vec<u8>,
    authentic: PhantomData<fn() -> T>,
}

impl<T: Sealable> Opened<T> {
    /// The value, if the bytes obey the spec.
    pub fn decode(&self) -> Result<T, Malformed> {
        T::decode(self.content()?)
    }

    /// The encoded value without its padding.
    pub fn content(&self) -> Result<&[u8], Malformed> {
        envelope::unpad(&self.plain)
    }
}

/// Seals and opens the objects of one repository.
#[derive(Debug, Clone, Copy)]
pub struct ObjectKeys<'a> {
    /// The repository.
    pub repository: RepositoryId,
    /// Its keys.
    pub keys: &'a Keyset,
}

impl ObjectKeys<'_> {
    /// Seals `value` under the current epoch. Sealing it again gives other bytes and another name.
    pub fn seal<T: Sealable>(&self, value: &T, chance: &dyn Chance) -> Sealed<T> {
        let content = value.encode();
        let epoch = self.keys.current();
        let salt = hedged_salt(chance, blake3::hash(&content).as_bytes());
        let prefix = Prefix { kind: T::KIND, mode: KeyMode::Symmetric, epoch, salt };
        let key = self.keys.class_key(T::KIND, epoch).expect("the current epoch is one of ours");
        let cipher = Cipher::new(&object_key(key, self.repository, &prefix));
        Sealed::claimed(seal_records(&cipher, prefix.to_bytes().to_vec(), &envelope::pad(&content)))
    }

    /// Opens what claims to be a `T`.
    pub fn open<T: Sealable>(&self, sealed: &Sealed<T>) -> Result<Opened<T>, CryptoError> {
        let (prefix, body) = Prefix::split(&sealed.bytes)?;
        if prefix.kind != T::KIND {
            return Err(Malformed::new("envelope", "another kind of object").into());
        }
        let key = self.keys.class_key(T::KIND, prefix.epoch).ok_or(CryptoError::NoSuchEpoch(prefix.epoch))?;
        let cipher = Cipher::new(&object_key(key, self.repository, &prefix));
        let plain = open_records(&cipher, body)?;
        Ok(Opened { plain, authentic: PhantomData })
    }
}

/// The key of the one object with this prefix.
pub(super) fn object_key(class_key: &Key, repository: RepositoryId, prefix: &Prefix) -> Key {
    let bytes: [u8; PREFIX_LEN] = prefix.to_bytes();
    derive(class_key, "keepstone v1 object key", &[repository.as_bytes(), &bytes])
}

fn nonce(counter: u64, last: bool) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&counter.to_le_bytes());
    nonce[11] = u8::from(last);
    nonce
}

/// Appends the sealed records of `plain` to `stored`.
pub(super) fn seal_records(cipher: &Cipher, mut stored: Vec<u8>, plain: &[u8]) -> Vec<u8> {
    stored.reserve(plain.len() + (plain.len() / RECORD_LEN + 1) * TAG_LEN);
    let last = plain.len().saturating_sub(1) / RECORD_LEN;
    let mut records = plain.chunks(RECORD_LEN);
    for at in 0..=last {
        let mut record = records.next().unwrap_or_default().to_vec();
        cipher.seal(nonce(at as u64, at == last), &[], &mut record);
        stored.extend_from_slice(&record);
    }
    stored
}

/// The plaintext of a sequence of sealed records, all of it and nothing after it.
pub(super) fn open_records(cipher: &Cipher, body: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let not_authentic = |_| CryptoError::NotAuthentic("object");
    let mut plain = Vec::with_capacity(body.len());
    let mut records = body.chunks(RECORD_LEN + TAG_LEN).enumerate().peekable();
    if records.peek().is_none() {
        return Err(CryptoError::NotAuthentic("object"));
    }
    while let Some((at, record)) = records.next() {
        let last = records.peek().is_none();
        let mut record = record.to_vec();
        cipher.open(nonce(at as u64, last), &[], &mut record).map_err(not_authentic)?;
        if record.is_empty() && at > 0 {
            return Err(Malformed::new("object", "an empty last record").into());
        }
        plain.extend_from_slice(&record);
    }
    Ok(plain)
}
