//! Credentials that may list, read and add, and neither delete nor replace anything but leases.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use keepstone::crypto::Chance;
use keepstone::format::tree::Time;
use keepstone::ops::check::{Listener, ReadData, check};
use keepstone::ops::progress::WorkCounters;
use keepstone::ops::prune::{self, PruneOptions, PruneReport, Thrift};
use keepstone::repo::{CacheDir, RepoError, Repository, Who};
use keepstone::storage::{Fault, FaultyStore, MemoryStore, Verb};

use super::support::*;

/// The store as such credentials see it.
fn restricted(store: &MemoryStore) -> FaultyStore {
    let below = store.clone();
    FaultyStore::new(store.clone()).rule(move |call| {
        let replaces = matches!(call.verb, Verb::Put | Verb::Commit)
            && !call.name.ends_with(".beat")
            && below.objects().keys().any(|name| name.as_str() == call.name);
        (call.verb == Verb::Delete || replaces).then_some(Fault::Deny)
    })
}

fn prune(repository: &Repository) -> keepstone::repo::Result<PruneReport> {
    let options =
        PruneOptions { who: Who::default(), thrift: Thrift::default(), patience: keepstone::repo::lease::PATIENCE };
    let counters = WorkCounters::new("nodes");
    let listener = prune::Listener { counters: &counters, interrupted: &|| false, on_plan: &|_| {} };
    prune::prune(repository, &options, &listener)
}

fn in_dir(store: &MemoryStore, dir: &str) -> Vec<String> {
    let names = store.objects().into_keys().map(|name| name.to_string());
    names.filter(|name| name.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))).collect()
}

/// Three backups, the second of which was interrupted and left a checkpoint.
fn backed_up() -> (MemoryStore, tempfile::TempDir, MemorySource, keepstone::id::SnapshotId) {
    let (store, cache) = (MemoryStore::new(), tempfile::tempdir().unwrap());
    make(&restricted(&store));
    let mut source = MemorySource::of([("a", &noise(1, 30_000)), ("b", &noise(2, 30_000))]);
    back_up(&open(restricted(&store), cache.path()), &source);
    for number in 3..40 {
        source.set(&format!("c/{number}"), noise(number, 3000));
    }
    let stop = std::sync::Arc::new(AtomicBool::new(false));
    let raise = std::sync::Arc::clone(&stop);
    source.on_open = Some(Box::new(move |path| {
        raise.fetch_or(path == "c/9", std::sync::atomic::Ordering::Relaxed);
    }));
    back_up_until(&open(restricted(&store), cache.path()), &source, &options(), &stop).unwrap_err();
    source.on_open = None;
    let id = saved(&back_up(&open(restricted(&store), cache.path()), &source));
    (store, cache, source, id)
}

#[test]
fn backups_are_made_and_their_sessions_withdrawn_where_nothing_can_be_deleted() {
    let (store, _cache, source, id) = backed_up();

    assert_holds(&fresh(&store), &id, &source);
    let sessions = in_dir(&store, "sessions");
    let done = sessions.iter().filter(|name| name.ends_with(".done")).count();
    let announced = sessions.iter().filter(|name| !name.contains('.')).count();
    assert_eq!((announced, done), (3, 3), "{sessions:?}");
    assert_eq!(in_dir(&store, "snapshots").len(), 3, "two snapshots and a checkpoint");
}

/// A month after everything.
#[derive(Debug)]
struct Later;

impl Chance for Later {
    fn random(&self) -> [u8; 32] {
        StandingClock.random()
    }
    fn now(&self) -> Time {
        Time { secs: StandingClock.now().secs + 30 * 24 * 60 * 60, nanos: 0 }
    }
}

fn open_later(store: &MemoryStore) -> Repository {
    Repository::open(Box::new(store.clone()), PASSWORD, &CacheDir::Temporary, Box::new(Later)).unwrap()
}

#[test]
fn a_check_finds_nothing_wrong_with_sessions_that_could_only_say_that_they_ended() {
    let (store, ..) = backed_up();
    let told = || {
        let told = Mutex::new(Vec::new());
        let listener = Listener {
            counters: &WorkCounters::new("objects"),
            on_finding: &|finding| told.lock().unwrap().push(finding.to_string()),
            interrupted: &|| false,
        };
        check(&mut open_later(&store), ReadData::No, &listener).unwrap();
        told.into_inner().unwrap()
    };
    assert_eq!(told(), Vec::<String>::new());

    let done = store.objects().into_keys().find(|name| name.as_str().ends_with(".done")).unwrap();
    store.remove(&done);

    assert!(matches!(&told()[..], [one] if one.contains("has not ended")), "{:?}", told());
}

#[test]
fn a_prune_that_may_not_delete_changes_nothing_and_one_that_may_clears_away_what_was_left() {
    let (store, cache, source, id) = backed_up();
    let before = store.objects();

    let refused = prune(&open(restricted(&store), cache.path())).unwrap_err();

    assert!(matches!(&refused, RepoError::Refused(why) if why.contains("may not delete")), "{refused}");
    assert!(store.objects() == before, "nothing was changed");

    prune(&open_later(&store)).unwrap();

    assert_eq!(in_dir(&store, "sessions"), Vec::<String>::new());
    assert_eq!(in_dir(&store, "snapshots").len(), 2, "the checkpoint is gone");
    assert_holds(&fresh(&store), &id, &source);
}
