//! What is in a snapshot.

use keepstone::format::content::{Body, Item};
use keepstone::format::control::{Snapshot, SnapshotState};
use keepstone::format::tree::Node;
use keepstone::ops::backup::{BackupError, Outcome, ParentChoice};
use keepstone::repo::walk::Entries;
use keepstone::storage::MemoryStore;
use tempfile::TempDir;

use crate::support::*;

fn repository() -> (keepstone::repo::Repository, MemoryStore, TempDir) {
    let (store, cache) = (MemoryStore::new(), TempDir::new().unwrap());
    make(&store);
    (open(store.clone(), cache.path()), store, cache)
}

#[test]
fn every_length_comes_back() {
    let (repository, _store, _cache) = repository();
    let mut source = MemorySource::default();
    for len in [0, 1, 127, 128, 129, 255, 256, 257, 1023, 4096, 4097, 20_000, 300_000] {
        source.set(&format!("dir/{len}"), noise(len, len as usize));
        source.set(&format!("dir/zeros {len}"), vec![0; len as usize]);
    }

    let report = back_up(&repository, &source);

    assert_holds(&repository, &saved(&report), &source);
}

#[test]
fn a_stream_of_any_length_comes_back() {
    for len in [0, 1, 128, 129, 5000, 100_000] {
        let (repository, _store, _cache) = repository();
        let mut source = MemorySource { is_stream: true, stops_at_trouble: true, ..Default::default() };
        source.set("dump.sql", noise(len, len as usize));

        let report = back_up(&repository, &source);

        assert_holds(&repository, &saved(&report), &source);
    }
}

#[test]
fn holes_come_back_as_holes() {
    let (repository, _store, _cache) = repository();
    let stretches = [
        vec![Stretch::Hole(5)],
        vec![Stretch::Hole(1 << 20), Stretch::Data(noise(1, 10)), Stretch::Hole(3)],
        vec![Stretch::Data(noise(2, 10)), Stretch::Hole(7), Stretch::Data(noise(3, 9000))],
        vec![Stretch::Data(noise(4, 60)), Stretch::Data(noise(5, 60))],
        vec![Stretch::Data(noise(4, 60)), Stretch::Data(noise(5, 90))],
    ];
    let mut source = MemorySource::default();
    for (number, stretches) in stretches.iter().enumerate() {
        source.files.insert(number.to_string(), File { stretches: stretches.clone(), version: 1 });
    }

    let report = back_up(&repository, &source);

    assert_holds(&repository, &saved(&report), &source);
    let holes = Entries::new(&repository, &report.root).map(|entry| match entry.unwrap().node {
        Node::File(content) => {
            let holes = items_of(&repository, &content).into_iter();
            holes.map(|item| if let Item::Hole { len } = item { len } else { 0 }).sum::<u64>()
        }
        other => panic!("{other:?}"),
    });
    assert_eq!(holes.collect::<Vec<_>>(), [5, (1 << 20) + 3, 7, 0, 0]);
}

#[test]
fn a_long_file_is_a_split_list_and_a_change_in_it_is_small() {
    let (repository, _store, _cache) = repository();
    let mut bytes = noise(9, 3_000_000);
    let mut source = MemorySource::default();
    source.set("long", bytes.clone());
    let first = back_up(&repository, &source);
    let entry = Entries::new(&repository, &first.root).next().unwrap().unwrap();
    let Node::File(content) = &entry.node else { panic!("not a file") };
    assert!(matches!(content.body, Body::Split(_)));

    bytes.splice(1_500_000..1_500_000, *b"something new");
    source.set("long", bytes);
    let second = back_up(&repository, &source);

    assert_holds(&repository, &saved(&second), &source);
    assert!(second.summary.bytes_added < 100_000, "{:?}", second.summary);
}

#[test]
fn what_two_files_share_is_stored_once() {
    let (repository, _store, _cache) = repository();
    let mut source = MemorySource::default();
    for name in ["a", "b", "c/d"] {
        source.set(name, noise(1, 100_000));
    }

    let report = back_up(&repository, &source);

    assert!(report.summary.bytes_stored < 110_000, "{:?}", report.summary);
}

