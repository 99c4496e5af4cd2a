//! Every kind of object is damaged in every way, and a check names it and whom it harms.

mod stored;

use std::collections::BTreeSet;
use std::sync::Mutex;

use keepstone::format::codec::Ascending;
use keepstone::format::control::{Condemned, Forgotten, Label, Lineage, Session, SessionKind, Signature};
use keepstone::format::extras::Extras;
use keepstone::format::tree::Time;
use keepstone::id::{PackId, SnapshotId};
use keepstone::ops::check::{CheckReport, Finding, Listener, ReadData, Severity, Subject, check};
use keepstone::ops::progress::WorkCounters;
use keepstone::repo::{self, CacheDir, RepoError, Repository, SystemChance};
use keepstone::storage::{MemoryStore, ObjectName};

use stored::{About, Files, commit, files, init, noise, open, run, try_open};

/// A repository with every kind of object, two or more of each.
struct Scene {
    store: MemoryStore,
    cache: tempfile::TempDir,
    snapshots: [SnapshotId; 3],
}

fn first_files() -> Files {
    files([
        ("a/one", noise(1, 50_000)),
        ("a/two", noise(2, 100_000)),
        ("b/three", noise(3, 20_000)),
        ("b/short", b"short".to_vec()),
    ])
}

fn second_files() -> Files {
    let mut files = first_files();
    files.insert("b/three".into(), noise(4, 30_000));
    files.insert("c/four".into(), noise(5, 150_000));
    files
}

impl Scene {
    fn new() -> Self {
        let store = init(1 << 16);
        let cache = tempfile::tempdir().unwrap();
        let mut repository = try_open(store.clone(), &CacheDir::Kept(cache.path().into())).unwrap();
        let (one, _) = commit(&repository, &first_files(), &About { secs: 1, ..About::default() });
        let (two, _) = commit(&repository, &second_files(), &About { secs: 2, ..About::default() });
        let more = files([("d/five", noise(6, 90_000))]);
        let (three, _) = commit(&repository, &more, &About { secs: 3, ..About::default() });
        run(&repository, &[one], &[one]);
        run(&repository, &[two, three], &[one, two, three]);
        for number in 1..=2u8 {
            put_others(&repository, number);
        }
        let (chain, store_of, chance) = repository.keychain_mut();
        chain.add(store_of, b"second", "second", repo::Argon2Profile::Cheap, chance).unwrap();
        Scene { store, cache, snapshots: [one, two, three] }
    }

    fn names(&self, dir: &str) -> Vec<ObjectName> {
        let names = self.store.objects().into_keys();
        names.filter(|name| name.as_str().split('/').next() == Some(dir)).collect()
    }

    /// The same repository, by itself.
    fn copy(&self) -> MemoryStore {
        MemoryStore::holding(self.store.objects())
    }
}

/// A forgotten and a condemned record, and a session.
fn put_others(repository: &Repository, number: u8) {
    let time = SystemChance.now_for_tests();
    let forgotten = Forgotten {
        lineage: Lineage::default(),
        snapshots: Ascending::new(vec![SnapshotId::from_bytes([number; 32])]).unwrap(),
        time,
        host: Label::default_host(),
        user: Label::default_host(),
        why: Label::default_host(),
        signature: Signature::default(),
        extras: Extras::default(),
    };
    repository.objects().put(&forgotten).unwrap();
    let condemned = Condemned {
        session: keepstone::id::SessionId::from_bytes([number; 32]),
        lineage: Lineage::default(),
        packs: Ascending::new(vec![PackId::from_bytes([number; 32])]).unwrap(),
        signature: Signature::default(),
        extras: Extras::default(),
    };
    repository.objects().put(&condemned).unwrap();
    repository.objects().put(&session(time)).unwrap();
}

fn session(started: Time) -> Session {
    Session {
        kind: SessionKind::Backup,
        host: Label::truncated("there"),
        process: 7,
        started,
        seen: Ascending::default(),
        program: repo::program(),
        extras: Extras::default(),
    }
}

trait NowForTests {
    fn now_for_tests(&self) -> Time;
}
impl NowForTests for SystemChance {
    fn now_for_tests(&self) -> Time {
        keepstone::crypto::Chance::now(self)
    }
}

trait DefaultHost {
    fn default_host() -> Self;
}
impl DefaultHost for Label {
    fn default_host() -> Self {
        Label::truncated("here")
    }
}

