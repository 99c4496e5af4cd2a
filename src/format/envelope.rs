//! The envelope that every sealed object begins with (format-spec, "Envelope"), and its padding.
//!
//! Nothing in the prefix is secret and nothing in it can be changed: all of it, with the repository id,
//! goes into the derivation of the object's own key.

use super::codec::Malformed;
use super::limits::PADDING_FLOOR;

/// First bytes of every object but leases.
pub const MAGIC: [u8; 8] = *b"keepston";
/// The format version that this library writes, and the newest that it reads.
pub const VERSION: u16 = 1;
/// Length of the clear prefix, in bytes.
pub const PREFIX_LEN: usize = 52;
/// Length of an authentication tag.
pub const TAG_LEN: usize = 16;
/// Length of a salt.
pub const SALT_LEN: usize = 32;

/// What a sealed object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ObjectKind {
    /// A pack of data blobs.
    DataPack = 1,
    /// A pack of tree and list blobs.
    MetaPack = 2,
    /// An index segment.
    Index = 3,
    /// A snapshot.
    Snapshot = 4,
    /// A record of removed snapshots.
    Forgotten = 5,
    /// A report of a run.
    Run = 6,
    /// An announcement of a writer or reader.
    Session = 7,
    /// A record of condemned packs.
    Condemned = 8,
    /// A generation of the keyring.
    Keyring = 9,
    // 10 is a key slot, which has a header of its own.
    /// A record of what is valid under a closed epoch.
    EpochRecord = 11,
}

impl ObjectKind {
    /// Every kind.
    pub const ALL: [ObjectKind; 10] = [
        ObjectKind::DataPack,
        ObjectKind::MetaPack,
        ObjectKind::Index,
        ObjectKind::Snapshot,
        ObjectKind::Forgotten,
        ObjectKind::Run,
        ObjectKind::Session,
        ObjectKind::Condemned,
        ObjectKind::Keyring,
        ObjectKind::EpochRecord,
    ];

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// How the object's key is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum KeyMode {
    /// From an epoch's symmetric key.
    Symmetric = 1,
    /// From a key that is wrapped for each slot: the keyring only.
    Slots = 3,
    // 2 is reserved: sealed to a public key, with a longer prefix.
}

/// The clear beginning of a sealed object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    /// What the object is.
    pub kind: ObjectKind,
    /// How its key is reached.
    pub mode: KeyMode,
    /// The epoch whose key seals it; of a keyring its generation.
    pub epoch: u32,
    /// Makes the object's key its own.
    pub salt: [u8; SALT_LEN],
}

impl Prefix {
    const WHAT: &'static str = "envelope";

    /// Its bytes.
    pub fn to_bytes(&self) -> [u8; PREFIX_LEN] {
        let mut bytes = Vec::with_capacity(PREFIX_LEN);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.push(self.kind as u8);
        bytes.push(self.mode as u8);
        bytes.extend_from_slice(&0u32.to_le_bytes()); // domain
        bytes.extend_from_slice(&self.epoch.to_le_bytes());
        bytes.extend_from_slice(&self.salt);
        bytes.try_into().expect("the fields above are 52 bytes long")
    }

    /// The prefix at the start of `bytes`, and what follows it.
    pub fn split(bytes: &[u8]) -> Result<(Prefix, &[u8]), Malformed> {
        let mut fields = Fields::new(Self::WHAT, bytes);
        fields.magic_and_version()?;
        let kind = fields.byte()?;
        let mode = match fields.byte()? {
            1 => KeyMode::Symmetric,
            3 => KeyMode::Slots,
            mode => return Err(Malformed::newer(Self::WHAT, format!("unknown key mode {mode}"))),
        };
        let kind = ObjectKind::from_byte(kind)
            .ok_or_else(|| Malformed::newer(Self::WHAT, format!("unknown object kind {kind}")))?;
        if (kind == ObjectKind::Keyring) != (mode == KeyMode::Slots) {
            return Err(Malformed::new(Self::WHAT, "a key mode that this kind of object does not have"));
        }
        match u32::from_le_bytes(fields.array()?) {
            0 => {}
            domain => return Err(Malformed::newer(Self::WHAT, format!("unknown domain {domain}"))),
        }
        let epoch = u32::from_le_bytes(fields.array()?);
        let salt = fields.array()?;
        Ok((Prefix { kind, mode, epoch, salt }, fields.rest))
    }
}

