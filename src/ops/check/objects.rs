//! The small objects: each has its name's hash, opens, obeys the spec, and what it refers to is there.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::finding::{Finding, Severity};
use super::{Check, Root, write};
use crate::format::control::{Condemned, Forgotten, Run, Session, Snapshot};
use crate::format::epochs::EpochRecord;
use crate::format::keys::{Config, KEYSLOT_LEN, KeyringHeader, Keyslot};
use crate::format::limits::OBJECT_MAX;
use crate::format::tree::Time;
use crate::id::{EpochRecordId, Id, KeyringId, KeyslotId, SessionId, SnapshotId};
use crate::repo::{KeyringObject, KeyslotObject, Record, RepoError, Result, Stored, config_name, id_of, name_of};
use crate::storage::{ObjectName, StoreError};

/// After this time a session is more likely left behind than at work, in seconds.
const SESSION_OLD_SECS: i64 = 7 * 24 * 60 * 60;

impl Check<'_> {
    /// Reads all small objects but the index, and gives the snapshots to walk.
    ///
    /// Runs are listed before snapshots, and these before records of forgotten ones: a snapshot that some run
    /// recorded is then in the listing, or was forgotten before it, unless it was lost.
    pub(super) fn small_objects(&self) -> Result<Vec<Root>> {
        self.config();
        self.keyrings()?;
        self.keyslots()?;
        let recorded = self.records(|_, run: Run| (run.snapshots.into_vec(), run.heads.into_vec()))?;
        let listed: BTreeSet<SnapshotId> = self.repository.objects().list::<Snapshot>()?.into_iter().collect();
        let roots = self.records(|snapshot, it: Snapshot| Root { snapshot, tree: it.root, session: it.session })?;
        let forgotten = self.records(|_, record: Forgotten| record.snapshots.into_vec())?;
        let known = listed.into_iter().chain(forgotten.into_iter().flatten()).collect();
        self.lost_snapshots(recorded, &known);
        self.epoch_records()?;
        let condemned = self.records(|_, record: Condemned| record.packs.into_vec())?;
        *write(&self.condemned) = condemned.into_iter().flatten().collect();
        self.sessions()?;
        self.count(|report| report.snapshots = roots.len() as u64);
        Ok(roots)
    }

    fn config(&self) {
        let name = config_name();
        let config = self
            .get(&name, OBJECT_MAX)
            .and_then(|bytes| Config::from_bytes(&bytes).map_err(|error| RepoError::malformed(&name, error)));
        match config {
            Ok(config) if config.repository == self.repository.id() => {}
            Ok(_) => self.tell(Finding::object(Severity::Damage, name, "it names another repository")),
            Err(error) => self.tell(Finding::met(name, &error)),
        }
    }

    fn get(&self, name: &ObjectName, max_len: u64) -> Result<Vec<u8>> {
        self.done(1);
        self.count(|report| report.objects += 1);
        self.repository.objects().store().get(name, max_len).map_err(|error| match error {
            StoreError::NotFound { .. } => RepoError::Missing { what: name.to_string() },
            StoreError::TooLong { .. } => RepoError::Damaged { object: name.to_string(), why: error.to_string() },
            other => other.into(),
        })
    }

    /// The objects of a kind that is no sealed record, if their hash is their name.
    fn named<T: Stored>(&self, max_len: u64) -> Result<Vec<Named<T::Mark>>> {
        let mut found = Vec::new();
        for id in self.listed::<T>()? {
            let name = name_of::<T>(&id);
            match self.get(&name, max_len) {
                Ok(bytes) if Id::of_stored(&bytes) == id => found.push((id, bytes)),
                Ok(_) => {
                    let why = "its bytes do not have the hash that it is named by";
                    self.tell(Finding::object(Severity::Damage, name, why));
                }
                Err(RepoError::Missing { .. }) => {}
                Err(error) => self.tell(Finding::met(name, &error)),
            }
        }
        Ok(found)
    }

    /// Reads all records of one kind, and keeps of each what is asked for.
    fn records<T: Record, K: Send>(&self, keep: impl Fn(Id<T::Mark>, T) -> K + Sync) -> Result<Vec<K>> {
        let read = |id: Id<T::Mark>| {
            self.done(1);
            self.count(|report| report.objects += 1);
            match self.repository.objects().get::<T>(&id) {
                Ok(value) => Some(keep(id, value)),
                // Removed since it was listed.
                Err(RepoError::Missing { .. }) => None,
                Err(error) => {
                    self.tell(Finding::met(name_of::<T>(&id), &error));
                    None
                }
            }
        };
        Ok(self.listed::<T>()?.into_par_iter().filter_map(read).collect())
    }

    /// The ids in a directory. What else is there is none of ours, and said.
    fn listed<T: Stored>(&self) -> Result<Vec<Id<T::Mark>>> {
        let Directory { objects, foreign } = self.list_directory::<T>()?;
        foreign.iter().for_each(|name| self.tell(not_ours(name)));
        Ok(objects.into_keys().collect())
    }

    pub(super) fn list_directory<T: Stored>(&self) -> Result<Directory<T::Mark>> {
        let mut directory = Directory { objects: BTreeMap::new(), foreign: Vec::new() };
        self.repository.objects().store().list(T::DIR, &mut |listed| {
            match id_of(&listed.name).filter(|id| name_of::<T>(id) == listed.name) {
                Some(id) => drop(directory.objects.insert(id, listed.len)),
                None if is_lease(&listed.name) => {}
                None => directory.foreign.push(listed.name),
            }
            Ok(())
        })?;
        Ok(directory)
    }

    fn keyrings(&self) -> Result<()> {
        let chain = self.repository.keychain();
        let told = self.count_damages();
        let mut generations = BTreeMap::new();
        for (id, bytes) in self.named::<KeyringObject>(OBJECT_MAX)? {
            match KeyringHeader::split(&bytes) {
                Ok((header, _)) => drop(generations.insert(header.prefix.epoch, id)),
                Err(error) => {
                    let name = name_of::<KeyringObject>(&id);
                    self.tell(Finding::met(&name, &RepoError::malformed(&name, error)));
                }
            }
        }
        for (generation, id) in generations.range(chain.keyring.generation.saturating_add(1)..) {
            let why = format!("it is of generation {generation}, and this key opens none that leads to it");
            self.tell(Finding::object(Severity::Warning, name_of::<KeyringObject>(id), why));
        }
        // One that is there and damaged was named already.
        if self.count_damages() == told {
            self.missing_keyrings(&generations);
        }
        Ok(())
    }

    /// Each generation is needed by those whose key is older than the next.
    fn missing_keyrings(&self, generations: &BTreeMap<u32, KeyringId>) {
        let newest = &self.repository.keychain().keyring;
        for generation in (1..newest.generation).filter(|generation| !generations.contains_key(generation)) {
            let name = match newest.predecessor {
                Some(id) if generation + 1 == newest.generation => name_of::<KeyringObject>(&id).to_string(),
                _ => "keyring".into(),
            };
            let why = format!("the keyring of generation {generation} is missing");
            self.tell(Finding::object(Severity::Damage, name, why));
        }
        if !generations.contains_key(&newest.generation) {
            let name = name_of::<KeyringObject>(&self.repository.keychain().id);
            self.tell(Finding::object(Severity::Damage, name, "it is missing"));
        }
    }

    fn count_damages(&self) -> u64 {
        let mut damages = 0;
        self.count(|report| damages = report.damages);
        damages
    }

    /// Each record that the keyring names is needed: without it nobody can tell what is valid under its epoch.
    fn epoch_records(&self) -> Result<()> {
        let found: BTreeSet<EpochRecordId> = self.records(|id, _: EpochRecord| id)?.into_iter().collect();
        let listed: BTreeSet<EpochRecordId> = self.repository.objects().list::<EpochRecord>()?.into_iter().collect();
        let epochs = &self.repository.keychain().keyring.epochs;
        let closings = epochs.iter().filter_map(|epoch| epoch.closing().ok().flatten());
        let named: BTreeSet<EpochRecordId> = closings.flat_map(|closing| closing.records.into_vec()).collect();
        for id in named.difference(&listed) {
            let why = "it is missing: nobody can tell what is valid under a closed epoch; see key close --again";
            self.tell(Finding::object(Severity::Damage, name_of::<EpochRecord>(id), why));
        }
        for id in found.difference(&named) {
            let why = "no keyring names it: the closing of an epoch was interrupted, or done anew";
            self.tell(Finding::object(Severity::Warning, name_of::<EpochRecord>(id), why));
        }
        Ok(())
    }

    fn keyslots(&self) -> Result<()> {
        let slots = &self.repository.keychain().keyring.slots;
        let listed: BTreeSet<KeyslotId> = self.listed::<KeyslotObject>()?.into_iter().collect();
        for slot in slots.iter().filter(|slot| !listed.contains(&slot.id)) {
            let why = format!("the key slot {:?} is missing: its password opens nothing any more", &*slot.label);
            self.tell(Finding::object(Severity::Damage, name_of::<KeyslotObject>(&slot.id), why));
        }
        for (id, bytes) in self.named::<KeyslotObject>(KEYSLOT_LEN as u64)? {
            let name = name_of::<KeyslotObject>(&id);
            let slot = Keyslot::from_bytes(&bytes).map_err(|error| RepoError::malformed(&name, error));
            match (slot, slots.find(&id)) {
                (Err(error), _) => self.tell(Finding::met(name, &error)),
                (Ok(_), None) => {
                    self.tell(Finding::object(Severity::Warning, name, "the keyring does not list it"));
                }
                (Ok(slot), Some(listed)) if slot.public != listed.public => {
                    self.tell(Finding::object(Severity::Damage, name, "its public key is not the listed one"));
                }
                (Ok(_), Some(_)) => {}
            }
        }
        Ok(())
    }

    /// Snapshots that a run committed are there, or someone recorded that he removed them.
    fn lost_snapshots(&self, runs: Vec<(Vec<SnapshotId>, Vec<SnapshotId>)>, known: &BTreeSet<SnapshotId>) {
        let (committed, seen): (Vec<_>, Vec<_>) = runs.into_iter().unzip();
        let lost = |ids: Vec<Vec<SnapshotId>>| -> BTreeSet<SnapshotId> {
            ids.into_iter().flatten().filter(|id| !known.contains(id)).collect()
        };
        let (committed, seen) = (lost(committed), lost(seen));
        for id in &committed {
            let why = "a run committed it, nobody recorded its removal, and it is missing";
            self.tell(Finding::object(Severity::Damage, name_of::<Snapshot>(id), why));
        }
        for id in seen.difference(&committed) {
            let why =
                "a run saw it, nobody recorded its removal, and it is missing: the store may have been rolled back";
            self.tell(Finding::object(Severity::Warning, name_of::<Snapshot>(id), why));
        }
    }

    fn sessions(&self) -> Result<()> {
        let now = self.repository.objects().chance().now();
        let sessions = self.records(|id, session: Session| (id, session.started, session.host))?;
        let withdrawn = self.withdrawn()?;
        for (id, started, host) in sessions {
            if age_secs(started, now) > SESSION_OLD_SECS && !withdrawn.contains(&id) {
                let days = age_secs(started, now) / (24 * 60 * 60);
                let why = format!(
                    "the session that began {days} days ago on {:?} has not ended; if that run is gone, prune removes it",
                    &*host
                );
                self.tell(Finding::object(Severity::Warning, name_of::<Session>(&id), why));
            }
        }
        Ok(())
    }

    /// Sessions that have ended where they could not delete their announcement.
    fn withdrawn(&self) -> Result<BTreeSet<SessionId>> {
        let mut withdrawn = BTreeSet::new();
        self.repository.objects().store().list(Session::DIR, &mut |listed| {
            let stem = listed.name.as_str().strip_suffix(".done").and_then(|name| name.strip_prefix("sessions/"));
            withdrawn.extend(stem.and_then(Id::from_hex));
            Ok(())
        })?;
        Ok(withdrawn)
    }
}

/// An object's id and its bytes, of which it is the hash.
type Named<T> = (Id<T>, Vec<u8>);

/// What stands in a directory of the store.
pub(super) struct Directory<T> {
    /// By id, with their lengths.
    pub objects: BTreeMap<Id<T>, u64>,
    pub foreign: Vec<ObjectName>,
}

/// An object that nobody's format accounts for.
pub(super) fn not_ours(name: &ObjectName) -> Finding {
    Finding::object(Severity::Warning, name, "it is no object of this repository; it is left alone")
}

fn age_secs(then: Time, now: Time) -> i64 {
    now.secs.saturating_sub(then.secs)
}

/// Leases and withdrawals stand beside their sessions.
fn is_lease(name: &ObjectName) -> bool {
    let stem = name.as_str().strip_suffix(".beat").or_else(|| name.as_str().strip_suffix(".done"));
    stem.and_then(|stem| stem.strip_prefix("sessions/")).is_some_and(|id| Id::<()>::from_hex(id).is_some())
}
