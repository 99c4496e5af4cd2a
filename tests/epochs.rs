//! Epochs: begun by one holder alone, closed when nobody writes under them any more; and what a removed
//! holder plants under the old keys is refused, named, and harms nothing (format-spec, "Epochs").

#[path = "stored/back.rs"]
mod back;
#[path = "epochs/crashes.rs"]
mod crashes;
#[path = "epochs/late.rs"]
mod late;
#[path = "epochs/planted.rs"]
mod planted;
#[path = "epochs/scene.rs"]
mod scene;
mod stored;

use keepstone::format::control::SessionKind;
use keepstone::id::SessionId;
use keepstone::repo::{RepoError, Who, Writer};
use keepstone::storage::{Call, FaultyStore, Store, Verb};
use scene::{add_key, assert_sound, checked, close, read_back, rotate, saved, scene};
use stored::{About, commit_root, files, noise, open, put_tree};

#[test]
fn one_holder_begins_an_epoch_for_all_and_the_one_before_is_closed() {
    let scene = scene();
    add_key(&scene.store, b"second");

    assert_eq!(rotate(&scene.store), 2);
    let closed = close(&scene.store);

    assert_eq!((closed.epochs, closed.waits_for.len()), (vec![1], 0));
    let cache = keepstone::repo::CacheDir::Temporary;
    let chance = Box::new(keepstone::repo::SystemChance);
    let second = keepstone::repo::Repository::open(Box::new(scene.store.clone()), b"second", &cache, chance).unwrap();
    let keyring = &second.keychain().keyring;
    assert_eq!((keyring.epochs.len(), keyring.closed_through()), (2, 1));
    assert_eq!(read_back(&second, &scene.root), scene.files);
    assert_sound(&scene.store);
}

#[test]
fn what_is_written_after_a_rotation_is_sealed_under_the_new_epoch() {
    let scene = scene();
    let before = open(scene.store.clone());
    assert!(before.view().packs().keys().all(|pack| before.pack_prefix(pack).unwrap().epoch == 1));
    rotate(&scene.store);

    let repository = open(scene.store.clone());
    let old: Vec<_> = repository.view().packs().into_keys().collect();
    let (_, root) = saved(&repository, &files([("new", noise(7, 9_000))]));

    let new: Vec<_> = repository.view().packs().into_keys().filter(|pack| !old.contains(pack)).collect();
    assert!(!new.is_empty() && new.iter().all(|pack| repository.pack_prefix(pack).unwrap().epoch == 2));
    assert_eq!(read_back(&repository, &root).len(), 1);
}

#[test]
fn a_writer_at_work_across_a_rotation_ends_with_a_good_snapshot_and_the_epoch_waits_for_it() {
    let scene = scene();
    let old = open(scene.store.clone());
    let writer = Writer::begin(&old, SessionKind::Backup, &Who { host: "nas".into(), user: "me".into() }).unwrap();
    rotate(&scene.store);

    let waiting = close(&scene.store);
    assert_eq!((waiting.epochs.len(), waiting.open_from), (0, Some(1)));
    assert_eq!(waiting.waits_for[0].id, writer.session().id());
    assert_eq!(waiting.waits_for[0].session.as_ref().unwrap().host.to_string(), "nas");
    let late = files([("late", noise(3, 20_000))]);
    let root = put_tree(&old, &writer, &late);
    let id = commit_root(writer, root.clone(), &About::default());

    assert_eq!(close(&scene.store).epochs, [1]);
    let new = open(scene.store.clone());
    assert!(new.objects().get::<keepstone::format::control::Snapshot>(&id).is_ok());
    assert_eq!(read_back(&new, &root), late);
    assert_sound(&scene.store);
}

#[test]
fn a_writer_that_begins_with_keys_of_before_the_rotation_fails_at_once() {
    let scene = scene();
    let old = open(scene.store.clone());
    rotate(&scene.store);

    assert!(matches!(Writer::begin(&old, SessionKind::Backup, &Who::default()), Err(RepoError::Conflict(_))));

    assert_eq!(close(&scene.store).epochs, [1], "its announcement is withdrawn");
    assert_sound(&scene.store);
}

#[test]
fn a_writer_to_whom_the_store_does_not_give_new_keys_does_not_begin() {
    let scene = scene();
    let store = FaultyStore::new(scene.store.clone());
    let old = open(store.clone());
    let known: Vec<String> = scene.store.objects().into_keys().map(|name| name.to_string()).collect();
    rotate(&scene.store);
    let is_new = move |call: &Call| call.name.starts_with("keyring/") && !known.contains(&call.name);
    let store = store.fail(move |call| call.verb == Verb::Get && is_new(call));

    let begun = Writer::begin(&old, SessionKind::Backup, &Who::default());

    assert!(matches!(begun, Err(RepoError::Store(_))));
    assert_eq!(store.faults(), 1);
    assert_eq!(close(&scene.store).epochs, [1], "its announcement is withdrawn");
}

