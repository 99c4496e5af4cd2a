//! Repositories for tests: small trees of files, written as a backup writes them.
#![allow(dead_code)]

use std::collections::BTreeMap;

use keepstone::crypto::Argon2Profile;
use keepstone::format::codec::{Ascending, Bytes};
use keepstone::format::content::{Content, Item};
use keepstone::format::control::{
    Label, Lineage, Run, RunStatus, SessionKind, Signature, Snapshot, SnapshotState, Summary,
};
use keepstone::format::extras::Extras;
use keepstone::format::keys::Settings;
use keepstone::format::pack::{BlobHeader, BlobKind, Compression};
use keepstone::format::tree::{Entry, EntryKey, Meta, Node, Time, TreeRef};
use keepstone::id::{BlobId, SnapshotId};
use keepstone::repo::split::{ContentBuilder, TreeBuilder};
use keepstone::repo::{self, CacheDir, RepoError, Repository, SystemChance, Who, Writer, default_settings, program};
use keepstone::storage::{MemoryStore, Store};

pub const PASSWORD: &[u8] = b"correct horse";

/// Files are cut into chunks of this length.
const CHUNK: usize = 4 << 10;

/// A repository in a new store, with packs of about this length.
pub fn init(pack_size: u64) -> MemoryStore {
    let store = MemoryStore::new();
    let settings = Settings { pack_size, ..default_settings() };
    repo::init(&store, PASSWORD, "first", settings, Argon2Profile::Cheap, &SystemChance).unwrap();
    store
}

pub fn open(store: impl Store + 'static) -> Repository {
    try_open(store, &CacheDir::Temporary).unwrap()
}

pub fn try_open(store: impl Store + 'static, cache: &CacheDir) -> Result<Repository, RepoError> {
    Repository::open(Box::new(store), PASSWORD, cache, Box::new(SystemChance))
}

/// Bytes that look like nothing and are the same each time.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Files by path.
pub type Files = BTreeMap<String, Vec<u8>>;

pub fn files<const N: usize>(files: [(&str, Vec<u8>); N]) -> Files {
    files.into_iter().map(|(path, bytes)| (path.to_owned(), bytes)).collect()
}

/// What a snapshot says beside its root.
pub struct About<'a> {
    pub secs: i64,
    pub host: &'a str,
    pub paths: &'a [&'a str],
    pub tags: &'a [&'a str],
    pub state: SnapshotState,
}

impl Default for About<'_> {
    fn default() -> Self {
        About { secs: 1_000, host: "here", paths: &["/srv"], tags: &[], state: SnapshotState::Complete }
    }
}

/// Backs up `files`.
pub fn commit(repository: &Repository, files: &Files, about: &About<'_>) -> (SnapshotId, TreeRef) {
    let who = Who::default();
    let writer = Writer::begin(repository, SessionKind::Backup, &who).unwrap();
    let root = put_tree(repository, &writer, files);
    (commit_root(writer, root.clone(), about), root)
}

pub fn commit_root(mut writer: Writer<'_>, root: TreeRef, about: &About<'_>) -> SnapshotId {
    let session = writer.session().id();
    writer.commit(snapshot(session, root, about)).unwrap()
}

fn snapshot(session: keepstone::id::SessionId, root: TreeRef, about: &About<'_>) -> Snapshot {
    let time = Time { secs: about.secs, nanos: 0 };
    let paths = about.paths.iter().map(|path| Bytes::new(path.as_bytes()).unwrap()).collect();
    let tags = about.tags.iter().map(|tag| Label::truncated(tag)).collect();
    Snapshot {
        session,
        lineage: Lineage::default(),
        state: about.state,
        time,
        finished: time,
        component: Label::truncated("files"),
        host: Label::truncated(about.host),
        user: Label::truncated("me"),
        paths: Ascending::new(paths).unwrap(),
        tags: Ascending::new(tags).unwrap(),
        parent: None,
        root,
        summary: Summary::default(),
        program: program(),
        signature: Signature::default(),
        extras: Extras::default(),
    }
}

/// The report of a run that committed `snapshots` and saw `heads`.
pub fn run(repository: &Repository, snapshots: &[SnapshotId], heads: &[SnapshotId]) {
    let time = Time { secs: 1_000, nanos: 0 };
    let run = Run {
        session: keepstone::id::SessionId::from_bytes([7; 32]),
        lineage: Lineage::default(),
        host: Label::truncated("here"),
        started: time,
        finished: time,
        status: RunStatus::Done,
        snapshots: Ascending::new(snapshots.to_vec()).unwrap(),
        heads: Ascending::new(heads.to_vec()).unwrap(),
        troubles: Default::default(),
        summary: Summary::default(),
        signature: Signature::default(),
        extras: Extras::default(),
    };
    repository.objects().put(&run).unwrap();
}

/// Stores a blob as it is, unless it is there.
pub fn save(repository: &Repository, writer: &Writer<'_>, kind: BlobKind, plain: Vec<u8>) -> Result<BlobId, RepoError> {
    let id = repository.objects().keys().namer().name(kind, &plain);
    let len = plain.len() as u32;
    let blob = BlobHeader { id, kind, compression: Compression::None, stored_len: len, plain_len: len };
    writer.save(&id, || Ok((blob, plain)))?;
    Ok(id)
}

fn put_content(repository: &Repository, writer: &Writer<'_>, bytes: &[u8]) -> Content {
    if let Some(content) = ContentBuilder::inline(bytes.to_vec()) {
        return content;
    }
    let keys = repository.objects().keys();
    let save = &mut |kind, plain| save(repository, writer, kind, plain);
    let mut builder = ContentBuilder::default();
    for chunk in bytes.chunks(CHUNK) {
        let id = save(BlobKind::Data, chunk.to_vec()).unwrap();
        builder.push(keys, Item::Data { id, len: chunk.len() as u32 }, save).unwrap();
    }
    builder.finish(keys, save).unwrap()
}

pub fn entry(name: &[u8], node: Node) -> Entry {
    let key = EntryKey { name: Bytes::new(name).unwrap(), discriminator: 0 };
    Entry { key, node, meta: Meta { mode: 0o644, ..Meta::default() }, extras: Extras::default() }
}

pub fn put_tree(repository: &Repository, writer: &Writer<'_>, files: &Files) -> TreeRef {
    let mut entries: BTreeMap<&str, Node> = BTreeMap::new();
    let mut below: BTreeMap<&str, Files> = BTreeMap::new();
    for (path, bytes) in files {
        match path.split_once('/') {
            None => drop(entries.insert(path, Node::File(put_content(repository, writer, bytes)))),
            Some((dir, rest)) => drop(below.entry(dir).or_default().insert(rest.to_owned(), bytes.clone())),
        }
    }
    for (dir, files) in &below {
        entries.insert(dir, Node::Directory(put_tree(repository, writer, files)));
    }
    let entries = entries.into_iter().map(|(name, node)| entry(name.as_bytes(), node));
    put_entries(repository, writer, entries)
}

/// The tree of these entries, which ascend.
pub fn put_entries(repository: &Repository, writer: &Writer<'_>, entries: impl IntoIterator<Item = Entry>) -> TreeRef {
    let keys = repository.objects().keys();
    let save = &mut |kind, plain| save(repository, writer, kind, plain);
    let mut builder = TreeBuilder::default();
    for entry in entries {
        builder.push(keys, &entry, save).unwrap();
    }
    builder.finish(keys, save).unwrap()
}
