//! An interrupted backup loses little: what it read is neither read nor stored again, and nobody takes what it
//! kept for a backup.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use keepstone::format::control::{Run, Snapshot, SnapshotState};
use keepstone::id::SnapshotId;
use keepstone::ops::backup::{BackupError, BackupOptions, ParentChoice};
use keepstone::ops::check::{self, ReadData};
use keepstone::ops::progress::WorkCounters;
use keepstone::ops::snapshots::{self, SnapshotFilter};
use keepstone::repo::{RepoError, Repository};
use keepstone::storage::{FaultyStore, MemoryStore, Store, Verb};
use tempfile::TempDir;

use crate::support::*;

/// Chunks of a long file that may be on their way when a backup is interrupted, and one that is being cut; the
/// longest chunk is 4096 bytes here.
const ON_THE_WAY: u64 = (8 + 2 + 2) * 4096;

fn always() -> BackupOptions {
    BackupOptions { checkpoint_every: Duration::ZERO, ..options() }
}

fn only_when_interrupted() -> BackupOptions {
    BackupOptions { checkpoint_every: Duration::MAX, ..options() }
}

fn checkpoints(repository: &Repository) -> Vec<SnapshotId> {
    let all = snapshots::all_with_checkpoints(repository).unwrap().snapshots;
    all.into_iter().filter(|(_, it)| it.state == SnapshotState::Checkpoint).map(|(id, _)| id).collect()
}

/// Raises `stop` when `path` has been read up to `at`.
fn stop_at(stop: &Arc<AtomicBool>, path: &'static str, at: u64) -> OnRead {
    let stop = Arc::clone(stop);
    Arc::new(move |read, position| {
        if read == path && position >= at {
            stop.store(true, Relaxed);
        }
    })
}

/// Interrupts a backup when `path` has been read up to `at`.
fn interrupt(repository: &Repository, source: &mut MemorySource, path: &'static str, at: u64) {
    let stop = Arc::default();
    source.on_read = Some(stop_at(&stop, path, at));
    let ended = back_up_until(repository, source, &only_when_interrupted(), &stop);
    assert!(matches!(ended, Err(BackupError::Interrupted { kept: Some(_) })), "{ended:?}");
    source.on_read = None;
    source.bytes_read();
    source.opened();
}

/// No damage is found. Packs that nobody refers to, and sessions that ended without a word, are none.
#[track_caller]
fn assert_undamaged(store: &MemoryStore) {
    let found = std::sync::Mutex::new(Vec::new());
    let listener = check::Listener {
        counters: &WorkCounters::new("objects"),
        on_finding: &|finding| found.lock().unwrap().push(format!("{finding:?}")),
        interrupted: &|| false,
    };
    let report = check::check(&mut fresh(store), ReadData::All, &listener).unwrap();
    assert_eq!(report.damages, 0, "{:?}", found.into_inner().unwrap());
}

/// What a backup that nothing interrupted gives, in the same repository.
fn uninterrupted(repository: &Repository, source: &MemorySource) -> keepstone::format::tree::TreeRef {
    let options = BackupOptions { parent: ParentChoice::Nothing, ..options() };
    back_up_with(repository, source, &options).0.unwrap().root
}

fn many_files() -> MemorySource {
    let mut source = MemorySource::default();
    for number in 0..300 {
        source.set(&format!("{}/{}/{number:03}", number / 100, number / 10), noise(number, 2000));
    }
    source
}

#[test]
fn what_an_interrupted_backup_read_is_not_read_again() {
    let (store, cache) = (MemoryStore::new(), TempDir::new().unwrap());
    make(&store);
    let repository = open(store.clone(), cache.path());
    let mut source = many_files();
    interrupt(&repository, &mut source, "1/15/150", 0);

    let report = back_up(&repository, &source);

    // Those that were read out of turn count, and those that were being read do not.
    let opened = source.opened() as u64;
    assert!((100..=151).contains(&opened), "{opened} of 300 files were opened");
    assert!(report.resumed.is_some());
    assert!(report.summary.bytes_added < opened * 2000 + 100_000, "nothing is stored again");
    assert_eq!((report.summary.files_new, report.summary.bytes_read), (300, source.bytes_read()));
    assert_holds(&fresh(&store), &saved(&report), &source);
    assert_eq!(report.root, uninterrupted(&repository, &source));
}

