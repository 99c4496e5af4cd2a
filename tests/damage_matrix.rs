//! Every kind of object is damaged in every way. A check names it and what it harms, all that does not depend
//! on it comes back, and the fitting repair leaves a repository in which a check finds nothing.

mod stored;

#[path = "damage_matrix/crashes.rs"]
mod crashes;
#[path = "damage_matrix/scene.rs"]
mod scene;

use std::collections::BTreeSet;

use keepstone::format::control::{Condemned, Session};
use keepstone::ops::check::{Severity, Subject};
use keepstone::repo::{RepoError, Repository};
use keepstone::storage::{MemoryStore, ObjectName};

use scene::{Blow, Kind, Scene, check_all, opened};
use stored::{About, commit};

#[test]
fn the_matrix_is_over_every_kind_of_object_and_two_or_more_of_each() {
    let scene = Scene::new();
    let kinds: BTreeSet<Kind> = scene.objects().map(|name| Kind::of(&name)).collect();
    assert_eq!(kinds, Kind::ALL.into(), "a kind that is new here belongs in the matrix");
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Config) {
        assert!(scene.of(kind).len() >= 2, "{kind:?}");
    }
    assert_eq!(check_all(&mut opened(scene.copy()).unwrap()).1, []);
}

#[test]
fn config_and_keys() {
    every_blow_on(&[Kind::Config, Kind::Keyslot, Kind::Keyring]);
}

#[test]
fn records_of_what_is_valid_under_closed_epochs() {
    every_blow_on(&[Kind::EpochRecord]);
}

#[test]
fn data_packs() {
    every_blow_on(&[Kind::DataPack]);
}

#[test]
fn metadata_packs() {
    every_blow_on(&[Kind::MetaPack]);
}

#[test]
fn index_segments() {
    every_blow_on(&[Kind::Segment]);
}

#[test]
fn snapshots_and_what_is_recorded_of_them() {
    every_blow_on(&[Kind::Snapshot, Kind::Forgotten, Kind::Run]);
}

#[test]
fn sessions_leases_and_condemned_records() {
    every_blow_on(&[Kind::Session, Kind::Lease, Kind::Condemned]);
}

/// So many of a kind are struck.
const OF_EACH: usize = 3;

fn every_blow_on(kinds: &[Kind]) {
    let scene = Scene::new();
    let mut cases = 0;
    for kind in kinds {
        for name in scene.of(*kind).into_iter().take(OF_EACH) {
            for blow in Blow::ALL {
                let Some(store) = scene.struck(&name, blow) else {
                    assert!(*kind == Kind::Config && blow == Blow::Swapped, "{name} {blow:?}");
                    continue;
                };
                cases += 1;
                Case { scene: &scene, kind: *kind, name: &name, blow, store }.holds();
            }
        }
    }
    assert!(cases >= 6, "{cases}");
}

/// One object, struck in one way.
struct Case<'s> {
    scene: &'s Scene,
    kind: Kind,
    name: &'s ObjectName,
    blow: Blow,
    store: MemoryStore,
}

