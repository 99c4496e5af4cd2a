//! Who acts on the stage, where, and what must be true when the curtain falls.

use std::path::Path;
use std::sync::{Arc, Mutex};

use keepstone::id::SnapshotId;
use keepstone::ops::backup::{Outcome, ParentChoice};
use keepstone::ops::prune::PruneReport;
use keepstone::repo::{CacheDir, RepoError, Repository};
use keepstone::storage::{FaultyStore, MemoryStore, Store};

use crate::scene::*;
use crate::stage::{Dice, Stage};
use crate::support::*;

/// Blobs `x` and `y` of the model, as files.
pub fn source_of(names: &[&str]) -> MemorySource {
    let mut source = MemorySource::default();
    names.iter().for_each(|name| source.set(name, noise(u64::from(name.as_bytes()[0]), 3000)));
    source
}

/// How a repository begins, by the model's numbers: one snapshot of `x`, and packs that were made for others.
pub struct World {
    pub store: MemoryStore,
    pub promised: Promised,
}

impl World {
    /// Where `x` and `y` lie in one pack, and `twice` in another as well.
    pub fn begin(twice: &[&str]) -> World {
        let (store, cache) = (MemoryStore::new(), scratch());
        make(&store);
        let (beside, made) = (store.clone(), Arc::new(Mutex::new(None)));
        let (mut both, names) = (source_of(&["x", "y"]), twice.join(""));
        let told = Arc::clone(&made);
        both.on_open = Some(Box::new(move |_| {
            let mut told = told.lock().unwrap();
            if told.is_none() {
                let names: Vec<&str> = names.split("").filter(|name| !name.is_empty()).collect();
                let other = open(beside.clone(), scratch().path());
                *told = Some(saved(&back_up(&other, &source_of(&names))));
            }
        }));
        let first = saved(&back_up(&open(store.clone(), cache.path()), &both));
        let second = made.lock().unwrap().expect("something was opened");
        let mut promised = Promised::default();
        promised.back_up(&open(store.clone(), cache.path()), source_of(&["x"]));
        forget(&store, &first);
        forget(&store, &second);
        World { store, promised }
    }

    /// The model's world with a copy to spare, and the one in which a rewrite is needed.
    pub fn numbered(number: u64) -> World {
        match number {
            1 => World::begin(&["x"]),
            2 => World::begin(&["y"]),
            other => panic!("there is no world {other}"),
        }
    }

    pub fn copy(&self) -> World {
        let promised = self.promised.0.iter();
        let again = |source: &MemorySource| MemorySource { files: source.files.clone(), ..Default::default() };
        World {
            store: MemoryStore::holding(self.store.objects()),
            promised: Promised(promised.map(|(id, source)| (*id, again(source))).collect()),
        }
    }
}

/// What actors were promised so far.
pub type Shared = Arc<Mutex<Promised>>;

/// Opens a repository as an actor does, all of whose chance comes from a seed.
pub fn open_by(store: impl Store + 'static, cache: &Path, seed: u64) -> Result<Repository, RepoError> {
    Repository::open(Box::new(store), PASSWORD, &CacheDir::Kept(cache.to_owned()), Box::new(Dice::new(seed)))
}

/// Backs up, and notes what was reported good.
pub fn act_backup(store: FaultyStore, cache: &Path, seed: u64, source: MemorySource, promised: &Shared) {
    let Ok(repository) = open_by(store, cache, seed) else { return };
    let options = keepstone::ops::backup::BackupOptions { threads: 1, parent: ParentChoice::Newest, ..options() };
    if let (Ok(report), _) = back_up_with(&repository, &source, &options)
        && let Outcome::Saved(id) = report.outcome
    {
        promised.lock().unwrap().0.insert(id, source);
    }
}

/// Prunes; a first attempt that was refused because somebody else seemed to be at work is made again.
pub fn act_prune(store: FaultyStore, cache: &Path, seed: u64) {
    for attempt in 0..2 {
        let Ok(repository) = open_by(store.clone(), cache, seed + attempt) else { return };
        match try_prune(&repository, &impatient()) {
            Err(RepoError::Conflict(_)) => {}
            // Nothing that was promised may be found to be damaged.
            Err(error @ RepoError::Damaged { .. }) => panic!("{error}"),
            _ => return,
        }
    }
}

/// Forgets one of the snapshots that were promised: from its first step on, nobody relies on it.
pub fn act_forget(store: FaultyStore, cache: &Path, seed: u64, promised: &Shared) {
    let Ok(repository) = open_by(store, cache, seed) else { return };
    let chosen = {
        let mut promised = promised.lock().unwrap();
        let ids: Vec<SnapshotId> = promised.0.keys().copied().collect();
        let chosen = ids.get(seed as usize % ids.len().max(1)).copied();
        chosen.inspect(|id| drop(promised.0.remove(id)))
    };
    if let Some(id) = chosen {
        // What goes wrong with it is what goes wrong with the store.
        let _ = repository.forget(&[id], &thrifty().who, "a test", &|| false);
    }
}

/// All have ended, some of them in the middle: what was promised is there, what is not is at most garbage, and a lone prune
/// that comes later puts everything in order.
pub fn assert_all_is_well(store: &MemoryStore, promised: &Promised) {
    promised.assert_kept(store);
    assert_nothing_good_is_harmed(store, promised);
    let cache = scratch();
    lone_prune(store, cache.path());
    promised.assert_kept(store);
    assert_nothing_good_is_harmed(store, promised);
    assert_eq!((names(store, "condemned/"), names(store, "sessions/")), (vec![], vec![]));
}

/// A snapshot that was never reported good may have come to harm, when its writer was taken for dead and then died.
fn assert_nothing_good_is_harmed(store: &MemoryStore, promised: &Promised) {
    let (report, findings) = checked(store);
    let harms_promised = report.harmed.iter().any(|harmed| promised.0.contains_key(&harmed.snapshot));
    let is_explained = !report.damaged() || !report.harmed.is_empty();
    assert!(!harms_promised && is_explained && report.is_complete(), "{report:?} {findings:#?}");
}

/// A prune by a machine that takes whoever is left for dead when it looks again.
pub fn lone_prune(store: &MemoryStore, cache: &Path) -> PruneReport {
    for _ in 0..3 {
        match try_prune(&open(store.clone(), cache), &impatient()) {
            Ok(report) if report.waiting_packs == 0 && names(store, "sessions/").is_empty() => return report,
            Ok(_) | Err(RepoError::Conflict(_)) => {}
            Err(error) => panic!("a lone prune ended with: {error}"),
        }
    }
    panic!("a lone prune does not come to an end: {:?}", names(store, ""));
}

/// A stage with a world on it.
pub struct Play {
    pub stage: Arc<Stage>,
    pub world: MemoryStore,
    pub promised: Shared,
}

impl Play {
    pub fn of(world: World) -> Play {
        Play { stage: Stage::new(), world: world.store, promised: Arc::new(Mutex::new(world.promised)) }
    }

    /// Removes the announcement of one of the sessions, as a prune does that takes it for dead.
    pub fn bury(&self, which: u64) {
        let sessions: Vec<_> =
            names(&self.world, "sessions/").into_iter().filter(|name| !name.as_str().ends_with(".beat")).collect();
        if let Some(name) = sessions.get(which as usize % sessions.len().max(1)) {
            self.stage.tell(format!("- {name} is taken for dead"));
            self.world.remove(name);
        }
    }

    pub fn end(self) {
        self.stage.finish();
        let promised = self.promised.lock().unwrap();
        assert_all_is_well(&self.world, &promised);
    }
}
