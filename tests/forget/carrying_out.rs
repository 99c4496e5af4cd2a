//! Removing snapshots: recorded first, then done; whatever happens in between, nothing else is touched.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use keepstone::format::control::{Forgotten, Snapshot, SnapshotState};
use keepstone::format::tree::Time;
use keepstone::id::SnapshotId;
use keepstone::ops::check::{CheckReport, Listener, ReadData, check};
use keepstone::ops::forget::{Count, Each, GroupBy, Policy, Rule, plan};
use keepstone::ops::progress::WorkCounters;
use keepstone::ops::snapshots::all;
use keepstone::repo::{RepoError, Repository, Who, name_of};
use keepstone::storage::{Fault, FaultyStore, MemoryStore, Store, Verb};

use crate::stored::{About, commit, files, init, noise, open, run};

const DAY: i64 = 24 * 60 * 60;

/// A repository with five snapshots, the oldest first, that a run has recorded.
fn scene() -> (MemoryStore, Vec<SnapshotId>) {
    let store = init(1 << 16);
    let repository = open(store.clone());
    let ids: Vec<SnapshotId> = (0..5)
        .map(|day| {
            let files = files([("same", noise(0, 9000)), ("other", noise(day as u64 + 1, 5000))]);
            commit(&repository, &files, &About { secs: day * DAY, ..About::default() }).0
        })
        .collect();
    run(&repository, &ids, &ids);
    (store, ids)
}

fn who() -> Who {
    Who { host: "here".into(), user: "me".into() }
}

fn listed(repository: &Repository) -> BTreeSet<SnapshotId> {
    repository.objects().list::<Snapshot>().unwrap().into_iter().collect()
}

fn recorded(repository: &Repository) -> BTreeSet<SnapshotId> {
    let records = repository.objects().list::<Forgotten>().unwrap();
    records.iter().flat_map(|id| repository.objects().get::<Forgotten>(id).unwrap().snapshots.into_vec()).collect()
}

fn checked(store: &MemoryStore) -> CheckReport {
    let counters = WorkCounters::new("objects");
    let listener = Listener {
        counters: &counters,
        on_finding: &|finding| assert!(!finding.to_string().contains("missing"), "{finding}"),
        interrupted: &|| false,
    };
    check(&mut open(store.clone()), ReadData::All, &listener).unwrap()
}

#[test]
fn what_is_forgotten_is_gone_and_recorded_and_a_check_finds_nothing_wrong() {
    let (store, ids) = scene();
    let repository = open(store.clone());

    let done = repository.forget(&ids[..2], &who(), "policy", &|| false).unwrap();

    assert_eq!(done.gone, ids[..2]);
    assert!(done.left.is_empty() && done.cut_short.is_none());
    assert_eq!(listed(&repository), BTreeSet::from_iter(ids[2..].iter().copied()));
    let records = repository.objects().list::<Forgotten>().unwrap();
    let record = repository.objects().get::<Forgotten>(&records[0]).unwrap();
    assert_eq!((records.len(), record.snapshots.into_vec().len()), (1, 2));
    assert_eq!((&*record.host, &*record.user, &*record.why), ("here", "me", "policy"));
    let report = checked(&store);
    assert_eq!((report.damages, report.warnings, report.snapshots), (0, 0, 3));
}

#[test]
fn every_store_call_is_a_crash_point_and_none_leaves_a_snapshot_half_forgotten() {
    let mut points = 0;
    for calls in 0.. {
        let (store, ids) = scene();
        let repository = open(FaultyStore::new(store.clone()));
        drop(repository);
        let faulty = FaultyStore::new(store.clone());
        let repository = open(faulty.clone());
        let opened = faulty.calls().len() as u64;
        let _ = faulty.clone().crash_after(opened + calls);
        let ended = repository.forget(&ids[..3], &who(), "policy", &|| false);
        drop(repository);

        let repository = open(store.clone());
        let (there, recorded) = (listed(&repository), recorded(&repository));
        assert!(ids[3..].iter().all(|id| there.contains(id) && !recorded.contains(id)), "others were touched");
        assert!(ids[..3].iter().all(|id| there.contains(id) || recorded.contains(id)), "after {calls} calls");
        let report = checked(&store);
        assert_eq!((report.damages, report.warnings, report.snapshots), (0, 0, there.len() as u64));
        let again = repository.forget(&ids[..3], &who(), "policy", &|| false).unwrap();
        assert_eq!((again.gone.len(), listed(&repository).len()), (3, 2), "the next one finishes it");
        if ended.is_ok_and(|done| done.left.is_empty()) {
            break;
        }
        points += 1;
    }
    assert_eq!(points, 6, "a question, a record, a look at the keyring, and three snapshots");
}

#[test]
fn a_snapshot_that_cannot_be_removed_is_named_and_the_others_go() {
    let (store, ids) = scene();
    let stuck = name_of::<Snapshot>(&ids[1]);
    let faulty = FaultyStore::new(store).fail(move |call| call.verb == Verb::Delete && call.name == stuck.as_str());
    let repository = open(faulty.clone());

    let done = repository.forget(&ids[..3], &who(), "policy", &|| false).unwrap();

    assert_eq!(done.gone, [ids[0], ids[2]]);
    assert_eq!(done.left.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [ids[1]]);
    assert_eq!((faulty.faults(), listed(&repository).len()), (1, 3));
}

