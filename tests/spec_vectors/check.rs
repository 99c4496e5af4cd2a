//! What the library makes of a vector's bytes.

use keepstone::compress::Decompressor;
use keepstone::crypto::{Keyset, Namer, ObjectKeys, PackOpener, Sealable, Sealed, SlotSecret, open_keyring, open_slot};
use keepstone::format::codec::Ascending;
use keepstone::format::content::{Content, ListNode};
use keepstone::format::control::{Condemned, Forgotten, Run, Session, Snapshot};
use keepstone::format::envelope::{self, ObjectKind, PREFIX_LEN, Prefix};
use keepstone::format::epochs::{Closing, EpochRecord};
use keepstone::format::extras::Extras;
use keepstone::format::keys::{Config, Epoch, Key, Keyring, KeyringHeader, Keyslot, Settings};
use keepstone::format::object_meta::Pairs;
use keepstone::format::pack::{BlobHeader, BlobKind, Compression, Directory, TRAILER_STORED_LEN, Trailer};
use keepstone::format::segment::Segment;
use keepstone::format::tree::{Begun, HardLink, Time, TreeNode, Xattrs};
use keepstone::format::{Malformed, Structure};
use keepstone::id::RepositoryId;

use super::draft::{Given, unhex};
use super::spec;

type Checked = Result<Vec<u8>, String>;

/// The bytes again, made from what they decode to; or why they are refused.
pub fn run(structure: &str, given: &Given, bytes: &[u8]) -> Checked {
    match structure {
        "envelope" => prefix(bytes),
        "padme" => Ok(envelope::padme(number(given, "len")).to_le_bytes().to_vec()),
        "padding" => envelope::unpad(bytes).map(envelope::pad).map_err(said),
        "blob_name" => Ok(blob_name(given)),
        "split_hash" => Ok(split_hash(given)),
        "sealed_session" => sealed::<Session>(given, bytes, "control"),
        "sealed_segment" => sealed::<Segment>(given, bytes, "index"),
        "config" => Config::from_bytes(bytes).map(|config| config.to_bytes().to_vec()).map_err(said),
        "key_slot" => key_slot(given, bytes),
        "sealed_keyring" => sealed_keyring(given, bytes),
        "keyring" => structured::<Keyring>(bytes),
        "blob_record" => BlobHeader::from_bytes(bytes).map(|record| record.to_bytes().to_vec()).map_err(said),
        "compression" => compression(given, bytes),
        "pack_directory" => Directory::from_bytes(pack_kind(given), bytes).map(|it| it.to_bytes()).map_err(said),
        "pack_trailer" => Trailer::from_bytes(number(given, "pack length"), bytes)
            .map(|trailer| trailer.to_bytes().to_vec())
            .map_err(said),
        "pack" => pack(given, bytes),
        "index_segment" => Segment::from_bytes(bytes).map(|segment| segment.to_bytes()).map_err(said),
        "tree_node" => structured::<TreeNode>(bytes),
        "list_node" => structured::<ListNode>(bytes),
        "content" => structured::<Content>(bytes),
        "extended_attributes" => structured::<Xattrs>(bytes),
        "pairs" => structured::<Pairs>(bytes),
        "beginning_of_a_file" => structured::<Begun>(bytes),
        "hard_link_identity" => structured::<HardLink>(bytes),
        "snapshot" => structured::<Snapshot>(bytes),
        "session" => structured::<Session>(bytes),
        "closing" => structured::<Closing>(bytes),
        "epoch_record" => structured::<EpochRecord>(bytes),
        "condemned_record" => structured::<Condemned>(bytes),
        "forgotten_record" => structured::<Forgotten>(bytes),
        "run" => structured::<Run>(bytes),
        unknown => panic!("no test for {unknown}"),
    }
}

fn said(error: impl ToString) -> String {
    error.to_string()
}

fn structured<T: Structure>(bytes: &[u8]) -> Checked {
    T::from_bytes(bytes).map(|value| value.to_bytes()).map_err(said)
}

fn number(given: &Given, name: &str) -> u64 {
    given[name].parse().unwrap()
}

fn key(given: &Given, name: &str) -> [u8; 32] {
    unhex(&given[name]).try_into().unwrap()
}

fn prefix(bytes: &[u8]) -> Checked {
    let (prefix, rest) = Prefix::split(bytes).map_err(said)?;
    Ok([&prefix.to_bytes()[..], rest].concat())
}

fn blob_kind(given: &Given) -> BlobKind {
    BlobKind::from_byte(number(given, "kind") as u8).unwrap()
}

fn blob_name(given: &Given) -> Vec<u8> {
    let namer = Namer::new(&Key(key(given, "identity")));
    namer.name(blob_kind(given), &unhex(&given["plaintext"])).as_bytes().to_vec()
}

fn split_hash(given: &Given) -> Vec<u8> {
    let keys = keyset([0; 32], [0; 32], key(given, "chunking"));
    keys.split_hash(number(given, "level") as u8, &unhex(&given["item"])).to_le_bytes().to_vec()
}

