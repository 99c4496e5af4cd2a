//! Reports of runs go when they say nothing any more, and no sooner.

use keepstone::crypto::Chance;
use keepstone::format::control::{Run, Snapshot};
use keepstone::format::tree::Time;
use keepstone::id::{RunId, SnapshotId};
use keepstone::repo::{CacheDir, Repository, SystemChance, name_of};
use keepstone::storage::MemoryStore;
use tempfile::TempDir;

use crate::scene::*;
use crate::support::*;

/// A clock that stands so many days after the first night.
#[derive(Debug)]
struct DaysLater(i64);

impl Chance for DaysLater {
    fn random(&self) -> [u8; 32] {
        SystemChance.random()
    }
    fn now(&self) -> Time {
        Time { secs: StandingClock.now().secs + self.0 * 24 * 60 * 60, nanos: 0 }
    }
}

fn open_days_later(store: &MemoryStore, cache: &TempDir, days: i64) -> Repository {
    let (cache, chance) = (CacheDir::Kept(cache.path().to_owned()), Box::new(DaysLater(days)));
    Repository::open(Box::new(store.clone()), PASSWORD, &cache, chance).unwrap()
}

/// Four nights; each report saw the snapshots of those before.
struct Nights {
    store: MemoryStore,
    cache: TempDir,
    promised: Promised,
    snapshots: Vec<SnapshotId>,
}

impl Nights {
    fn new() -> Nights {
        let (store, cache) = (MemoryStore::new(), scratch());
        make(&store);
        let mut promised = Promised::default();
        let back_up = |night: u64| {
            let repository = open_days_later(&store, &cache, night as i64);
            promised.back_up(&repository, files(night..night + 6, 3000))
        };
        let snapshots = (0..4).map(back_up).collect();
        Nights { store, cache, promised, snapshots }
    }

    fn forget(&mut self, night: usize) {
        let id = self.snapshots[night];
        self.promised.0.remove(&id);
        forget(&self.store, &id);
    }

    fn prune(&self, days: i64) -> u64 {
        let report = try_prune(&open_days_later(&self.store, &self.cache, days), &thrifty()).unwrap();
        self.promised.assert_kept(&self.store);
        report.reports_removed
    }

    /// The nights whose reports are there.
    fn reported(&self) -> Vec<usize> {
        let repository = fresh(&self.store);
        let runs: Vec<RunId> = repository.objects().list::<Run>().unwrap();
        let runs = runs.iter().map(|id| repository.objects().get::<Run>(id).unwrap());
        let night = |run: Run| self.snapshots.iter().position(|id| run.snapshots.contains(id)).unwrap();
        let mut nights: Vec<usize> = runs.map(night).collect();
        nights.sort_unstable();
        nights
    }
}

#[test]
fn reports_of_forgotten_snapshots_go_after_a_while_and_the_others_stay() {
    let mut nights = Nights::new();
    assert_eq!(nights.prune(1000), 0, "they vouch for what is there");
    nights.forget(0);
    nights.forget(2);
    assert_eq!(nights.prune(80), 0, "people may want to look at them");
    assert_eq!(nights.prune(100), 2);
    assert_eq!(nights.reported(), [1, 3]);
    assert_sound(&nights.store);
}

/// It saw one that is there no more, and nobody said why.
#[test]
fn a_report_that_is_evidence_of_a_loss_stays() {
    let mut nights = Nights::new();
    nights.forget(3);
    nights.forget(1);
    nights.promised.0.remove(&nights.snapshots[0]);
    nights.store.remove(&name_of::<Snapshot>(&nights.snapshots[0]));
    assert_eq!(nights.prune(100), 0, "both have seen it");
    let (report, findings) = checked(&nights.store);
    assert!(report.damaged(), "{findings:#?}");
}

#[test]
fn the_newest_report_stays_whatever_became_of_its_snapshots() {
    let mut nights = Nights::new();
    (0..4).for_each(|night| nights.forget(night));
    assert_eq!(nights.prune(100), 3);
    assert_eq!(nights.reported().len(), 1);
    assert_sound(&nights.store);
}
