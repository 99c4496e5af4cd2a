//! A repair that dies at any store call harms nothing that the damage did not harm, and the next one finishes what it
//! began.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use keepstone::format::control::Session;
use keepstone::ops::check::{Severity, Subject};
use keepstone::repo::{RepoError, name_of};
use keepstone::storage::{Fault, FaultyStore, MemoryStore};

use super::scene::{self, Blow, Kind, Scene, check_all, opened};

/// What is run on a damaged repository.
type Repair = fn(&FaultyStore) -> Result<(), RepoError>;

const INDEX: Repair = |store| scene::repair_index(store).map(drop);
const PACKS: Repair = |store| scene::repair_packs(store).map(drop);
const SNAPSHOTS: Repair = |store| scene::repair_snapshots(store, true).map(drop);

/// A damaged repository, and what is lost of it.
struct Damaged<'s> {
    scene: &'s Scene,
    store: MemoryStore,
    lost: BTreeSet<String>,
    /// What a check finds.
    found: BTreeSet<String>,
}

impl<'s> Damaged<'s> {
    fn new(scene: &'s Scene, store: MemoryStore) -> Self {
        let lost = scene.lost(&opened(store.clone()).unwrap());
        let found = damage_in(&store);
        assert!(!found.is_empty(), "there is something to repair");
        Damaged { scene, store, lost, found }
    }

    /// Runs `repair` once for each of its calls, which ends it; says how many these are.
    fn dies_anywhere(&self, repair: Repair, fault: Fault) -> u64 {
        for at in 0.. {
            let store = MemoryStore::holding(self.store.objects());
            let dying = dying(store.clone(), at, fault);
            let ended = repair(&dying);
            if dying.faults() == 0 {
                assert!(ended.is_ok(), "{ended:?}");
                self.assert_unharmed(&store);
                return at;
            }
            self.assert_unharmed(&store);
            self.assert_can_be_repaired(&store, repair, at);
        }
        unreachable!("a repair ends")
    }

    /// What was not lost comes back, and a check finds nothing that it did not find before.
    fn assert_unharmed(&self, store: &MemoryStore) {
        let lost = self.scene.lost_for_good(&opened(store.clone()).unwrap());
        assert!(lost.is_subset(&self.lost), "{lost:?} is lost, {:?} was", self.lost);
        let found = damage_in(store);
        assert!(found.is_subset(&self.found), "{:#?}", found.difference(&self.found));
    }

    /// The same repair goes through, also beside what the dead one left; and after all of them nothing is found.
    fn assert_can_be_repaired(&self, store: &MemoryStore, repair: Repair, at: u64) {
        let whole = FaultyStore::new(store.clone());
        let ended = repair(&whole);
        // While a condemned record is damaged, nobody may be at work, and nobody can tell that the dead one is not.
        assert!(ended.is_ok() || matches!(ended, Err(RepoError::Conflict(_))), "after {at} calls: {ended:?}");
        self.assert_unharmed(store);
        bury(store);
        for repair in [INDEX, PACKS, INDEX, SNAPSHOTS] {
            repair(&whole).unwrap_or_else(|error| panic!("after {at} calls: {error}"));
        }
        self.assert_unharmed(store);
        let (report, findings) = check_all(&mut opened(store.clone()).unwrap());
        assert!(!report.damaged() && report.is_complete(), "after {at} calls: {findings:#?}");
    }
}

/// What a check calls damage: objects, files and snapshots. A blob that is lost is named instead of its pack when that
/// is condemned.
fn damage_in(store: &MemoryStore) -> BTreeSet<String> {
    let (report, findings) = check_all(&mut opened(store.clone()).unwrap());
    assert!(report.is_complete(), "{findings:#?}");
    let is_meant = |subject: &Subject| !matches!(subject, Subject::Blob(..));
    let damage = findings.iter().filter(|finding| finding.severity == Severity::Damage && is_meant(&finding.subject));
    damage.map(|finding| finding.subject.to_string()).collect()
}

/// The process is gone with call `at`, which has `fault` itself. Leases are not counted: a thread of their own
/// renews them.
fn dying(store: MemoryStore, at: u64, fault: Fault) -> FaultyStore {
    let seen = AtomicU64::new(0);
    FaultyStore::new(store).rule(move |call| match call.name.ends_with(".beat") {
        true => None,
        false => match seen.fetch_add(1, Relaxed).cmp(&at) {
            std::cmp::Ordering::Less => None,
            std::cmp::Ordering::Equal => Some(fault),
            std::cmp::Ordering::Greater => Some(Fault::Crash),
        },
    })
}

/// Caches go where files cost no disk, if there is such a place: a repository is opened some thousand times.
fn in_memory() {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() {
        // Fails if it was done before.
        let _ = tempfile::env::override_temp_dir(memory);
    }
}

/// All who are not at work any more are known to be gone.
fn bury(store: &MemoryStore) {
    let repository = opened(store.clone()).unwrap();
    for id in repository.objects().list::<Session>().unwrap() {
        store.remove(&name_of::<Session>(&id));
    }
}

fn every_call_of(repair: Repair, blows: &[(Kind, Blow)]) {
    in_memory();
    let scene = Scene::new();
    for (nth, (kind, blow)) in blows.iter().enumerate() {
        let name = scene.of(*kind).remove(0);
        let store = scene.struck(&name, *blow).unwrap();
        if *kind == Kind::Condemned {
            bury(&store);
        }
        let damaged = Damaged::new(&scene, store);
        // Whether the last call was done is the same to whatever came before.
        let faults: &[Fault] = if nth == 0 { &[Fault::Crash, Fault::Unclear] } else { &[Fault::Crash] };
        for fault in faults {
            let calls = damaged.dies_anywhere(repair, *fault);
            assert!(calls > 20, "{kind:?} {blow:?}: only {calls} crash points were tried");
        }
    }
}

#[test]
fn every_store_call_of_a_repair_of_the_index_is_a_crash_point_and_none_loses_anything() {
    every_call_of(INDEX, &[(Kind::Segment, Blow::Flipped), (Kind::DataPack, Blow::Missing)]);
}

#[test]
fn so_it_is_while_records_are_mended_first() {
    every_call_of(
        INDEX,
        &[(Kind::Condemned, Blow::Flipped), (Kind::Session, Blow::Flipped), (Kind::Config, Blow::Missing)],
    );
}

#[test]
fn every_store_call_of_a_repair_of_packs_is_a_crash_point_and_none_loses_anything() {
    every_call_of(PACKS, &[(Kind::DataPack, Blow::Flipped), (Kind::MetaPack, Blow::CutShort)]);
}

#[test]
fn every_store_call_of_a_repair_of_snapshots_is_a_crash_point_and_none_loses_anything() {
    every_call_of(
        SNAPSHOTS,
        &[(Kind::DataPack, Blow::Flipped), (Kind::Snapshot, Blow::Flipped), (Kind::Run, Blow::Flipped)],
    );
}