#[test]
fn what_cannot_be_recorded_is_not_removed() {
    for fault in [Fault::Fail, Fault::Full, Fault::Unclear] {
        let (store, ids) = scene();
        let faulty = FaultyStore::new(store).fault(fault, |call| call.name.starts_with("forgotten/"));
        let repository = open(faulty.clone());
        assert!(matches!(repository.forget(&ids, &who(), "policy", &|| false), Err(RepoError::Store(_))));
        // Once it was asked whether anything may be deleted.
        assert_eq!((faulty.count(Verb::Delete), listed(&open(faulty)).len()), (1, 5));
    }
}

#[test]
fn where_nothing_may_be_deleted_nothing_is_recorded_as_removed() {
    let (store, ids) = scene();
    let before = store.objects();
    let faulty = FaultyStore::new(store.clone()).fault(Fault::Deny, |call| call.verb == Verb::Delete);
    let refused = open(faulty).forget(&ids, &who(), "policy", &|| false).unwrap_err();
    assert!(matches!(&refused, RepoError::Refused(why) if why.contains("may not delete")), "{refused}");
    assert!(store.objects() == before);
}

#[test]
fn under_keys_that_are_no_longer_current_nothing_is_removed() {
    let (store, ids) = scene();
    let late = open(store.clone());
    let mut other = open(store.clone());
    let (keychain, of, chance) = other.keychain_mut();
    keychain.rotate(of, chance).unwrap();

    assert!(late.forget(&ids, &who(), "policy", &|| false).is_err());

    assert_eq!((listed(&late).len(), recorded(&late).len()), (5, 0), "its record would count for nothing once closed");
    assert_eq!(open(store).forget(&ids[..1], &who(), "policy", &|| false).unwrap().gone, ids[..1]);
}

#[test]
fn told_to_stop_it_leaves_the_rest_as_it_is() {
    let (store, ids) = scene();
    let repository = open(store);
    let done = repository.forget(&ids, &who(), "policy", &|| true).unwrap();
    assert!(matches!(done.cut_short, Some(RepoError::Interrupted)));
    assert_eq!((done.gone.len(), listed(&repository).len()), (0, 5));
}

#[test]
fn a_plan_leaves_checkpoints_and_damaged_snapshots_out() {
    let (store, ids) = scene();
    let repository = open(store.clone());
    let about = About { secs: 9 * DAY, state: SnapshotState::Checkpoint, ..About::default() };
    let (checkpoint, _) = commit(&repository, &files([("more", noise(9, 5000))]), &about);
    let damaged = name_of::<Snapshot>(&ids[4]);
    store.put(&damaged, b"no snapshot any more").unwrap();

    let listing = all(&repository).unwrap();
    let policy = Policy::new([Rule::Newest(Each::Snapshot, Count::Newest(1))]);
    let now = Time { secs: 10 * DAY, nanos: 0 };
    let plan = plan(listing.snapshots, &policy, GroupBy::default(), now, &TimeZone::UTC);

    assert_eq!(plan.removed(), ids[..3], "the newest that can be read stays");
    assert!(plan.groups.iter().all(|group| group.snapshots.iter().all(|planned| planned.id != checkpoint)));
    assert_eq!(listing.troubles.len(), 1);
}

#[test]
fn groups_are_planned_by_themselves_and_one_that_no_rule_keeps_is_pointed_out() {
    let store = init(1 << 16);
    let repository = open(store);
    let list = [("a", "/x", "keep"), ("a", "/y", "no"), ("a", "/y", "no"), ("b", "/x", "no"), ("b", "/x", "keep")];
    for (secs, (host, paths, tags)) in (1..).zip(list) {
        let about = About { secs, host, paths: &[paths], tags: &[tags], ..About::default() };
        commit(&repository, &files([("file", noise(1, 5000))]), &about);
    }
    let now = Time { secs: DAY, nanos: 0 };
    let planned = |rule: Rule, by: GroupBy| {
        let snapshots = all(&repository).unwrap().snapshots;
        let plan = plan(snapshots, &Policy::new([rule]), by, now, &TimeZone::UTC);
        (plan.groups.len(), plan.removed().len(), plan.emptied().len())
    };
    let last = || Rule::Newest(Each::Snapshot, Count::Newest(1));
    assert_eq!(planned(last(), GroupBy::default()), (3, 2, 0));
    assert_eq!(planned(last(), GroupBy { host: false, paths: false, tags: false }), (1, 4, 0));
    assert_eq!(planned(last(), GroupBy { host: true, paths: false, tags: true }), (4, 1, 0));
    let keep = Rule::Tagged(vec!["keep".into()]);
    assert_eq!(planned(keep, GroupBy::default()), (3, 2, 1), "one of two goes, though no rule keeps the other");
}
