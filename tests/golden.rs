//! What an earlier version wrote is read by this one: every golden repository comes back whole.

#[path = "spec_reader/manifest.rs"]
mod manifest;

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use keepstone::component::files::FilesTarget;
use keepstone::format::control::Snapshot;
use keepstone::id::Id;
use keepstone::ops::restore::{Listener, Origin, RestoreCounters, RestoreOptions, restore};
use keepstone::ops::source::Trouble;
use keepstone::repo::{CacheDir, Repository, SystemChance};
use keepstone::storage::LocalStore;
use tempfile::TempDir;

/// A repository for each version of the format that was ever released.
const RELEASED: [&str; 1] = ["v1"];

#[test]
fn every_released_version_has_a_golden_repository_and_a_manifest() {
    let entries = fs::read_dir(manifest::golden()).unwrap().map(|entry| entry.unwrap());
    let mut versions: Vec<_> = entries
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    versions.sort();
    assert_eq!(versions, RELEASED);
    for version in RELEASED {
        assert!(!manifest::read(version).password.is_empty());
    }
}

#[test]
fn every_golden_repository_comes_back_whole() {
    for version in RELEASED {
        let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let golden = manifest::read(version);
        let repository = open_copy(version, &golden.password, &place);
        assert_eq!(repository.objects().list::<Snapshot>().unwrap().len(), golden.snapshots.len(), "{version}");
        for expected in &golden.snapshots {
            let snapshot: Snapshot = repository.objects().get(&Id::from_hex(&expected.id).unwrap()).unwrap();
            let tags: Vec<String> = snapshot.tags.iter().map(|tag| tag[..].to_owned()).collect();
            assert_eq!(tags, expected.tags);
            let target = place.path().join(&expected.id);
            restore_whole(&repository, &snapshot, &target);
            expected.assert_came_back(&target);
        }
    }
}

/// A copy is opened: nothing that this version does by mistake reaches the original.
fn open_copy(version: &str, password: &str, place: &TempDir) -> Repository {
    let copy = place.path().join(version);
    copy_dir(&manifest::golden().join(version), &copy);
    let store = LocalStore::open(&copy).unwrap();
    Repository::open(Box::new(store), password.as_bytes(), &CacheDir::Temporary, Box::new(SystemChance)).unwrap()
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn restore_whole(repository: &Repository, snapshot: &Snapshot, target: &Path) {
    let troubles = Mutex::new(Vec::new());
    let listener = Listener {
        counters: &RestoreCounters::default(),
        on_item: None,
        on_trouble: &|trouble: &Trouble| troubles.lock().unwrap().push(trouble.to_string()),
        interrupted: &|| false,
    };
    let target = FilesTarget::open(target).unwrap();
    let options = RestoreOptions { verify: true, ..RestoreOptions::default() };
    let report = restore(repository, &Origin::Directory(snapshot.root.clone()), &target, &options, &listener).unwrap();
    assert_eq!(troubles.into_inner().unwrap(), Vec::<String>::new());
    assert_eq!(report.damaged_count, 0);
}
