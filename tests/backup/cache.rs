//! The local cache: shared, lost, damaged, left by another version; never an error, never a wait.

use std::fs;
use std::path::{Path, PathBuf};

use keepstone::storage::{FaultyStore, MemoryStore, Verb};
use tempfile::TempDir;

use crate::support::*;

fn level_files(cache: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(cache).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(level_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "level") {
            found.push(path);
        }
    }
    found
}

fn backed_up() -> (MemoryStore, TempDir, MemorySource, keepstone::id::SnapshotId) {
    let (store, cache) = (MemoryStore::new(), TempDir::new().unwrap());
    make(&store);
    let mut source = MemorySource::default();
    for number in 0..60 {
        source.set(&format!("{number}"), noise(number, 3000));
    }
    let id = saved(&back_up(&open(store.clone(), cache.path()), &source));
    (store, cache, source, id)
}

#[test]
fn a_damaged_level_is_rebuilt_and_said() {
    let (store, cache, source, id) = backed_up();
    let damages: [&dyn Fn(&Path); 4] = [
        &|path| fs::write(path, b"").unwrap(),
        &|path| fs::write(path, b"not a database at all").unwrap(),
        &|path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        },
        &|path| {
            let mut bytes = fs::read(path).unwrap();
            bytes[..64].fill(0xff);
            fs::write(path, bytes).unwrap();
        },
    ];
    for damage in damages {
        let levels = level_files(cache.path());
        assert!(!levels.is_empty());
        levels.iter().for_each(|path| damage(path));

        let repository = open(store.clone(), cache.path());

        assert_eq!(repository.first_sync().unusable.len(), levels.len());
        assert_holds(&repository, &id, &source);
    }
}

/// redb panics on some damaged pages, and reads others as if nothing were there.
#[test]
fn a_level_that_is_damaged_anywhere_harms_nothing() {
    let (store, cache, source, id) = backed_up();
    let path = level_files(cache.path()).pop().unwrap();
    let whole = fs::read(&path).unwrap();
    let used: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
    for at in used.iter().step_by(used.len() / 150) {
        let mut damaged = whole.clone();
        damaged[*at] ^= 0x41;
        level_files(cache.path()).iter().for_each(|path| fs::remove_file(path).unwrap());
        fs::write(&path, damaged).unwrap();

        assert_holds(&open(store.clone(), cache.path()), &id, &source);
    }
}

#[test]
fn a_lost_cache_is_rebuilt() {
    let (store, cache, source, id) = backed_up();
    fs::remove_dir_all(cache.path()).unwrap();

    let repository = open(store, cache.path());

    assert_holds(&repository, &id, &source);
    assert_eq!(back_up(&repository, &source).summary.blobs_added, 0);
}

#[test]
fn a_damaged_copy_of_metadata_is_fetched_anew() {
    let (store, cache, source, id) = backed_up();
    let repository = open(store.clone(), cache.path());
    for copy in fs::read_dir(repository.cache_dir().join("meta")).unwrap().flatten() {
        let mut bytes = fs::read(copy.path()).unwrap();
        bytes.iter_mut().skip(60).for_each(|byte| *byte ^= 1);
        fs::write(copy.path(), bytes).unwrap();
    }

    assert_holds(&repository, &id, &source);
}

/// The cipher made of a damaged salt was kept, and everything in the pack was called damaged.
#[test]
fn a_damaged_salt_in_a_copy_of_metadata_is_fetched_anew() {
    let (store, cache, source, id) = backed_up();
    let repository = open(store.clone(), cache.path());
    for copy in fs::read_dir(repository.cache_dir().join("meta")).unwrap().flatten() {
        let mut bytes = fs::read(copy.path()).unwrap();
        bytes[30] ^= 1;
        fs::write(copy.path(), bytes).unwrap();
    }

    assert_holds(&repository, &id, &source);
}

#[test]
fn an_opening_costs_what_is_new() {
    let (store, cache, ..) = backed_up();
    drop(open(store.clone(), cache.path()));

    let watched = FaultyStore::new(store);
    drop(open(watched.clone(), cache.path()));

    let gets = watched.calls().into_iter().filter(|call| call.verb == Verb::Get && call.name.starts_with("index/"));
    assert_eq!(gets.count(), 0);
}

