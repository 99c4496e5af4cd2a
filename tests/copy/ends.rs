//! Copies that do not end well.

use keepstone::format::segment::PackClass;
use keepstone::id::PackId;
use keepstone::repo::{RepoError, pack_name};
use keepstone::storage::{Fault, FaultyStore, MemoryStore, Verb};

use super::assert_all_came;
use super::back::{assert_sound, read_back};
use super::root_of;
use super::scene::{copied, copy_all, related, scene, snapshots_in};
use super::stored::{About, commit, files, init, noise, open};

/// Ends a copy at each call that changes the target, and does it again.
fn at_every_change(fault: Fault, make: impl Fn(&MemoryStore) -> MemoryStore) {
    let scene = scene();
    let empty = make(&scene.store);
    let mut struck = true;
    let mut nth = 0;
    while struck {
        let into = MemoryStore::holding(empty.objects());
        let faulty = FaultyStore::new(into.clone()).rule(move |call| {
            (call.verb.changes() && call.nth_change == nth && !call.name.ends_with(".beat")).then_some(fault)
        });
        let first = copy_all(&scene.store, &faulty);
        // The number of a lease is skipped.
        struck = faulty.changes() > nth;
        if first.is_ok() && faulty.faults() == 0 {
            assert_eq!(snapshots_in(&into), 3);
        }
        // What was committed is whole, whatever became of the rest.
        let repository = open(into.clone());
        for (original, copy) in copied(&into) {
            let (_, files) = scene.snapshots.iter().find(|(id, _)| *id == original).unwrap();
            assert_eq!(&read_back(&repository, &root_of(&into, &copy)), files);
        }
        copy_all(&scene.store, &into).unwrap();
        assert_all_came(&scene, &into);
        nth += 1;
    }
    assert!(nth > 10, "it changes the target often");
}

#[test]
fn a_copy_that_is_killed_anywhere_goes_on_when_it_is_run_again() {
    at_every_change(Fault::Crash, |_| init(1 << 16));
}

#[test]
fn a_copy_into_a_related_repository_that_is_killed_anywhere_goes_on_when_it_is_run_again() {
    at_every_change(Fault::Crash, related);
}

#[test]
fn a_copy_whose_calls_fail_goes_on_when_it_is_run_again() {
    at_every_change(Fault::Fail, related);
}

/// Damages the one pack of data that only the second snapshot needs.
fn damage_the_second() -> (MemoryStore, Vec<keepstone::id::SnapshotId>) {
    let store = init(1 << 16);
    let mut ids = Vec::new();
    let mut before: Vec<PackId> = Vec::new();
    for number in 1..4u64 {
        let repository = open(store.clone());
        let name = format!("file {number}");
        let about = About { secs: number as i64, ..About::default() };
        ids.push(commit(&repository, &files([(&name, noise(number, 30_000))]), &about).0);
        let packs = repository.view().packs();
        if number == 2 {
            let new = packs.values().find(|pack| pack.class == PackClass::Data && !before.contains(&pack.id)).unwrap();
            let name = pack_name(&new.id);
            let mut bytes = store.objects()[&name].clone();
            bytes[500] ^= 1;
            store.set(&name, bytes);
        }
        before = packs.into_keys().collect();
    }
    (store, ids)
}

#[test]
fn a_snapshot_that_is_damaged_in_the_source_is_named_and_the_others_are_copied() {
    let (from, ids) = damage_the_second();
    for into in [init(1 << 16), related(&from)] {
        let report = copy_all(&from, &into).unwrap();

        assert!(
            matches!(&report.failed[..], [(id, RepoError::Damaged { .. })] if *id == ids[1]),
            "{:?}",
            report.failed
        );
        assert_eq!(copied(&into).into_keys().collect::<std::collections::BTreeSet<_>>(), [ids[0], ids[2]].into());
        assert_sound(&into);
    }
}

#[test]
fn a_damaged_copy_of_a_blob_is_no_loss_while_another_is_whole() {
    let (from, ids) = damage_the_second();
    // The same content once more: the pack that is damaged is not relied on any more.
    let whole = init(1 << 16);
    let repository = open(from.clone());
    repository.objects().store().delete(&pack_of_damage(&from)).unwrap();
    commit(&open(from.clone()), &files([("file 2", noise(2, 30_000))]), &About { secs: 9, ..About::default() });

    let report = copy_all(&from, &whole).unwrap();

    assert_eq!((report.copied.len(), report.failed.len()), (4, 0));
    assert!(copied(&whole).contains_key(&ids[1]));
    assert_sound(&whole);
}

