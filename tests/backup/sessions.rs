//! What a writer does when a prune took it for dead, and what it does not rely on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use keepstone::format::codec::Ascending;
use keepstone::format::control::{Condemned, Lineage, Signature};
use keepstone::format::extras::Extras;
use keepstone::format::segment::Segment;
use keepstone::id::{PackId, SessionId};
use keepstone::ops::backup::BackupError;
use keepstone::repo::{RepoError, Repository};
use keepstone::storage::{FaultyStore, MemoryStore, ObjectName, Store, Verb};
use tempfile::TempDir;

use crate::support::*;

fn names(store: &MemoryStore, dir: &str) -> Vec<ObjectName> {
    store.objects().into_keys().filter(|name| name.as_str().starts_with(dir)).collect()
}

fn source() -> MemorySource {
    let mut source = MemorySource::default();
    (0..40).for_each(|number| source.set(&format!("{number}"), noise(number, 3000)));
    source
}

fn all_packs(repository: &Repository) -> Vec<PackId> {
    let segments = repository.objects().list::<Segment>().unwrap();
    let segments = segments.iter().map(|id| repository.objects().get::<Segment>(id).unwrap());
    segments.flat_map(|segment| segment.header.packs.iter().map(|pack| pack.id).collect::<Vec<_>>()).collect()
}

fn condemn(repository: &Repository, packs: Vec<PackId>) {
    let record = Condemned {
        session: SessionId::from_bytes([1; 32]),
        lineage: Lineage::default(),
        packs: Ascending::new(packs).unwrap(),
        signature: Signature::default(),
        extras: Extras::default(),
    };
    repository.objects().put(&record).unwrap();
}

#[test]
fn a_session_is_announced_while_it_works_and_withdrawn_after() {
    let (store, cache) = (MemoryStore::new(), TempDir::new().unwrap());
    make(&store);
    let seen = Arc::new(AtomicBool::new(false));
    let (watched, saw) = (store.clone(), Arc::clone(&seen));
    let mut source = source();
    source.on_open = Some(Box::new(move |_| saw.store(!names(&watched, "sessions/").is_empty(), Relaxed)));

    back_up(&open(store.clone(), cache.path()), &source);

    assert!(seen.load(Relaxed));
    assert_eq!(names(&store, "sessions/"), []);
}

#[test]
fn condemned_packs_are_not_relied_on() {
    let (store, cache) = (MemoryStore::new(), TempDir::new().unwrap());
    make(&store);
    let source = source();
    let repository = open(store.clone(), cache.path());
    back_up(&repository, &source);
    let doomed = all_packs(&repository);
    condemn(&repository, doomed.clone());

    let second = back_up(&repository, &source);

    // The deletion that the record announced.
    doomed.iter().for_each(|pack| store.delete(&keepstone::repo::pack_name(pack)).unwrap());
    let fresh = fresh(&store);
    assert_holds(&fresh, &saved(&second), &source);
}

#[test]
fn a_cut_pack_is_not_relied_on() {
    let (store, cache) = (MemoryStore::new(), TempDir::new().unwrap());
    make(&store);
    let source = source();
    back_up(&open(store.clone(), cache.path()), &source);
    for name in names(&store, "packs/") {
        let bytes = store.get(&name, u64::MAX).unwrap();
        store.set(&name, &bytes[..bytes.len() - 1]);
    }

    let healed = back_up(&open(store.clone(), cache.path()), &source);

    let fresh = fresh(&store);
    assert_holds(&fresh, &saved(&healed), &source);
}

/// Removes every announcement just before the n-th snapshot or segment is put.
fn taken_for_dead(
    store: &MemoryStore,
    dir: &'static str,
    then: impl Fn(&MemoryStore) + Send + Sync + 'static,
) -> FaultyStore {
    let (below, done) = (store.clone(), AtomicBool::new(false));
    FaultyStore::new(store.clone()).rule(move |call| {
        if call.verb == Verb::Put && call.name.starts_with(dir) && !done.swap(true, Relaxed) {
            names(&below, "sessions/").iter().for_each(|name| drop(below.remove(name)));
            then(&below);
        }
        None
    })
}

#[test]
fn a_writer_that_was_taken_for_dead_and_lost_nothing_succeeds() {
    for dir in ["index/", "snapshots/"] {
        let (store, cache) = (MemoryStore::new(), TempDir::new().unwrap());
        make(&store);
        let source = source();

        let report = back_up(&open(taken_for_dead(&store, dir, |_| ()), cache.path()), &source);

        let fresh = fresh(&store);
        assert_holds(&fresh, &saved(&report), &source);
        assert_eq!(names(&store, "sessions/"), []);
    }
}

