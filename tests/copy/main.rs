//! Snapshots are copied from one repository into another: what comes back is the same, deduplication carries
//! over between related repositories, and a copy that ends anywhere goes on where it stopped.

#[path = "../stored/back.rs"]
mod back;
mod ends;
mod scene;
#[path = "../stored/mod.rs"]
mod stored;

use keepstone::format::control::{Snapshot, SnapshotState};
use keepstone::format::tree::TreeRef;
use keepstone::id::SnapshotId;
use keepstone::ops::snapshots::all;
use keepstone::storage::{FaultyStore, MemoryStore, Verb};

use back::{assert_sound, read_back};
use scene::{Scene, copied, copy_all, related, scene, snapshots_in};
use stored::{About, commit, files, init, noise, open};

fn root_of(store: &MemoryStore, id: &SnapshotId) -> TreeRef {
    open(store.clone()).objects().get::<Snapshot>(id).unwrap().root
}

/// Everything in the target is what it was in the source, and a check finds nothing.
fn assert_all_came(scene: &Scene, into: &MemoryStore) {
    let pairs = copied(into);
    assert_eq!(pairs.len(), scene.snapshots.len());
    let repository = open(into.clone());
    for (id, files) in &scene.snapshots {
        assert_eq!(&read_back(&repository, &root_of(into, &pairs[id])), files);
    }
    assert_sound(into);
}

#[test]
fn what_is_copied_comes_back_the_same_and_a_check_proves_it() {
    for into in [init(1 << 16), related(&scene().store)] {
        let scene = scene();
        let report = copy_all(&scene.store, &into).unwrap();

        assert_eq!((report.copied.len(), report.already_there.len(), report.failed.len()), (3, 0, 0));
        assert_all_came(&scene, &into);
    }
}

#[test]
fn a_copy_says_what_the_original_said_and_which_it_was() {
    let scene = scene();
    let into = init(1 << 16);
    copy_all(&scene.store, &into).unwrap();

    let (from, to) = (open(scene.store.clone()), open(into.clone()));
    for (original, copy) in copied(&into) {
        let before = from.objects().get::<Snapshot>(&original).unwrap();
        let after = to.objects().get::<Snapshot>(&copy).unwrap();
        assert_eq!(after.original(), Some(original));
        assert_eq!((after.time, &after.host, &after.tags), (before.time, &before.host, &before.tags));
        assert_eq!((&after.paths, &after.summary, after.state), (&before.paths, &before.summary, before.state));
        assert_eq!((after.root.entries, after.root.bytes), (before.root.entries, before.root.bytes));
        assert_eq!(after.parent, None);
    }
}

#[test]
fn between_related_repositories_deduplication_carries_over() {
    let scene = scene();
    let into = related(&scene.store);
    // The target's own backup of what the last snapshot holds.
    let (_, own) = commit(&open(into.clone()), &scene.snapshots[2].1, &About::default());
    let packs = open(into.clone()).view().packs().len();

    let last = [(scene.snapshots[2].0, open(scene.store.clone()).objects().get(&scene.snapshots[2].0).unwrap())];
    let report = scene::copy_these(&scene.store, &into, &last).unwrap();

    assert_eq!(report.blobs_added, 0, "all of it was there");
    assert_eq!(root_of(&into, &report.copied[0].1), own, "the same tree, by the same name");
    assert_eq!(open(into.clone()).view().packs().len(), packs);
    assert_sound(&into);
}

#[test]
fn between_others_blobs_have_other_names() {
    let scene = scene();
    let into = init(1 << 16);
    copy_all(&scene.store, &into).unwrap();

    let (from, to) = (open(scene.store.clone()), open(into));
    let mut shared = 0;
    from.view().each(&mut |location| shared += to.view().locate(&location.placed.blob.id).unwrap().len()).unwrap();
    assert_eq!(shared, 0);
}

#[test]
fn what_is_there_already_is_passed_over() {
    let scene = scene();
    let into = init(1 << 16);
    copy_all(&scene.store, &into).unwrap();

    let watched = FaultyStore::new(into.clone());
    let report = copy_all(&scene.store, &watched).unwrap();

    assert_eq!((report.copied.len(), report.already_there.len()), (0, 3));
    assert_eq!(watched.changes(), 0, "nothing is written, not even an announcement");
}

#[test]
fn a_copy_of_a_copy_is_known_for_what_it_is() {
    let scene = scene();
    let (second, third) = (init(1 << 16), init(1 << 16));
    copy_all(&scene.store, &second).unwrap();
    copy_all(&second, &third).unwrap();

    assert_eq!(copied(&third).into_keys().collect::<Vec<_>>(), copied(&second).into_keys().collect::<Vec<_>>());
    assert_eq!(copy_all(&scene.store, &third).unwrap().already_there.len(), 3, "by the first original");
    assert_eq!(copy_all(&third, &scene.store).unwrap().already_there.len(), 3, "and back to where it came from");
    assert_all_came(&scene, &third);
}

#[test]
fn checkpoints_are_not_copied() {
    let from = init(1 << 16);
    let about = About { state: SnapshotState::Checkpoint, ..About::default() };
    let (id, _) = commit(&open(from.clone()), &files([("a", noise(1, 9_000))]), &about);
    let checkpoint = open(from.clone()).objects().get(&id).unwrap();
    let into = init(1 << 16);

    let report = scene::copy_these(&from, &into, &[(id, checkpoint)]).unwrap();

    assert_eq!((report.copied.len(), report.failed.len()), (0, 0));
    assert!(all(&open(into)).unwrap().snapshots.is_empty());
}

#[test]
fn a_repository_is_not_copied_into_itself() {
    let scene = scene();
    let error = copy_all(&scene.store, &scene.store).unwrap_err();
    assert!(error.to_string().contains("same repository"), "{error}");
}

#[test]
fn each_pack_is_read_in_one_go() {
    // One pack of data, larger than all of it.
    let from = init(16 << 20);
    let many: Vec<(String, Vec<u8>)> = (0..100u64).map(|n| (format!("dir/{n}"), noise(n, 20_000))).collect();
    commit(&open(from.clone()), &many.into_iter().collect(), &About::default());
    let listed = open(from.clone());
    let data: Vec<String> = listed
        .view()
        .packs()
        .into_values()
        .filter(|pack| pack.class == keepstone::format::segment::PackClass::Data)
        .map(|pack| keepstone::repo::pack_name(&pack.id).to_string())
        .collect();
    let watched = FaultyStore::new(from.clone());
    let into = related(&from);

    copy_all(&watched, &into).unwrap();

    for pack in data {
        let reads = watched.calls().into_iter().filter(|call| call.verb == Verb::GetRange && call.name == pack);
        // Its prefix, and stretches of a MiB at least.
        assert!((2..=4).contains(&reads.count()), "{pack}");
    }
    assert_eq!(snapshots_in(&into), 1);
}
