//! The report of a run: put after the snapshot is certain, and before anybody is told.

use keepstone::format::control::{Run, RunStatus, Snapshot, SnapshotState};
use keepstone::ops::backup::BackupError;
use keepstone::repo::Repository;
use keepstone::storage::{Fault, FaultyStore, MemoryStore, Verb};
use tempfile::TempDir;

use crate::support::*;

fn runs(repository: &Repository) -> Vec<Run> {
    let ids = repository.objects().list::<Run>().unwrap();
    ids.iter().map(|id| repository.objects().get::<Run>(id).unwrap()).collect()
}

#[test]
fn a_run_reports_what_it_committed_and_what_it_saw() {
    let (store, cache) = (MemoryStore::new(), TempDir::new().unwrap());
    make(&store);
    let repository = open(store, cache.path());
    let mut source = MemorySource::of([("a", b"1"), ("b", b"2")]);
    let first = saved(&back_up(&repository, &source));
    let checkpoint =
        Snapshot { state: SnapshotState::Checkpoint, ..repository.objects().get::<Snapshot>(&first).unwrap() };
    repository.objects().put(&checkpoint).unwrap();
    source.unreadable.push("b".into());
    source.set("b", "3");

    let (report, _) = back_up_with(&repository, &source, &options());
    let second = saved(&report.unwrap());

    let runs = runs(&repository);
    assert_eq!(runs.len(), 2);
    let run = runs.iter().find(|run| run.snapshots[..] == [second]).unwrap();
    let mut both = [first, second];
    both.sort();
    assert_eq!(run.heads[..], both, "the checkpoint is none");
    assert_eq!((run.status, run.summary.troubles), (RunStatus::Partial, 1));
    assert_eq!(run.troubles.iter().map(|trouble| trouble.to_string()).collect::<Vec<_>>(), ["b: cannot be opened"]);
    let snapshot = repository.objects().get::<Snapshot>(&second).unwrap();
    assert_eq!((run.session, run.summary), (snapshot.session, snapshot.summary));
}

#[test]
fn the_report_comes_after_the_snapshot_is_certain_and_before_the_session_ends() {
    let (store, cache) = (MemoryStore::new(), TempDir::new().unwrap());
    make(&store);
    let watched = FaultyStore::new(store);
    back_up(&open(watched.clone(), cache.path()), &MemorySource::of([("a", b"1")]));

    let calls = watched.calls();
    let last = |verb: Verb, dir: &str| calls.iter().rposition(|call| call.verb == verb && call.name.starts_with(dir));
    let reported = last(Verb::Put, "runs/");
    assert!(last(Verb::Len, "sessions/") < reported, "B7 before the report");
    assert!(reported < calls.iter().position(|call| call.verb == Verb::Delete), "the report before B9");
}

#[test]
fn a_backup_whose_run_cannot_be_reported_does_not_succeed_and_its_snapshot_is_whole() {
    let (store, cache) = (MemoryStore::new(), TempDir::new().unwrap());
    make(&store);
    let source = MemorySource::of([("a", b"1")]);
    let faulty = FaultyStore::new(store.clone())
        .fault(Fault::Fail, |call| call.verb == Verb::Put && call.name.starts_with("runs/"));

    let (ended, _) = back_up_with(&open(faulty.clone(), cache.path()), &source, &options());

    assert_eq!(faulty.faults(), 1);
    let Err(BackupError::Unreported(id)) = ended else { panic!("{ended:?}") };
    let fresh = fresh(&store);
    assert_holds(&fresh, &id, &source);
    assert_eq!(runs(&fresh), []);
}

#[test]
fn a_run_that_commits_nothing_reports_nothing() {
    let (store, cache) = (MemoryStore::new(), TempDir::new().unwrap());
    make(&store);
    let repository = open(store, cache.path());
    let source = MemorySource::of([("a", b"1")]);
    back_up(&repository, &source);
    let mut unchanged = options();
    unchanged.skip_if_unchanged = true;

    back_up_with(&repository, &source, &unchanged).0.unwrap();

    assert_eq!(runs(&repository).len(), 1);
}
