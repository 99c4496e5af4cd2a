//! What a backup is compared with: its parent, and the checkpoints of backups that were interrupted since.
//! Hints, never promises.

use rayon::prelude::*;

use super::{BackupOptions, ParentChoice};
use crate::format::control::{Snapshot, SnapshotState};
use crate::id::SnapshotId;
use crate::repo::{RepoError, Repository, Result};

/// Checkpoints that a backup looks at: each costs a walk through what it holds.
const CHECKPOINTS_MAX: usize = 4;

/// A snapshot and its id.
pub(super) type Found = (SnapshotId, Snapshot);

/// What was backed up before.
pub(super) struct Earlier {
    /// The snapshot to compare with.
    pub parent: Option<Found>,
    /// Checkpoints of the same things that may have what the parent does not, newest first.
    pub checkpoints: Vec<Found>,
    /// All checkpoints of the same things: once there is a snapshot, nobody needs them.
    pub all_checkpoints: Vec<Found>,
}

/// What to compare with, by the options.
pub(super) fn find(repository: &Repository, options: &BackupOptions) -> Result<Earlier> {
    let (mut checkpoints, snapshots): (Vec<Found>, Vec<Found>) =
        of_the_same(repository, options)?.into_iter().partition(|found| found.1.state == SnapshotState::Checkpoint);
    checkpoints.sort_by_key(|(id, checkpoint)| std::cmp::Reverse((checkpoint.finished, *id)));
    let all_checkpoints = checkpoints.clone();
    let newest = newest(repository, snapshots);
    // What it had is in the snapshot that came after it.
    let newer =
        |checkpoint: &Snapshot| newest.as_ref().is_none_or(|(_, newest)| checkpoint.finished >= newest.finished);
    checkpoints.retain(|(_, checkpoint)| newer(checkpoint));
    checkpoints.truncate(CHECKPOINTS_MAX);
    let parent = match &options.parent {
        // Every file is to be read, whatever is known of it.
        ParentChoice::Nothing => {
            checkpoints.clear();
            None
        }
        ParentChoice::Given(id) => Some((*id, repository.objects().get::<Snapshot>(id)?)),
        ParentChoice::Newest => newest,
    };
    Ok(Earlier { parent, checkpoints, all_checkpoints })
}

fn newest(repository: &Repository, snapshots: Vec<Found>) -> Option<Found> {
    let now = repository.objects().chance().now();
    // One that is dated ahead does not outrank those that really came last.
    snapshots.into_iter().max_by_key(|(id, snapshot)| (snapshot.time <= now, snapshot.time, *id))
}

/// All snapshots of the same host, component and paths, checkpoints among them.
fn of_the_same(repository: &Repository, options: &BackupOptions) -> Result<Vec<Found>> {
    let objects = repository.objects();
    let mut paths: Vec<&[u8]> = options.paths.iter().map(|path| &path[..]).collect();
    paths.sort_unstable();
    paths.dedup();
    let fits = |snapshot: &Snapshot| {
        *snapshot.host == *options.who.host
            && *snapshot.component == *options.component
            && snapshot.paths.iter().map(|path| &path[..]).eq(paths.iter().copied())
    };
    let get = |id| match objects.get::<Snapshot>(&id) {
        Ok(snapshot) => Ok(fits(&snapshot).then_some((id, snapshot))),
        // Forgotten meanwhile, damaged, or beyond us: then it is no help, and `check` will say so.
        Err(
            RepoError::Missing { .. }
            | RepoError::Damaged { .. }
            | RepoError::AfterClosing { .. }
            | RepoError::NeedsNewer { .. },
        ) => Ok(None),
        Err(error) => Err(error),
    };
    objects.list::<Snapshot>()?.into_par_iter().map(get).filter_map(Result::transpose).collect()
}
