//! A prune that dies at any store call harms nothing, and the next one finishes what it began.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use keepstone::ops::check::CheckReport;
use keepstone::ops::prune::PruneReport;
use keepstone::repo::RepoError;
use keepstone::storage::{Call, Fault, FaultyStore, MemoryStore, ObjectName};

use crate::scene::*;
use crate::support::*;

/// A repository in which there is something to do for a prune, and what it promised.
struct Start {
    objects: BTreeMap<ObjectName, Vec<u8>>,
    promised: Promised,
}

impl Start {
    fn of(store: &MemoryStore, promised: Promised) -> Self {
        Start { objects: store.objects(), promised }
    }

    fn store(&self) -> MemoryStore {
        MemoryStore::holding(self.objects.clone())
    }
}

/// Packs that nobody needs, packs that are half needed, and one that a dead writer left.
fn with_garbage() -> Start {
    let (store, cache) = (MemoryStore::new(), scratch());
    make(&store);
    let mut promised = Promised::default();
    let first = promised.back_up(&open(store.clone(), cache.path()), files(0..60, 4000));
    let kept: Vec<u64> = (0..60).filter(|number| number % 9 == 0).collect();
    let mut second = files(100..110, 4000);
    kept.into_iter().for_each(|number| second.set(&format!("kept/{number}"), noise(number, 4000)));
    promised.back_up(&open(store.clone(), cache.path()), second);
    promised.0.remove(&first);
    forget(&store, &first);
    let dies = FaultyStore::new(store.clone())
        .fault(Fault::Crash, |call| call.name.starts_with("snapshots/") && call.verb.changes());
    let died = back_up_with(&open(dies, cache.path()), &files(200..210, 4000), &options()).0;
    assert!(died.is_err());
    Start::of(&store, promised)
}

/// Packs that were condemned while a backup ran, which has come to need some of them since.
fn with_condemned_packs_that_are_needed() -> Start {
    let (store, cache) = (MemoryStore::new(), scratch());
    make(&store);
    let mut promised = Promised::default();
    let first = promised.back_up(&open(store.clone(), cache.path()), files(0..40, 4000));
    promised.0.remove(&first);
    forget(&store, &first);
    let mut source = files(0..20, 4000);
    source.set("new", noise(1000, 4000));
    let (pruner, pruner_cache) = (store.clone(), scratch());
    let waiting = Arc::new(Mutex::new(None));
    let told = Arc::clone(&waiting);
    source.on_open = Some(Box::new(move |path| {
        if path == "new" {
            *told.lock().unwrap() = Some(pruned(&open(pruner.clone(), pruner_cache.path())).waiting_packs);
        }
    }));
    promised.back_up(&open(store.clone(), cache.path()), source);
    assert!(waiting.lock().unwrap().is_some_and(|packs| packs > 0));
    assert!(!names(&store, "condemned/").is_empty());
    Start::of(&store, promised)
}

/// Calls are counted but for leases, which are renewed by a thread of their own.
fn counted(store: MemoryStore, faults: impl Fn(u64, &Call) -> Option<Fault> + Send + Sync + 'static) -> FaultyStore {
    let seen = AtomicU64::new(0);
    FaultyStore::new(store).rule(move |call| match call.name.ends_with(".beat") {
        true => None,
        false => faults(seen.fetch_add(1, Relaxed), call),
    })
}

fn prune_on(store: FaultyStore, cache: &Path) -> Result<PruneReport, RepoError> {
    try_open(store, cache).and_then(|repository| try_prune(&repository, &thrifty()))
}

/// A prune, as soon as it is known that the session which died is dead.
#[track_caller]
fn later_prune(store: &MemoryStore, cache: &Path) -> PruneReport {
    let first = try_prune(&open(store.clone(), cache), &impatient());
    match first {
        Ok(report) if report.waiting_packs == 0 => report,
        Ok(_) | Err(RepoError::Conflict(_)) => try_prune(&open(store.clone(), cache), &impatient()).unwrap(),
        Err(error) => panic!("{error}"),
    }
}

/// What must hold after any crash.
#[track_caller]
fn assert_recovers(start: &Start, store: &MemoryStore) {
    start.promised.assert_kept(store);
    assert_sound(store);
    let cache = scratch();
    let mut source = files(50..70, 4000);
    source.set("kept/9", noise(9, 4000));
    let next = saved(&back_up(&open(store.clone(), cache.path()), &source));
    let report = later_prune(store, cache.path());
    assert_eq!((report.waiting_packs, report.unconfirmed.len()), (0, 0), "{report:?}");
    start.promised.assert_kept(store);
    assert_holds(&fresh(store), &next, &source);
    let CheckReport { garbage_packs, .. } = assert_sound(store);
    assert_eq!(garbage_packs, 0);
    assert_eq!((names(store, "condemned/"), names(store, "sessions/")), (vec![], vec![]));
}

