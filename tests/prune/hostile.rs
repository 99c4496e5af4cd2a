//! A store that keeps what was deleted and puts it back, invents objects, and takes away what it should keep.

use keepstone::ops::prune::PruneReport;
use keepstone::repo::RepoError;
use keepstone::storage::{MemoryStore, ObjectName};
use tempfile::TempDir;

use crate::cast::lone_prune;
use crate::scene::*;
use crate::support::*;

/// A repository of which half has been pruned; everything that was ever in it is kept aside.
struct Hoard {
    store: MemoryStore,
    cache: TempDir,
    promised: Promised,
    aside: std::collections::BTreeMap<ObjectName, Vec<u8>>,
}

impl Hoard {
    fn new() -> Hoard {
        let (store, cache) = (MemoryStore::new(), scratch());
        make(&store);
        let mut promised = Promised::default();
        let first = promised.back_up(&open(store.clone(), cache.path()), files(0..60, 4000));
        promised.back_up(&open(store.clone(), cache.path()), files(50..70, 4000));
        promised.0.remove(&first);
        let mut aside = store.objects();
        forget(&store, &first);
        // Every object that a prune puts, also what it deletes itself.
        let kept = std::sync::Arc::new(std::sync::Mutex::new(store.clone()));
        let seen = std::sync::Arc::new(std::sync::Mutex::new(std::collections::BTreeMap::new()));
        let (below, told) = (std::sync::Arc::clone(&kept), std::sync::Arc::clone(&seen));
        let watched = keepstone::storage::FaultyStore::new(store.clone()).rule(move |_| {
            told.lock().unwrap().extend(below.lock().unwrap().objects());
            None
        });
        assert!(pruned(&open(watched, cache.path())).deleted.packs > 0);
        aside.extend(seen.lock().unwrap().clone());
        Hoard { store, cache, promised, aside }
    }

    /// Puts back all that was once below `dir`; says how much that is.
    fn put_back(&self, dir: &str) -> usize {
        let there = self.store.objects();
        let old = self.aside.iter().filter(|(name, _)| name.as_str().starts_with(dir) && !there.contains_key(*name));
        old.map(|(name, bytes)| self.store.set(name, bytes.clone())).count()
    }

    fn prune(&self) -> Result<PruneReport, RepoError> {
        try_prune(&open(self.store.clone(), self.cache.path()), &impatient())
    }

    /// Whatever was put back or invented: what was promised is there, before and after a prune, and a backup is whole.
    fn assert_unharmed(&mut self) {
        self.promised.assert_kept(&self.store);
        for _ in 0..2 {
            drop(self.prune());
            self.promised.assert_kept(&self.store);
        }
        self.promised.back_up(&open(self.store.clone(), self.cache.path()), files(40..80, 4000));
        self.promised.assert_kept(&self.store);
    }
}

#[test]
fn a_condemned_record_that_is_put_back_condemns_nothing_that_is_there() {
    let mut hoard = Hoard::new();
    assert_eq!(hoard.put_back("condemned/"), 1);
    hoard.assert_unharmed();
    lone_prune(&hoard.store, hoard.cache.path());
    assert_eq!(names(&hoard.store, "condemned/"), []);
    assert_sound(&hoard.store);
}

#[test]
fn packs_that_are_put_back_with_the_segments_that_list_them_are_garbage_again() {
    let mut hoard = Hoard::new();
    assert!(hoard.put_back("packs/") > 0 && hoard.put_back("index/") > 0);
    hoard.assert_unharmed();
    lone_prune(&hoard.store, hoard.cache.path());
    assert_eq!(assert_sound(&hoard.store).garbage_packs, 0);
}

/// The segments list packs that are gone, whose blobs a backup needs: it stores them, and relies on none of them.
#[test]
fn segments_that_are_put_back_without_their_packs_fool_nobody() {
    let mut hoard = Hoard::new();
    assert!(hoard.put_back("index/") > 0);
    hoard.promised.back_up(&open(hoard.store.clone(), hoard.cache.path()), files(0..60, 4000));
    hoard.assert_unharmed();
    lone_prune(&hoard.store, hoard.cache.path());
    assert_sound(&hoard.store);
}

