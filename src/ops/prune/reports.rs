//! Reports of runs that say nothing any more (format-spec, "Prune", "Old reports").

use std::collections::HashSet;

use rayon::prelude::*;

use super::Prune;
use crate::format::control::{Forgotten, Run, Snapshot};
use crate::format::tree::Time;
use crate::id::{RunId, SnapshotId};
use crate::repo::{Class, RepoError, Result};
use crate::storage::StoreError;

/// A report is kept for so long, whatever became of its snapshots: people look at the last weeks.
const KEPT_DAYS: i64 = 90;

impl Prune<'_> {
    /// Removes reports of runs all of whose snapshots were forgotten, and that are evidence of nothing. The newest stays.
    pub(super) fn clear_reports(&mut self) -> Result<()> {
        let objects = self.repository.objects();
        let there: HashSet<SnapshotId> = objects.list::<Snapshot>()?.into_iter().collect();
        let forgotten = self.forgotten()?;
        let (runs, now) = (objects.list::<Run>()?, objects.chance().now());
        // One at a time: a report may name a thousand heads.
        let judge = |id: RunId| match objects.get::<Run>(&id) {
            Ok(run) => Some(Ok((run.finished, id, is_spent(&run, &there, &forgotten, now)))),
            // Gone, refused, or not for this program to judge.
            Err(error) if error.class() == Class::Corrupt || matches!(error, RepoError::NeedsNewer { .. }) => None,
            Err(error) => Some(Err(error)),
        };
        let judged: Vec<(Time, RunId, bool)> = runs.into_par_iter().filter_map(judge).collect::<Result<_>>()?;
        let newest = judged.iter().map(|(finished, id, _)| (*finished, *id)).max();
        for (finished, id, is_spent) in judged {
            if !is_spent || Some((finished, id)) == newest {
                continue;
            }
            match objects.delete::<Run>(&id) {
                Ok(()) => self.report.reports_removed += 1,
                // Where nothing can be deleted reports stay, and harm nobody.
                Err(RepoError::Store(StoreError::Denied { .. })) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The snapshots of which a record says that they were removed on purpose.
    fn forgotten(&self) -> Result<HashSet<SnapshotId>> {
        let objects = self.repository.objects();
        let get = |id| match objects.get::<Forgotten>(&id) {
            Ok(record) => Ok(record.snapshots.into_vec()),
            Err(error) if error.class() == Class::Corrupt || matches!(error, RepoError::NeedsNewer { .. }) => {
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        };
        let records: Vec<Vec<SnapshotId>> =
            objects.list::<Forgotten>()?.into_par_iter().map(get).collect::<Result<_>>()?;
        Ok(records.into_iter().flatten().collect())
    }
}

/// Whether nobody needs a report any more: what it vouches for is gone on purpose, and of what it saw nothing vanished
/// without a word.
fn is_spent(run: &Run, there: &HashSet<SnapshotId>, forgotten: &HashSet<SnapshotId>, now: Time) -> bool {
    let is_gone = |id: &SnapshotId| forgotten.contains(id) && !there.contains(id);
    let is_accounted_for = |id: &SnapshotId| forgotten.contains(id) || there.contains(id);
    now.secs.saturating_sub(run.finished.secs) > KEPT_DAYS * 24 * 60 * 60
        && run.snapshots.iter().all(is_gone)
        && run.heads.iter().all(is_accounted_for)
}
