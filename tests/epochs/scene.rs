//! A repository with a snapshot of epoch 1, and what is done to it.

use keepstone::format::control::{Label, Lineage, Signature, Snapshot, SnapshotState, Summary};
use keepstone::format::extras::Extras;
use keepstone::format::tree::{Time, TreeRef};
use keepstone::id::{KeyslotId, SessionId, SnapshotId};
use keepstone::repo::{Argon2Profile, Closed, Repository, program};
use keepstone::storage::{MemoryStore, Store};

pub use super::back::{assert_sound, checked, read_back};
use super::stored::{About, Files, commit, files, init, noise, open};

/// What there is before anything is done to it.
pub struct Scene {
    pub store: MemoryStore,
    pub files: Files,
    pub snapshot: SnapshotId,
    pub root: TreeRef,
}

pub fn scene() -> Scene {
    let store = init(1 << 16);
    let files = files([("a", noise(1, 30_000)), ("b/c", noise(2, 10_000)), ("b/d", b"short".to_vec())]);
    let (snapshot, root) = saved(&open(store.clone()), &files);
    Scene { store, files, snapshot, root }
}

pub fn saved(repository: &Repository, files: &Files) -> (SnapshotId, TreeRef) {
    commit(repository, files, &About::default())
}

/// Lets another password open the repository.
pub fn add_key(store: &MemoryStore, password: &[u8]) -> KeyslotId {
    let mut repository = open(store.clone());
    let (keychain, below, chance) = repository.keychain_mut();
    keychain.add(below, password, "second", Argon2Profile::Cheap, chance).unwrap()
}

pub fn rotate(store: &(impl Store + Clone + 'static)) -> u32 {
    let mut repository = open(store.clone());
    let (keychain, below, chance) = repository.keychain_mut();
    keychain.rotate(below, chance).unwrap()
}

pub fn close(store: &(impl Store + Clone + 'static)) -> Closed {
    open(store.clone()).close_epochs(false).unwrap()
}

/// A snapshot of a tree, later than any other.
pub fn snapshot_of(root: TreeRef) -> Snapshot {
    let time = Time { secs: 1 << 40, nanos: 0 };
    Snapshot {
        session: SessionId::from_bytes([9; 32]),
        lineage: Lineage::default(),
        state: SnapshotState::Complete,
        time,
        finished: time,
        component: Label::truncated("files"),
        host: Label::truncated("here"),
        user: Label::truncated("me"),
        paths: Default::default(),
        tags: Default::default(),
        parent: None,
        root,
        summary: Summary::default(),
        program: program(),
        signature: Signature::default(),
        extras: Extras::default(),
    }
}
