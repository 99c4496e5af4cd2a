//! What a removed holder who kept the old keys puts into the store.

use keepstone::format::codec::Ascending;
use keepstone::format::control::{Condemned, Forgotten, Label, Lineage, Session, SessionKind, Signature, Snapshot};
use keepstone::format::extras::Extras;
use keepstone::format::segment::{Segment, SegmentHeader};
use keepstone::format::tree::Time;
use keepstone::id::{IndexId, SessionId};
use keepstone::ops::progress::WorkCounters;
use keepstone::ops::prune::{Listener, PruneOptions, Thrift, prune};
use keepstone::ops::snapshots::{SnapshotFilter, all, resolve};
use keepstone::repo::lease::PATIENCE;
use keepstone::repo::{CacheDir, RepoError, Repository, Who, Writer, name_of, program};
use keepstone::storage::{FaultyStore, Verb};
use tempfile::TempDir;

use super::scene::{Scene, checked, close, read_back, rotate, saved, scene, snapshot_of};
use super::stored::{open, try_open};

/// A scene whose first epoch is closed, and the repository as someone still holds it who knows its keys only.
fn removed_holder() -> (Scene, Repository) {
    let scene = scene();
    let holder = open(scene.store.clone());
    rotate(&scene.store);
    assert_eq!(close(&scene.store).epochs, [1]);
    (scene, holder)
}

/// A segment that takes the place of all there are, and lists nothing.
fn eraser(repository: &Repository) -> Segment {
    let all: Vec<IndexId> = repository.objects().list::<Segment>().unwrap();
    assert!(!all.is_empty());
    let header = SegmentHeader {
        session: SessionId::from_bytes([9; 32]),
        lineage: Lineage::default(),
        replaces: Ascending::new(all).unwrap(),
        packs: Ascending::default(),
        blobs: 0,
        signature: Signature::default(),
        extras: Extras::default(),
    };
    Segment::new(header, Vec::new())
}

fn condemnation(repository: &Repository) -> Condemned {
    Condemned {
        session: SessionId::from_bytes([9; 32]),
        lineage: Lineage::default(),
        packs: Ascending::new(repository.view().packs().into_keys().collect()).unwrap(),
        signature: Signature::default(),
        extras: Extras::default(),
    }
}

fn assert_all_is_as_it_was(scene: &Scene) {
    let repository = open(scene.store.clone());
    assert_eq!(read_back(&repository, &scene.root), scene.files);
    let packs = repository.view().packs().len();
    assert!(packs > 0);
    saved(&repository, &scene.files);
    assert_eq!(open(scene.store.clone()).view().packs().len(), packs, "a backup of the same finds everything there");
}

#[test]
fn a_planted_snapshot_is_named_and_not_the_latest() {
    let (scene, holder) = removed_holder();
    let planted = holder.objects().put(&snapshot_of(scene.root.clone())).unwrap().id();

    let repository = open(scene.store.clone());
    let listing = all(&repository).unwrap();
    assert_eq!(listing.snapshots.len(), 1);
    assert!(matches!(&listing.troubles[..], [(id, RepoError::AfterClosing { epoch: 1, .. })] if *id == planted));
    assert_eq!(resolve(&repository, "latest", &SnapshotFilter::default()).unwrap().0, scene.snapshot);
    assert_eq!(checked(&scene.store), [name_of::<Snapshot>(&planted).to_string()]);
    assert_all_is_as_it_was(&scene);
}

#[test]
fn a_planted_segment_replaces_nothing() {
    let (scene, holder) = removed_holder();
    let planted = holder.objects().put(&eraser(&holder)).unwrap().id();

    let repository = open(scene.store.clone());
    let damaged: Vec<IndexId> = repository.first_sync().late.iter().map(|(id, _)| *id).collect();
    assert_eq!(damaged, [planted]);
    assert_eq!(checked(&scene.store), [name_of::<Segment>(&planted).to_string()]);
    assert_all_is_as_it_was(&scene);
}

#[test]
fn a_planted_segment_that_a_cache_has_taken_counts_no_longer() {
    let scene = scene();
    let cache = TempDir::new().unwrap();
    let kept = CacheDir::Kept(cache.path().to_owned());
    // Of before the rotation, and still at work on the same cache.
    let old = try_open(scene.store.clone(), &kept).unwrap();
    rotate(&scene.store);
    close(&scene.store);
    let planted = old.objects().put(&eraser(&old)).unwrap().id();
    old.refresh_index().unwrap();
    assert!(old.view().packs().is_empty(), "it knows no better");

    for _ in 0..2 {
        let new = try_open(scene.store.clone(), &kept).unwrap();
        assert_eq!(new.first_sync().late.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [planted]);
        assert_eq!(new.first_sync().vanished, []);
        assert_eq!(read_back(&new, &scene.root), scene.files);
    }
}

#[test]
fn a_planted_condemnation_condemns_nothing() {
    let (scene, holder) = removed_holder();
    let planted = holder.objects().put(&condemnation(&holder)).unwrap().id();

    let repository = open(scene.store.clone());
    let writer = Writer::begin(&repository, SessionKind::Backup, &Who::default()).unwrap();
    assert!(writer.session().usable().condemned().is_empty() && !writer.session().usable().packs().is_empty());
    drop(writer);
    assert_eq!(checked(&scene.store), [name_of::<Condemned>(&planted).to_string()]);
    assert_all_is_as_it_was(&scene);
}

