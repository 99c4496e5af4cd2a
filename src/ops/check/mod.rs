//! Checking: every object is what its name, its keys and the spec say, and every snapshot comes back.
//!
//! Reads the store, never the cache of metadata. Goes on after damage: each finding names an object and
//! what is wrong with it, and at the end every snapshot and file is named that is harmed.
//!
//! Others may write and prune meanwhile. Snapshots are listed before the index, and the index before
//! packs, so that what is found was complete when it was listed; what is missed is looked for again
//! before that is said.

mod confirm;
mod finding;
mod harm;
mod objects;
mod packs;
mod read;
mod subset;
mod trees;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, RwLock};

pub use finding::{CheckReport, Finding, Harmed, Severity, Subject};
pub use subset::ReadData;

use super::progress::WorkCounters;
use crate::format::pack::{BlobHeader, BlobKind};
use crate::format::tree::TreeRef;
use crate::id::{BlobId, PackId, SessionId, SnapshotId};
use crate::repo::{Location, RepoError, Repository, Result};

/// Harmed paths that are named for one snapshot, and lost blobs that are named at all; the rest is counted.
const NAMED_MAX: u64 = 1000;

/// Told of each finding as it is made, by one thread at a time.
pub type OnFinding<'a> = &'a (dyn Fn(&Finding) + Sync);

/// Whom a check talks to while it runs.
pub struct Listener<'a> {
    /// Raised for each object, node and pack, and by the bytes of packs that are read.
    pub counters: &'a WorkCounters,
    /// Told of each finding.
    pub on_finding: OnFinding<'a>,
    /// Asked, often, whether to stop.
    pub interrupted: &'a (dyn Fn() -> bool + Sync),
}

/// Checks a repository. Whoever wants the index read from the store as well opens it with
/// [`CacheDir::Temporary`](crate::repo::CacheDir::Temporary).
///
/// # Errors
///
/// Only if the store cannot be listed, the local index fails, or it is told to stop; damage is a finding.
pub fn check(repository: &mut Repository, read_data: ReadData, listener: &Listener<'_>) -> Result<CheckReport> {
    repository.bypass_meta_cache();
    Check::new(repository, listener).run(read_data)
}

/// A check at work.
struct Check<'c> {
    repository: &'c Repository,
    counters: &'c WorkCounters,
    on_finding: OnFinding<'c>,
    interrupted: &'c (dyn Fn() -> bool + Sync),
    report: Mutex<CheckReport>,
    /// Packs in the store, with their lengths.
    stored: RwLock<HashMap<PackId, u64>>,
    /// Packs that condemned records name: they no longer count, and wait to be deleted.
    condemned: RwLock<HashSet<PackId>>,
    bad: RwLock<Bad>,
    /// Packs that are missing, or not as long as the index says, and what is wrong with each. No writer relies
    /// on them any more: they are damage only if something is needed of them.
    suspects: RwLock<BTreeMap<PackId, String>>,
    /// Those of which something is needed.
    needed: Mutex<HashSet<PackId>>,
    /// Packs that were listed, and gone when they were to be read.
    vanished: Mutex<Vec<PackId>>,
}

/// What of the packs that are there is known to be unusable.
#[derive(Default)]
struct Bad {
    packs: HashSet<PackId>,
    /// Copies of blobs, by pack and offset.
    copies: HashSet<(PackId, u64)>,
}

/// A snapshot, as far as a check needs it.
struct Root {
    snapshot: SnapshotId,
    tree: TreeRef,
    session: SessionId,
}

impl<'c> Check<'c> {
    fn new(repository: &'c Repository, listener: &Listener<'c>) -> Self {
        Check {
            repository,
            counters: listener.counters,
            on_finding: listener.on_finding,
            interrupted: listener.interrupted,
            report: Mutex::default(),
            stored: RwLock::default(),
            condemned: RwLock::default(),
            suspects: RwLock::default(),
            needed: Mutex::default(),
            bad: RwLock::default(),
            vanished: Mutex::default(),
        }
    }

    fn run(self, read_data: ReadData) -> Result<CheckReport> {
        let mut roots = self.small_objects()?;
        let packs = self.survey_packs()?;
        self.read_suspects(&packs)?;
        // What they find is told when it is known whether anything is needed of them.
        let all_well = self.walk_trees(&mut roots)?;
        self.read_packs(&packs, read_data)?;
        if !all_well || self.any_bad() {
            self.attribute(&roots)?;
        }
        Ok(self.report.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// Ends the check when it is told to stop.
    fn go_on(&self) -> Result<()> {
        if (self.interrupted)() { Err(RepoError::Interrupted) } else { Ok(()) }
    }

    /// Tells of a finding, and counts it.
    fn tell(&self, finding: Finding) {
        self.counters.troubles.fetch_add(1, Relaxed);
        // Under the lock, so that findings come one at a time.
        self.count(|report| {
            match finding.severity {
                Severity::Damage => report.damages += 1,
                Severity::Unreadable => report.unreadable += 1,
                Severity::Warning => report.warnings += 1,
            }
            (self.on_finding)(&finding);
        });
    }

    fn count(&self, change: impl FnOnce(&mut CheckReport)) {
        change(&mut lock(&self.report));
    }

    fn done(&self, things: u64) {
        self.counters.done.fetch_add(things, Relaxed);
    }

    fn any_bad(&self) -> bool {
        let bad = read(&self.bad);
        !bad.packs.is_empty() || !bad.copies.is_empty()
    }

    /// Whether some copy of a data blob is there with this length, and is not known to be bad.
    fn is_sound(&self, id: &BlobId, len: u32) -> Result<bool> {
        self.is_any_sound(id, |blob| blob.kind == BlobKind::Data && blob.plain_len == len)
    }

    /// Whether some copy of a blob is there that `is_it`, and is not known to be bad. Notes which suspect packs
    /// are needed for it.
    fn is_any_sound(&self, id: &BlobId, is_it: impl Fn(&BlobHeader) -> bool) -> Result<bool> {
        let mut locations = self.repository.view().locate(id)?;
        locations.retain(|location| is_it(&location.placed.blob) && !self.is_known_bad(location));
        let (stored, condemned, suspects) = (read(&self.stored), read(&self.condemned), read(&self.suspects));
        let is_suspect = |location: &&Location| suspects.contains_key(&location.pack);
        let is_condemned = |location: &&Location| condemned.contains(&location.pack);
        let is_there = |location: &&Location| stored.contains_key(&location.pack);
        if locations.iter().any(|at| is_there(&at) && !is_suspect(&at) && !is_condemned(&at)) {
            return Ok(true);
        }
        // Nobody reads condemned packs but for what is nowhere else: prune copies that out of them.
        if locations.iter().filter(is_condemned).any(|at| self.repository.read_stored(at).is_ok()) {
            return Ok(true);
        }
        lock(&self.needed).extend(locations.iter().filter(is_suspect).map(|location| location.pack));
        Ok(locations.iter().filter(is_there).any(|location| is_suspect(&location)))
    }

    fn is_known_bad(&self, location: &Location) -> bool {
        let bad = read(&self.bad);
        bad.packs.contains(&location.pack) || bad.copies.contains(&(location.pack, location.placed.offset))
    }

    /// Notes which suspect packs a node is needed of.
    fn note_need(&self, kind: BlobKind, id: &BlobId) -> Result<()> {
        let any_suspects = !read(&self.suspects).is_empty();
        if any_suspects {
            self.is_any_sound(id, |blob| blob.kind == kind)?;
        }
        Ok(())
    }
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