/// A cursor over hand-written fields, that names what it reads and never goes past the end.
pub(super) struct Fields<'a> {
    what: &'static str,
    pub(super) rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Fields { what, rest: bytes }
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (array, rest) =
            self.rest.split_first_chunk::<N>().ok_or_else(|| Malformed::new(self.what, "ends too early"))?;
        self.rest = rest;
        Ok(*array)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn magic_and_version(&mut self) -> Result<(), Malformed> {
        if self.array()? != MAGIC {
            return Err(Malformed::new(self.what, "does not begin as a keepstone object does"));
        }
        match self.u16()? {
            VERSION => Ok(()),
            0 => Err(Malformed::new(self.what, "format version 0")),
            newer => {
                Err(Malformed::newer(self.what, format!("format version {newer}, this keepstone reads {VERSION}")))
            }
        }
    }

    pub(super) fn end(&self) -> Result<(), Malformed> {
        match self.rest {
            [] => Ok(()),
            _ => Err(Malformed::new(self.what, "bytes after its end")),
        }
    }
}

/// The length that `len` is padded to: Padmé, which leaks O(log log len) bits and adds at most 12 %
/// (Nikitin et al., PETS 2019).
pub fn padme(len: u64) -> u64 {
    let Some(exponent) = len.checked_ilog2() else { return len };
    let Some(digits) = exponent.checked_ilog2() else { return len };
    let free_bits = exponent.saturating_sub(digits).saturating_sub(1);
    let mask = 1u64.checked_shl(free_bits).map_or(0, |bit| bit.saturating_sub(1));
    len.checked_add(mask).map_or(len, |sum| sum & !mask)
}

/// The padded plaintext of a small object whose content is `content`: its length, itself, zeros.
pub fn pad(content: &[u8]) -> Vec<u8> {
    let len = content.len() as u64;
    let padded = padme(len.saturating_add(8)).max(PADDING_FLOOR);
    let mut plain = Vec::with_capacity(usize::try_from(padded).unwrap_or(0));
    plain.extend_from_slice(&len.to_le_bytes());
    plain.extend_from_slice(content);
    plain.resize(usize::try_from(padded).unwrap_or(plain.len()), 0);
    plain
}

/// The content within a padded plaintext. The padded length must be the one that the content calls for, and zeros.
pub fn unpad(plain: &[u8]) -> Result<&[u8], Malformed> {
    let broken = |why: &str| Malformed::new("padding", why);
    let (len, rest) = plain.split_first_chunk::<8>().ok_or_else(|| broken("ends too early"))?;
    let len = u64::from_le_bytes(*len);
    let content_len = usize::try_from(len).map_err(|_| broken("a content length that cannot be"))?;
    let (content, zeros) =
        rest.split_at_checked(content_len).ok_or_else(|| broken("content longer than its object"))?;
    let padded = padme(len.saturating_add(8)).max(PADDING_FLOOR);
    if padded != plain.len() as u64 || zeros.iter().any(|byte| *byte != 0) {
        return Err(broken("not the padding that the content calls for"));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padme_follows_the_paper() {
        for (len, padded) in
            [(0, 0), (1, 1), (8, 8), (9, 10), (100, 104), (1000, 1024), (65_537, 67_584), (1 << 30, 1 << 30)]
        {
            assert_eq!(padme(len), padded, "{len}");
        }
    }

    #[test]
    fn padding_goes_there_and_back() {
        for len in [0usize, 1, 503, 504, 505, 70_000] {
            let content = vec![7u8; len];
            assert_eq!(unpad(&pad(&content)), Ok(&content[..]));
        }
    }

    #[test]
    fn padding_that_hides_something_is_refused() {
        let mut plain = pad(b"content");
        *plain.last_mut().expect("padded") = 1;
        assert!(unpad(&plain).is_err());
    }
}