#[test]
fn unchanged_files_are_not_read_and_changed_ones_are() {
    let (repository, _store, _cache) = repository();
    let mut source = MemorySource::of([("a", b"1"), ("dir/b", &[2; 5000]), ("dir/c", &[3; 300])]);
    back_up(&repository, &source);
    assert_eq!(source.opened(), 3);

    let unchanged = back_up(&repository, &source);
    assert_eq!((source.opened(), unchanged.summary.files_unmodified), (0, 3));
    assert_eq!(unchanged.summary.blobs_added, 0);

    source.set("dir/b", [9; 5000]);
    source.set("dir/new", *b"new");
    let changed = back_up(&repository, &source);
    assert_eq!(source.opened(), 2);
    let summary = changed.summary;
    assert_eq!((summary.files_new, summary.files_changed, summary.files_unmodified), (1, 1, 2));
    assert_holds(&repository, &saved(&changed), &source);
}

#[test]
fn a_file_changed_since_the_parent_began_is_read_again_though_it_looks_the_same() {
    let (repository, _store, _cache) = repository();
    let mut source = MemorySource::of([("a", b"first")]);
    source.files.get_mut("a").unwrap().version = 1_000_000; // the very second of the backup
    back_up(&repository, &source);
    let racy = File { version: 1_000_000, ..File::new(*b"other") };
    source.files.insert("a".into(), racy);

    let second = back_up(&repository, &source);

    assert_holds(&repository, &saved(&second), &source);
}

#[test]
fn a_parent_that_lost_data_does_not_pass_the_loss_on() {
    let (repository, store, cache) = repository();
    let mut source = MemorySource::default();
    for number in 0..40 {
        source.set(&format!("{number}"), noise(number, 9000));
    }
    back_up(&repository, &source);
    drop(repository);
    let is_pack = |name: &&String| name.starts_with("packs/");
    let names: Vec<String> = store.objects().keys().map(|name| name.as_str().to_owned()).collect();
    for name in names.iter().filter(is_pack) {
        store.remove(&keepstone::storage::ObjectName::new(name).unwrap());
    }

    let repository = open(store.clone(), cache.path());
    let healed = back_up(&repository, &source);

    assert_holds(&repository, &saved(&healed), &source);
}

#[test]
fn force_reads_everything_and_stores_nothing_twice() {
    let (repository, _store, _cache) = repository();
    let source = MemorySource::of([("a", &[1; 5000]), ("b", &[2; 5000])]);
    back_up(&repository, &source);
    source.opened();

    let options = keepstone::ops::backup::BackupOptions { parent: ParentChoice::Nothing, ..options() };
    let report = back_up_with(&repository, &source, &options).0.unwrap();

    assert_eq!((source.opened(), report.summary.blobs_added), (2, 0));
}

#[test]
fn an_unreadable_file_is_named_and_the_rest_is_there() {
    let (repository, _store, _cache) = repository();
    let mut source = MemorySource::of([("a", b"1"), ("dir/bad", b"2"), ("z", b"3")]);
    source.unreadable.push("dir/bad".into());

    let (report, troubles) = back_up_with(&repository, &source, &options());

    let report = report.unwrap();
    assert_eq!(troubles, ["dir/bad: cannot be opened"]);
    let snapshot = repository.objects().get::<Snapshot>(&saved(&report)).unwrap();
    assert_eq!((snapshot.state, report.summary.troubles), (SnapshotState::Partial, 1));
    source.files.remove("dir/bad");
    assert_holds(&repository, &saved(&report), &source);
}

#[test]
fn a_stream_that_fails_leaves_no_snapshot() {
    let (repository, store, _cache) = repository();
    let mut source = MemorySource::of([("dump", b"1")]);
    source.stops_at_trouble = true;
    source.unreadable.push("dump".into());

    let (report, _) = back_up_with(&repository, &source, &options());

    assert!(matches!(report, Err(BackupError::Source(_))));
    assert!(!store.objects().keys().any(|name| name.as_str().starts_with("snapshots/")));
}

