//! Other tags.

use keepstone::format::codec::Ascending;
use keepstone::format::control::{Condemned, Forgotten, Lineage, Signature};
use keepstone::format::extras::Extras;
use keepstone::id::SessionId;
use keepstone::ops::replace::TagChange;
use keepstone::repo::{name_of, pack_name};
use keepstone::storage::{FaultyStore, Store, Verb};

use crate::scene::*;
use crate::stored::open;

#[test]
fn a_snapshot_with_other_tags_is_the_same_otherwise_and_takes_the_place_of_the_old_one() {
    let (store, ids) = scene();
    let repository = open(store.clone());
    let before = by_time(&repository);

    let (result, told) = tag_all(&repository, &add(&["b"]));

    result.unwrap();
    assert_eq!(told.outcomes, outcomes(&ids, &["replaced", "unchanged", "replaced"]));
    let after = by_time(&repository);
    assert_eq!(
        after.values().map(|of| tags_of(&of[0].1)).collect::<Vec<_>>(),
        [vec!["a", "b"], vec!["a", "b"], vec!["b"]]
    );
    for (old, new) in before.values().zip(after.values()) {
        assert_eq!((old.len(), new.len()), (1, 1));
        let (mut old, new) = (old[0].1.clone(), new[0].1.clone());
        (old.tags, old.session) = (new.tags.clone(), new.session);
        assert_eq!(old, new);
    }
    assert_eq!(recorded(&repository), [ids[0], ids[2]].into());
    let record = repository.objects().list::<Forgotten>().unwrap()[0];
    assert_eq!(&*repository.objects().get::<Forgotten>(&record).unwrap().why, "tag");
    let report = checked(&store);
    assert_eq!((report.damages, report.warnings, report.garbage_packs), (0, 0, 0));
}

#[test]
fn nothing_is_written_where_no_tag_changes() {
    let (store, _) = scene();
    let before = store.objects();
    tag_all(&open(store.clone()), &TagChange::Edit { add: Vec::new(), remove: vec!["nobody".into()] }).0.unwrap();
    assert_eq!(store.objects(), before);
}

#[test]
fn what_lies_in_condemned_packs_is_stored_anew() {
    let (store, _) = scene();
    let repository = open(store.clone());
    let packs: Vec<_> = repository.view().packs().into_keys().collect();
    let condemned = Condemned {
        session: SessionId::from_bytes([7; 32]),
        lineage: Lineage::default(),
        packs: Ascending::new(packs.clone()).unwrap(),
        signature: Signature::default(),
        extras: Extras::default(),
    };
    repository.objects().put(&condemned).unwrap();

    tag_all(&repository, &TagChange::Set(vec!["kept".into()])).0.unwrap();
    // A prune that listed snapshots while old ones went and new ones came may now delete the packs.
    packs.iter().for_each(|pack| store.delete(&pack_name(pack)).unwrap());

    let repository = open(store);
    let after = by_time(&repository);
    for (secs, files) in [(1, first()), (2, second()), (3, third())] {
        assert!(held(&repository, &after[&secs][0].1.root) == files);
    }
}

#[test]
fn a_snapshot_that_is_not_all_there_is_left_as_it_is_and_the_others_are_replaced() {
    let (store, ids) = scene();
    let repository = open(store.clone());
    let before = by_time(&repository);
    // What only the third snapshot refers to.
    let root = before[&3][0].1.root.id;
    let pack = repository.view().locate(&root).unwrap()[0].pack;
    store.delete(&pack_name(&pack)).unwrap();

    let (result, told) = tag_all(&open(store.clone()), &add(&["c"]));

    result.unwrap();
    assert_eq!(told.outcomes, outcomes(&ids, &["replaced", "replaced", "left"]));
    assert!(store.len(&name_of::<keepstone::format::control::Snapshot>(&ids[2])).is_ok());
    assert!(!recorded(&repository).contains(&ids[2]));
}

#[test]
fn an_old_one_that_cannot_be_removed_is_named() {
    let (store, ids) = scene();
    let stuck = name_of::<keepstone::format::control::Snapshot>(&ids[1]);
    let faulty = FaultyStore::new(store).fail(move |call| call.verb == Verb::Delete && call.name == stuck.as_str());
    let repository = open(faulty.clone());
    let (result, told) = tag_all(&repository, &add(&["c"]));
    result.unwrap();
    assert!(told.outcomes.contains(&(ids[1], "not forgotten")) && faulty.faults() > 0);
    assert_eq!(by_time(&repository)[&2].len(), 2);
}

#[test]
fn one_that_someone_forgets_meanwhile_does_not_come_back() {
    let (store, ids) = scene();
    let (name, below) = (name_of::<keepstone::format::control::Snapshot>(&ids[1]), store.clone());
    // Between the listing and the first commit.
    let faulty = FaultyStore::new(store).rule(move |call| {
        if call.verb == Verb::Put && call.name.starts_with("sessions/") {
            below.delete(&name).unwrap();
        }
        None
    });
    let repository = open(faulty);
    let (result, told) = tag_all(&repository, &add(&["c"]));
    result.unwrap();
    assert_eq!(told.outcomes, outcomes(&ids, &["replaced", "gone", "replaced"]));
    assert!(!by_time(&repository).contains_key(&2));
}