/// It blocks deletion until its lease has run out, and no longer.
#[test]
fn a_session_that_is_put_back_makes_others_wait_for_its_lease_at_most() {
    let mut hoard = Hoard::new();
    assert!(hoard.put_back("sessions/") > 0);
    let refused = try_prune(&open(hoard.store.clone(), scratch().path()), &thrifty());
    assert!(matches!(refused, Err(RepoError::Conflict(_))) || refused.is_ok_and(|report| report.waiting_packs == 0));
    hoard.assert_unharmed();
    lone_prune(&hoard.store, hoard.cache.path());
    assert_eq!(names(&hoard.store, "sessions/"), []);
    assert_sound(&hoard.store);
}

/// It was forgotten on purpose, and its blobs are gone: nothing that is kept comes to harm by it, and it is said.
#[test]
fn a_snapshot_that_is_put_back_is_noticed_and_harms_no_other() {
    let mut hoard = Hoard::new();
    assert_eq!(hoard.put_back("snapshots/"), 1);
    let (report, findings) = checked(&hoard.store);
    assert!(report.damaged() || report.warnings > 0, "{findings:#?}");
    hoard.assert_unharmed();
}

#[test]
fn invented_objects_stop_what_would_have_to_believe_them_and_harm_nothing() {
    let foreign = MemoryStore::new();
    make(&foreign);
    let elsewhere = scratch();
    let other = saved(&back_up(&open(foreign.clone(), elsewhere.path()), &files(0..5, 4000)));
    forget(&foreign, &other);
    for dir in ["condemned/", "sessions/", "forgotten/", "snapshots/", "index/"] {
        let hoard = Hoard::new();
        // Noise under the name that is its hash, and what another repository sealed.
        let noise = noise(9, 500);
        let name = ObjectName::new(&format!("{dir}{}", blake3::hash(&noise).to_hex())).unwrap();
        hoard.store.set(&name, noise);
        let strange = foreign.objects().into_iter().find(|(name, _)| name.as_str().starts_with(dir));
        strange.map(|(name, bytes)| hoard.store.set(&name, bytes)).unwrap_or_default();
        hoard.promised.assert_kept(&hoard.store);
        for _ in 0..2 {
            drop(hoard.prune());
            hoard.promised.assert_kept(&hoard.store);
        }
        let (_, findings) = checked(&hoard.store);
        let is_named = findings.iter().any(|finding| finding.to_string().contains(name.as_str()));
        // A prune may have taken an announcement that cannot be read for that of somebody who is gone.
        assert!(is_named || !hoard.store.objects().contains_key(&name), "{dir}: {findings:#?}");
    }
}

/// Everything is as it was before the last backup: who has seen more notices.
#[test]
fn a_store_that_was_rolled_back_is_noticed_by_a_machine_that_saw_it() {
    let (store, cache) = (MemoryStore::new(), scratch());
    make(&store);
    let mut promised = Promised::default();
    promised.back_up(&open(store.clone(), cache.path()), files(0..20, 4000));
    let before = MemoryStore::holding(store.objects());
    back_up(&open(store.clone(), cache.path()), &files(0..40, 4000));
    let mut repository = open(before.clone(), cache.path());
    let findings = std::sync::Mutex::new(Vec::new());
    let listener = keepstone::ops::check::Listener {
        counters: &keepstone::ops::progress::WorkCounters::new("objects"),
        on_finding: &|finding: &keepstone::ops::check::Finding| findings.lock().unwrap().push(finding.to_string()),
        interrupted: &|| false,
    };
    let read = keepstone::ops::check::ReadData::All;
    keepstone::ops::check::check(&mut repository, read, &listener).unwrap();
    let findings = findings.into_inner().unwrap();
    assert!(findings.iter().any(|finding| finding.contains("rolled back")), "{findings:#?}");
    promised.assert_kept(&before);
}