#[test]
fn a_writer_that_was_taken_for_dead_and_lost_packs_leaves_no_snapshot() {
    for dir in ["index/", "snapshots/"] {
        let (store, cache) = (MemoryStore::new(), TempDir::new().unwrap());
        make(&store);
        let source = source();
        let first = back_up(&open(store.clone(), cache.path()), &source);
        let mut more = MemorySource { files: source.files.clone(), ..Default::default() };
        more.set("more", noise(99, 3000));
        // The prune that took it for dead also deleted what the run relies on.
        let lossy = taken_for_dead(&store, dir, |below| {
            names(below, "packs/").iter().for_each(|name| drop(below.remove(name)));
        });

        let (ended, _) = back_up_with(&open(lossy, cache.path()), &more, &options());

        assert!(matches!(ended, Err(BackupError::Repository(RepoError::Conflict(_)))), "{ended:?}");
        let snapshots = names(&store, "snapshots/");
        assert_eq!(snapshots.len(), 1, "only the first is left");
        assert!(snapshots[0].as_str().ends_with(&saved(&first).to_hex()));
        let again = back_up(&open(store.clone(), cache.path()), &more);
        let fresh = fresh(&store);
        assert_holds(&fresh, &saved(&again), &more);
    }
}

#[test]
fn the_order_of_writes_is_the_specs() {
    let (store, cache) = (MemoryStore::new(), TempDir::new().unwrap());
    make(&store);
    let watched = FaultyStore::new(store.clone());
    let repository = open(watched.clone(), cache.path());
    back_up(&repository, &source());

    let calls = watched.calls();
    let first = |verb: Verb, dir: &str| calls.iter().position(|call| call.verb == verb && call.name.starts_with(dir));
    let last = |verb: Verb, dir: &str| calls.iter().rposition(|call| call.verb == verb && call.name.starts_with(dir));
    let announced = calls.iter().position(|call| call.verb == Verb::Put && call.name.starts_with("sessions/"));
    assert!(first(Verb::List, "condemned") < announced, "A1 before A2");
    let listed_again = last(Verb::List, "condemned");
    assert!(announced < listed_again && listed_again < first(Verb::List, "packs"), "A4, then A5, after A2");
    assert!(first(Verb::List, "packs") < last(Verb::List, "index"), "A6 after A5");
    assert!(last(Verb::Commit, "packs/") < last(Verb::Put, "index/"), "B3 before B4");
    let put = first(Verb::Put, "snapshots/");
    assert!(last(Verb::Put, "index/") < put, "B4 before B6");
    let looks: Vec<usize> =
        (0..calls.len()).filter(|&at| calls[at].verb == Verb::Len && calls[at].name.starts_with("sessions/")).collect();
    assert!(Some(looks[0]) < put && put < Some(looks[1]), "B5 before B6 before B7");
    assert!(looks[1] < first(Verb::Delete, "sessions/").unwrap(), "B7 before B9");
}

#[test]
fn a_run_in_which_anything_could_not_be_stored_commits_nothing() {
    // The failing pack may be any; a file that failed for its own reasons must not hide it.
    for failing in 0..4 {
        let (store, cache) = (MemoryStore::new(), TempDir::new().unwrap());
        make(&store);
        let mut source = source();
        source.set("long", noise(77, 400_000));
        source.unreadable.push("3".into());
        let commits = std::sync::atomic::AtomicU64::new(0);
        let faulty = FaultyStore::new(store.clone())
            .fail(move |call| call.verb == Verb::Commit && commits.fetch_add(1, Relaxed) == failing);

        let (ended, _) = back_up_with(&open(faulty, cache.path()), &source, &options());

        assert!(ended.is_err(), "commit {failing}");
        assert_eq!(names(&store, "snapshots/"), []);
    }
}

#[test]
fn a_session_that_cannot_be_looked_for_is_taken_for_gone() {
    let (store, cache) = (MemoryStore::new(), TempDir::new().unwrap());
    make(&store);
    let looks = std::sync::atomic::AtomicU64::new(0);
    let faulty = FaultyStore::new(store.clone()).fail(move |call| {
        let is_look = call.verb == Verb::Len && call.name.starts_with("sessions/");
        is_look && looks.fetch_add(1, Relaxed) == 1
    });
    let source = source();

    let report = back_up(&open(faulty, cache.path()), &source);

    assert_holds(&fresh(&store), &saved(&report), &source);
    assert_eq!(names(&store, "sessions/"), []);
}