#[test]
fn a_backup_goes_on_within_a_large_file() {
    for at in [5_000, 150_000, 299_000] {
        let (store, cache) = (MemoryStore::new(), TempDir::new().unwrap());
        make(&store);
        let repository = open(store.clone(), cache.path());
        let mut source = MemorySource::of([("a", b"first"), ("z/z", b"last")]);
        source.set("large", noise(1, 300_000));
        interrupt(&repository, &mut source, "large", at);

        let report = back_up(&repository, &source);

        let read = source.bytes_read();
        assert!(read <= 300_000 - at.min(300_000) + ON_THE_WAY + 10, "{read} bytes were read again after {at}");
        assert_eq!(report.summary.bytes_read, read);
        assert_holds(&fresh(&store), &saved(&report), &source);
        assert_eq!(report.root, uninterrupted(&repository, &source), "as if it had been read at once");
    }
}

#[test]
fn holes_and_stretches_of_a_large_file_stay_where_they_are() {
    let data = |seed, len| Stretch::Data(noise(seed, len));
    let stretches = vec![
        data(1, 50),
        Stretch::Hole(70_000),
        data(2, 90_000),
        Stretch::Hole(5),
        data(3, 1),
        data(4, 60_000),
        Stretch::Hole(9),
    ];
    for at in (50..220_000).step_by(16_411) {
        let (store, cache) = (MemoryStore::new(), TempDir::new().unwrap());
        make(&store);
        let repository = open(store.clone(), cache.path());
        let mut source = MemorySource::default();
        source.files.insert("sparse".into(), File { stretches: stretches.clone(), version: 1 });
        let stop = Arc::default();
        source.on_read = Some(stop_at(&stop, "sparse", at));
        back_up_until(&repository, &source, &only_when_interrupted(), &stop).unwrap_err();
        source.on_read = None;

        let report = back_up(&repository, &source);

        assert_holds(&fresh(&store), &saved(&report), &source);
        assert_eq!(report.root, uninterrupted(&repository, &source), "interrupted at {at}");
    }
}

#[test]
fn a_file_that_changed_since_is_read_from_its_beginning() {
    let (store, cache) = (MemoryStore::new(), TempDir::new().unwrap());
    make(&store);
    let repository = open(store, cache.path());
    let mut source = MemorySource::default();
    source.set("large", noise(1, 300_000));
    interrupt(&repository, &mut source, "large", 200_000);
    source.set("large", noise(2, 300_000));

    let report = back_up(&repository, &source);

    assert_eq!(source.bytes_read(), 300_000);
    assert_holds(&repository, &saved(&report), &source);
}

#[test]
fn a_file_that_changed_after_the_interrupted_backup_began_is_not_trusted() {
    let (store, cache) = (MemoryStore::new(), TempDir::new().unwrap());
    make(&store);
    let repository = open(store, cache.path());
    let mut source = MemorySource::default();
    source.files.insert("large".into(), File { version: 1_000_000, ..File::new(noise(1, 300_000)) });
    interrupt(&repository, &mut source, "large", 200_000);

    back_up(&repository, &source);

    assert_eq!(source.bytes_read(), 300_000, "it may have changed within one tick of the clock");
}

#[test]
fn a_stream_is_read_again_and_not_stored_again() {
    let (store, cache) = (MemoryStore::new(), TempDir::new().unwrap());
    make(&store);
    let repository = open(store, cache.path());
    let mut source = MemorySource { is_stream: true, ..Default::default() };
    source.set("dump", noise(1, 300_000));
    interrupt(&repository, &mut source, "dump", 200_000);

    let report = back_up(&repository, &source);

    assert_eq!(source.bytes_read(), 300_000);
    let added = report.summary.bytes_added;
    assert!(added < 100_000 + ON_THE_WAY + 8000, "{added} bytes were stored again");
    assert_holds(&repository, &saved(&report), &source);
}

#[test]
fn everything_is_read_if_that_is_asked_for() {
    let (store, cache) = (MemoryStore::new(), TempDir::new().unwrap());
    make(&store);
    let repository = open(store, cache.path());
    let mut source = many_files();
    interrupt(&repository, &mut source, "1/15/150", 0);

    uninterrupted(&repository, &source);

    assert_eq!(source.opened(), 300);
    assert_eq!(checkpoints(&repository), []);
}