impl Case<'_> {
    fn what(&self) -> String {
        format!("{} {:?}", self.name, self.blow)
    }

    fn holds(self) {
        let Some(mut repository) = opened(self.store.clone()) else {
            // The keys are in no other object: whoever loses all that lead to the newest loses what is under them.
            assert!(matches!(self.kind, Kind::Keyring | Kind::Config), "{}: nothing opens", self.what());
            // A config that speaks of another repository or version is believed; without one, the keyring is.
            if self.kind == Kind::Config {
                self.store.remove(self.name);
                self.is_repaired();
            }
            return;
        };
        let lost = self.scene.lost(&repository);
        self.is_named(&mut repository, &lost);
        self.harms_only_what_depends_on_it(&lost);
        drop(repository);
        self.is_repaired();
    }

    /// A check names the object and the files that do not come back.
    fn is_named(&self, repository: &mut Repository, lost: &BTreeSet<String>) {
        let (report, findings) = check_all(repository);
        let said = findings.iter().map(ToString::to_string).collect::<Vec<_>>();
        let named = said.iter().any(|said| said.contains(self.name.as_str()));
        let what = self.what();
        assert!(named || self.leaves_no_trace(&said), "{what}: {said:#?}");
        let harmed = |finding: &&keepstone::ops::check::Finding| matches!(finding.subject, Subject::Path { .. });
        let paths: Vec<String> = findings.iter().filter(harmed).map(ToString::to_string).collect();
        // A directory stands for all that is in it; a snapshot that cannot be read for itself.
        let covered = |path: &String| {
            self.kind == Kind::Snapshot || paths.iter().any(|said| path.starts_with(&*scene::path_in(said)))
        };
        assert!(lost.iter().all(covered), "{what}: lost {lost:?}, said {said:#?}");
        assert!(lost.is_empty() || report.damaged(), "{what}: {said:#?}");
        assert!(findings.iter().all(|finding| finding.severity != Severity::Unreadable), "{what}: {said:#?}");
    }

    /// Nobody else speaks of these: who loses one, loses what it said.
    fn leaves_no_trace(&self, said: &[String]) -> bool {
        match self.kind {
            // A lease is looked at only for whether it changes.
            Kind::Lease => said.is_empty(),
            Kind::Forgotten | Kind::Run | Kind::Session | Kind::Condemned => self.blow == Blow::Missing,
            // Without its cache a machine does not know which segments there were: blobs are lost, and named.
            Kind::Segment => self.blow == Blow::Missing && !said.is_empty(),
            // Which generation is missing is said, its name is not known.
            Kind::Keyring => said.iter().any(|said| said.contains("keyring")),
            _ => false,
        }
    }

    fn harms_only_what_depends_on_it(&self, lost: &BTreeSet<String>) {
        let harms_files = matches!(self.kind, Kind::DataPack | Kind::MetaPack | Kind::Segment | Kind::Snapshot);
        assert!(harms_files || lost.is_empty(), "{}: {lost:?}", self.what());
        if self.kind == Kind::Snapshot {
            let prefix = self.scene.number_of(self.name);
            assert!(lost.iter().all(|path| path.starts_with(&prefix)), "{}: {lost:?}", self.what());
        }
    }

    /// Index, packs, a backup of what is still there, snapshots: after that a check finds nothing.
    fn is_repaired(&self) {
        let what = self.what();
        if matches!(self.kind, Kind::Keyslot | Kind::Keyring) {
            return self.keys_are_repaired();
        }
        if self.kind == Kind::EpochRecord {
            // All packs and segments are of the first epoch: while nobody can tell which of them count, nobody writes.
            let refused = scene::repair_index(&self.store).err().map(|error| error.to_string());
            assert_eq!(refused.is_some(), self.scene.is_record_of_the_first_epoch(self.name), "{what}: {refused:?}");
            assert!(refused.is_none_or(|refused| refused.contains("key close --again")), "{what}");
            opened(self.store.clone()).unwrap().close_epochs(true).unwrap();
        }
        self.nobody_else_is_at_work();
        scene::repair_index(&self.store).unwrap_or_else(|error| panic!("{what}: {error}"));
        scene::repair_packs(&self.store).unwrap_or_else(|error| panic!("{what}: {error}"));
        let before = self.scene.lost(&opened(self.store.clone()).unwrap());
        assert!(self.kind != Kind::Segment || before.is_empty(), "{what}: the packs say it all, lost {before:?}");
        self.back_up_again();
        let healed = self.scene.lost(&opened(self.store.clone()).unwrap());
        assert!(self.kind == Kind::Snapshot || healed.is_empty(), "{what}: a backup did not heal {healed:?}");
        scene::repair_snapshots(&self.store, true).unwrap_or_else(|error| panic!("{what}: {error}"));
        let (report, findings) = check_all(&mut opened(self.store.clone()).unwrap());
        assert!(!report.damaged() && report.is_complete(), "{what}: {findings:#?}");
        assert!(findings.is_empty(), "{what}: {findings:#?}");
    }

    /// While someone may be deleting, a damaged condemned record stays: repair says so, and why.
    fn nobody_else_is_at_work(&self) {
        let repository = opened(self.store.clone()).unwrap();
        let broken = |id| matches!(repository.objects().get::<Condemned>(&id), Err(RepoError::Damaged { .. }));
        let any_broken = repository.objects().list::<Condemned>().unwrap().into_iter().any(broken);
        let sessions = repository.objects().list::<Session>().unwrap();
        if any_broken && !sessions.is_empty() {
            let refused = scene::repair_index(&self.store).unwrap_err();
            assert!(matches!(refused, RepoError::Conflict(_)), "{}: {refused}", self.what());
            sessions.iter().for_each(|id| repository.objects().delete::<Session>(id).unwrap());
        }
    }

    fn back_up_again(&self) {
        let repository = opened(self.store.clone()).unwrap();
        for files in scene::all_files() {
            commit(&repository, &files, &About { secs: 9, ..About::default() });
        }
    }

    /// Another key removes one that is damaged. A generation of the keyring cannot be made again.
    fn keys_are_repaired(&self) {
        if self.kind == Kind::Keyring {
            return;
        }
        let mut repository = opened(self.store.clone()).unwrap();
        let id = keepstone::repo::id_of(self.name).unwrap();
        let (chain, store, chance) = repository.keychain_mut();
        chain.remove(store, &id, chance).unwrap();
        let (report, findings) = check_all(&mut opened(self.store.clone()).unwrap());
        assert!(!report.damaged(), "{}: {findings:#?}", self.what());
    }
}