#[test]
fn a_dry_run_changes_nothing_and_counts_what_it_would_do() {
    let (repository, store, _cache) = repository();
    let source = MemorySource::of([("a", &[1; 5000]), ("b", &[1; 5000])]);
    let before = store.objects();

    let options = keepstone::ops::backup::BackupOptions { dry_run: true, ..options() };
    let report = back_up_with(&repository, &source, &options).0.unwrap();

    assert_eq!(report.outcome, Outcome::DryRun);
    assert!(store.objects() == before);
    let real = back_up(&repository, &source);
    assert_eq!(real.summary.bytes_added, report.summary.bytes_added);
}

#[test]
fn a_snapshot_that_would_equal_its_parent_can_be_skipped() {
    let (repository, _store, _cache) = repository();
    let mut source = MemorySource::of([("a", b"1")]);
    let options = keepstone::ops::backup::BackupOptions { skip_if_unchanged: true, ..options() };
    let outcome = |source: &MemorySource| back_up_with(&repository, source, &options).0.unwrap().outcome;

    assert!(matches!(outcome(&source), Outcome::Saved(_)));
    assert_eq!(outcome(&source), Outcome::Unchanged);
    source.set("a", *b"2");
    assert!(matches!(outcome(&source), Outcome::Saved(_)));
}

#[test]
fn packs_hold_many_blobs_or_are_alone_and_their_lengths_say_little() {
    let (repository, store, _cache) = repository();
    let mut source = MemorySource::default();
    for number in 0..100 {
        source.set(&format!("{number:03}"), noise(number, 4000));
    }
    back_up(&repository, &source);

    let mut data_packs = 0;
    for id in repository.objects().list::<keepstone::format::segment::Segment>().unwrap() {
        let segment = repository.objects().get::<keepstone::format::segment::Segment>(&id).unwrap();
        for pack in segment.header.packs.iter() {
            assert_eq!(keepstone::format::envelope::padme(pack.len), pack.len);
            let data = pack.class == keepstone::format::segment::PackClass::Data;
            data_packs += u32::from(data);
            assert!(!data || pack.blobs >= 8, "{pack:?}");
        }
    }
    assert!(data_packs > 2);
    drop(store);
}

#[test]
fn what_is_not_all_there_is_told_of_again_the_next_night() {
    let (repository, _store, _cache) = repository();
    let mut source = MemorySource::of([("a", b"1"), ("b", b"2")]);
    source.undescribed.push("a".into());
    for _ in 0..2 {
        let (report, troubles) = back_up_with(&repository, &source, &options());
        assert_eq!((report.unwrap().summary.troubles, troubles.len()), (1, 1));
    }
    source.undescribed.clear();
    let report = back_up(&repository, &source);
    let entry = Entries::new(&repository, &report.root).next().unwrap().unwrap();
    assert_eq!(entry.meta.user.to_string(), "al");
}

#[test]
fn a_snapshot_dated_ahead_is_not_everybodys_parent() {
    let (repository, _store, _cache) = repository();
    let mut source = MemorySource::of([("a", b"1")]);
    let ahead = keepstone::format::tree::Time { secs: 9_000_000, nanos: 0 };
    let options = keepstone::ops::backup::BackupOptions { time: Some(ahead), ..options() };
    back_up_with(&repository, &source, &options).0.unwrap();
    let second = back_up(&repository, &source);
    source.set("b", *b"2");

    let third = back_up(&repository, &source);

    assert_eq!(third.parent, Some(saved(&second)));
}

#[test]
fn what_no_snapshot_can_say_is_refused_before_any_work() {
    let (repository, store, _cache) = repository();
    let before = store.objects();
    let source = MemorySource::of([("a", b"1")]);
    let tags = (0..257).map(|number| number.to_string()).collect();
    let options = keepstone::ops::backup::BackupOptions { tags, ..options() };

    assert!(back_up_with(&repository, &source, &options).0.is_err());
    assert!(store.objects() == before);
}