#[test]
fn nobody_sees_a_checkpoint_and_none_stays() {
    let (store, cache) = (MemoryStore::new(), TempDir::new().unwrap());
    make(&store);
    let repository = open(store.clone(), cache.path());
    let mut source = many_files();
    let good = saved(&back_up(&repository, &source));
    source.set("2/large", noise(9, 300_000));
    interrupt(&repository, &mut source, "2/large", 200_000);

    let kept = checkpoints(&repository);
    assert_eq!(kept.len(), 1);
    assert_eq!(snapshots::all(&repository).unwrap().snapshots.len(), 1);
    let refused = snapshots::resolve(&repository, &kept[0].to_hex(), &SnapshotFilter::default());
    assert!(matches!(&refused, Err(RepoError::Refused(why)) if why.contains("interrupted")), "{refused:?}");
    assert_undamaged(&store);
    let report = back_up(&repository, &source);

    assert_eq!(report.parent, Some(good), "a checkpoint is no parent");
    assert_eq!((report.summary.files_unmodified, report.summary.files_new), (300, 1));
    assert_eq!(checkpoints(&repository), []);
    assert_undamaged(&store);
    for id in repository.objects().list::<Run>().unwrap() {
        let run = repository.objects().get::<Run>(&id).unwrap();
        assert!(run.snapshots.iter().chain(run.heads.iter()).all(|id| !kept.contains(id)), "no run names it");
    }
}

#[test]
fn nothing_is_kept_of_a_backup_that_read_nothing() {
    let (store, cache) = (MemoryStore::new(), TempDir::new().unwrap());
    make(&store);
    let repository = open(store, cache.path());
    let source = many_files();
    back_up(&repository, &source);

    let ended = back_up_until(&repository, &source, &always(), &AtomicBool::new(true));

    assert!(matches!(ended, Err(BackupError::Interrupted { kept: None })), "{ended:?}");
    assert_eq!(checkpoints(&repository), []);
}

#[test]
fn a_second_interruption_loses_nothing_of_the_first() {
    let (store, cache) = (MemoryStore::new(), TempDir::new().unwrap());
    make(&store);
    let repository = open(store, cache.path());
    let mut source = many_files();
    interrupt(&repository, &mut source, "2/20/200", 0);
    source.set("0/0/000", noise(1000, 2000));
    let stop = Arc::new(AtomicBool::new(false));
    let raise = Arc::clone(&stop);
    source.on_open = Some(Box::new(move |_| raise.store(true, Relaxed)));
    // Only the first file has changed: the second run is interrupted at the beginning.
    back_up_until(&repository, &source, &only_when_interrupted(), &stop).unwrap_err();
    source.on_open = None;
    source.opened();

    let report = back_up(&repository, &source);

    let opened = source.opened();
    assert!(opened <= 102, "{opened} files were opened");
    assert_holds(&repository, &saved(&report), &source);
    assert_eq!(checkpoints(&repository), []);
}

#[test]
fn the_last_checkpoint_of_a_run_is_the_only_one() {
    let (store, cache) = (MemoryStore::new(), TempDir::new().unwrap());
    make(&store);
    let watched = FaultyStore::new(store.clone());
    let most = Arc::new(AtomicU64::new(0));
    let (below, seen) = (store.clone(), Arc::clone(&most));
    let watched = watched.rule(move |call| {
        if call.verb == Verb::Put && call.name.starts_with("snapshots/") {
            let there = below.objects().keys().filter(|name| name.as_str().starts_with("snapshots/")).count();
            seen.fetch_max(there as u64, Relaxed);
        }
        None
    });
    let source = many_files();

    let report = back_up_with(&open(watched.clone(), cache.path()), &source, &always()).0.unwrap();

    let puts =
        watched.calls().iter().filter(|call| call.verb == Verb::Put && call.name.starts_with("snapshots/")).count();
    assert!(puts > 3, "{puts} snapshots were put");
    assert_eq!(most.load(Relaxed), 1, "the one before it is there until the next is good");
    let repository = fresh(&store);
    assert_eq!(checkpoints(&repository), []);
    assert_holds(&repository, &saved(&report), &source);
}