#[test]
fn what_cannot_be_backed_up_again_is_left_out_of_a_new_snapshot_and_the_original_stays_until_told() {
    let scene = Scene::new();
    let (mut dropped, mut cases) = (0, 0);
    for name in scene.of(Kind::DataPack).into_iter().chain(scene.of(Kind::MetaPack)) {
        let store = scene.struck(&name, Blow::Missing).unwrap();
        let lost = scene.lost(&opened(store.clone()).unwrap());
        scene::repair_index(&store).unwrap();
        let report = scene::repair_snapshots(&store, false).unwrap();
        assert!(report.is_damage_left() && !report.harmed.is_empty(), "{name}");
        let again = scene::repair_snapshots(&store, false).unwrap();
        assert_eq!(again.repaired, [], "what was made once is not made twice");
        for (original, made) in &report.repaired {
            let (kept, all) = scene.kept(&opened(store.clone()).unwrap(), original, made);
            assert!(kept.iter().all(|path| !lost.contains(path)), "{name}: {kept:?}");
            dropped += all - kept.len();
        }
        let report = scene::repair_snapshots(&store, true).unwrap();
        assert!(!report.is_damage_left(), "{name}: {report:?}");
        let (report, findings) = check_all(&mut opened(store).unwrap());
        assert!(!report.damaged() && findings.is_empty(), "{name}: {findings:#?}");
        cases += 1;
    }
    assert!(dropped > 0 && cases > 3, "{dropped} {cases}");
}

#[test]
fn a_dry_run_says_what_it_would_do_and_writes_nothing() {
    let scene = Scene::new();
    for kind in [Kind::DataPack, Kind::Segment, Kind::Snapshot, Kind::Config] {
        let name = scene.of(kind).remove(0);
        let blow = if kind == Kind::Config { Blow::Missing } else { Blow::Flipped };
        let store = scene.struck(&name, blow).unwrap();
        let before = store.objects();
        let steps = scene::dry_run(&store);
        assert_eq!(store.objects(), before);
        assert!(steps.iter().any(|step| step.object.contains(name.as_str())), "{name}: {steps:?}");
    }
}

#[test]
fn an_index_that_is_lost_whole_is_made_again_from_the_packs() {
    let scene = Scene::new();
    let store = scene.copy();
    scene.of(Kind::Segment).iter().for_each(|name| drop(store.remove(name)));
    assert!(!scene.lost(&opened(store.clone()).unwrap()).is_empty());
    let report = scene::repair_index(&store).unwrap();
    assert_eq!(report.packs_added, scene.of(Kind::DataPack).len() as u64 + scene.of(Kind::MetaPack).len() as u64);
    assert_eq!(check_all(&mut opened(store.clone()).unwrap()).1, []);
    assert!(scene.lost(&opened(store.clone()).unwrap()).is_empty());
    let before = store.objects();
    let report = scene::repair_index(&store).unwrap();
    assert_eq!((report.packs_added, report.segments_written), (0, 0));
    assert_eq!(store.objects(), before, "there is nothing more to do");
}
