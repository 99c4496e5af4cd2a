//! What the format promises (format-spec, "Encoding", "Sealed objects", "Packs"), tried on random values
//! and random bytes: every value comes back, no bytes cause a panic, and what is accepted has one encoding.

use std::fmt::Debug;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use keepstone::crypto::{
    Argon2Profile, Chance, Keyset, ObjectKeys, PackOpener, PackSealer, Sealable, Sealed, SlotSecret, create_slot,
    generate_keyring, open_keyring, seal_keyring,
};
use keepstone::format::codec::{Ascending, Keyed};
use keepstone::format::content::{Content, ListNode};
use keepstone::format::control::{Condemned, Forgotten, Run, Session, Snapshot};
use keepstone::format::envelope::{self, ObjectKind, Prefix};
use keepstone::format::epochs::{Closing, EpochRecord};
use keepstone::format::extras::Extras;
use keepstone::format::keys::{Config, Key, Keyring, KeyringHeader, Keyslot, Settings, Slot};
use keepstone::format::object_meta::Pairs;
use keepstone::format::pack::{BlobHeader, BlobKind, Compression, Directory, Trailer};
use keepstone::format::segment::Segment;
use keepstone::format::tree::{Begun, HardLink, Time, TreeNode, Xattrs};
use keepstone::format::{Malformed, Structure};
use keepstone::id::{BlobId, KeyslotId, RepositoryId, SessionId};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

#[path = "format_properties/values.rs"]
mod values;

/// Random bytes that are the same in every run.
#[derive(Debug, Default)]
struct Scripted(AtomicU64);

impl Chance for Scripted {
    fn random(&self) -> [u8; 32] {
        *blake3::hash(&self.0.fetch_add(1, Ordering::Relaxed).to_le_bytes()).as_bytes()
    }

    fn now(&self) -> Time {
        Time { secs: 1_800_000_000, nanos: 0 }
    }
}