fn check_with(repository: &mut Repository, read: ReadData) -> (CheckReport, Vec<Finding>) {
    let findings = Mutex::new(Vec::new());
    let counters = WorkCounters::new("objects");
    let on_finding = |finding: &Finding| findings.lock().unwrap().push(finding.clone());
    let listener = Listener { counters: &counters, on_finding: &on_finding, interrupted: &|| false };
    let report = check(repository, read, &listener).unwrap();
    (report, findings.into_inner().unwrap())
}

fn check_store(store: MemoryStore, read: ReadData) -> (CheckReport, Vec<Finding>) {
    check_with(&mut open(store), read)
}

/// Files that findings say are harmed, as `snapshot number/path`.
fn harmed(scene: &Scene, findings: &[Finding]) -> BTreeSet<String> {
    let number = |id: &SnapshotId| scene.snapshots.iter().position(|snapshot| snapshot == id).unwrap() + 1;
    let path = |finding: &Finding| match &finding.subject {
        Subject::Path { snapshot, path } => Some(format!("{}/{}", number(snapshot), String::from_utf8_lossy(path))),
        _ => None,
    };
    findings.iter().filter_map(path).collect()
}

/// What can become of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    Missing,
    CutShort,
    Flipped,
    Swapped,
    Emptied,
    Doubled,
}

const BLOWS: [Blow; 6] = [Blow::Missing, Blow::CutShort, Blow::Flipped, Blow::Swapped, Blow::Emptied, Blow::Doubled];

fn strike(store: &MemoryStore, name: &ObjectName, other: &ObjectName, blow: Blow) {
    let mut bytes = store.objects()[name].clone();
    let middle = bytes.len() / 2;
    match blow {
        Blow::Missing => return drop(store.remove(name)),
        Blow::CutShort => bytes.truncate(middle),
        Blow::Flipped => bytes[middle] ^= 0x10,
        Blow::Swapped => bytes = store.objects()[other].clone(),
        Blow::Emptied => bytes.clear(),
        Blow::Doubled => bytes = [bytes.clone(), bytes].concat(),
    }
    store.set(name, bytes);
}

#[test]
fn a_check_that_is_told_to_stop_stops_and_calls_nothing_damaged() {
    let scene = Scene::new();
    let counters = WorkCounters::new("objects");
    let on_finding = |finding: &Finding| panic!("{finding:?}");
    let listener = Listener { counters: &counters, on_finding: &on_finding, interrupted: &|| true };

    let ended = check(&mut open(scene.copy()), ReadData::All, &listener);

    assert!(matches!(ended, Err(RepoError::Interrupted)));
}

#[test]
fn a_healthy_repository_has_no_findings() {
    let scene = Scene::new();
    for read in [ReadData::No, ReadData::All, ReadData::Percent(50.0)] {
        let (report, findings) = check_store(scene.copy(), read);
        assert_eq!(findings, [], "{read:?}");
        assert!(!report.damaged() && report.is_complete());
        assert_eq!((report.snapshots, report.garbage_packs), (3, 0));
        assert!(report.packs >= 8 && report.nodes >= 8 && report.objects > 15, "{report:?}");
    }
    let (report, _) = check_store(scene.copy(), ReadData::All);
    let packs: usize = scene.names("packs").iter().map(|name| scene.store.objects()[name].len()).sum();
    assert_eq!((report.packs_read, report.bytes_read), (report.packs, packs as u64));
}

#[test]
fn every_object_that_is_damaged_in_any_way_is_named() {
    let scene = Scene::new();
    let dirs = ["keys", "keyring", "packs", "index", "snapshots", "forgotten", "runs", "sessions", "condemned"];
    let all: BTreeSet<String> =
        scene.store.objects().into_keys().map(|name| name.as_str().split('/').next().unwrap().to_owned()).collect();
    let known: BTreeSet<String> = dirs.iter().map(|dir| dir.to_string()).chain(["config".to_owned()]).collect();
    assert_eq!(all, known, "the matrix is over every kind of object");
    for dir in dirs {
        let names = scene.names(dir);
        assert!(names.len() >= 2, "{dir}");
        for (at, name) in names.iter().enumerate() {
            for blow in BLOWS {
                let store = scene.copy();
                strike(&store, name, &names[(at + 1) % names.len()], blow);
                assert_named(&scene, store, name, blow);
            }
        }
    }
}