#[test]
fn a_prune_that_still_believes_a_planted_condemnation_deletes_nothing() {
    let scene = scene();
    let holder = open(scene.store.clone());
    rotate(&scene.store);
    let spent = std::sync::atomic::AtomicBool::new(false);
    let below = scene.store.clone();
    // After it had looked for new keys when it announced itself.
    let watched = FaultyStore::new(scene.store.clone()).rule(move |call| {
        let is_it = call.verb == Verb::List && call.name == "packs";
        if is_it && !spent.swap(true, std::sync::atomic::Ordering::Relaxed) {
            assert_eq!(close(&below).epochs, [1]);
            holder.objects().put(&condemnation(&holder)).unwrap();
            let writer = Writer::begin(&open(below.clone()), SessionKind::Backup, &Who::default()).map(drop);
            writer.unwrap();
        }
        None
    });
    let before = scene.store.objects().into_keys().filter(|name| name.as_str().starts_with("packs/")).count();

    let options = PruneOptions { who: Who::default(), thrift: Thrift::default(), patience: PATIENCE };
    let listener = Listener { counters: &WorkCounters::new("nodes"), interrupted: &|| false, on_plan: &|_| () };
    let ended = prune(&open(watched), &options, &listener);

    assert!(matches!(ended, Err(RepoError::Conflict(_))), "{ended:?}");
    let after = scene.store.objects().into_keys().filter(|name| name.as_str().starts_with("packs/")).count();
    assert_eq!(before, after);
    assert_eq!(read_back(&open(scene.store.clone()), &scene.root), scene.files);
}

#[test]
fn what_was_condemned_before_the_closing_stays_condemned() {
    let scene = scene();
    let holder = open(scene.store.clone());
    holder.objects().put(&condemnation(&holder)).unwrap();
    rotate(&scene.store);
    close(&scene.store);

    let repository = open(scene.store.clone());
    let writer = Writer::begin(&repository, SessionKind::Backup, &Who::default()).unwrap();
    assert!(writer.session().usable().packs().is_empty());
}

#[test]
fn a_planted_record_of_removal_does_not_excuse_a_loss() {
    let (scene, holder) = removed_holder();
    let time = Time { secs: 1_000, nanos: 0 };
    let excuse = Forgotten {
        lineage: Lineage::default(),
        snapshots: Ascending::new(vec![scene.snapshot]).unwrap(),
        time,
        host: Label::truncated("here"),
        user: Label::truncated("me"),
        why: Label::truncated("because"),
        signature: Signature::default(),
        extras: Extras::default(),
    };
    super::stored::run(&open(scene.store.clone()), &[scene.snapshot], &[]);
    let planted = holder.objects().put(&excuse).unwrap().id();
    scene.store.remove(&name_of::<Snapshot>(&scene.snapshot));

    let mut named = checked(&scene.store);
    named.sort();
    assert_eq!(
        named,
        [name_of::<Forgotten>(&planted).to_string(), name_of::<Snapshot>(&scene.snapshot).to_string()],
        "both are said"
    );
}

#[test]
fn a_planted_session_keeps_no_epoch_open() {
    let (scene, holder) = removed_holder();
    let session = Session {
        kind: SessionKind::Backup,
        host: Label::truncated("there"),
        process: 1,
        started: Time { secs: 1_000, nanos: 0 },
        seen: Ascending::default(),
        program: program(),
        extras: Extras::default(),
    };
    let planted = holder.objects().put(&session).unwrap().id();

    assert!(matches!(
        open(scene.store.clone()).objects().get::<Session>(&planted),
        Err(RepoError::AfterClosing { epoch: 1, .. })
    ));
    rotate(&scene.store);
    assert_eq!(close(&scene.store).epochs, [2]);
}

#[test]
fn what_was_planted_stays_refused_when_later_epochs_are_closed() {
    let (scene, holder) = removed_holder();
    let planted = holder.objects().put(&snapshot_of(scene.root.clone())).unwrap().id();
    rotate(&scene.store);
    close(&scene.store);

    assert_eq!(checked(&scene.store), [name_of::<Snapshot>(&planted).to_string()]);
}

#[test]
fn a_planted_pack_is_told_from_one_that_holds_what_it_lists() {
    use keepstone::crypto::PackSealer;
    use keepstone::format::envelope::ObjectKind;
    use keepstone::format::pack::{BlobHeader, BlobKind, Compression};
    use keepstone::id::PackId;
    use keepstone::repo::pack_name;
    use keepstone::storage::Store;

    let (scene, holder) = removed_holder();
    // A blob that is there, and a pack that claims to hold it and holds zeros.
    let mut known = Vec::new();
    holder.view().each(&mut |location| known.push(location.placed.blob)).unwrap();
    let blob = known.into_iter().find(|blob| blob.kind == BlobKind::Data).unwrap();
    let forged = BlobHeader { compression: Compression::None, stored_len: blob.plain_len, ..blob };
    let objects = holder.objects();
    let mut sealer = PackSealer::new(&objects.object_keys(), ObjectKind::DataPack, b"planted", objects.chance());
    let mut bytes = sealer.prefix().to_vec();
    let mut stored = vec![0; forged.stored_len as usize];
    sealer.seal(forged, &mut stored);
    bytes.extend(stored);
    bytes.extend(sealer.finish(SessionId::from_bytes([9; 32])).0);
    let planted = PackId::of_stored(&bytes);
    scene.store.put(&pack_name(&planted), &bytes).unwrap();

    let repository = open(scene.store.clone());
    let inside = repository.look_into_pack(&planted, bytes.len() as u64).unwrap();
    assert_eq!((inside.epoch, inside.directory.blobs.len()), (1, 1), "it opens like any other");
    assert!(!repository.holds_what_it_lists(&planted, &inside).unwrap());
    let honest = repository.view().packs().into_values().next().unwrap();
    let inside = repository.look_into_pack(&honest.id, honest.len).unwrap();
    assert!(repository.holds_what_it_lists(&honest.id, &inside).unwrap());
}
