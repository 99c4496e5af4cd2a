//! Long random sequences: several machines back up, forget and prune, copy to a second repository, die in the middle, and
//! now and then the disk spoils something, which is then repaired. Against plain maps: snapshot, what was backed up.

use std::collections::BTreeSet;
use std::time::Instant;

use keepstone::id::SnapshotId;
use keepstone::ops::copy::{self, CopyReport};
use keepstone::ops::progress::WorkCounters;
use keepstone::ops::repair;
use keepstone::ops::snapshots::{Listing, all};
use keepstone::repo::{Argon2Profile, RepoError, Repository, SystemChance, init_related};
use keepstone::storage::{FaultyStore, MemoryStore, ObjectName};
use tempfile::TempDir;

use crate::cast::lone_prune;
use crate::scene::*;
use crate::schedules::{FIRST, Numbers, number};
use crate::support::*;

/// So many sequences of so many steps, unless the environment says for how many seconds.
const SEQUENCES: u64 = 40;
const STEPS: u64 = 40;
const SECONDS: &str = "KEEPSTONE_TEST_SEQUENCES_SECS";

struct Machine {
    cache: TempDir,
    files: MemorySource,
}

struct Sequence {
    numbers: Numbers,
    store: MemoryStore,
    /// The repository that is copied to, and what was promised there.
    second: MemoryStore,
    promised_there: Promised,
    machines: Vec<Machine>,
    promised: Promised,
    story: Vec<String>,
}

impl Sequence {
    fn new(seed: u64) -> Self {
        let store = MemoryStore::new();
        let machine = |_| Machine { cache: scratch(), files: files(0..6, 2500) };
        let machines = (0..3).map(machine).collect();
        make(&store);
        let second = second_beside(&store, seed.is_multiple_of(2));
        let (promised, promised_there) = (Promised::default(), Promised::default());
        let numbers = Numbers::new(seed);
        Sequence { numbers, store, second, promised_there, machines, promised, story: Vec::new() }
    }

    /// Opens the repository on a machine, which may be about to die.
    fn open_on(&mut self, machine: usize) -> Option<Repository> {
        let store = self.mortal(self.store.clone());
        try_open(store, self.machines[machine].cache.path()).ok()
    }

    /// The same of the second.
    fn open_second_on(&mut self, machine: usize) -> Option<Repository> {
        let store = self.mortal(self.second.clone());
        try_open(store, self.machines[machine].cache.path()).ok()
    }

    fn mortal(&mut self, store: MemoryStore) -> FaultyStore {
        let store = FaultyStore::new(store);
        if !self.numbers.chance(25) {
            return store;
        }
        let calls = self.numbers.below(90);
        self.story.push(format!("  (it dies after {calls} calls)"));
        store.crash_after(calls)
    }

    fn step(&mut self) {
        let machine = self.numbers.below(3) as usize;
        let (name, deed): (&str, fn(&mut Self, usize)) = match self.numbers.below(100) {
            0..36 => ("backs up", Self::back_up),
            36..52 => ("forgets", Self::forget),
            52..70 => ("prunes", Self::prune),
            70..81 => ("copies", Self::copy),
            81..84 => ("forgets a copy", Self::forget_there),
            84..88 => ("prunes copies", Self::prune_there),
            88..93 => ("begins with an empty cache", |this, machine| this.machines[machine].cache = scratch()),
            _ => ("finds something spoilt", Self::spoil),
        };
        self.story.push(format!("{machine} {name}"));
        deed(self, machine);
    }

    fn back_up(&mut self, machine: usize) {
        for _ in 0..self.numbers.below(4) {
            let (file, version) = (self.numbers.below(12), self.numbers.below(5));
            self.machines[machine].files.set(&format!("dir{}/{file:04}", file % 7), noise(100 * version + file, 2500));
        }
        let Some(repository) = self.open_on(machine) else { return };
        let files = &self.machines[machine].files;
        // By its name a machine finds its own last snapshot: the files of another look the same and are not.
        let who = keepstone::repo::Who { host: machine.to_string(), ..thrifty().who };
        let options = keepstone::ops::backup::BackupOptions { who, ..options() };
        if let Ok(report) = back_up_with(&repository, files, &options).0 {
            let copy = MemorySource { files: files.files.clone(), ..Default::default() };
            self.promised.0.insert(saved(&report), copy);
        }
    }

