//! Small records that are damaged: what they said is lost, and what they stand in the way of goes on without
//! them (format-spec, "Order of writes", "Repair").

use std::collections::BTreeSet;

use super::{Listener, Stage, damage};
use crate::format::control::{Condemned, Forgotten, Run, RunStatus, Session, Snapshot, SnapshotState, Summary};
use crate::format::epochs::EpochRecord;
use crate::format::keys::Config;
use crate::id::{EpochRecordId, Id, SessionId, SnapshotId};
use crate::ops::snapshots::all_with_checkpoints;
use crate::repo::{Record, RepoError, Repository, Result, Stored, Who, config_name, name_of};
use crate::storage::StoreError;

/// A record that cannot be read, by its id, and why.
type Broken<T> = (Id<T>, String);

/// What can be read of a kind of record, and what cannot.
type ReadAll<T> = (Vec<T>, Vec<Broken<<T as Stored>::Mark>>);

/// Every `T` that can be read, and those that are damaged.
fn read_all<T: Record>(repository: &Repository) -> Result<ReadAll<T>> {
    let (mut read, mut broken) = (Vec::new(), Vec::new());
    for id in repository.objects().list::<T>()? {
        match repository.objects().get::<T>(&id) {
            Ok(value) => read.push(value),
            // What is refused says nothing, and stands in nobody's way.
            Err(RepoError::Missing { .. } | RepoError::AfterClosing { .. }) => {}
            Err(error) => broken.push((id, damage(error)?)),
        }
    }
    Ok((read, broken))
}

/// Names damaged records, and says what becomes of them.
fn tell<T: Record>(broken: &[Broken<T::Mark>], will: &str, listener: &Listener<'_>) {
    for (id, why) in broken {
        listener.tell(Stage::Found, name_of::<T>(id), why);
        listener.tell(Stage::Plan, name_of::<T>(id), will);
    }
}

fn remove<T: Record>(repository: &Repository, broken: &[Broken<T::Mark>], listener: &Listener<'_>) -> Result<u64> {
    for (id, _) in broken {
        repository.objects().delete::<T>(id)?;
        listener.tell(Stage::Done, name_of::<T>(id), "it is removed");
    }
    Ok(broken.len() as u64)
}

/// Removes what keeps others from announcing themselves, and puts the config again: before anybody can work.
/// Says how many objects that were.
pub(super) fn clear_the_way(repository: &Repository, who: &Who, dry_run: bool, listener: &Listener<'_>) -> Result<u64> {
    let config = config_is_damaged(repository)?;
    if let Some(why) = &config {
        listener.tell(Stage::Found, config_name(), why);
        listener.tell(Stage::Plan, config_name(), "it will be written again, as the keyring says");
    }
    let (_, sessions) = read_all::<Session>(repository)?;
    let (_, condemned) = read_all::<Condemned>(repository)?;
    let (_, mut epochs) = read_all::<EpochRecord>(repository)?;
    epochs.retain(|(id, _)| !is_named(repository, id));
    tell::<EpochRecord>(&epochs, "no keyring names it, and it will be removed", listener);
    tell::<Session>(&sessions, "nobody can tell whose it is, and it will be removed", listener);
    tell::<Condemned>(&condemned, "it will be removed: the packs that it named count again", listener);
    if dry_run {
        return Ok(0);
    }
    repository.keychain().may_write()?;
    if config.is_some() {
        let bytes = Config { repository: repository.id() }.to_bytes();
        repository.objects().store().put(&config_name(), &bytes)?;
        listener.tell(Stage::Done, config_name(), "it is written again");
    }
    // As when a lease has run out: whoever is taken for dead and is not finds its announcement gone.
    let removed = u64::from(config.is_some())
        + remove::<EpochRecord>(repository, &epochs, listener)?
        + remove::<Session>(repository, &sessions, listener)?;
    if condemned.is_empty() {
        return Ok(removed);
    }
    // It has seen no record: while it is there nobody deletes packs by one. Who was at it before is listed.
    let held = repository.hold_back_deletions(who).ok_or_else(cannot_announce)?;
    let others: BTreeSet<SessionId> = super::sessions_at_work(repository, Some(held.id()))?.into_iter().collect();
    if let Some(other) = others.first() {
        return Err(RepoError::Conflict(format!(
            "a condemned record is damaged, and can only be removed while nobody is at work: {} is, or was left behind",
            name_of::<Session>(other)
        )));
    }
    Ok(removed + remove::<Condemned>(repository, &condemned, listener)?)
}

/// Whether the keyring needs an epoch record. One that is damaged is recorded anew by `key close --again`.
fn is_named(repository: &Repository, id: &EpochRecordId) -> bool {
    let epochs = repository.keychain().keyring.epochs.iter();
    let mut closings = epochs.filter_map(|epoch| epoch.closing().ok().flatten());
    closings.any(|closing| closing.records.contains(id))
}