fn comes_back<T: Structure + PartialEq + Debug>(value: &T) -> Result<(), TestCaseError> {
    let bytes = value.to_bytes();
    let decoded = T::from_bytes(&bytes);
    prop_assert_eq!(decoded.as_ref(), Ok(value));
    prop_assert!(T::from_bytes(&bytes[..bytes.len() - 1]).is_err());
    prop_assert!(T::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
    Ok(())
}

/// Whatever is accepted is the one encoding of its value: `again` is what it is encoded to.
fn has_one_encoding(bytes: &[u8], again: Result<Vec<u8>, Malformed>) -> Result<(), TestCaseError> {
    match again {
        Ok(again) => prop_assert_eq!(again, bytes),
        Err(_refused) => {}
    }
    Ok(())
}

fn one_encoding<T: Structure>(bytes: &[u8]) -> Result<(), TestCaseError> {
    has_one_encoding(bytes, T::from_bytes(bytes).map(|value| value.to_bytes()))
}

/// Every parser of the format on the same bytes.
fn every_parser_has_one_encoding(bytes: &[u8]) -> Result<(), TestCaseError> {
    one_encoding::<Snapshot>(bytes)?;
    one_encoding::<Session>(bytes)?;
    one_encoding::<Condemned>(bytes)?;
    one_encoding::<Forgotten>(bytes)?;
    one_encoding::<Run>(bytes)?;
    one_encoding::<Keyring>(bytes)?;
    one_encoding::<Closing>(bytes)?;
    one_encoding::<EpochRecord>(bytes)?;
    one_encoding::<TreeNode>(bytes)?;
    one_encoding::<ListNode>(bytes)?;
    one_encoding::<Content>(bytes)?;
    one_encoding::<Xattrs>(bytes)?;
    one_encoding::<Pairs>(bytes)?;
    one_encoding::<HardLink>(bytes)?;
    one_encoding::<Begun>(bytes)?;
    has_one_encoding(bytes, Segment::from_bytes(bytes).map(|segment| segment.to_bytes()))?;
    has_one_encoding(bytes, Config::from_bytes(bytes).map(|config| config.to_bytes().to_vec()))?;
    has_one_encoding(bytes, Keyslot::from_bytes(bytes).map(|slot| slot.to_bytes().to_vec()))?;
    has_one_encoding(bytes, BlobHeader::from_bytes(bytes).map(|record| record.to_bytes().to_vec()))?;
    has_one_encoding(bytes, envelope::unpad(bytes).map(envelope::pad))?;
    for kind in [ObjectKind::DataPack, ObjectKind::MetaPack] {
        has_one_encoding(bytes, Directory::from_bytes(kind, bytes).map(|directory| directory.to_bytes()))?;
    }
    has_one_encoding(bytes, Trailer::from_bytes(1000, bytes).map(|trailer| trailer.to_bytes().to_vec()))?;
    let joined = |(prefix, rest): (Prefix, &[u8])| [&prefix.to_bytes()[..], rest].concat();
    has_one_encoding(bytes, Prefix::split(bytes).map(joined))?;
    let joined = |(header, rest): (KeyringHeader, &[u8])| [&header.to_bytes()[..], rest].concat();
    has_one_encoding(bytes, KeyringHeader::split(bytes).map(joined))
}

fn set<T: Keyed, const MAX: usize>(items: Vec<T>) -> Ascending<T, MAX> {
    Ascending::new(items).expect("strategies stay far below the limits")
}

proptest! {
    #[test]
    fn every_snapshot_comes_back(value in values::snapshot()) {
        comes_back(&value)?;
    }

    #[test]
    fn every_session_comes_back(value in values::session()) {
        comes_back(&value)?;
    }

    #[test]
    fn every_condemned_record_comes_back(value in values::condemned()) {
        comes_back(&value)?;
    }

    #[test]
    fn every_forgotten_record_comes_back(value in values::forgotten()) {
        comes_back(&value)?;
    }

    #[test]
    fn every_run_comes_back(value in values::run()) {
        comes_back(&value)?;
    }

    #[test]
    fn every_keyring_comes_back(value in values::keyring()) {
        comes_back(&value)?;
    }

    #[test]
    fn every_epoch_record_comes_back(value in values::epoch_record()) {
        comes_back(&value)?;
    }

    #[test]
    fn every_closing_comes_back(value in values::closing()) {
        comes_back(&value)?;
    }

    #[test]
    fn every_tree_node_comes_back(value in values::tree_node()) {
        comes_back(&value)?;
    }

    #[test]
    fn every_list_node_comes_back(value in values::list_node()) {
        comes_back(&value)?;
    }

    #[test]
    fn every_content_comes_back(value in values::content()) {
        comes_back(&value)?;
    }

    #[test]
    fn every_set_of_pairs_comes_back(value in values::pairs()) {
        comes_back(&value)?;
    }

    #[test]
    fn every_set_of_attributes_comes_back(value in values::xattrs()) {
        comes_back(&value)?;
    }

    #[test]
    fn every_segment_comes_back(value in values::segment()) {
        prop_assert_eq!(Segment::from_bytes(&value.to_bytes()), Ok(value));
    }

    #[test]
    fn what_a_segment_lists_is_listed_the_same_again(value in values::segment()) {
        let (session, replaces) = (value.header.session, value.header.replaces.to_vec());
        let mut packs: Vec<_> = value.clone().into_packs().collect();
        packs.reverse();
        let again = Segment::listing(session, packs, &replaces).unwrap();
        prop_assert_eq!((&again.header.packs, &again.header.replaces), (&value.header.packs, &value.header.replaces));
        prop_assert_eq!(&again.records, &value.records);
    }

    #[test]
    fn every_pack_directory_comes_back(value in values::directory()) {
        prop_assert_eq!(Directory::from_bytes(ObjectKind::DataPack, &value.to_bytes()), Ok(value));
    }

    #[test]
    fn every_key_slot_comes_back(value in values::keyslot()) {
        prop_assert_eq!(Keyslot::from_bytes(&value.to_bytes()), Ok(value));
    }

    #[test]
    fn random_bytes_cause_no_panic(bytes in vec(any::<u8>(), 0..600)) {
        every_parser_has_one_encoding(&bytes)?;
    }

    /// Mostly small numbers: counts and choices that lead further into the parsers than noise does.
    #[test]
    fn small_random_bytes_cause_no_panic(bytes in vec(prop_oneof![4 => Just(0u8), 2 => 0u8..4, 1 => any::<u8>()], 0..600)) {
        every_parser_has_one_encoding(&bytes)?;
    }

    #[test]
    fn mutated_bytes_are_refused_or_have_one_encoding(
        bytes in values::any_encoded(),
        mutations in vec((any::<Index>(), any::<u8>()), 1..4),
        cut in proptest::option::of(any::<Index>()),
    ) {
        let mut bytes = bytes;
        for (at, byte) in mutations {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        every_parser_has_one_encoding(&bytes)?;
    }

    #[test]
    fn padding_comes_back_and_follows_padme(content in vec(any::<u8>(), 0..3000)) {
        let padded = envelope::pad(&content);
        prop_assert_eq!(padded.len() as u64, envelope::padme(content.len() as u64 + 8).max(512));
        prop_assert_eq!(envelope::unpad(&padded), Ok(&content[..]));
    }

    #[test]
    fn padme_never_shrinks_and_adds_at_most_12_percent(len in 0u64..=u64::MAX >> 8) {
        let padded = envelope::padme(len);
        prop_assert!(padded >= len && padded - len <= len / 8);
        prop_assert_eq!(envelope::padme(padded), padded);
    }
}

/// A repository with one slot, its keyring as it is stored, and what opens it.
struct World {
    repository: RepositoryId,
    secret: SlotSecret,
    keyring: Keyring,
    stored_keyring: Vec<u8>,
    keys: Keyset,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let chance = Scripted::default();
        let repository = RepositoryId::from_bytes(chance.random());
        let auth = Key(chance.random());
        let (slot, secret) = create_slot(repository, b"passphrase", &auth, Argon2Profile::Cheap, &chance);
        let slot = Slot {
            id: KeyslotId::of_stored(&slot.to_bytes()),
            public: secret.public(),
            label: Default::default(),
            created: chance.now(),
            extras: Extras::default(),
        };
        let settings = Settings { chunker: 1, chunk_min: 64, chunk_avg: 256, chunk_max: 1024, pack_size: 0 };
        let keyring = generate_keyring(repository, slot, settings, &chance);
        let stored_keyring = seal_keyring(&keyring, &auth, &chance);
        World { repository, secret, keys: Keyset::new(&keyring), keyring, stored_keyring }
    })
}

