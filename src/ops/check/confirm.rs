//! Snapshots that were never reported good: what they lack is no damage (format-spec, "Order of writes", "Prune").

use std::collections::HashSet;

use super::finding::{Finding, Severity};
use super::{Check, Root};
use crate::format::control::{Session, Snapshot};
use crate::id::SessionId;
use crate::ops::snapshots::reported;
use crate::repo::{Result, name_of};

impl Check<'_> {
    /// Takes out of `roots` the snapshots that no run reports and whose sessions are gone: a run that was
    /// killed, or taken for dead, left them behind before anyone could rely on them.
    pub(super) fn take_unconfirmed(&self, roots: &mut Vec<Root>) -> Result<Vec<Root>> {
        let objects = self.repository.objects();
        // Sessions before runs: who reports a snapshot does so before it withdraws.
        let at_work: HashSet<SessionId> = objects.list::<Session>()?.into_iter().collect();
        let Some(reported) = reported(self.repository)? else { return Ok(Vec::new()) };
        let is_unconfirmed = |root: &mut Root| !reported.contains(&root.snapshot) && !at_work.contains(&root.session);
        Ok(roots.extract_if(.., is_unconfirmed).collect())
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
