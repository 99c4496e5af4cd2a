//! Forgetting snapshots: first a record that says so is durable, then their objects go (format-spec, "Forget").
//! A crash leaves each snapshot there, or recorded as removed on purpose.

use rayon::prelude::*;

use super::error::{RepoError, Result};
use super::objects::Durable;
use super::{Repository, Who};
use crate::format::codec::Ascending;
use crate::format::control::{Forgotten, Label, Lineage, Signature, Snapshot};
use crate::format::extras::Extras;
use crate::format::limits::RECORDED_MAX;
use crate::id::{ForgottenId, SnapshotId};

/// What became of snapshots that were to be forgotten.
#[derive(Debug, Default)]
pub struct Forgetting {
    /// Those that are gone.
    pub gone: Vec<SnapshotId>,
    /// Those that may still be there, and why.
    pub left: Vec<(SnapshotId, RepoError)>,
    /// Why it ended before all were tried, if it did.
    pub cut_short: Option<RepoError>,
}

impl Repository {
    /// Removes these snapshots and nothing else; `why` is for people, such as "policy". One that cannot be
    /// removed does not keep the others. When it is told to stop, what is not gone yet stays as it is.
    ///
    /// # Errors
    ///
    /// If nothing was removed, because this could not be recorded.
    pub fn forget(
        &self,
        snapshots: &[SnapshotId],
        who: &Who,
        why: &str,
        interrupted: &(dyn Fn() -> bool + Sync),
    ) -> Result<Forgetting> {
        self.may_write()?;
        self.objects().may_delete_snapshots()?;
        let mut done = Forgetting::default();
        for ids in snapshots.chunks(RECORDED_MAX) {
            match self.record_forgotten(ids, who, why) {
                Ok(recorded) => self.remove_forgotten(&recorded, ids, interrupted, &mut done),
                Err(error) if done.gone.is_empty() => return Err(error),
                Err(error) => done.cut_short = Some(error),
            }
            if done.cut_short.is_some() {
                break;
            }
        }
        Ok(done)
    }

    fn record_forgotten(&self, ids: &[SnapshotId], who: &Who, why: &str) -> Result<Durable<ForgottenId>> {
        let too_many = |error| RepoError::Refused(format!("more snapshots than a record holds: {error}"));
        let recorded: Durable<ForgottenId> = self.objects().put(&Forgotten {
            lineage: Lineage::default(),
            snapshots: Ascending::new(ids.to_vec()).map_err(too_many)?,
            time: self.objects().chance().now(),
            host: Label::truncated(&who.host),
            user: Label::truncated(&who.user),
            why: Label::truncated(why),
            signature: Signature::default(),
            extras: Extras::default(),
        })?;
        // No session stands for it: it may have come after its epoch was closed, and then it says nothing.
        if let Err(error) = self.objects().no_epoch_began() {
            self.objects().delete::<Forgotten>(&recorded.id())?;
            return Err(error);
        }
        Ok(recorded)
    }

    /// Only what a durable record names is removed.
    fn remove_forgotten(
        &self,
        recorded: &Durable<ForgottenId>,
        ids: &[SnapshotId],
        interrupted: &(dyn Fn() -> bool + Sync),
        done: &mut Forgetting,
    ) {
        tracing::debug!("forgotten record {} is durable", recorded.id().short());
        let remove = |id: &SnapshotId| (!interrupted()).then(|| (*id, self.objects().delete::<Snapshot>(id)));
        for tried in ids.par_iter().map(remove).collect::<Vec<_>>() {
            match tried {
                Some((id, Ok(()))) => done.gone.push(id),
                Some((id, Err(error))) => done.left.push((id, error)),
                None => done.cut_short = Some(RepoError::Interrupted),
            }
        }
    }
}