/// Runs `crash` with each call in turn, until it says that there was none.
fn each_call(start: &Start, crash: impl Fn(u64, &MemoryStore) -> bool) -> u64 {
    for call in 0.. {
        let store = start.store();
        if !crash(call, &store) {
            return call;
        }
    }
    unreachable!("a prune ends")
}

/// The process is gone with call `at`, which has `fault` itself.
fn dying(store: MemoryStore, at: u64, fault: Fault) -> FaultyStore {
    counted(store, move |nth, _| match nth.cmp(&at) {
        std::cmp::Ordering::Less => None,
        std::cmp::Ordering::Equal => Some(fault),
        std::cmp::Ordering::Greater => Some(Fault::Crash),
    })
}

fn dies_anywhere(start: &Start, fault: Fault) {
    let calls = each_call(start, |call, store| {
        let cache = scratch();
        let faulty = dying(store.clone(), call, fault);
        let struck = |faulty: &FaultyStore| faulty.faults() > 0;
        let ended = prune_on(faulty.clone(), cache.path());
        assert!(ended.is_ok() || struck(&faulty), "{ended:?}");
        assert_recovers(start, store);
        struck(&faulty)
    });
    assert!(calls > 40, "only {calls} crash points were tried");
}

#[test]
fn every_store_call_of_a_prune_is_a_crash_point_and_none_loses_anything() {
    dies_anywhere(&with_garbage(), Fault::Crash);
}

#[test]
fn so_it_is_while_what_was_condemned_is_rescued() {
    dies_anywhere(&with_condemned_packs_that_are_needed(), Fault::Crash);
}

#[test]
fn it_may_die_after_the_call_was_done_and_before_the_answer_came() {
    dies_anywhere(&with_garbage(), Fault::Unclear);
    dies_anywhere(&with_condemned_packs_that_are_needed(), Fault::Unclear);
}

/// A store that promises less than we ask: it may keep the beginning of what was being put.
#[test]
fn a_torn_object_is_named_and_is_all_that_is_harmed() {
    for start in [with_garbage(), with_condemned_packs_that_are_needed()] {
        let torn = AtomicU64::new(0);
        each_call(&start, |call, store| {
            let (cache, before) = (scratch(), store.objects());
            let faulty = dying(store.clone(), call, Fault::Torn { keep: 100 });
            drop(prune_on(faulty.clone(), cache.path()));
            let last = faulty.calls().into_iter().find(|call| matches!(call.fault, Some(Fault::Torn { .. })));
            let Some(last) = last else { return false };
            let name =
                ObjectName::new(&last.name).ok().filter(|name| last.verb.changes() && !before.contains_key(name));
            if let Some(name) = name.filter(|name| store.objects().contains_key(name)) {
                start.promised.assert_kept(store);
                let (_, findings) = checked(store);
                assert!(findings.iter().all(|finding| format!("{finding:?}").contains(name.as_str())), "{findings:#?}");
                // It harms nothing, and once it is out of the way nothing is left of it.
                let later = try_prune(&open(store.clone(), cache.path()), &impatient());
                assert!(
                    later.is_ok() || matches!(later, Err(RepoError::Damaged { .. } | RepoError::Conflict(_))),
                    "{later:?}"
                );
                start.promised.assert_kept(store);
                store.remove(&name);
                torn.fetch_add(1, Relaxed);
            }
            assert_recovers(&start, store);
            true
        });
        assert!(torn.load(Relaxed) >= 5, "{torn:?} objects were torn");
    }
}

/// Each call in turn fails, and the prune lives on.
#[test]
fn a_store_that_fails_once_ends_a_prune_or_does_not_and_harms_nothing() {
    for fault in [Fault::Fail, Fault::Full, Fault::Unclear] {
        let start = with_condemned_packs_that_are_needed();
        each_call(&start, |call, store| {
            let cache = scratch();
            let faulty = counted(store.clone(), move |nth, _| (nth == call).then_some(fault));
            drop(prune_on(faulty.clone(), cache.path()));
            assert_recovers(&start, store);
            faulty.faults() > 0
        });
    }
}
