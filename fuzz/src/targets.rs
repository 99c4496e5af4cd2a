//! The targets: one function for each decoder, and two for a repository as a whole.

use keepstone::compress::{DecompressError, Decompressor};
use keepstone::format::content::{Content, ListNode};
use keepstone::format::control::{Condemned, Forgotten, Run, Session, Snapshot};
use keepstone::format::envelope::{self, ObjectKind, Prefix};
use keepstone::format::epochs::{Closing, EpochRecord};
use keepstone::format::keys::{Config, Keyring, KeyringHeader, Keyslot};
use keepstone::format::object_meta::Pairs;
use keepstone::format::pack::{BlobHeader, Directory, Trailer};
use keepstone::format::segment::Segment;
use keepstone::format::tree::{Begun, HardLink, TreeNode, Xattrs};
use keepstone::format::{Malformed, Structure};
use keepstone::id::PackId;
use keepstone::storage::ObjectName;

use crate::memory::bounded;

pub use crate::repository::{cache, repository};

/// What is accepted encodes to the bytes that it was decoded from.
fn round_trip<'a, T>(
    bytes: &'a [u8],
    decode: impl FnOnce(&'a [u8]) -> Result<T, Malformed>,
    encode: impl FnOnce(&T) -> Vec<u8>,
) {
    if let Ok(value) = bounded(bytes.len(), 0, || decode(bytes)) {
        assert_eq!(encode(&value), bytes, "one value has one encoding");
    }
}

macro_rules! structures {
    ($($target:ident: $type:ty;)*) => {$(
        #[doc = concat!("[`", stringify!($type), "`], all of the input.")]
        pub fn $target(bytes: &[u8]) {
            round_trip(bytes, <$type>::from_bytes, |value| value.to_bytes().to_vec());
        }
    )*};
}
structures! {
    beginning_of_a_file: Begun;
    blob_record: BlobHeader;
    closing: Closing;
    condemned_record: Condemned;
    config: Config;
    content: Content;
    epoch_record: EpochRecord;
    extended_attributes: Xattrs;
    forgotten_record: Forgotten;
    hard_link_identity: HardLink;
    pairs: Pairs;
    key_slot: Keyslot;
    keyring: Keyring;
    list_node: ListNode;
    run: Run;
    session: Session;
    snapshot: Snapshot;
    tree_node: TreeNode;
}

/// A segment; read as a stream it says the same.
pub fn index_segment(bytes: &[u8]) {
    round_trip(bytes, Segment::from_bytes, Segment::to_bytes);
    let streamed = Segment::split(bytes).and_then(|(header, records)| {
        let records = records.collect::<Result<Vec<_>, _>>()?;
        Ok(Segment { header, records })
    });
    assert_eq!(streamed, Segment::from_bytes(bytes));
}

/// A prefix, and whatever stands behind it.
pub fn envelope(bytes: &[u8]) {
    round_trip(bytes, Prefix::split, |(prefix, rest)| [&prefix.to_bytes(), *rest].concat());
}

/// The header of a keyring, and whatever stands behind it.
pub fn sealed_keyring(bytes: &[u8]) {
    round_trip(bytes, KeyringHeader::split, |(header, rest)| [&header.to_bytes(), *rest].concat());
}

/// A padded plaintext.
pub fn padding(bytes: &[u8]) {
    round_trip(bytes, envelope::unpad, |content| envelope::pad(content));
}

/// A directory; the first byte says of which kind of pack.
pub fn pack_directory(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let kind = if kind % 2 == 1 { ObjectKind::DataPack } else { ObjectKind::MetaPack };
    round_trip(bytes, |bytes| Directory::from_bytes(kind, bytes), Directory::to_bytes);
}

/// A trailer; the first eight bytes are the length of its pack.
pub fn pack_trailer(bytes: &[u8]) {
    let Some((pack_len, bytes)) = bytes.split_first_chunk() else { return };
    let pack_len = u64::from_le_bytes(*pack_len);
    round_trip(bytes, |bytes| Trailer::from_bytes(pack_len, bytes), |trailer| trailer.to_bytes().to_vec());
}

/// Text that may be the name of an object, or an id, or both.
pub fn names(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(name) = ObjectName::new(text) {
        assert_eq!(name.as_str(), text);
        let last = text.rsplit('/').next();
        assert_eq!(
            keepstone::repo::id_of(&name).map(|id: PackId| id.to_hex()).as_deref(),
            last.filter(|last| is_id(last))
        );
    }
    assert_eq!(PackId::from_hex(text).map(|id| id.to_hex()).as_deref(), Some(text).filter(|text| is_id(text)));
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

/// A compressed blob; the first four bytes are the length of its plaintext.
pub fn compression(bytes: &[u8]) {
    let Some((plain_len, stored)) = bytes.split_first_chunk() else { return };
    // Past the limit as well, but not so far that the limit hides everything else.
    let plain_len = u32::from_le_bytes(*plain_len) as usize % (keepstone::compress::MAX_PLAIN_LEN * 2);
    // zstd's own context is not ours to count: its memory is C's.
    match bounded(stored.len(), plain_len, || Decompressor::new().decompress(stored, plain_len)) {
        Ok(plain) => assert_eq!(plain.len(), plain_len),
        Err(DecompressError::TooLong(len)) => assert!(len > keepstone::compress::MAX_PLAIN_LEN),
        Err(_) => {}
    }
}
