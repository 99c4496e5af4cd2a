//! Repair: what was damaged is made good from what is left, or named as lost.
//!
//! In this order: [`index`] lists again what is there, [`packs`] rescues what damaged packs still hold and
//! condemns them, a new backup of what is still at hand stores again what could not be rescued, and
//! [`snapshots`] makes snapshots without what stays lost. None of them deletes a pack, and each first says what
//! it will do.

mod index;
mod mend;
mod packs;
mod records;
mod snapshots;

use std::collections::HashSet;
use std::sync::atomic::Ordering::Relaxed;

pub use index::{IndexOptions, IndexReport, index};
pub use packs::{PacksOptions, PacksReport, packs};
pub use snapshots::{REPAIRED, SnapshotsOptions, SnapshotsReport, made_from, snapshots};

use super::progress::WorkCounters;
use crate::format::control::Session;
use crate::id::{Id, SessionId};
use crate::repo::{Announced, RepoError, Repository, Result, Usable};

/// What a repair says of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// What is not as it should be.
    Found,
    /// What will be done, said before anything is.
    Plan,
    /// What was done.
    Done,
    /// What stays as it is, and why.
    Left,
}

/// One thing that a repair says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// When it is said.
    pub stage: Stage,
    /// What it is about: an object by its name in the store, or a path in a snapshot.
    pub object: String,
    /// In words.
    pub what: String,
}

/// Whom a repair talks to while it runs.
pub struct Listener<'a> {
    /// Raised for each thing that is looked at, and by the bytes of packs that are read.
    pub counters: &'a WorkCounters,
    /// Told of each step.
    pub on_step: &'a (dyn Fn(&Step) + Sync),
    /// Asked, often, whether to stop.
    pub interrupted: &'a (dyn Fn() -> bool + Sync),
}

impl Listener<'_> {
    fn tell(&self, stage: Stage, object: impl ToString, what: impl Into<String>) {
        (self.on_step)(&Step { stage, object: object.to_string(), what: what.into() });
    }

    fn looked_at(&self, things: u64) -> Result<()> {
        self.counters.done.fetch_add(things, Relaxed);
        if (self.interrupted)() { Err(RepoError::Interrupted) } else { Ok(()) }
    }

    fn read(&self, bytes: u64) {
        self.counters.bytes_done.fetch_add(bytes, Relaxed);
    }
}

/// The packs that are there and not condemned, listed after what the caller knows of them was.
fn list_usable(repository: &Repository, session: Option<&mut Announced>) -> Result<Usable> {
    match session {
        Some(session) => {
            session.look_again()?;
            Ok(session.usable().clone())
        }
        None => Usable::list(repository.objects()),
    }
}

/// The sessions that are at work, but `own`. One that appeared under a closed epoch is not.
fn sessions_at_work(repository: &Repository, own: Option<SessionId>) -> Result<HashSet<SessionId>> {
    let mut at_work: HashSet<SessionId> = repository.objects().list::<Session>()?.into_iter().collect();
    let mut withdrawn = Vec::new();
    repository.objects().store().list("sessions", &mut |listed| {
        let id = listed.name.as_str().strip_suffix(".done").and_then(|name| name.strip_prefix("sessions/"));
        withdrawn.extend(id.and_then(Id::from_hex));
        Ok(())
    })?;
    let is_late =
        |id: &SessionId| matches!(repository.objects().get::<Session>(id), Err(RepoError::AfterClosing { .. }));
    at_work.retain(|id| Some(*id) != own && !withdrawn.contains(id) && !is_late(id));
    Ok(at_work)
}

/// What an error on an object says beside its name, if the object is to blame; any other error is passed on.
fn damage(error: RepoError) -> Result<String> {
    match error {
        RepoError::Damaged { why, .. } => Ok(why),
        RepoError::AfterClosing { epoch, .. } => {
            Ok(format!("it appeared under a closed epoch ({epoch}), and counts for nothing"))
        }
        other => Err(other),
    }
}

/// What is said of objects that are refused: they are no damage that a repair could make good.
const REFUSED: &str = "it appeared under a closed epoch: it is refused, and left where it is";

const NOT_ITS_HASH: &str = "its bytes do not have the hash that it is named by";
