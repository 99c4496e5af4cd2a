//! A backup that dies at any store call harms nothing, and the next one succeeds.

use keepstone::ops::backup::BackupError;
use keepstone::storage::{Fault, FaultyStore, MemoryStore};
use tempfile::TempDir;

use crate::support::*;

fn sources() -> (MemorySource, MemorySource) {
    let mut first = MemorySource::default();
    for number in 0..30 {
        first.set(&format!("dir/{number:03}"), noise(number, 5000));
    }
    let mut second = MemorySource { files: first.files.clone(), ..Default::default() };
    for number in 10..50 {
        second.set(&format!("dir/{number:03}"), noise(number + 1000, 6000));
    }
    (first, second)
}

#[test]
fn every_store_call_is_a_crash_point_and_none_loses_anything() {
    let (first, second) = sources();
    let mut points = 0;
    for calls in 0.. {
        let (store, cache) = (MemoryStore::new(), TempDir::new().unwrap());
        make(&store);
        let good = saved(&back_up(&open(store.clone(), cache.path()), &first));

        let faulty = FaultyStore::new(store.clone()).crash_after(calls);
        let ended = match try_open(faulty, cache.path()) {
            Err(_) => None,
            Ok(repository) => back_up_with(&repository, &second, &options()).0.ok(),
        };

        // Another machine looks at what is left, without our cache.
        let repository = fresh(&store);
        assert_holds(&repository, &good, &first);
        if let Some(report) = &ended {
            assert_holds(&repository, &saved(report), &second);
        }
        drop(repository);
        let next = back_up(&open(store.clone(), cache.path()), &second);
        assert_holds(&open(store, cache.path()), &saved(&next), &second);
        if ended.is_some() {
            break;
        }
        points += 1;
    }
    assert!(points > 15, "only {points} crash points were tried");
}

#[test]
fn a_full_store_fails_the_run_and_harms_nothing() {
    let (first, second) = sources();
    for call in 0..12 {
        let (store, cache) = (MemoryStore::new(), TempDir::new().unwrap());
        make(&store);
        let good = saved(&back_up(&open(store.clone(), cache.path()), &first));
        let seen = std::sync::atomic::AtomicU64::new(0);
        let faulty = FaultyStore::new(store.clone()).fault(Fault::Full, move |call_made| {
            call_made.verb.changes() && seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= call
        });

        let ended = try_open(faulty, cache.path()).map(|repository| back_up_with(&repository, &second, &options()).0);

        assert!(matches!(ended, Ok(Err(BackupError::Repository(_) | BackupError::Unreported(_))) | Ok(Ok(_)) | Err(_)));
        let repository = open(store, cache.path());
        assert_holds(&repository, &good, &first);
        assert_holds(&repository, &saved(&back_up(&repository, &second)), &second);
    }
}

#[test]
fn an_unclear_put_is_no_reason_to_believe_in_it() {
    let (first, _) = sources();
    for call in 0..40 {
        let (store, cache) = (MemoryStore::new(), TempDir::new().unwrap());
        make(&store);
        let faulty = FaultyStore::new(store.clone()).fault_at(call, Fault::Unclear);
        if let Ok(repository) = try_open(faulty, cache.path())
            && let Ok(report) = back_up_with(&repository, &first, &options()).0
        {
            let other = fresh(&store);
            assert_holds(&other, &saved(&report), &first);
        }
        let repository = open(store, cache.path());
        assert_holds(&repository, &saved(&back_up(&repository, &first)), &first);
    }
}
