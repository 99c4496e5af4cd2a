//! A repository with three snapshots, and copies of it.

use std::collections::BTreeMap;

use keepstone::format::control::Snapshot;
use keepstone::id::SnapshotId;
use keepstone::ops::copy::{CopyReport, Listener, copy};
use keepstone::ops::progress::WorkCounters;
use keepstone::ops::snapshots::all;
use keepstone::repo::{Argon2Profile, Repository, Result, SystemChance, Who, init_related};
use keepstone::storage::{MemoryStore, Store};

use super::stored::{About, Files, PASSWORD, commit, files, init, noise, open};

pub struct Scene {
    pub store: MemoryStore,
    /// Oldest first.
    pub snapshots: Vec<(SnapshotId, Files)>,
}

pub fn scene() -> Scene {
    let store = init(1 << 16);
    let repository = open(store.clone());
    // More than eight chunks are a list of their own.
    let mut tree = files([("a/long", noise(1, 100_000)), ("a/short", b"short".to_vec()), ("b/c/d", noise(2, 20_000))]);
    let mut snapshots = Vec::new();
    for secs in 1..4 {
        let about = About { secs, tags: &["nightly"], ..About::default() };
        snapshots.push((commit(&repository, &tree, &about).0, tree.clone()));
        tree.insert(format!("new/{secs}"), noise(10 + secs as u64, 15_000));
    }
    Scene { store, snapshots }
}

/// An empty repository that names and cuts as the one in `store` does.
pub fn related(store: &MemoryStore) -> MemoryStore {
    let made = MemoryStore::new();
    let other = open(store.clone());
    init_related(&made, PASSWORD, "second", 1 << 16, other.keychain(), Argon2Profile::Cheap, &SystemChance).unwrap();
    made
}

pub fn copy_all(from: &(impl Store + Clone + 'static), into: &(impl Store + Clone + 'static)) -> Result<CopyReport> {
    copy_these(from, into, &listed(&open(from.clone())))
}

fn listed(repository: &Repository) -> Vec<(SnapshotId, Snapshot)> {
    all(repository).unwrap().snapshots
}

pub fn copy_these(
    from: &(impl Store + Clone + 'static),
    into: &(impl Store + Clone + 'static),
    chosen: &[(SnapshotId, Snapshot)],
) -> Result<CopyReport> {
    let into = super::stored::try_open(into.clone(), &keepstone::repo::CacheDir::Temporary)?;
    let counters = WorkCounters::new("entries");
    let listener = Listener { counters: &counters, on_failure: &|_, _| {}, interrupted: &|| false };
    copy(&open(from.clone()), &into, chosen, &Who::default(), &listener)
}

/// The copies in a repository, by their originals.
pub fn copied(store: &MemoryStore) -> BTreeMap<SnapshotId, SnapshotId> {
    let listed = listed(&open(store.clone()));
    listed.into_iter().filter_map(|(id, snapshot)| Some((snapshot.original()?, id))).collect()
}

pub fn snapshots_in(store: &MemoryStore) -> usize {
    listed(&open(store.clone())).len()
}
