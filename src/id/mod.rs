//! Ids: 32 bytes that name one thing, with the kind of thing in the type (format-spec, "Names").
//!
//! An id is a BLAKE3 hash (of stored bytes for objects, keyed and of plaintext for blobs), or random
//! for a repository. It prints as 64 lower-case hex digits; people may type an unambiguous prefix.

use std::fmt;
use std::marker::PhantomData;

/// Length of every id, in bytes.
pub const ID_LEN: usize = 32;

/// What an id names; only a marker.
pub trait Named {
    /// The word for it in messages.
    const NOUN: &'static str;
}

/// An id of a `T`. Ids of different kinds do not mix.
pub struct Id<T>([u8; ID_LEN], PhantomData<fn() -> T>);

macro_rules! named {
    ($($(#[$doc:meta])* $alias:ident = $marker:ident, $noun:literal;)*) => {$(
        #[doc = concat!("Marks ids of a ", $noun, ".")]
        #[derive(Debug)]
        pub enum $marker {}
        impl Named for $marker { const NOUN: &'static str = $noun; }
        $(#[$doc])*
        pub type $alias = Id<$marker>;
    )*};
}

named! {
    /// Names a repository for life; drawn at random by `init`.
    RepositoryId = RepositoryMark, "repository";
    /// Names a chunk, tree node, chunk-list node or padding by the keyed hash of its plaintext.
    BlobId = BlobMark, "blob";
    /// Names a pack by the hash of its stored bytes, as all that follow.
    PackId = PackMark, "pack";
    /// Names an index segment.
    IndexId = IndexMark, "index segment";
    /// Names a snapshot.
    SnapshotId = SnapshotMark, "snapshot";
    /// Names the record of a removal.
    ForgottenId = ForgottenMark, "forgotten record";
    /// Names the report of a run.
    RunId = RunMark, "run";
    /// Names a session.
    SessionId = SessionMark, "session";
    /// Names a record of condemned packs.
    CondemnedId = CondemnedMark, "condemned record";
    /// Names a record of what is valid under a closed epoch.
    EpochRecordId = EpochRecordMark, "epoch record";
    /// Names an object of any kind.
    AnyId = AnyMark, "object";
    /// Names a generation of the keyring.
    KeyringId = KeyringMark, "keyring";
    /// Names a key slot.
    KeyslotId = KeyslotMark, "key slot";
}

impl<T> Id<T> {
    /// The id with these bytes.
    pub const fn from_bytes(bytes: [u8; ID_LEN]) -> Self {
        Id(bytes, PhantomData)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; ID_LEN] {
        &self.0
    }

    /// The same id, whatever it names.
    pub const fn of_any(&self) -> AnyId {
        Id::from_bytes(self.0)
    }

    /// The name of an object that holds exactly `stored`: its BLAKE3 hash, as `b3sum` prints it.
    pub fn of_stored(stored: &[u8]) -> Self {
        Self::from_bytes(*blake3::hash(stored).as_bytes())
    }

    /// All 64 hex digits.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The first 8 hex digits, for people.
    pub fn short(&self) -> String {
        self.to_hex()[..8].to_owned()
    }

    /// The id that these 64 lower-case hex digits spell; `None` for anything else.
    pub fn from_hex(hex: &str) -> Option<Self> {
        if hex.len() != 2 * ID_LEN {
            return None;
        }
        let mut bytes = [0; ID_LEN];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            *byte = (hex_digit(pair[0])? << 4) | hex_digit(pair[1])?;
        }
        Some(Self::from_bytes(bytes))
    }
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

// Derives would ask the marker for the same traits; it has no values to compare.
impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<T> Eq for Id<T> {}
impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<T> std::hash::Hash for Id<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl<T> fmt::Display for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}
impl<T: Named> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", T::NOUN, self.short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_goes_there_and_back_and_nothing_else_is_an_id() {
        let id = PackId::of_stored(b"abc");
        assert_eq!(PackId::from_hex(&id.to_hex()), Some(id));
        assert_eq!(PackId::from_hex(&id.to_hex().to_uppercase()), None);
        assert_eq!(PackId::from_hex(&id.short()), None);
        assert_eq!(PackId::from_hex(&"g".repeat(64)), None);
    }
}