fn object_keys() -> ObjectKeys<'static> {
    ObjectKeys { repository: world().repository, keys: &world().keys }
}

fn sealed_comes_back<T: Sealable + PartialEq + Debug>(value: &T) -> Result<(), TestCaseError> {
    let sealed = object_keys().seal(value, &Scripted::default());
    let again = Sealed::<T>::claimed(sealed.as_stored().to_vec());
    prop_assert_eq!(&object_keys().open(&again).unwrap().decode().unwrap(), value);
    Ok(())
}

/// Flips one bit, or cuts, or adds a byte: never the same bytes.
fn tampered(stored: &[u8], at: Index, bit: u8, how: u8) -> Vec<u8> {
    let mut stored = stored.to_vec();
    let at = at.index(stored.len());
    match how % 4 {
        0 => stored.truncate(at),
        1 => stored.insert(at, bit),
        _ => stored[at] ^= 1 << (bit % 8),
    }
    stored
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_sealed_snapshot_opens(value in values::snapshot()) {
        sealed_comes_back(&value)?;
    }

    #[test]
    fn every_sealed_session_opens(value in values::session()) {
        sealed_comes_back(&value)?;
    }

    #[test]
    fn every_sealed_segment_opens(value in values::segment()) {
        sealed_comes_back(&value)?;
    }

    #[test]
    fn a_tampered_object_does_not_open(value in values::run(), at: Index, bit: u8, how: u8) {
        let sealed = object_keys().seal(&value, &Scripted::default());
        let tampered = tampered(sealed.as_stored(), at, bit, how);
        prop_assume!(tampered != sealed.as_stored());
        prop_assert!(object_keys().open(&Sealed::<Run>::claimed(tampered)).is_err());
    }

    #[test]
    fn a_tampered_keyring_does_not_open(at: Index, bit: u8, how: u8) {
        let World { secret, stored_keyring, keyring, .. } = world();
        prop_assert_eq!(&open_keyring(stored_keyring, secret, &secret.auth).unwrap(), keyring);
        let tampered = tampered(stored_keyring, at, bit, how);
        prop_assume!(&tampered != stored_keyring);
        prop_assert!(open_keyring(&tampered, secret, &secret.auth).is_err());
    }

    #[test]
    fn a_pack_is_read_from_its_end_and_a_tampered_one_is_not(
        plains in vec(vec(any::<u8>(), 1..200), 0..5), at: Index, bit: u8, how: u8,
    ) {
        let stored = sealed_pack(&plains);
        prop_assert_eq!(read_pack(&stored), Some(plains));
        let tampered = tampered(&stored, at, bit, how);
        prop_assume!(tampered != stored);
        prop_assert_eq!(read_pack(&tampered), None);
    }
}

