//! What comes while an epoch is being closed: a writer that was taken for dead puts it late, it is refused, and whoever
//! relied on what it lists comes to no harm.

use std::sync::{Mutex, mpsc};

use keepstone::format::control::{Run, Session, SessionKind, Snapshot};
use keepstone::format::segment::Segment;
use keepstone::ops::progress::WorkCounters;
use keepstone::ops::prune::{Listener, PruneOptions, Thrift, prune};
use keepstone::repo::lease::PATIENCE;
use keepstone::repo::{Closed, Ending, RepoError, Repository, Who, Writer, name_of};
use keepstone::storage::{FaultyStore, MemoryStore, ObjectName, Store, Verb};

use super::scene::{Scene, checked, close, read_back, rotate, saved, scene, snapshot_of};
use super::stored::{About, Files, commit, commit_root, files, noise, open, put_tree};

/// An opened repository that outlives its test: others hold on to it.
fn kept_open(store: &MemoryStore) -> &'static Repository {
    Box::leak(Box::new(open(store.clone())))
}

fn begin(repository: &'static Repository) -> Writer<'static> {
    Writer::begin(repository, SessionKind::Backup, &Who::default()).unwrap()
}

fn bury(store: &MemoryStore, writer: &Writer<'_>) {
    store.delete(&name_of::<Session>(&writer.session().id())).unwrap();
}

fn names(store: &MemoryStore, dir: &str) -> Vec<ObjectName> {
    store.objects().into_keys().filter(|name| name.as_str().starts_with(dir)).collect()
}

/// A repository under whose first epoch somebody stored something, of which no segment tells yet, and was taken for dead.
/// Then another epoch began.
struct Late {
    scene: Scene,
    late: Files,
    sleeper: Writer<'static>,
}

impl Late {
    fn new() -> Late {
        let scene = scene();
        let late = files([("late", noise(3, 90_000)), ("late too", noise(4, 20_000))]);
        let old = kept_open(&scene.store);
        let sleeper = begin(old);
        put_tree(old, &sleeper, &late);
        bury(&scene.store, &sleeper);
        rotate(&scene.store);
        Late { scene, late, sleeper }
    }

    /// Closes the first epoch; `meanwhile` happens after it was listed what is valid, before the keyring says so.
    fn close_while(&self, meanwhile: impl FnOnce(&Writer<'static>)) -> Closed {
        let (reached, wait_for_it) = mpsc::channel();
        let (go_on, wait) = mpsc::channel();
        let waiting = Mutex::new(Some((reached, wait)));
        let store = FaultyStore::new(self.scene.store.clone()).rule(move |call| {
            if call.verb == Verb::Put && call.name.starts_with("keyring/") {
                let once: Option<(mpsc::Sender<()>, mpsc::Receiver<()>)> = waiting.lock().unwrap().take();
                if let Some((reached, wait)) = once {
                    reached.send(()).unwrap();
                    wait.recv().unwrap();
                }
            }
            None
        });
        std::thread::scope(|scope| {
            let closing = scope.spawn(|| close(&store));
            wait_for_it.recv().unwrap();
            meanwhile(&self.sleeper);
            go_on.send(()).unwrap();
            closing.join().unwrap()
        })
    }

    /// Puts the segment that comes too late.
    fn put_late(sleeper: &Writer<'_>) {
        sleeper.flush().unwrap();
    }

    /// Only what came late is named, and everything comes back.
    fn assert_unharmed(&self, root: &keepstone::format::tree::TreeRef) {
        let repository = open(self.scene.store.clone());
        assert_eq!(read_back(&repository, root), self.late);
        assert_eq!(read_back(&repository, &self.scene.root), self.scene.files);
        let late: Vec<String> =
            repository.first_sync().late.iter().map(|(id, _)| name_of::<Segment>(id).to_string()).collect();
        assert_eq!(late.len(), 1);
        assert_eq!(checked(&self.scene.store), late);
    }
}

#[test]
fn what_a_backup_relied_on_that_ended_before_the_closing_is_listed_anew() {
    let late = Late::new();
    let mut root = None;
    let closed = late.close_while(|sleeper| {
        Late::put_late(sleeper);
        let packs = names(&late.scene.store, "packs/");
        root = Some(commit(&open(late.scene.store.clone()), &late.late, &About::default()).1);
        assert_eq!(names(&late.scene.store, "packs/"), packs, "it relied on all that was there");
    });
    assert_eq!(closed.epochs, [1]);
    assert!(closed.listed_anew > 0);
    late.assert_unharmed(&root.unwrap());
}

#[test]
fn a_backup_that_is_at_work_when_an_epoch_is_closed_looks_everything_up_again() {
    let late = Late::new();
    let mut begun = None;
    late.close_while(|sleeper| {
        Late::put_late(sleeper);
        let repository = kept_open(&late.scene.store);
        let writer = begin(repository);
        let root = put_tree(repository, &writer, &late.late);
        begun = Some((writer, root));
    });
    let (writer, root) = begun.unwrap();
    commit_root(writer, root.clone(), &About::default());
    late.assert_unharmed(&root);
}

#[test]
fn a_backup_that_relied_on_what_does_not_hold_makes_no_snapshot() {
    let late = Late::new();
    let mut begun = None;
    let closed = late.close_while(|sleeper| {
        let before = names(&late.scene.store, "packs/");
        Late::put_late(sleeper);
        for name in names(&late.scene.store, "packs/").into_iter().filter(|name| !before.contains(name)) {
            let mut bytes = late.scene.store.objects()[&name].clone();
            bytes[60] ^= 1;
            late.scene.store.set(&name, bytes);
        }
        let repository = kept_open(&late.scene.store);
        let writer = begin(repository);
        let root = put_tree(repository, &writer, &late.late);
        begun = Some((writer, root));
    });
    assert_eq!(closed.epochs, [1]);
    let (mut writer, root) = begun.unwrap();
    let ended = writer.commit(snapshot_of(root));
    assert!(matches!(ended, Err(RepoError::Conflict(_))), "{ended:?}");
    assert_eq!(names(&late.scene.store, "snapshots/").len(), 1, "only the one of before");
}

/// What it surveyed may count no longer.
#[test]
fn a_prune_that_is_at_work_when_an_epoch_is_closed_deletes_nothing() {
    let scene = scene();
    let (second, _) = saved(&open(scene.store.clone()), &files([("more", noise(8, 90_000))]));
    let repository = open(scene.store.clone());
    let gone = repository.forget(&[second], &Who::default(), "a test", &|| false).unwrap().gone;
    assert_eq!(gone, [second]);
    rotate(&scene.store);
    let packs = names(&scene.store, "packs/");
    let below = scene.store.clone();
    let watched = FaultyStore::new(scene.store.clone()).rule(move |call| {
        if call.verb == Verb::Put && call.name.starts_with("condemned/") {
            assert_eq!(close(&below).epochs, [1]);
        }
        None
    });
    let options = PruneOptions { who: Who::default(), thrift: Thrift::default(), patience: PATIENCE };
    let listener = Listener { counters: &WorkCounters::new("nodes"), interrupted: &|| false, on_plan: &|_| () };

    let ended = prune(&open(watched), &options, &listener);

    assert!(matches!(ended, Err(RepoError::Conflict(_))), "{ended:?}");
    assert_eq!(names(&scene.store, "packs/"), packs);
    let report = prune(&open(scene.store.clone()), &options, &listener).unwrap();
    assert!(report.deleted.packs > 0 && report.waiting_packs == 0);
    assert_eq!(read_back(&open(scene.store.clone()), &scene.root), scene.files);
}

#[test]
fn a_report_that_comes_after_its_epoch_was_closed_is_not_taken_for_one() {
    let scene = scene();
    let old = kept_open(&scene.store);
    let mut writer = begin(old);
    let root = put_tree(old, &writer, &files([("new", noise(5, 20_000))]));
    let id = writer.commit(snapshot_of(root)).unwrap();
    bury(&scene.store, &writer);
    rotate(&scene.store);
    assert_eq!(close(&scene.store).epochs, [1]);

    let started = keepstone::format::tree::Time::default();
    assert!(!writer.finish(&Ending::done(started)).unwrap(), "it must not say that it succeeded");

    assert_eq!(names(&scene.store, "runs/"), []);
    let new = open(scene.store.clone());
    assert!(new.objects().get::<Snapshot>(&id).is_ok(), "what was good is good");
    assert!(new.objects().list::<Run>().unwrap().is_empty());
}

#[test]
fn a_report_of_a_session_that_is_still_announced_counts_also_after_a_rotation() {
    let scene = scene();
    let old = kept_open(&scene.store);
    let mut writer = begin(old);
    let root = put_tree(old, &writer, &files([("new", noise(5, 20_000))]));
    let id = writer.commit(snapshot_of(root)).unwrap();
    rotate(&scene.store);

    assert!(writer.finish(&Ending::done(keepstone::format::tree::Time::default())).unwrap());

    assert_eq!(close(&scene.store).epochs, [1]);
    let new = open(scene.store.clone());
    let runs = new.objects().list::<Run>().unwrap();
    assert!(new.objects().get::<Run>(&runs[0]).unwrap().snapshots.contains(&id));
}