#[test]
fn a_writer_whose_keys_were_taken_back_leaves_no_snapshot() {
    let scene = scene();
    let keyrings = || scene.store.objects().into_keys().filter(|name| name.as_str().starts_with("keyring/"));
    let old: Vec<_> = keyrings().collect();
    rotate(&scene.store);
    let (first, second) = (open(scene.store.clone()), open(scene.store.clone()));
    let mut writer = Writer::begin(&first, SessionKind::Backup, &Who::default()).unwrap();
    let root = put_tree(&first, &writer, &files([("late", noise(3, 20_000))]));
    // Of two that rotated at once, the one whose keys these are yields.
    keyrings().filter(|name| !old.contains(name)).for_each(|name| scene.store.delete(&name).unwrap());
    rotate(&scene.store);

    assert!(matches!(writer.commit(scene::snapshot_of(root)), Err(RepoError::Conflict(_))));
    assert!(matches!(Writer::begin(&second, SessionKind::Backup, &Who::default()), Err(RepoError::Conflict(_))));
    let listing = keepstone::ops::snapshots::all(&open(scene.store.clone())).unwrap();
    assert_eq!((listing.snapshots.len(), listing.troubles.len()), (1, 0), "only the one of before");
}

#[test]
fn a_key_that_is_added_meanwhile_stops_no_writer() {
    let scene = scene();
    let old = open(scene.store.clone());
    add_key(&scene.store, b"second");

    assert!(Writer::begin(&old, SessionKind::Backup, &Who::default()).is_ok());
}

#[test]
fn a_removal_is_noticed_by_a_writer_that_it_removes() {
    let scene = scene();
    let slot = add_key(&scene.store, b"second");
    let cache = keepstone::repo::CacheDir::Temporary;
    let chance = Box::new(keepstone::repo::SystemChance);
    let second = keepstone::repo::Repository::open(Box::new(scene.store.clone()), b"second", &cache, chance).unwrap();
    let mut first = open(scene.store.clone());
    let (keychain, below, chance) = first.keychain_mut();
    keychain.remove(below, &slot, chance).unwrap();

    assert!(matches!(Writer::begin(&second, SessionKind::Backup, &Who::default()), Err(RepoError::Conflict(_))));
}

#[test]
fn a_writer_that_was_taken_for_dead_before_its_epoch_was_closed_leaves_no_snapshot() {
    let scene = scene();
    let old = open(scene.store.clone());
    let mut writer = Writer::begin(&old, SessionKind::Backup, &Who::default()).unwrap();
    let root = put_tree(&old, &writer, &files([("late", noise(3, 20_000))]));
    rotate(&scene.store);
    scene
        .store
        .delete(&keepstone::repo::name_of::<keepstone::format::control::Session>(&writer.session().id()))
        .unwrap();
    assert_eq!(close(&scene.store).epochs, [1]);

    let snapshot = scene::snapshot_of(root);
    assert!(matches!(writer.commit(snapshot), Err(RepoError::Conflict(_))));

    let listing = keepstone::ops::snapshots::all(&open(scene.store.clone())).unwrap();
    assert_eq!((listing.snapshots.len(), listing.troubles.len()), (1, 0), "only the one of before");
}

#[test]
fn an_announcement_that_cannot_be_read_keeps_an_epoch_open() {
    let scene = scene();
    let id = SessionId::of_stored(b"?");
    let name = keepstone::repo::name_of::<keepstone::format::control::Session>(&id);
    scene.store.put(&name, b"?").unwrap();
    rotate(&scene.store);

    let waiting = close(&scene.store);

    assert!(waiting.epochs.is_empty() && waiting.waits_for[0].id == id && waiting.waits_for[0].session.is_none());
    scene.store.delete(&name).unwrap();
    assert_eq!(close(&scene.store).epochs, [1]);
}

#[test]
fn several_epochs_are_closed_together() {
    let scene = scene();
    for epoch in 2..5 {
        assert_eq!(rotate(&scene.store), epoch);
        saved(&open(scene.store.clone()), &files([("more", noise(u64::from(epoch), 5_000))]));
    }

    assert_eq!(close(&scene.store).epochs, [1, 2, 3]);

    assert_sound(&scene.store);
    assert!(close(&scene.store).epochs.is_empty(), "there is nothing left to close");
}

#[test]
fn a_lost_record_costs_no_backup_stops_writers_and_can_be_made_anew() {
    let scene = scene();
    rotate(&scene.store);
    close(&scene.store);
    let records: Vec<_> =
        scene.store.objects().into_keys().filter(|name| name.as_str().starts_with("epochs/")).collect();
    assert_eq!(records.len(), 1);
    scene.store.remove(&records[0]);

    let repository = open(scene.store.clone());
    assert_eq!(read_back(&repository, &scene.root), scene.files);
    assert!(matches!(Writer::begin(&repository, SessionKind::Backup, &Who::default()), Err(RepoError::Damaged { .. })));
    assert_eq!(checked(&scene.store), [records[0].to_string()]);
    assert!(close(&scene.store).epochs.is_empty(), "nobody takes anything for valid unasked");

    assert_eq!(open(scene.store.clone()).close_epochs(true).unwrap().epochs, [1]);
    assert_sound(&scene.store);
    assert!(Writer::begin(&open(scene.store.clone()), SessionKind::Backup, &Who::default()).is_ok());
}