/// A keyset of epochs 1 and 2, whose every class has the same key.
fn keyset(class_key: [u8; 32], identity: [u8; 32], chunking: [u8; 32]) -> Keyset {
    let epoch = |number| Epoch {
        number,
        data: Key(class_key),
        metadata: Key(class_key),
        index: Key(class_key),
        control: Key(class_key),
        extras: Extras::default(),
    };
    Keyset::new(&Keyring {
        repository: RepositoryId::from_bytes([0; 32]),
        generation: 1,
        predecessor: None,
        created: Time::default(),
        next_auth: Key([0; 32]),
        identity: Key(identity),
        chunking: Key(chunking),
        epochs: Ascending::new(vec![epoch(1), epoch(2)]).unwrap(),
        slots: Ascending::default(),
        settings: Settings { chunker: 1, chunk_min: 64, chunk_avg: 256, chunk_max: 1024, pack_size: 0 },
        required_to_read: Ascending::default(),
        required_to_write: Ascending::default(),
        extras: Extras::default(),
    })
}

fn sealed<T: Sealable>(given: &Given, bytes: &[u8], class: &str) -> Checked {
    let (class_key, repository) = (key(given, class), key(given, "repository"));
    let keys = keyset(class_key, [0; 32], [0; 32]);
    let keys = ObjectKeys { repository: RepositoryId::from_bytes(repository), keys: &keys };
    let opened = keys.open(&Sealed::<T>::claimed(bytes.to_vec())).map_err(said)?;
    let content = opened.decode().map_err(said)?.encode();
    if let Some(expected) = given.get("content") {
        assert_eq!(content, unhex(expected));
    }
    let clear = &bytes[..PREFIX_LEN];
    let object_key = spec::object_key(&class_key, &repository, clear);
    Ok([clear.to_vec(), spec::records(&object_key, &spec::pad(&content)).concat()].concat())
}

fn key_slot(given: &Given, bytes: &[u8]) -> Checked {
    let slot = Keyslot::from_bytes(bytes).map_err(said)?;
    if let Some(passphrase) = given.get("passphrase") {
        let secret = open_slot(&slot, &unhex(passphrase)).map_err(said)?;
        assert_eq!(secret.private.0, key(given, "private key"));
        assert_eq!(secret.auth.0, key(given, "auth key"));
        assert_eq!(secret.public(), slot.public);
    }
    Ok(slot.to_bytes().to_vec())
}

fn sealed_keyring(given: &Given, bytes: &[u8]) -> Checked {
    let secret = SlotSecret { private: Key(key(given, "private key")), auth: Key([0; 32]) };
    let auth = key(given, "auth key");
    let keyring = open_keyring(bytes, &secret, &Key(auth)).map_err(said)?;
    let (header, _) = KeyringHeader::split(bytes).map_err(said)?;
    let header = header.to_bytes();
    let keyring_key = spec::derive(&key(given, "file key"), "keepstone v1 keyring key", &[&auth, &header[..]].concat());
    Ok([header, spec::records(&keyring_key, &spec::pad(&keyring.to_bytes())).concat()].concat())
}

fn compression(given: &Given, bytes: &[u8]) -> Checked {
    let plain = Decompressor::new().decompress(bytes, number(given, "plaintext length") as usize).map_err(said)?;
    assert_eq!(plain, unhex(&given["plaintext"]));
    Ok(bytes.to_vec())
}

fn pack_kind(given: &Given) -> ObjectKind {
    ObjectKind::ALL.into_iter().find(|kind| *kind as u64 == number(given, "pack kind")).unwrap()
}

/// Reads the pack from its end, as someone who has no index does, and writes it again.
fn pack(given: &Given, bytes: &[u8]) -> Checked {
    let (class_key, repository) = (key(given, "class key"), key(given, "repository"));
    let keys = keyset(class_key, key(given, "identity"), [0; 32]);
    let namer = keys.namer();
    let keys = ObjectKeys { repository: RepositoryId::from_bytes(repository), keys: &keys };
    let opener = PackOpener::new(&keys, pack_kind(given), bytes).map_err(said)?;
    let trailer_offset = bytes.len() - TRAILER_STORED_LEN;
    let trailer = opener.open_trailer(bytes.len() as u64, &bytes[trailer_offset..]).map_err(said)?;
    let offset = trailer.directory_offset(bytes.len() as u64).map_err(said)?;
    let directory = opener.open_directory(offset, bytes[offset as usize..trailer_offset].to_vec()).map_err(said)?;

    let object_key = spec::object_key(&class_key, &repository, &bytes[..PREFIX_LEN]);
    let mut again = bytes[..PREFIX_LEN].to_vec();
    for placed in &directory.blobs {
        let mut stored = bytes[placed.offset as usize..placed.end() as usize].to_vec();
        opener.open(placed, &mut stored).map_err(said)?;
        let plain = decompressed(&placed.blob, &stored).map_err(said)?;
        if namer.name(placed.blob.kind, &plain) != placed.blob.id {
            return Err("a blob whose id is not the name of its plaintext".into());
        }
        again.extend(spec::seal(&object_key, spec::at_offset(again.len()), &placed.blob.to_bytes(), &stored));
    }
    again.extend(spec::seal(&object_key, spec::at_offset(again.len()), b"directory", &directory.to_bytes()));
    again.extend(spec::seal(&object_key, spec::at_offset(again.len()), b"trailer", &trailer.to_bytes()));
    Ok(again)
}

fn decompressed(blob: &BlobHeader, stored: &[u8]) -> Result<Vec<u8>, Malformed> {
    match blob.compression {
        Compression::None => Ok(stored.to_vec()),
        Compression::Zstd => Decompressor::new()
            .decompress(stored, blob.plain_len as usize)
            .map_err(|error| Malformed::new("blob", error.to_string())),
    }
}
