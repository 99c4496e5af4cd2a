//! A small repository with every kind of object, two or more of each, and what can become of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use keepstone::format::codec::Ascending;
use keepstone::format::control::{Condemned, Forgotten, Label, Session, SessionKind, Snapshot};
use keepstone::format::envelope::{ObjectKind, Prefix};
use keepstone::format::tree::{Node, Time};
use keepstone::id::{PackId, SnapshotId};
use keepstone::ops::check::{CheckReport, Finding, Listener, ReadData, check};
use keepstone::ops::progress::WorkCounters;
use keepstone::ops::repair::{self, IndexReport, PacksReport, SnapshotsReport, Step};
use keepstone::ops::snapshots::{Spot, find_path};
use keepstone::repo::{self, CacheDir, RepoError, Repository, SystemChance};
use keepstone::storage::{MemoryStore, ObjectName, Store};

use crate::stored::{self, About, Files, commit, files, init, noise, run, try_open};

const OTHER_PASSWORD: &[u8] = b"second";

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Config,
    Keyslot,
    Keyring,
    DataPack,
    MetaPack,
    Segment,
    Snapshot,
    Forgotten,
    Run,
    Session,
    Lease,
    Condemned,
    EpochRecord,
}

impl Kind {
    pub const ALL: [Kind; 13] = [
        Kind::Config,
        Kind::Keyslot,
        Kind::Keyring,
        Kind::DataPack,
        Kind::MetaPack,
        Kind::Segment,
        Kind::Snapshot,
        Kind::Forgotten,
        Kind::Run,
        Kind::Session,
        Kind::Lease,
        Kind::Condemned,
        Kind::EpochRecord,
    ];

    /// The kind of an object of a sound repository; packs are told apart by [`Scene::of`].
    pub fn of(name: &ObjectName) -> Kind {
        match name.as_str().split('/').next().unwrap() {
            "config" => Kind::Config,
            "keys" => Kind::Keyslot,
            "keyring" => Kind::Keyring,
            "packs" if META.lock().unwrap().contains(name) => Kind::MetaPack,
            "packs" => Kind::DataPack,
            "index" => Kind::Segment,
            "snapshots" => Kind::Snapshot,
            "forgotten" => Kind::Forgotten,
            "runs" => Kind::Run,
            "sessions" if name.as_str().ends_with(".beat") => Kind::Lease,
            "sessions" => Kind::Session,
            "condemned" => Kind::Condemned,
            "epochs" => Kind::EpochRecord,
            other => panic!("{other} is of no known kind"),
        }
    }
}

/// Metadata packs, which their names do not tell.
static META: Mutex<BTreeSet<ObjectName>> = Mutex::new(BTreeSet::new());

/// What can become of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    Missing,
    CutShort,
    Flipped,
    FlippedAtTheStart,
    Swapped,
    Older,
    Emptied,
    Doubled,
}

impl Blow {
    pub const ALL: [Blow; 8] = [
        Blow::Missing,
        Blow::CutShort,
        Blow::Flipped,
        Blow::FlippedAtTheStart,
        Blow::Swapped,
        Blow::Older,
        Blow::Emptied,
        Blow::Doubled,
    ];
}

pub struct Scene {
    store: MemoryStore,
    snapshots: [SnapshotId; 2],
    /// Which objects there were at which time, the first first.
    ages: Vec<BTreeSet<ObjectName>>,
    /// Bytes that objects had before they were rewritten.
    older: BTreeMap<ObjectName, Vec<u8>>,
}

/// What the snapshots hold.
pub fn all_files() -> [Files; 2] {
    let shared = ("shared/one", noise(1, 40_000));
    let first = files([shared.clone(), ("a/two", noise(2, 30_000)), ("a/short", b"short".to_vec())]);
    [first, files([shared, ("b/three", noise(3, 50_000)), ("top", noise(4, 9_000))])]
}