    fn forget(&mut self, machine: usize) {
        let ids: Vec<SnapshotId> = self.promised.0.keys().copied().collect();
        let Some(id) = ids.get(self.numbers.below(ids.len().max(1) as u64) as usize) else { return };
        let Some(repository) = self.open_on(machine) else { return };
        self.promised.0.remove(id);
        // What goes wrong with it is what goes wrong with the store.
        let _ = repository.forget(&[*id], &thrifty().who, "a test", &|| false);
    }

    fn prune(&mut self, machine: usize) {
        if let Some(repository) = self.open_on(machine) {
            let ended = try_prune(&repository, &impatient());
            assert!(!matches!(ended, Err(RepoError::Damaged { .. })), "{ended:?}");
        }
    }

    /// Copies all there is. What is promised of a snapshot is promised of its copy, also if the copy was there before.
    fn copy(&mut self, machine: usize) {
        let before = self.story.len();
        let Some(from) = self.open_on(machine) else { return };
        let Some(into) = self.open_second_on(machine) else { return };
        let nobody_dies = self.story.len() == before;
        let Ok(Listing { snapshots, .. }) = all(&from) else { return };
        let counters = WorkCounters::new("entries");
        let listener = copy::Listener { counters: &counters, on_failure: &|_, _| (), interrupted: &|| false };
        match copy::copy(&from, &into, &snapshots, &thrifty().who, &listener) {
            Ok(report) => self.promise_there(&report, nobody_dies),
            Err(error) => assert!(!nobody_dies, "{error}"),
        }
    }

    fn promise_there(&mut self, report: &CopyReport, nobody_dies: bool) {
        let is_promised = |id: &SnapshotId| self.promised.0.contains_key(id);
        let failed: Vec<_> = report.failed.iter().filter(|(id, _)| is_promised(id)).collect();
        assert!(!nobody_dies || failed.is_empty(), "{failed:?}");
        for (original, copy) in report.copied.iter().chain(&report.already_there) {
            if let Some(source) = self.promised.0.get(original) {
                let files = MemorySource { files: source.files.clone(), ..Default::default() };
                self.promised_there.0.insert(*copy, files);
            }
        }
    }

    fn forget_there(&mut self, machine: usize) {
        let ids: Vec<SnapshotId> = self.promised_there.0.keys().copied().collect();
        let Some(id) = ids.get(self.numbers.below(ids.len().max(1) as u64) as usize) else { return };
        let Some(repository) = self.open_second_on(machine) else { return };
        self.promised_there.0.remove(id);
        // What goes wrong with it is what goes wrong with the store.
        let _ = repository.forget(&[*id], &thrifty().who, "a test", &|| false);
    }

    fn prune_there(&mut self, machine: usize) {
        if let Some(repository) = self.open_second_on(machine) {
            let ended = try_prune(&repository, &impatient());
            assert!(!matches!(ended, Err(RepoError::Damaged { .. })), "{ended:?}");
        }
    }

    /// One object is altered, cut or lost. What is not named as harmed is whole; and what can be repaired is.
    fn spoil(&mut self, _: usize) {
        clear_away(&self.store);
        let kinds = ["packs/", "packs/", "index/", "snapshots/"];
        let names = names(&self.store, kinds[self.numbers.below(4) as usize]);
        let Some(name) = names.get(self.numbers.below(names.len().max(1) as u64) as usize) else { return };
        self.spoil_object(name);
        let (report, findings) = checked(&self.store);
        // Who never saw a segment cannot name it when it is gone: what it listed is named.
        // Nor is a snapshot missed that was never reported, or is recorded as forgotten.
        let is_promised = self.promised.0.keys().any(|id| name.as_str().ends_with(&id.to_string()));
        let may_go = name.as_str().starts_with("index/") || name.as_str().starts_with("snapshots/") && !is_promised;
        let is_unknown = may_go && !self.store.objects().contains_key(name);
        let is_named = findings.iter().any(|finding| finding.to_string().contains(name.as_str()));
        assert!(is_named || is_unknown, "{name} was spoilt: {findings:#?}");
        let mut harmed: BTreeSet<SnapshotId> = report.harmed.iter().map(|harmed| harmed.snapshot).collect();
        harmed.extend(self.promised.0.keys().filter(|id| name.as_str().ends_with(&id.to_string())));
        self.promised.0.retain(|id, _| !harmed.contains(id));
        self.promised.assert_kept(&self.store);
        self.repair();
        self.promised.assert_kept(&self.store);
        assert_sound(&self.store);
    }