#[test]
fn every_bit_of_a_sealed_object_matters() {
    let chance = Scripted::default();
    let record = Condemned {
        session: SessionId::from_bytes([1; 32]),
        lineage: Default::default(),
        packs: set(vec![keepstone::id::PackId::from_bytes([2; 32])]),
        signature: Default::default(),
        extras: Extras::default(),
    };
    let stored = object_keys().seal(&record, &chance).as_stored().to_vec();
    for bit in 0..8 * stored.len() {
        let mut flipped = stored.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(object_keys().open(&Sealed::<Condemned>::claimed(flipped)).is_err(), "bit {bit}");
    }
}

fn sealed_pack(plains: &[Vec<u8>]) -> Vec<u8> {
    let mut sealer = PackSealer::new(&object_keys(), ObjectKind::DataPack, b"context", &Scripted::default());
    let mut stored = sealer.prefix().to_vec();
    for plain in plains {
        let len = plain.len() as u32;
        let id = BlobId::from_bytes(*world().keys.namer().name(BlobKind::Data, plain).as_bytes());
        let blob =
            BlobHeader { id, kind: BlobKind::Data, compression: Compression::None, stored_len: len, plain_len: len };
        let mut sealed = plain.clone();
        sealer.seal(blob, &mut sealed);
        stored.extend_from_slice(&sealed);
    }
    stored.extend_from_slice(&sealer.finish(SessionId::from_bytes([3; 32])).0);
    stored
}

/// All blobs of a pack, if every part of it is authentic.
fn read_pack(stored: &[u8]) -> Option<Vec<Vec<u8>>> {
    let opener = PackOpener::new(&object_keys(), ObjectKind::DataPack, stored).ok()?;
    let end = stored.len().checked_sub(32)?;
    let trailer = opener.open_trailer(stored.len() as u64, &stored[end..]).ok()?;
    let offset = trailer.directory_offset(stored.len() as u64).ok()?;
    let directory = opener.open_directory(offset, stored[offset as usize..end].to_vec()).ok()?;
    let open = |placed: &keepstone::format::pack::Placed| {
        let mut sealed = stored[placed.offset as usize..placed.end() as usize].to_vec();
        opener.open(placed, &mut sealed).ok().map(|()| sealed)
    };
    directory.blobs.iter().map(open).collect()
}