fn assert_named(scene: &Scene, store: MemoryStore, name: &ObjectName, blow: Blow) {
    let dir = name.as_str().split('/').next().unwrap();
    // Nobody else speaks of these: who loses one, loses what it said.
    let leaves_no_trace = ["forgotten", "runs", "sessions", "condemned"].contains(&dir) && blow == Blow::Missing;
    // A cache that has seen a segment knows that it is gone.
    let cache = match (dir, blow) {
        ("index", Blow::Missing) => CacheDir::Kept(scene.cache.path().into()),
        _ => CacheDir::Temporary,
    };
    let mut repository = match try_open(store, &cache) {
        Ok(repository) => repository,
        // Without its own key slot or keyring nothing opens: then that is named.
        Err(error) => {
            assert!(["keys", "keyring"].contains(&dir), "{name} {blow:?}: {error}");
            return;
        }
    };
    let (report, findings) = check_with(&mut repository, ReadData::All);
    let named = findings.iter().any(|finding| finding.to_string().contains(name.as_str()));
    let is_old_generation = dir == "keyring" && findings.iter().any(|finding| finding.to_string().contains("keyring"));
    assert!(named || leaves_no_trace || is_old_generation, "{name} {blow:?}: {findings:#?}");
    let only_warns = leaves_no_trace || (dir == "keyring" && !report.damaged());
    assert!(report.damaged() || only_warns, "{name} {blow:?}: {findings:#?}");
}

#[test]
fn the_config_is_named_too() {
    let scene = Scene::new();
    let config = ObjectName::new("config").unwrap();
    for blow in BLOWS.into_iter().filter(|blow| *blow != Blow::Swapped) {
        let store = scene.copy();
        strike(&store, &config, &config, blow);
        let Ok(mut repository) = try_open(store, &CacheDir::Temporary) else { continue };
        let (report, findings) = check_with(&mut repository, ReadData::No);
        assert!(report.damaged(), "{blow:?}");
        assert_eq!(findings[0].subject, Subject::Object("config".into()));
    }
}