impl Scene {
    pub fn new() -> Self {
        let store = init(1 << 16);
        let mut ages = vec![store.objects().into_keys().collect()];
        let mut repository = try_open(store.clone(), &CacheDir::Temporary).unwrap();
        let snapshots = [0, 1].map(|at| {
            let (id, _) = commit(&repository, &all_files()[at], &About { secs: at as i64, ..About::default() });
            ages.push(store.objects().into_keys().collect());
            id
        });
        run(&repository, &snapshots[..1], &snapshots[..1]);
        run(&repository, &snapshots, &snapshots);
        for _ in 0..2 {
            let (chain, below, chance) = repository.keychain_mut();
            chain.rotate(below, chance).unwrap();
            repository = try_open(store.clone(), &CacheDir::Temporary).unwrap();
            repository.close_epochs(false).unwrap();
            // Something is valid under each epoch.
            run(&repository, &snapshots, &snapshots);
            repository = try_open(store.clone(), &CacheDir::Temporary).unwrap();
        }
        let mut older = BTreeMap::new();
        older.insert(repo::config_name(), init(0).objects()[&repo::config_name()].clone());
        for number in 1..=2u8 {
            put_others(&repository, number, &mut older);
            ages.push(store.objects().into_keys().collect());
        }
        let (chain, below, chance) = repository.keychain_mut();
        chain.add(below, OTHER_PASSWORD, "second", repo::Argon2Profile::Cheap, chance).unwrap();
        let scene = Scene { store, snapshots, ages, older };
        for (name, bytes) in scene.store.objects() {
            let is_meta = Prefix::split(&bytes).is_ok_and(|(prefix, _)| prefix.kind == ObjectKind::MetaPack);
            if is_meta {
                META.lock().unwrap().insert(name);
            }
        }
        scene
    }

    pub fn objects(&self) -> impl Iterator<Item = ObjectName> + use<> {
        self.store.objects().into_keys()
    }

    pub fn of(&self, kind: Kind) -> Vec<ObjectName> {
        self.objects().filter(|name| Kind::of(name) == kind).collect()
    }

    /// The same repository, by itself.
    pub fn copy(&self) -> MemoryStore {
        MemoryStore::holding(self.store.objects())
    }

    /// The repository after a blow; `None` if there is nothing to swap with.
    pub fn struck(&self, name: &ObjectName, blow: Blow) -> Option<MemoryStore> {
        let store = self.copy();
        let objects = store.objects();
        let mut bytes = objects[name].clone();
        let middle = bytes.len() / 2;
        match blow {
            Blow::Missing => {
                store.remove(name);
                return Some(store);
            }
            Blow::CutShort => bytes.truncate(middle),
            Blow::Flipped => bytes[middle] ^= 0x10,
            // Where the version is: what a newer keepstone wrote looks like that.
            Blow::FlippedAtTheStart => *bytes.get_mut(9)? ^= 0x10,
            Blow::Swapped => bytes = objects[&self.of(Kind::of(name)).into_iter().find(|other| other != name)?].clone(),
            Blow::Older => bytes = self.older(name),
            Blow::Emptied => bytes.clear(),
            Blow::Doubled => bytes = [bytes.clone(), bytes].concat(),
        }
        store.set(name, bytes);
        Some(store)
    }

    /// What was there before it: its own bytes, or an object of its kind; for the first, the last.
    fn older(&self, name: &ObjectName) -> Vec<u8> {
        if let Some(bytes) = self.older.get(name) {
            return bytes.clone();
        }
        let age =
            |name: &ObjectName| self.ages.iter().position(|there| there.contains(name)).unwrap_or(self.ages.len());
        let mut others = self.of(Kind::of(name));
        others.retain(|other| other != name);
        others.sort_by_key(|other| (age(other) >= age(name), std::cmp::Reverse(age(other))));
        self.store.objects()[&others[0]].clone()
    }

