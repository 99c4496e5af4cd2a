//! Makes a repository whose index lists as many blobs as asked for, to measure what works on the whole index.
//!
//! ```sh
//! cargo bench --bench index_scale -- DIR 20000000
//! export KEEPSTONE_REPOSITORY=DIR/repo KEEPSTONE_CACHE_DIR=DIR/cache KEEPSTONE_PASSWORD=bench
//! /usr/bin/time -v target/release/keepstone forget --prune "$(cat DIR/one-night)"
//! ```
//!
//! Segments, trees and chunk lists are real. Packs of data are holes of the right length: whoever does not read
//! them does not notice. One snapshot needs all but a twentieth of the blobs, the other one, whose id is in
//! `DIR/one-night`, the rest.

use std::fs;
use std::path::Path;

use keepstone::format::codec::{Ascending, Bytes};
use keepstone::format::content::Item;
use keepstone::format::control::{Label, Lineage, SessionKind, Signature, Snapshot, SnapshotState, Summary};
use keepstone::format::extras::Extras;
use keepstone::format::pack::{BlobHeader, BlobKind, Compression, Placed};
use keepstone::format::segment::{BlobRecord, PackClass, PackRecord, Segment, SegmentHeader};
use keepstone::format::tree::{Entry, EntryKey, Meta, Name, Node, Time};
use keepstone::id::{BlobId, PackId, SessionId, SnapshotId};
use keepstone::repo::split::{ContentBuilder, TreeBuilder};
use keepstone::repo::{
    Argon2Profile, CacheDir, Ending, Repository, SystemChance, Who, Writer, default_settings, init, pack_name, program,
};
use keepstone::storage::{LocalStore, Store};

const PASSWORD: &[u8] = b"bench";
const BLOBS_IN_PACK: u64 = 4096;
const PACKS_IN_SEGMENT: u64 = 32;
const BLOB_LEN: u32 = 4080;
const BLOBS_IN_FILE: u64 = 100_000;

type Failed = Box<dyn std::error::Error>;

fn main() -> Result<(), Failed> {
    // Cargo adds a word of its own.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let [dir, blobs] = &words[..] else {
        println!("usage: cargo bench --bench index_scale -- DIR BLOBS");
        return Ok(());
    };
    make(Path::new(dir), blobs.parse()?)
}

fn make(dir: &Path, blobs: u64) -> Result<(), Failed> {
    fs::create_dir_all(dir)?;
    let place = dir.join("repo");
    let store = LocalStore::create(&place)?;
    init(&store, PASSWORD, "bench", default_settings(), Argon2Profile::Default, &SystemChance)?;
    let open = |store: Box<dyn Store>| {
        Repository::open(store, PASSWORD, &CacheDir::Kept(dir.join("cache")), Box::new(SystemChance))
    };
    let repository = open(Box::new(store.clone()))?;
    let packs = blobs / BLOBS_IN_PACK;
    for first in (0..packs).step_by(PACKS_IN_SEGMENT as usize) {
        let of_segment = first..packs.min(first + PACKS_IN_SEGMENT);
        of_segment.clone().try_for_each(|pack| make_hole(&place, pack))?;
        repository.objects().put(&segment(of_segment))?;
    }
    drop(repository);
    let repository = open(Box::new(store))?;
    let most = packs * 19 / 20 * BLOBS_IN_PACK;
    commit(&repository, 1, 0..most)?;
    let one_night = commit(&repository, 2, most..packs * BLOBS_IN_PACK)?;
    fs::write(dir.join("one-night"), one_night.to_hex())?;
    println!("{} blobs in {packs} packs", packs * BLOBS_IN_PACK);
    Ok(())
}

fn pack_id(number: u64) -> PackId {
    PackId::from_bytes(*blake3::keyed_hash(&[1; 32], &number.to_le_bytes()).as_bytes())
}

fn blob_id(number: u64) -> BlobId {
    BlobId::from_bytes(*blake3::keyed_hash(&[2; 32], &number.to_le_bytes()).as_bytes())
}