/// What a reader gets of every file, and whether it is what was backed up.
fn lost_files(scene: &Scene, store: MemoryStore) -> BTreeSet<String> {
    let repository = open(store);
    let mut lost = BTreeSet::new();
    let all = [first_files(), second_files(), files([("d/five", noise(6, 90_000))])];
    for (at, (id, files)) in scene.snapshots.iter().zip(all).enumerate() {
        let snapshot = repository.objects().get::<keepstone::format::control::Snapshot>(id).unwrap();
        for (path, bytes) in files {
            let read = keepstone::ops::snapshots::find_path(&repository, &snapshot.root, path.as_bytes());
            let read = read.and_then(|spot| match spot {
                keepstone::ops::snapshots::Spot::Entry(entry) => match &entry.node {
                    keepstone::format::tree::Node::File(content) => repository.read_content(content, 1 << 20),
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            });
            if read.ok() != Some(bytes) {
                lost.insert(format!("{}/{path}", at + 1));
            }
        }
    }
    lost
}

#[test]
fn exactly_the_files_are_named_that_do_not_come_back() {
    let scene = Scene::new();
    let names = scene.names("packs");
    let (mut some, mut none) = (0, 0);
    for (at, name) in names.iter().enumerate() {
        for blow in BLOWS {
            let store = scene.copy();
            strike(&store, name, &names[(at + 1) % names.len()], blow);
            let lost = lost_files(&scene, MemoryStore::holding(store.objects()));
            let (report, findings) = check_store(store, ReadData::All);
            let named = harmed(&scene, &findings);
            // A directory that cannot be read stands for all that is in it.
            let covers = |path: &String| named.contains(path) || named.iter().any(|dir| path.starts_with(dir.as_str()));
            assert!(lost.iter().all(covers), "{name} {blow:?}: lost {lost:?}, named {named:?}");
            let is_lost = |path: &String| lost.iter().any(|lost| lost.starts_with(path.as_str()));
            assert!(named.iter().all(is_lost), "{name} {blow:?}: lost {lost:?}, named {named:?}");
            let count: u64 = report.harmed.iter().map(|harmed| harmed.files).sum();
            assert_eq!(count, named.len() as u64, "{name} {blow:?}: {findings:#?}");
            *(if lost.is_empty() { &mut none } else { &mut some }) += 1;
        }
    }
    assert!(some > 20 && none > 2, "{some} {none}");
}

#[test]
fn a_shared_file_is_named_in_every_snapshot_that_it_harms() {
    let scene = Scene::new();
    let repository = open(scene.copy());
    let snapshot = repository.objects().get::<keepstone::format::control::Snapshot>(&scene.snapshots[0]).unwrap();
    let spot = keepstone::ops::snapshots::find_path(&repository, &snapshot.root, b"a/two").unwrap();
    let keepstone::ops::snapshots::Spot::Entry(entry) = spot else { panic!("{spot:?}") };
    let keepstone::format::tree::Node::File(content) = &entry.node else { panic!("{entry:?}") };
    let chunk = keepstone::repo::walk::Items::new(&repository, content).next().unwrap().unwrap();
    let keepstone::format::content::Item::Data { id, .. } = chunk else { panic!("{chunk:?}") };
    let location = repository.view().locate(&id).unwrap()[0];
    let store = scene.copy();
    let name = repo::pack_name(&location.pack);
    let mut bytes = store.objects()[&name].clone();
    bytes[location.placed.offset as usize + 5] ^= 1;
    store.set(&name, bytes);
    let (_, findings) = check_store(store.clone(), ReadData::No);
    assert_eq!(findings, [], "without reading, nothing of it shows");
    let (report, findings) = check_store(store, ReadData::All);
    assert_eq!(harmed(&scene, &findings), ["1/a/two", "2/a/two"].map(str::to_owned).into());
    assert_eq!(report.harmed.len(), 2);
}

#[test]
fn a_split_directory_without_several_of_its_nodes_is_named_once_in_each_snapshot() {
    let store = init(0);
    let repository = open(store.clone());
    let many = |extra: &str| -> Files {
        let names = (0..5_000).map(|number| (format!("many/{number:04}"), b"x".to_vec()));
        names.chain([(extra.to_owned(), b"y".to_vec())]).collect()
    };
    let snapshots = ["p", "q"].map(|extra| commit(&repository, &many(extra), &About::default()).0);
    // All leaves of the directory but the first.
    let segments = repository.objects().list::<keepstone::format::segment::Segment>().unwrap();
    let first = segments.iter().map(|id| repository.objects().get::<keepstone::format::segment::Segment>(id).unwrap());
    let large = first.flat_map(|segment| {
        let packs = segment.header.packs.into_vec();
        segment.records.into_iter().map(move |record| (packs[record.pack as usize].id, record.placed))
    });
    let leaves: Vec<_> = large.filter(|(_, placed)| placed.blob.plain_len > 5_000).collect();
    assert!(leaves.len() > 4);
    for (pack, placed) in &leaves[1..] {
        let name = repo::pack_name(pack);
        let mut bytes = store.objects()[&name].clone();
        bytes[placed.offset as usize] ^= 1;
        store.set(&name, bytes);
    }
    let (report, findings) = check_store(store, ReadData::No);
    for snapshot in snapshots {
        let about = |finding: &&Finding| matches!(&finding.subject, Subject::Path { snapshot: of, path } if *of == snapshot && path == b"many");
        assert_eq!(findings.iter().filter(about).count(), 1);
    }
    assert_eq!(report.harmed.iter().map(|harmed| harmed.files).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn a_pack_that_is_cut_and_not_needed_harms_nothing_and_is_only_warned_of() {
    let store = init(1 << 16);
    let (one, two) = (open(store.clone()), open(store.clone()));
    // Two hosts that back up the same at once each store it.
    let both = [&one, &two].map(|repository| {
        keepstone::repo::Writer::begin(repository, SessionKind::Backup, &Default::default()).unwrap()
    });
    for (repository, writer) in [&one, &two].into_iter().zip(both) {
        let root = stored::put_tree(repository, &writer, &first_files());
        stored::commit_root(writer, root, &About::default());
    }
    let packs = store.objects().into_keys().filter(|name| name.as_str().starts_with("packs/")).collect::<Vec<_>>();
    let twice = store;
    for name in &packs {
        let store = MemoryStore::holding(twice.objects());
        strike(&store, name, name, Blow::Emptied);
        let (report, findings) = check_store(store, ReadData::All);
        assert!(!report.damaged() && report.warnings == 1, "{findings:#?}");
        let about: BTreeSet<&Subject> = findings.iter().map(|finding| &finding.subject).collect();
        assert_eq!(about, [&Subject::Object(name.to_string())].into(), "{findings:#?}");
        let store = MemoryStore::holding(twice.objects());
        strike(&store, name, name, Blow::Flipped);
        let (report, findings) = check_store(store, ReadData::All);
        // A writer may rely on a pack of the right length.
        assert!(report.damaged() && report.harmed.is_empty(), "{findings:#?}");
    }
}

#[test]
fn the_parts_of_a_check_are_together_a_whole_one() {
    let scene = Scene::new();
    let names = scene.names("packs");
    let store = scene.copy();
    for name in &names {
        strike(&store, name, name, Blow::Flipped);
    }
    let (whole, _) = check_store(store.clone(), ReadData::All);
    let parts: Vec<CheckReport> = (1..=3).map(|part| check_store(store.clone(), ReadData::Subset(part, 3)).0).collect();
    assert_eq!(parts.iter().map(|part| part.packs_read).sum::<u64>(), whole.packs);
}

#[test]
fn garbage_is_counted_and_is_no_damage() {
    let scene = Scene::new();
    let repository = open(scene.copy());
    let (_, tree) = commit(&repository, &files([("x", noise(9, 9_000))]), &About::default());
    let store = MemoryStore::holding(scene.store.objects());
    let garbage = noise(10, 1000);
    let id = PackId::of_stored(&garbage);
    store.set(&repo::pack_name(&id), garbage);
    let (report, findings) = check_store(store, ReadData::All);
    assert_eq!((report.garbage_packs, report.garbage_bytes), (1, 1000));
    assert_eq!(findings, []);
    assert!(tree.entries == 1);
}

#[test]
fn a_snapshot_that_vanished_is_told_from_one_that_was_forgotten() {
    let scene = Scene::new();
    let repository = open(scene.copy());
    let gone = scene.snapshots[2];
    repository.objects().delete::<keepstone::format::control::Snapshot>(&gone).unwrap();
    let mut repository = repository;
    let (report, findings) = check_with(&mut repository, ReadData::No);
    assert!(report.damaged());
    assert!(findings.iter().any(|finding| finding.subject == Subject::Object(format!("snapshots/{gone}"))));

    let forgotten = Forgotten {
        lineage: Lineage::default(),
        snapshots: Ascending::new(vec![gone]).unwrap(),
        time: Time::default(),
        host: Label::default_host(),
        user: Label::default_host(),
        why: Label::default_host(),
        signature: Signature::default(),
        extras: Extras::default(),
    };
    repository.objects().put(&forgotten).unwrap();
    assert_eq!(check_with(&mut repository, ReadData::No).1, []);
}

#[test]
fn what_is_foreign_or_left_behind_is_a_warning() {
    let scene = Scene::new();
    let store = scene.copy();
    store.set(&ObjectName::new("snapshots/readme.txt").unwrap(), b"hello".to_vec());
    store.set(&ObjectName::new("lost/and/found").unwrap(), b"hello".to_vec());
    let mut repository = open(store);
    repository.objects().put(&session(Time::default())).unwrap();
    let (report, findings) = check_with(&mut repository, ReadData::No);
    assert_eq!((report.warnings, report.damaged()), (2, false), "{findings:#?}");
    assert!(findings.iter().all(|finding| finding.severity == Severity::Warning));
}

#[test]
fn a_store_that_fails_is_not_called_damage() {
    let scene = Scene::new();
    let faulty = keepstone::storage::FaultyStore::new(scene.copy());
    let mut repository = open(faulty.clone());
    let struck = scene.names("packs")[0].to_string();
    let faulty = faulty.fail(move |call| call.name == struck);
    let (report, findings) = check_with(&mut repository, ReadData::All);
    assert!(faulty.faults() > 0);
    assert!(!report.damaged() && !report.is_complete(), "{findings:#?}");
}

#[test]
fn every_tree_is_read_once_however_many_there_are_and_however_often_they_are_shared() {
    let store = init(0);
    let repository = open(store.clone());
    let files: Files = (0..5_000).map(|n| (format!("d{:02}/e{n:04}/f", n % 70), format!("{n}").into_bytes())).collect();
    for secs in 1..=3 {
        commit(&repository, &files, &About { secs, ..About::default() });
    }
    let watched = keepstone::storage::FaultyStore::new(store);
    let mut repository = open(watched.clone());
    let (report, findings) = check_with(&mut repository, ReadData::No);
    assert_eq!(findings, []);
    assert!((5_071..5_200).contains(&report.nodes), "{} nodes", report.nodes);
    let reads = watched.count(keepstone::storage::Verb::GetRange);
    assert!(reads < 2 * report.nodes, "{reads} reads for {} nodes", report.nodes);
}