    /// Files that do not come back as they were, as `snapshot:/path`.
    pub fn lost(&self, repository: &Repository) -> BTreeSet<String> {
        let mut lost = BTreeSet::new();
        for (id, files) in self.snapshots.iter().zip(all_files()) {
            let root = repository.objects().get::<Snapshot>(id).map(|snapshot| snapshot.root);
            for (path, bytes) in files {
                let read = root.as_ref().ok().and_then(|root| read(repository, root, &path));
                if read.as_deref() != Some(&*bytes) {
                    lost.insert(format!("{}:/{path}", id.short()));
                }
            }
        }
        lost
    }

    /// Files that come back neither out of their snapshots nor out of those that were made of these, as
    /// `snapshot:/path`.
    pub fn lost_for_good(&self, repository: &Repository) -> BTreeSet<String> {
        let mut lost = self.lost(repository);
        let made = repository.objects().list::<Snapshot>().unwrap().into_iter().filter_map(|id| {
            let snapshot = repository.objects().get::<Snapshot>(&id).ok()?;
            Some((repair::made_from(&snapshot)?, id))
        });
        for (original, made) in made.collect::<Vec<_>>() {
            for path in self.kept(repository, &original, &made).0 {
                lost.remove(&path);
            }
        }
        lost
    }

    /// How the paths of the snapshot with this name begin.
    pub fn number_of(&self, name: &ObjectName) -> String {
        let id: SnapshotId = repo::id_of(name).unwrap();
        format!("{}:/", id.short())
    }

    /// Whether it is a record of what is valid under the first epoch.
    pub fn is_record_of_the_first_epoch(&self, name: &ObjectName) -> bool {
        let repository = opened(self.copy()).unwrap();
        let first = repository.keychain().keyring.epochs.find(&1).unwrap().closing().unwrap().unwrap();
        first.records.contains(&repo::id_of(name).unwrap())
    }

    /// Which files of an original a snapshot that was made of it holds, and how many the original had.
    pub fn kept(&self, repository: &Repository, original: &SnapshotId, made: &SnapshotId) -> (Vec<String>, usize) {
        let at = self.snapshots.iter().position(|id| id == original).unwrap();
        let snapshot = repository.objects().get::<Snapshot>(made).unwrap();
        assert_eq!(repair::made_from(&snapshot), Some(*original));
        assert!(snapshot.tags.iter().any(|tag| &**tag == "repaired"));
        let files = &all_files()[at];
        let held = files.iter().filter(|(path, _)| read(repository, &snapshot.root, path).is_some());
        let held: Vec<String> = held
            .map(|(path, bytes)| {
                assert_eq!(read(repository, &snapshot.root, path).as_ref(), Some(bytes));
                format!("{}:/{path}", original.short())
            })
            .collect();
        (held, files.len())
    }
}

/// The path in what a finding says, `snapshot:/path: why`.
pub fn path_in(said: &str) -> String {
    said.split(": ").next().unwrap().to_owned()
}

fn read(repository: &Repository, root: &keepstone::format::tree::TreeRef, path: &str) -> Option<Vec<u8>> {
    let Spot::Entry(entry) = find_path(repository, root, path.as_bytes()).ok()? else { return None };
    let Node::File(content) = &entry.node else { return None };
    repository.read_content(content, 1 << 20).ok()
}

fn put_others(repository: &Repository, number: u8, older: &mut BTreeMap<ObjectName, Vec<u8>>) {
    let time = keepstone::crypto::Chance::now(&SystemChance);
    let label = || Label::truncated("here");
    let forgotten = Forgotten {
        lineage: Default::default(),
        snapshots: Ascending::new(vec![SnapshotId::from_bytes([number; 32])]).unwrap(),
        time,
        host: label(),
        user: label(),
        why: label(),
        signature: Default::default(),
        extras: Default::default(),
    };
    repository.objects().put(&forgotten).unwrap();
    let condemned = Condemned {
        session: keepstone::id::SessionId::from_bytes([number; 32]),
        lineage: Default::default(),
        packs: Ascending::new(vec![PackId::from_bytes([number; 32])]).unwrap(),
        signature: Default::default(),
        extras: Default::default(),
    };
    repository.objects().put(&condemned).unwrap();
    let session = repository.objects().put(&left_behind(time)).unwrap().id();
    let beat = ObjectName::new(&format!("sessions/{session}.beat")).unwrap();
    repository.objects().store().put(&beat, &[number; 16]).unwrap();
    older.insert(beat, vec![0; 16]);
}