#[test]
fn many_backups_leave_few_levels() {
    let (store, cache, mut source, _) = backed_up();
    for round in 0..20 {
        source.set(&format!("new {round}"), noise(5000 + round, 3000));
        back_up(&open(store.clone(), cache.path()), &source);
    }

    let levels = level_files(cache.path());

    assert!(levels.len() <= 5, "{levels:?}");
    assert_eq!(levels.len(), open(store, cache.path()).view().levels());
}

#[test]
fn a_segment_that_vanishes_is_noticed_and_its_blobs_are_stored_again() {
    let (store, cache, source, _) = backed_up();
    let segments: Vec<_> = store.objects().into_keys().filter(|name| name.as_str().starts_with("index/")).collect();
    segments.iter().for_each(|name| drop(store.remove(name)));

    let repository = open(store, cache.path());

    assert_eq!(repository.first_sync().vanished.len(), segments.len());
    let healed = back_up(&repository, &source);
    assert_holds(&repository, &saved(&healed), &source);
}

#[test]
fn two_that_use_one_cache_at_once_do_not_disturb_each_other() {
    let (store, cache, source, id) = backed_up();
    std::thread::scope(|scope| {
        for actor in 0..4 {
            let (store, cache, source) = (store.clone(), cache.path(), &source);
            scope.spawn(move || {
                for round in 0..5 {
                    let mut own = MemorySource { files: source.files.clone(), ..Default::default() };
                    let version = i64::try_from(round).unwrap() + 2;
                    let file = File { version, ..File::new(noise(actor * 100 + round, 20_000)) };
                    own.files.insert(format!("of {actor}"), file);
                    let repository = open(store.clone(), cache);
                    let report = back_up(&repository, &own);
                    assert_holds(&repository, &saved(&report), &own);
                }
            });
        }
    });
    assert_holds(&open(store, cache.path()), &id, &source);
}

#[test]
fn a_cache_that_is_gone_while_it_is_in_use_is_no_loss() {
    let (store, cache, source, id) = backed_up();
    let repository = open(store.clone(), cache.path());
    level_files(cache.path()).iter().for_each(|path| fs::remove_file(path).unwrap());

    assert_holds(&repository, &id, &source);
}

/// Gets of objects in a directory.
fn gets(faulty: &FaultyStore, dir: &str) -> usize {
    let calls = faulty.calls();
    calls.iter().filter(|call| call.verb == Verb::Get && call.name.starts_with(dir)).count()
}

#[test]
fn a_keyring_that_was_seen_is_not_fetched_again_and_a_key_slot_is() {
    let (store, cache, ..) = backed_up();
    open(store.clone(), cache.path());

    let faulty = FaultyStore::new(store.clone());
    open(faulty.clone(), cache.path());

    assert_eq!((gets(&faulty, "keyring/"), gets(&faulty, "keys/")), (0, 1));
    let slots = fs::read_dir(cache.path()).unwrap().flatten().any(|entry| entry.path().join("small/keys").exists());
    assert!(!slots, "what a password can be tried on is not kept");
}

#[test]
fn a_damaged_copy_of_a_keyring_is_fetched_anew_and_one_that_is_gone_from_the_store_is_not_believed() {
    let (store, cache, ..) = backed_up();
    let repository = open(store.clone(), cache.path());
    let copies = repository.cache_dir().join("small/keyring");
    drop(open(store.clone(), cache.path()));
    let copy = fs::read_dir(&copies).unwrap().flatten().next().unwrap().path();
    let whole = fs::read(&copy).unwrap();
    fs::write(&copy, &whole[1..]).unwrap();

    let faulty = FaultyStore::new(store.clone());
    open(faulty.clone(), cache.path());

    assert_eq!(gets(&faulty, "keyring/"), 1);
    assert!(fs::read(&copy).unwrap() == whole);
    let name = store.objects().into_keys().find(|name| name.as_str().starts_with("keyring/")).unwrap();
    store.remove(&name);
    assert!(try_open(store, cache.path()).is_err());
}