#[test]
fn a_process_that_is_killed_within_a_large_file_has_kept_most_of_it() {
    let (store, cache) = (MemoryStore::new(), TempDir::new().unwrap());
    make(&store);
    let kept = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&kept);
    let store_of_the_first = FaultyStore::new(store.clone()).rule(move |call| {
        // Looked at again after the snapshot was put (B7): the checkpoint is there.
        if call.verb == Verb::Len && call.name.starts_with("sessions/") {
            seen.store(true, Relaxed);
        }
        None
    });
    let mut source = MemorySource::default();
    source.set("large", noise(1, 1_000_000));
    let killed = store_of_the_first.clone();
    source.on_read = Some(Arc::new(move |_, position| {
        if position >= 600_000 {
            // Nothing goes on before a checkpoint was made of what came before; then the process dies.
            while !kept.load(Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        if position >= 800_000 {
            drop(killed.clone().crash_after(0));
        }
    }));
    let ended = back_up_with(&open(store_of_the_first, cache.path()), &source, &always()).0;
    ended.unwrap_err();
    source.on_read = None;
    source.bytes_read();

    let repository = fresh(&store);
    assert_eq!(checkpoints(&repository).len(), 1);
    let report = back_up(&repository, &source);

    let read = source.bytes_read();
    assert!(read < 1_000_000, "{read} bytes were read again");
    assert_holds(&fresh(&store), &saved(&report), &source);
    assert_eq!(checkpoints(&repository), []);
}

#[test]
fn a_crash_at_any_store_call_leaves_nothing_that_is_wrong_and_little_that_is_lost() {
    let mut source = MemorySource::default();
    (0..12).for_each(|number| source.set(&format!("dir/{number:02}"), noise(number, 5000)));
    source.set("large", noise(77, 60_000));
    let mut points = 0;
    for calls in 0.. {
        let (store, cache) = (MemoryStore::new(), TempDir::new().unwrap());
        make(&store);

        let faulty = FaultyStore::new(store.clone()).crash_after(calls);
        let ended = match try_open(faulty, cache.path()) {
            Err(_) => None,
            Ok(repository) => back_up_with(&repository, &source, &always()).0.ok(),
        };

        // Whatever a checkpoint says is there is there.
        let repository = fresh(&store);
        assert!(checkpoints(&repository).len() <= 2, "the last, and the one before it");
        drop(repository);
        assert_undamaged(&store);
        let next = back_up_with(&open(store.clone(), cache.path()), &source, &always()).0.unwrap();
        let repository = fresh(&store);
        assert_holds(&repository, &saved(&next), &source);
        assert_eq!(checkpoints(&repository), []);
        assert_eq!(next.root, uninterrupted(&repository, &source));
        if ended.is_some() {
            break;
        }
        points += 1;
    }
    assert!(points > 40, "only {points} crash points were tried");
}

#[test]
fn a_checkpoint_of_a_session_that_was_taken_for_dead_is_left_out() {
    let (store, cache) = (MemoryStore::new(), TempDir::new().unwrap());
    make(&store);
    let below = store.clone();
    let struck = AtomicBool::new(false);
    // A prune deletes the announcement while the first checkpoint is put.
    let lossy = FaultyStore::new(store.clone()).rule(move |call| {
        if call.verb == Verb::Put && call.name.starts_with("snapshots/") && !struck.swap(true, Relaxed) {
            for name in below.objects().into_keys().filter(|name| name.as_str().starts_with("sessions/")) {
                below.delete(&name).unwrap();
            }
        }
        None
    });
    let source = many_files();

    let report = back_up_with(&open(lossy, cache.path()), &source, &always()).0.unwrap();

    let repository = fresh(&store);
    assert_holds(&repository, &saved(&report), &source);
    assert_eq!(checkpoints(&repository), []);
}

#[test]
fn a_checkpoint_is_stale_when_a_snapshot_came_after_it_or_nobody_came_for_long() {
    let (store, cache) = (MemoryStore::new(), TempDir::new().unwrap());
    make(&store);
    let repository = open(store, cache.path());
    let mut source = many_files();
    let done = saved(&back_up(&repository, &source));
    source.set("2/large", noise(9, 300_000));
    interrupt(&repository, &mut source, "2/large", 200_000);
    let kept = checkpoints(&repository);
    let now = keepstone::crypto::Chance::now(&StandingClock);
    let later = |days: i64| keepstone::format::tree::Time { secs: now.secs + days * 86_400, ..now };
    let stale = |now| snapshots::stale_checkpoints(&snapshots::all_with_checkpoints(&repository).unwrap(), now);

    assert_eq!(stale(later(14)), []);
    assert_eq!(stale(later(15)), kept);
    assert_eq!(stale(later(-10_000)), [], "a clock that is wrong removes nothing");

    let newer = Snapshot { finished: later(1), ..repository.objects().get::<Snapshot>(&done).unwrap() };
    repository.objects().put(&newer).unwrap();
    assert_eq!(stale(later(1)), kept);
}
