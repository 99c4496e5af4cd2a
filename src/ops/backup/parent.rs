//! The parent: what a backup is compared with. A hint, never a promise.

use rayon::prelude::*;

use super::{BackupOptions, ParentChoice};
use crate::format::control::{Snapshot, SnapshotState};
use crate::id::SnapshotId;
use crate::repo::{RepoError, Repository, Result};

/// The snapshot to compare with, by the options.
pub(super) fn find(repository: &Repository, options: &BackupOptions) -> Result<Option<(SnapshotId, Snapshot)>> {
    match &options.parent {
        ParentChoice::Nothing => Ok(None),
        ParentChoice::Given(id) => Ok(Some((*id, repository.objects().get::<Snapshot>(id)?))),
        ParentChoice::Newest => newest(repository, options),
    }
}

fn newest(repository: &Repository, options: &BackupOptions) -> Result<Option<(SnapshotId, Snapshot)>> {
    let objects = repository.objects();
    let mut paths: Vec<&[u8]> = options.paths.iter().map(|path| &path[..]).collect();
    paths.sort_unstable();
    paths.dedup();
    let fits = |snapshot: &Snapshot| {
        snapshot.state != SnapshotState::Checkpoint
            && *snapshot.host == *options.who.host
            && *snapshot.component == *options.component
            && snapshot.paths.iter().map(|path| &path[..]).eq(paths.iter().copied())
    };
    let now = objects.chance().now();
    // One that is dated ahead does not outrank those that really came last.
    let rank = |found: &(SnapshotId, Snapshot)| (found.1.time <= now, found.1.time, found.0);
    objects
        .list::<Snapshot>()?
        .into_par_iter()
        .map(|id| match objects.get::<Snapshot>(&id) {
            Ok(snapshot) => Ok(fits(&snapshot).then_some((id, snapshot))),
            // Forgotten meanwhile, damaged, or beyond us: then it is no help, and `check` will say so.
            Err(
                RepoError::Missing { .. }
                | RepoError::Damaged { .. }
                | RepoError::AfterClosing { .. }
                | RepoError::NeedsNewer { .. },
            ) => Ok(None),
            Err(error) => Err(error),
        })
        .try_reduce(|| None, |a, b| Ok(a.into_iter().chain(b).max_by_key(rank)))
}