fn cannot_announce() -> RepoError {
    RepoError::Refused("no session can be announced here; a damaged condemned record stays".into())
}

fn config_is_damaged(repository: &Repository) -> Result<Option<String>> {
    let bytes = match repository.objects().store().get(&config_name(), 1 << 10) {
        Ok(bytes) => bytes,
        Err(StoreError::NotFound { .. }) => return Ok(Some("it is missing".into())),
        Err(error @ StoreError::TooLong { .. }) => return Ok(Some(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    match Config::from_bytes(&bytes) {
        Ok(config) if config.repository == repository.id() => Ok(None),
        Ok(_) => Ok(Some("it names another repository".into())),
        Err(error) => damage(RepoError::malformed(config_name(), error)).map(Some),
    }
}

/// What is recorded of snapshots, as far as it can be read.
pub(super) struct Recorded {
    runs: Vec<Broken<<Run as Stored>::Mark>>,
    forgotten: Vec<Broken<<Forgotten as Stored>::Mark>>,
    /// Snapshots that a run committed, that are gone, and of which nobody recorded that he removed them.
    pub vanished: Vec<SnapshotId>,
}

impl Recorded {
    /// Reads records: runs before snapshots, and these before records of forgotten ones.
    pub fn read(repository: &Repository) -> Result<Self> {
        let (runs, broken_runs) = read_all::<Run>(repository)?;
        let there = repository.objects().list::<Snapshot>()?;
        let (forgotten, broken_forgotten) = read_all::<Forgotten>(repository)?;
        let known: BTreeSet<SnapshotId> =
            forgotten.iter().flat_map(|record| record.snapshots.iter().copied()).chain(there).collect();
        let committed: BTreeSet<SnapshotId> = runs.iter().flat_map(|run| run.snapshots.iter().copied()).collect();
        let vanished = committed.difference(&known).copied().collect();
        Ok(Recorded { runs: broken_runs, forgotten: broken_forgotten, vanished })
    }

    /// How much is not as it should be.
    pub fn count(&self) -> u64 {
        (self.runs.len() + self.forgotten.len() + self.vanished.len()) as u64
    }

    /// Says what is found, and what becomes of it.
    pub fn tell(&self, forget: bool, listener: &Listener<'_>) {
        let (will, vanished) = match forget {
            true => ("it will be removed", "it will be recorded as removed"),
            false => ("nothing can be made of it; --forget removes it", "--forget records that it is gone"),
        };
        tell::<Run>(&self.runs, will, listener);
        tell::<Forgotten>(&self.forgotten, will, listener);
        for id in &self.vanished {
            let name = name_of::<Snapshot>(id);
            listener.tell(Stage::Found, &name, "a run committed it, nobody recorded its removal, and it is missing");
            listener.tell(if forget { Stage::Plan } else { Stage::Left }, &name, vanished);
        }
    }

    /// Removes what says nothing any more. What a damaged run may have reported is reported anew first: of a
    /// snapshot that was never reported, nobody would miss a part.
    pub fn forget(&self, repository: &Repository, who: &Who, listener: &Listener<'_>) -> Result<()> {
        if !self.vanished.is_empty() {
            let done = repository.forget(&self.vanished, who, "it had vanished", &|| false)?;
            if let Some(error) = done.cut_short {
                return Err(error);
            }
        }
        if !self.runs.is_empty() {
            report_all(repository, who)?;
        }
        remove::<Run>(repository, &self.runs, listener)?;
        remove::<Forgotten>(repository, &self.forgotten, listener)?;
        Ok(())
    }
}

/// Puts a report that names every snapshot that is there.
fn report_all(repository: &Repository, who: &Who) -> Result<()> {
    let all = all_with_checkpoints(repository)?.snapshots.into_iter();
    let all: Vec<SnapshotId> =
        all.filter(|(_, snapshot)| snapshot.state != SnapshotState::Checkpoint).map(|(id, _)| id).collect();
    let now = repository.objects().chance().now();
    for ids in all.chunks(crate::format::limits::RECORDED_MAX) {
        let ids = crate::format::codec::Ascending::new(ids.to_vec()).expect("chunks are as long as a report takes");
        repository.objects().put(&Run {
            session: SessionId::from_bytes([0; 32]),
            lineage: Default::default(),
            host: crate::format::control::Label::truncated(&who.host),
            started: now,
            finished: now,
            status: RunStatus::Done,
            heads: ids.clone(),
            snapshots: ids,
            troubles: Default::default(),
            summary: Summary::default(),
            signature: Default::default(),
            extras: Default::default(),
        })?;
    }
    Ok(())
}