fn pack_len() -> u64 {
    52 + BLOBS_IN_PACK * (u64::from(BLOB_LEN) + 16) + 100_000
}

fn make_hole(place: &Path, pack: u64) -> Result<(), Failed> {
    let path = place.join(pack_name(&pack_id(pack)).as_str());
    fs::create_dir_all(path.parent().ok_or("a pack lies in a directory")?)?;
    Ok(fs::File::create(path)?.set_len(pack_len())?)
}

fn segment(packs: std::ops::Range<u64>) -> Segment {
    let mut ids: Vec<(PackId, u64)> = packs.map(|number| (pack_id(number), number)).collect();
    ids.sort_unstable();
    let record = |(id, _): &(PackId, u64)| PackRecord {
        id: *id,
        len: pack_len(),
        class: PackClass::Data,
        blobs: BLOBS_IN_PACK as u32,
        retain_until: 0,
    };
    let mut records = Vec::new();
    for (index, (_, number)) in ids.iter().enumerate() {
        for at in 0..BLOBS_IN_PACK {
            let blob = BlobHeader {
                id: blob_id(number * BLOBS_IN_PACK + at),
                kind: BlobKind::Data,
                compression: Compression::None,
                stored_len: BLOB_LEN,
                plain_len: BLOB_LEN,
            };
            let placed = Placed { blob, offset: 52 + at * blob.sealed_len() };
            records.push(BlobRecord { placed, pack: index as u32 });
        }
    }
    let header = SegmentHeader {
        session: SessionId::from_bytes([9; 32]),
        lineage: Lineage::default(),
        replaces: Ascending::default(),
        packs: Ascending::new(ids.iter().map(record).collect()).expect("a segment lists few packs here"),
        blobs: 0,
        signature: Signature::default(),
        extras: Extras::default(),
    };
    Segment::new(header, records)
}

/// A snapshot of files whose chunks are these blobs.
fn commit(repository: &Repository, secs: i64, blobs: std::ops::Range<u64>) -> Result<SnapshotId, Failed> {
    let mut writer = Writer::begin(repository, SessionKind::Backup, &Who::default())?;
    let keys = repository.objects().keys();
    let mut save = |kind, plain: Vec<u8>| {
        let id = keys.namer().name(kind, &plain);
        let len = plain.len() as u32;
        let blob = BlobHeader { id, kind, compression: Compression::None, stored_len: len, plain_len: len };
        writer.save(&id, || Ok((blob, plain)))?;
        Ok(id)
    };
    let mut tree = TreeBuilder::default();
    for first in blobs.clone().step_by(BLOBS_IN_FILE as usize) {
        let mut content = ContentBuilder::default();
        for number in first..blobs.end.min(first + BLOBS_IN_FILE) {
            content.push(keys, Item::Data { id: blob_id(number), len: BLOB_LEN }, &mut save)?;
        }
        let node = Node::File(content.finish(keys, &mut save)?);
        let key = EntryKey { name: Name::new(format!("file-{first:012}").as_bytes())?, discriminator: 0 };
        tree.push(keys, &Entry { key, node, meta: Meta::default(), extras: Extras::default() }, &mut save)?;
    }
    let root = tree.finish(keys, &mut save)?;
    let time = Time { secs, nanos: 0 };
    let id = writer.commit(Snapshot {
        session: writer.session().id(),
        lineage: Lineage::default(),
        state: SnapshotState::Complete,
        time,
        finished: time,
        component: Label::truncated("files"),
        host: Label::truncated("bench"),
        user: Label::truncated("bench"),
        paths: Ascending::new(vec![Bytes::new(b"/bench".to_vec())?])?,
        tags: Ascending::default(),
        parent: None,
        root,
        summary: Summary::default(),
        program: program(),
        signature: Signature::default(),
        extras: Extras::default(),
    })?;
    writer.finish(&Ending::done(time))?;
    Ok(id)
}
