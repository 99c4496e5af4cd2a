//! A repository that several programs work on, and what they were promised.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use keepstone::format::codec::Ascending;
use keepstone::format::control::{Forgotten, Label, Lineage, Signature, Snapshot};
use keepstone::format::extras::Extras;
use keepstone::format::tree::Time;
use keepstone::id::SnapshotId;
use keepstone::ops::check::{self, CheckReport, Finding, ReadData, check};
use keepstone::ops::progress::WorkCounters;
use keepstone::ops::prune::{Listener, MaxUnused, PruneOptions, PruneReport, Thrift, prune};
use keepstone::repo::lease::PATIENCE;
use keepstone::repo::{RepoError, Repository, Who, name_of};
use keepstone::storage::{MemoryStore, ObjectName};
use tempfile::TempDir;

use crate::support::*;

pub fn thrifty() -> PruneOptions {
    let thrift = Thrift { max_unused: MaxUnused::Bytes(0), ..Thrift::default() };
    PruneOptions { who: Who { host: "host".into(), user: "al".into() }, thrift, patience: PATIENCE }
}

/// As if every lease had run out that was looked at before.
pub fn impatient() -> PruneOptions {
    PruneOptions { patience: Duration::ZERO, ..thrifty() }
}

pub fn try_prune(repository: &Repository, options: &PruneOptions) -> Result<PruneReport, RepoError> {
    let listener = Listener { counters: &WorkCounters::new("nodes"), interrupted: &|| false, on_plan: &|_| () };
    prune(repository, options, &listener)
}

#[track_caller]
pub fn pruned(repository: &Repository) -> PruneReport {
    try_prune(repository, &thrifty()).unwrap()
}

/// A directory for a cache: in memory where the system has room for files there, because nothing that these tests ask
/// depends on the disk, and a database that is synced costs more than all they do besides.
pub fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        // Fails if it was done before.
        let _ = tempfile::env::override_temp_dir(memory);
    }
    TempDir::new().unwrap()
}

/// Records that a snapshot is forgotten, and removes its object.
pub fn forget(store: &MemoryStore, id: &SnapshotId) {
    let repository = fresh(store);
    let record = Forgotten {
        lineage: Lineage::default(),
        snapshots: Ascending::new(vec![*id]).unwrap(),
        time: Time::default(),
        host: Label::truncated("host"),
        user: Label::truncated("al"),
        why: Label::truncated("a test"),
        signature: Signature::default(),
        extras: Extras::default(),
    };
    repository.objects().put(&record).unwrap();
    store.remove(&name_of::<Snapshot>(id)).expect("it is there");
}

pub fn names(store: &MemoryStore, dir: &str) -> Vec<ObjectName> {
    store.objects().into_keys().filter(|name| name.as_str().starts_with(dir)).collect()
}

pub fn bytes(store: &MemoryStore, dir: &str) -> usize {
    let objects = store.objects();
    objects.iter().filter(|(name, _)| name.as_str().starts_with(dir)).map(|(_, bytes)| bytes.len()).sum()
}

/// Reads everything there is, as another machine.
pub fn checked(store: &MemoryStore) -> (CheckReport, Vec<Finding>) {
    let findings = std::sync::Mutex::new(Vec::new());
    let listener = check::Listener {
        counters: &WorkCounters::new("objects"),
        on_finding: &|finding: &Finding| findings.lock().unwrap().push(finding.clone()),
        interrupted: &|| false,
    };
    let report = check(&mut fresh(store), ReadData::All, &listener).unwrap();
    (report, findings.into_inner().unwrap())
}

#[track_caller]
pub fn assert_sound(store: &MemoryStore) -> CheckReport {
    let (report, findings) = checked(store);
    assert!(!report.damaged() && report.is_complete(), "{findings:#?}");
    report
}

/// Every snapshot that was reported good, and what was backed up.
#[derive(Default)]
pub struct Promised(pub BTreeMap<SnapshotId, MemorySource>);

impl Promised {
    pub fn back_up(&mut self, repository: &Repository, source: MemorySource) -> SnapshotId {
        let id = saved(&back_up(repository, &source));
        self.0.insert(id, source);
        id
    }

    #[track_caller]
    pub fn assert_kept(&self, store: &MemoryStore) {
        let repository = fresh(store);
        self.0.iter().for_each(|(id, source)| assert_holds(&repository, id, source));
    }
}

/// Files `from..to`, each of `len` bytes that are its own.
pub fn files(numbers: std::ops::Range<u64>, len: usize) -> MemorySource {
    let mut source = MemorySource::default();
    numbers.for_each(|number| source.set(&format!("dir{}/{number:04}", number % 7), noise(number, len)));
    source
}
