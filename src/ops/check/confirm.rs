//! Snapshots that were never reported good: what they lack is no damage (format-spec, "Order of writes", "Prune").

use std::collections::HashSet;

use super::finding::{Finding, Severity};
use super::{Check, Root};
use crate::format::control::{Run, Session, Snapshot};
use crate::id::{SessionId, SnapshotId};
use crate::repo::{RepoError, Result, name_of};

impl Check<'_> {
    /// Takes out of `roots` the snapshots that no run reports and whose sessions are gone: a run that was
    /// killed, or taken for dead, left them behind before anyone could rely on them.
    pub(super) fn take_unconfirmed(&self, roots: &mut Vec<Root>) -> Result<Vec<Root>> {
        let objects = self.repository.objects();
        // Sessions before runs: who reports a snapshot does so before it withdraws.
        let at_work: HashSet<SessionId> = objects.list::<Session>()?.into_iter().collect();
        let Some(reported) = self.reported()? else { return Ok(Vec::new()) };
        let is_unconfirmed = |root: &mut Root| !reported.contains(&root.snapshot) && !at_work.contains(&root.session);
        Ok(roots.extract_if(.., is_unconfirmed).collect())
    }

    /// The snapshots that runs report; `None` if nothing can be told by them: there are none, or one cannot be
    /// read.
    fn reported(&self) -> Result<Option<HashSet<SnapshotId>>> {
        let objects = self.repository.objects();
        let (mut reported, mut any) = (HashSet::new(), false);
        for id in objects.list::<Run>()? {
            match objects.get::<Run>(&id) {
                Ok(run) => reported.extend(run.snapshots.iter().copied()),
                Err(RepoError::Missing { .. } | RepoError::AfterClosing { .. }) => continue,
                Err(_) => return Ok(None),
            }
            any = true;
        }
        Ok(any.then_some(reported))
    }

    /// Tells of those that do not come back whole.
    pub(super) fn tell_of_unconfirmed(&self, unconfirmed: &[Root]) -> Result<()> {
        for root in unconfirmed {
            let harmed = self.count_harmed(root)?;
            if harmed > 0 {
                let why = format!(
                    "it was never reported good, its session is gone, and {harmed} of its files and directories cannot be restored: it is no backup; repair snapshots --forget removes it"
                );
                self.tell(Finding::object(Severity::Warning, name_of::<Snapshot>(&root.snapshot), why));
            }
        }
        Ok(())
    }
}