fn left_behind(started: Time) -> Session {
    Session {
        kind: SessionKind::Backup,
        host: Label::truncated("there"),
        process: 7,
        started,
        seen: Ascending::default(),
        program: repo::program(),
        extras: Default::default(),
    }
}

/// The repository, with whichever password opens it.
pub fn opened(store: impl Store + Clone + 'static) -> Option<Repository> {
    [stored::PASSWORD, OTHER_PASSWORD].into_iter().find_map(|password| {
        Repository::open(Box::new(store.clone()), password, &CacheDir::Temporary, Box::new(SystemChance)).ok()
    })
}

pub fn check_all(repository: &mut Repository) -> (CheckReport, Vec<Finding>) {
    let findings = Mutex::new(Vec::new());
    let counters = WorkCounters::new("objects");
    let on_finding = |finding: &Finding| findings.lock().unwrap().push(finding.clone());
    let listener = Listener { counters: &counters, on_finding: &on_finding, interrupted: &|| false };
    let report = check(repository, ReadData::All, &listener).unwrap();
    (report, findings.into_inner().unwrap())
}

fn with_listener<T>(
    store: &(impl Store + Clone + 'static),
    steps: &Mutex<Vec<Step>>,
    work: impl FnOnce(&mut Repository, &repair::Listener<'_>) -> Result<T, RepoError>,
) -> Result<T, RepoError> {
    let counters = WorkCounters::new("objects");
    let on_step = |step: &Step| steps.lock().unwrap().push(step.clone());
    let listener = repair::Listener { counters: &counters, on_step: &on_step, interrupted: &|| false };
    let Some(mut repository) = opened(store.clone()) else { return Err(RepoError::Missing { what: "it".into() }) };
    work(&mut repository, &listener)
}

pub fn repair_index(store: &(impl Store + Clone + 'static)) -> Result<IndexReport, RepoError> {
    let options = repair::IndexOptions::default();
    with_listener(store, &Mutex::default(), |repository, listener| repair::index(repository, &options, listener))
}

pub fn repair_packs(store: &(impl Store + Clone + 'static)) -> Result<PacksReport, RepoError> {
    let options = repair::PacksOptions { read_data: true, ..Default::default() };
    with_listener(store, &Mutex::default(), |repository, listener| repair::packs(repository, &options, listener))
}

pub fn repair_snapshots(store: &(impl Store + Clone + 'static), forget: bool) -> Result<SnapshotsReport, RepoError> {
    let options = repair::SnapshotsOptions { forget, ..Default::default() };
    with_listener(store, &Mutex::default(), |repository, listener| repair::snapshots(repository, &options, listener))
}

/// What all three say that they would do.
pub fn dry_run(store: &MemoryStore) -> Vec<Step> {
    let steps = Mutex::default();
    let index = repair::IndexOptions { dry_run: true, ..Default::default() };
    let packs = repair::PacksOptions { dry_run: true, read_data: true, ..Default::default() };
    let snapshots = repair::SnapshotsOptions { dry_run: true, ..Default::default() };
    with_listener(store, &steps, |repository, listener| repair::index(repository, &index, listener)).unwrap();
    with_listener(store, &steps, |repository, listener| repair::packs(repository, &packs, listener)).unwrap();
    with_listener(store, &steps, |repository, listener| repair::snapshots(repository, &snapshots, listener)).unwrap();
    steps.into_inner().unwrap()
}
