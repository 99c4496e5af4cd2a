//! Which packs go, which stay, and which are rewritten.

use keepstone::format::segment::Segment;
use keepstone::ops::prune::Fate;
use keepstone::repo::{RepoError, name_of};
use keepstone::storage::{FaultyStore, MemoryStore, Verb};

use crate::scene::*;
use crate::support::*;

#[test]
fn nothing_goes_while_all_is_needed() {
    let (store, cache) = (MemoryStore::new(), scratch());
    make(&store);
    let mut promised = Promised::default();
    promised.back_up(&open(store.clone(), cache.path()), files(0..60, 4000));
    promised.back_up(&open(store.clone(), cache.path()), files(30..90, 4000));
    let before = names(&store, "packs/");

    let report = pruned(&open(store.clone(), cache.path()));

    assert!(report.plan.is_idle(), "{:?}", report.plan);
    assert_eq!(names(&store, "packs/"), before);
    assert_eq!(names(&store, "sessions/"), []);
    promised.assert_kept(&store);
    assert_sound(&store);
}

#[test]
fn what_a_forgotten_snapshot_alone_needed_goes() {
    let (store, cache) = (MemoryStore::new(), scratch());
    make(&store);
    let mut promised = Promised::default();
    let first = promised.back_up(&open(store.clone(), cache.path()), files(0..100, 4000));
    let alone = bytes(&store, "packs/");
    promised.back_up(&open(store.clone(), cache.path()), files(90..120, 4000));
    promised.0.remove(&first);
    forget(&store, &first);

    let report = pruned(&open(store.clone(), cache.path()));

    assert!(report.plan.total(Fate::Drop).packs > 0 && report.plan.total(Fate::Rewrite).packs > 0);
    assert_eq!(names(&store, "condemned/"), []);
    assert_eq!(names(&store, "sessions/"), []);
    assert!(bytes(&store, "packs/") < alone * 2 / 5, "{} of {alone}", bytes(&store, "packs/"));
    promised.assert_kept(&store);
    assert_eq!(assert_sound(&store).garbage_packs, 0);
    let again = pruned(&open(store.clone(), cache.path()));
    assert!(again.plan.is_idle(), "{:?}", again.plan);
    // And the repository still works.
    promised.back_up(&open(store.clone(), cache.path()), files(0..130, 4000));
    promised.assert_kept(&store);
}

#[test]
fn a_prune_that_is_taken_for_dead_when_it_replaces_segments_removes_none() {
    let (store, cache) = (MemoryStore::new(), scratch());
    make(&store);
    let mut promised = Promised::default();
    let first = promised.back_up(&open(store.clone(), cache.path()), files(0..100, 4000));
    promised.back_up(&open(store.clone(), cache.path()), files(90..120, 4000));
    promised.0.remove(&first);
    forget(&store, &first);
    let before = names(&store, "index/");
    let below = store.clone();
    let watched = FaultyStore::new(store.clone()).rule(move |call| {
        let replaces = call.verb == Verb::Put && call.name.starts_with("index/");
        if replaces && !names(&below, "condemned/").is_empty() {
            names(&below, "sessions/").iter().for_each(|name| drop(below.remove(name)));
        }
        None
    });

    let ended = try_prune(&open(watched, cache.path()), &thrifty());

    assert!(matches!(ended, Err(RepoError::Conflict(_))), "{ended:?}");
    let after = names(&store, "index/");
    assert!(before.iter().all(|name| after.contains(name)), "the new segment may count for nobody");
    promised.assert_kept(&store);
    pruned(&open(store.clone(), cache.path()));
    promised.assert_kept(&store);
    assert_sound(&store);
}

#[test]
fn data_packs_that_are_wholly_live_or_wholly_dead_are_not_read() {
    let (store, cache) = (MemoryStore::new(), scratch());
    make(&store);
    let mut promised = Promised::default();
    let first = promised.back_up(&open(store.clone(), cache.path()), files(0..200, 4000));
    promised.back_up(&open(store.clone(), cache.path()), files(300..500, 4000));
    promised.0.remove(&first);
    forget(&store, &first);
    let watched = FaultyStore::new(store.clone());

    let repository = open(watched.clone(), cache.path());
    let report = pruned(&repository);

    assert!(report.plan.total(Fate::Drop).packs > 4);
    let reads = watched
        .calls()
        .into_iter()
        .filter(|call| call.name.starts_with("packs/") && matches!(call.verb, Verb::Get | Verb::GetRange));
    let read: std::collections::BTreeSet<String> = reads.map(|call| call.name.to_string()).collect();
    let rewritten: std::collections::BTreeSet<String> =
        report.plan.packs(Fate::Rewrite).map(|id| keepstone::repo::pack_name(&id).to_string()).collect();
    assert!(read.is_subset(&rewritten), "{read:?} {rewritten:?}");
    promised.assert_kept(&store);
}

#[test]
fn an_empty_repository_is_pruned_to_nothing() {
    let (store, cache) = (MemoryStore::new(), scratch());
    make(&store);
    let id = saved(&back_up(&open(store.clone(), cache.path()), &files(0..30, 4000)));
    forget(&store, &id);
    let report = pruned(&open(store.clone(), cache.path()));
    assert!(report.deleted.packs > 0);
    assert_eq!(names(&store, "packs/"), []);
    assert_sound(&store);
}

#[test]
fn a_machine_that_missed_two_prunes_sees_no_rollback_in_them_and_one_in_a_lost_segment() {
    let (store, cache, other) = (MemoryStore::new(), scratch(), scratch());
    make(&store);
    let mut promised = Promised::default();
    let mut ids = Vec::new();
    for night in 0..4 {
        ids.push(promised.back_up(&open(store.clone(), cache.path()), files(night * 50..night * 50 + 60, 4000)));
    }
    drop(open(store.clone(), other.path()));
    for id in &ids[..2] {
        promised.0.remove(id);
        forget(&store, id);
        assert!(pruned(&open(store.clone(), cache.path())).replaced.removed > 0);
    }
    assert_eq!(open(store.clone(), other.path()).first_sync().vanished, []);

    let lost = names(&store, "index/").swap_remove(0);
    store.remove(&lost);
    let vanished = open(store, other.path()).first_sync().vanished.clone();
    // With it goes its word that it replaced others.
    assert!(vanished.iter().any(|id| name_of::<Segment>(id) == lost), "{lost}: {vanished:?}");
}
