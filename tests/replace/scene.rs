//! A repository with some snapshots, and what became of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use keepstone::format::control::{Forgotten, Run, Snapshot};
use keepstone::format::tree::{Node, TreeRef};
use keepstone::id::SnapshotId;
use keepstone::ops::check::{self, CheckReport, ReadData};
use keepstone::ops::pattern::{Case, Patterns};
use keepstone::ops::progress::WorkCounters;
use keepstone::ops::replace::{Listener, Originals, Outcome, ReplaceOptions, TagChange, rewrite, tag};
use keepstone::ops::snapshots::all;
use keepstone::repo::walk::Entries;
use keepstone::repo::{Repository, Result, Who};
use keepstone::storage::MemoryStore;

use crate::stored::{About, Files, commit, files, init, noise, open, run};

pub fn first() -> Files {
    files([
        ("etc/hosts", b"hosts".to_vec()),
        ("etc/secret", noise(1, 9000)),
        ("srv/app/dump.sql", noise(2, 20_000)),
        ("srv/app/cache/a", noise(3, 6000)),
        ("srv/app/cache/deep/b", noise(4, 6000)),
    ])
}

pub fn second() -> Files {
    let mut files = first();
    files.insert("srv/app/dump.sql".into(), noise(5, 21_000));
    files
}

/// Nothing in it that anybody would take out.
pub fn third() -> Files {
    files([("other/file", noise(6, 8000))])
}

pub fn without(files: &Files, prefix: &str) -> Files {
    files
        .iter()
        .filter(|(path, _)| !path.starts_with(prefix))
        .map(|(path, bytes)| (path.clone(), bytes.clone()))
        .collect()
}

/// Three snapshots, which a run has recorded.
pub fn scene() -> (MemoryStore, [SnapshotId; 3]) {
    let store = init(1 << 16);
    let repository = open(store.clone());
    let about = |secs, tags| About { secs, tags, ..About::default() };
    let one = commit(&repository, &first(), &about(1, &["a"])).0;
    let two = commit(&repository, &second(), &about(2, &["a", "b"])).0;
    let three = commit(&repository, &third(), &about(3, &[])).0;
    run(&repository, &[one, two, three], &[one, two, three]);
    (store, [one, two, three])
}

pub fn options(originals: Originals) -> ReplaceOptions {
    ReplaceOptions { who: Who { host: "here".into(), user: "me".into() }, originals, dry_run: false }
}

/// What became of each snapshot, in a word, and what was taken out.
pub struct Told {
    pub outcomes: Vec<(SnapshotId, &'static str)>,
    pub removed: Vec<String>,
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Unchanged => "unchanged",
        Outcome::Gone => "gone",
        Outcome::Replaced(..) => "replaced",
        Outcome::Left(_) => "left",
        Outcome::NotForgotten(_) => "not forgotten",
    }
}

fn listening(act: impl FnOnce(&Listener<'_>) -> Result<()>) -> (Result<()>, Told) {
    let outcomes = RefCell::<Vec<(SnapshotId, &str)>>::default();
    let removed = RefCell::<Vec<String>>::default();
    let result = act(&Listener {
        on_outcome: &|id, outcome| outcomes.borrow_mut().push((*id, word(outcome))),
        on_removed: &|path| removed.borrow_mut().push(String::from_utf8(path.to_vec()).unwrap()),
        interrupted: &|| false,
    });
    let mut outcomes = outcomes.into_inner();
    outcomes.sort();
    (result, Told { outcomes, removed: removed.into_inner() })
}

pub fn tag_all(repository: &Repository, change: &TagChange) -> (Result<()>, Told) {
    listening(|listener| tag(repository, &all(repository)?.snapshots, change, &options(Originals::Forget), listener))
}

pub fn rewrite_all(repository: &Repository, patterns: &[&str], options: &ReplaceOptions) -> (Result<()>, Told) {
    let excludes = [Patterns::parse(patterns, Case::Sensitive).unwrap()];
    listening(|listener| rewrite(repository, &all(repository)?.snapshots, &excludes, options, listener))
}

pub fn add(tags: &[&str]) -> TagChange {
    TagChange::Edit { add: tags.iter().map(|tag| (*tag).to_owned()).collect(), remove: Vec::new() }
}

pub fn outcomes(ids: &[SnapshotId], words: &[&'static str]) -> Vec<(SnapshotId, &'static str)> {
    let mut outcomes: Vec<_> = ids.iter().copied().zip(words.iter().copied()).collect();
    outcomes.sort();
    outcomes
}

/// All snapshots, by the second that they are dated by.
pub fn by_time(repository: &Repository) -> BTreeMap<i64, Vec<(SnapshotId, Snapshot)>> {
    let mut found: BTreeMap<i64, Vec<(SnapshotId, Snapshot)>> = BTreeMap::new();
    let listing = all(repository).unwrap();
    for (id, snapshot) in listing.snapshots {
        found.entry(snapshot.time.secs).or_default().push((id, snapshot));
    }
    found
}

pub fn tags_of(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.tags.iter().map(|tag| &**tag).collect()
}

pub fn recorded(repository: &Repository) -> BTreeSet<SnapshotId> {
    let records = repository.objects().list::<Forgotten>().unwrap();
    records.iter().flat_map(|id| repository.objects().get::<Forgotten>(id).unwrap().snapshots.into_vec()).collect()
}

/// What runs say that they committed.
pub fn reported(repository: &Repository) -> BTreeSet<SnapshotId> {
    let runs = repository.objects().list::<Run>().unwrap();
    runs.iter().flat_map(|id| repository.objects().get::<Run>(id).unwrap().snapshots.into_vec()).collect()
}

/// All files below a tree, with their bytes.
pub fn held(repository: &Repository, root: &TreeRef) -> Files {
    let mut files = Files::new();
    collect(repository, root, "", &mut files);
    files
}

fn collect(repository: &Repository, tree: &TreeRef, above: &str, files: &mut Files) {
    for entry in Entries::new(repository, tree) {
        let entry = entry.unwrap();
        let path = format!("{above}{}", String::from_utf8(entry.key.name.to_vec()).unwrap());
        match &entry.node {
            Node::Directory(tree) => collect(repository, tree, &format!("{path}/"), files),
            Node::File(content) => drop(files.insert(path, repository.read_content(content, usize::MAX).unwrap())),
            other => panic!("{other:?}"),
        }
    }
}

/// What a check says, having read every pack.
pub fn checked(store: &MemoryStore) -> CheckReport {
    let counters = WorkCounters::new("objects");
    let listener = check::Listener { counters: &counters, on_finding: &|_| (), interrupted: &|| false };
    check::check(&mut open(store.clone()), ReadData::All, &listener).unwrap()
}