fn pack_of_damage(store: &MemoryStore) -> keepstone::storage::ObjectName {
    let hash = |bytes: &[u8]| blake3::hash(bytes).to_hex().to_string();
    let packs = store.objects().into_iter().filter(|(name, _)| name.as_str().starts_with("packs/"));
    let mut damaged = packs.filter(|(name, bytes)| !name.as_str().ends_with(&hash(bytes)));
    damaged.next().unwrap().0
}

#[test]
fn a_source_that_cannot_be_read_fails_only_the_snapshots_that_need_it() {
    let (from, ids) = damage_the_second();
    let name = pack_of_damage(&from).to_string();
    let failing = FaultyStore::new(from.clone())
        .rule(move |call| (call.verb == Verb::GetRange && call.name == name).then_some(Fault::Fail));
    let into = init(1 << 16);

    let report = copy_all(&failing, &into).unwrap();

    assert!(matches!(&report.failed[..], [(id, RepoError::Store(_))] if *id == ids[1]), "{:?}", report.failed);
    assert_eq!(snapshots_in(&into), 2);
    assert_sound(&into);
}

#[test]
fn a_target_that_is_full_ends_the_copy_and_keeps_what_was_committed() {
    let scene = scene();
    let into = init(1 << 16);
    let committed = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let full = FaultyStore::new(into.clone()).rule(move |call| {
        let is_snapshot = call.verb == Verb::Put && call.name.starts_with("snapshots/");
        let was = committed.fetch_or(is_snapshot, std::sync::atomic::Ordering::Relaxed);
        (was && call.verb.changes() && call.verb != Verb::Delete).then_some(Fault::Full)
    });

    assert!(matches!(copy_all(&scene.store, &full), Err(RepoError::Store(_))));

    assert_eq!(snapshots_in(&into), 1);
    copy_all(&scene.store, &into).unwrap();
    assert_all_came(&scene, &into);
}

fn names(store: &MemoryStore, dir: &str) -> Vec<keepstone::storage::ObjectName> {
    store.objects().into_keys().filter(|name| name.as_str().starts_with(dir)).collect()
}

/// Whoever made it may have been taken for dead, and what it relied on removed.
#[test]
fn a_copy_that_no_run_reported_is_made_anew() {
    for make in [|_: &MemoryStore| init(1 << 16), related] {
        let scene = scene();
        let into = make(&scene.store);
        let dies = FaultyStore::new(into.clone())
            .fault(Fault::Crash, |call| call.verb == Verb::Put && call.name.starts_with("runs/"));
        assert!(copy_all(&scene.store, &dies).is_err());
        assert_eq!((snapshots_in(&into), names(&into, "runs/").len()), (3, 0));
        let before: Vec<_> = copied(&into).into_values().collect();
        for dir in ["sessions/", "packs/", "index/"] {
            names(&into, dir).iter().for_each(|name| drop(into.remove(name)));
        }

        let report = copy_all(&scene.store, &into).unwrap();

        assert_eq!((report.copied.len(), report.already_there.len()), (3, 0));
        assert_eq!(snapshots_in(&into), 3, "those that may have holes are forgotten");
        assert!(copied(&into).values().all(|copy| !before.contains(copy)));
        assert_all_came(&scene, &into);
    }
}

#[test]
fn what_was_copied_before_the_target_failed_is_reported() {
    let scene = scene();
    let into = init(1 << 16);
    let committed = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let failing = FaultyStore::new(into.clone()).rule(move |call| {
        let is_snapshot = call.verb == Verb::Put && call.name.starts_with("snapshots/");
        let was = committed.fetch_or(is_snapshot, std::sync::atomic::Ordering::Relaxed);
        (was && call.verb.changes() && call.verb != Verb::Delete && !call.name.starts_with("runs/"))
            .then_some(Fault::Fail)
    });

    assert!(matches!(copy_all(&scene.store, &failing), Err(RepoError::Store(_))));

    assert_eq!((snapshots_in(&into), names(&into, "runs/").len()), (1, 1));
    let first: Vec<_> = copied(&into).into_values().collect();
    let report = copy_all(&scene.store, &into).unwrap();
    assert_eq!(report.already_there.iter().map(|(_, copy)| *copy).collect::<Vec<_>>(), first);
    assert_all_came(&scene, &into);
}