    fn spoil_object(&mut self, name: &ObjectName) {
        let mut bytes = self.store.objects()[name].clone();
        self.story.push(format!("  ({name})"));
        let at = self.numbers.below(bytes.len() as u64) as usize;
        match self.numbers.below(3) {
            0 => drop(self.store.remove(name)),
            1 => self.store.set(name, &bytes[..at]),
            _ => {
                bytes[at] ^= 1 << self.numbers.below(8);
                self.store.set(name, bytes);
            }
        }
    }

    fn repair(&self) {
        let who = thrifty().who;
        let listener =
            repair::Listener { counters: &WorkCounters::new("objects"), on_step: &|_| (), interrupted: &|| false };
        let index = repair::IndexOptions { who: who.clone(), ..Default::default() };
        repair::index(&mut fresh(&self.store), &index, &listener).unwrap();
        let packs = repair::PacksOptions { read_data: true, who: who.clone(), ..Default::default() };
        repair::packs(&mut fresh(&self.store), &packs, &listener).unwrap();
        let snapshots = repair::SnapshotsOptions { forget: true, who, ..Default::default() };
        repair::snapshots(&mut fresh(&self.store), &snapshots, &listener).unwrap();
        lone_prune(&self.store, scratch().path());
    }

    fn play(&mut self) {
        for step in 0..STEPS {
            self.step();
            if step % 8 == 7 {
                self.promised.assert_kept(&self.store);
                self.promised_there.assert_kept(&self.second);
            }
        }
        for (store, promised) in [(&self.store, &self.promised), (&self.second, &self.promised_there)] {
            promised.assert_kept(store);
            assert_sound(store);
            clear_away(store);
            promised.assert_kept(store);
            assert_eq!(assert_sound(store).garbage_packs, 0);
        }
    }
}

/// The first prune may take whoever left packs behind for dead only after it had planned; the second knows.
fn clear_away(store: &MemoryStore) {
    let cache = scratch();
    lone_prune(store, cache.path());
    lone_prune(store, cache.path());
}

/// A second repository, which cuts and names as the first does, or otherwise.
fn second_beside(store: &MemoryStore, is_related: bool) -> MemoryStore {
    let second = MemoryStore::new();
    match is_related {
        true => {
            let (first, size) = (fresh(store), 1 << 16);
            init_related(&second, PASSWORD, "al", size, first.keychain(), Argon2Profile::Cheap, &SystemChance).unwrap();
        }
        false => make(&second),
    }
    second
}

impl Drop for Sequence {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.story.join("\n"));
        }
    }
}

#[test]
fn whatever_happens_in_whatever_order_what_was_promised_is_kept() {
    let (began, first) = (Instant::now(), number(FIRST).unwrap_or(0));
    let goes_on = |played: u64| match number(SECONDS) {
        Some(secs) => began.elapsed().as_secs() < secs,
        None => played < SEQUENCES,
    };
    let mut played = 0;
    while goes_on(played) {
        let seed = first + played;
        if let Err(panic) = std::panic::catch_unwind(|| Sequence::new(seed).play()) {
            eprintln!("with {FIRST}={seed}");
            std::panic::resume_unwind(panic);
        }
        played += 1;
    }
    eprintln!("{played} sequences of {STEPS} steps from {first} in {:?}", began.elapsed());
}
