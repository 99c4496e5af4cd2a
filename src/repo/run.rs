//! Run reports: what a run committed and what it saw, put before anybody is told that it succeeded
//! (format-spec, "Order of writes", between B7 and B9).
//!
//! A snapshot that no run lists, and whose session is gone, was never reported good. Who reads a later
//! run's report sees what has vanished since.

use rayon::prelude::*;

use super::error::{Class, RepoError, Result};
use super::objects::Objects;
use crate::format::codec::{Ascending, List};
use crate::format::control::{Label, Lineage, Run, RunStatus, Signature, Snapshot, SnapshotState, Summary};
use crate::format::extras::Extras;
use crate::format::limits::{RECORDED_MAX, TROUBLES_MAX};
use crate::format::tree::Time;
use crate::id::{RunId, SessionId, SnapshotId};

/// Heads that a writer records beside its own snapshots: what one run does not name, others do.
const HEADS_RECORDED: usize = 1024;

/// How a run ended, as its report will say it.
#[derive(Debug, Clone)]
pub struct Ending {
    /// When it began.
    pub started: Time,
    /// Whether everything was done.
    pub status: RunStatus,
    /// The first troubles, in words.
    pub troubles: Vec<String>,
    /// What it found and did, over all its snapshots.
    pub summary: Summary,
}

impl Ending {
    /// Everything was done since `started`, and there is no more to say.
    pub fn done(started: Time) -> Self {
        Ending { started, status: RunStatus::Done, troubles: Vec::new(), summary: Summary::default() }
    }
}

/// Puts the report of a run that committed snapshots: one, or as many as take them all. Gives their ids.
pub(super) fn put(
    objects: &Objects,
    session: SessionId,
    host: &str,
    committed: &[SnapshotId],
    ending: &Ending,
) -> Result<Vec<RunId>> {
    if committed.is_empty() {
        return Ok(Vec::new());
    }
    let mut put = Vec::new();
    let others = heads(objects, committed)?;
    let troubles = ending.troubles.iter().take(TROUBLES_MAX).map(|trouble| Label::truncated(trouble));
    let troubles: Vec<Label> = troubles.collect();
    for own in committed.chunks(RECORDED_MAX - HEADS_RECORDED) {
        let run = Run {
            session,
            lineage: Lineage::default(),
            host: Label::truncated(host),
            started: ending.started,
            finished: objects.chance().now(),
            status: ending.status,
            snapshots: recorded(own.to_vec()),
            heads: recorded([own, &others].concat()),
            troubles: List::new(troubles.clone()).expect("no more were taken"),
            summary: ending.summary,
            signature: Signature::default(),
            extras: Extras::default(),
        };
        put.push(objects.put(&run)?.id());
    }
    Ok(put)
}

fn recorded(mut ids: Vec<SnapshotId>) -> Ascending<SnapshotId, RECORDED_MAX> {
    ids.sort_unstable();
    ids.dedup();
    Ascending::new(ids).expect("a report is given no more than it takes, and each once")
}

/// The newest snapshots beside our own. Checkpoints go away without a record, and are none.
fn heads(objects: &Objects, own: &[SnapshotId]) -> Result<Vec<SnapshotId>> {
    let own: std::collections::HashSet<&SnapshotId> = own.iter().collect();
    let seen = objects.seen_snapshots()?;
    let seen = seen.into_par_iter().filter(|id| !own.contains(id)).map(|id| match objects.get::<Snapshot>(&id) {
        Ok(snapshot) => Ok((snapshot.state != SnapshotState::Checkpoint).then_some((snapshot.time, id))),
        // Forgotten meanwhile, or not for us to judge.
        Err(error) if error.class() == Class::Corrupt || matches!(error, RepoError::NeedsNewer { .. }) => Ok(None),
        Err(error) => Err(error),
    });
    let mut seen: Vec<(Time, SnapshotId)> = seen.filter_map(Result::transpose).collect::<Result<_>>()?;
    seen.sort_unstable_by(|a, b| b.cmp(a));
    Ok(seen.into_iter().take(HEADS_RECORDED).map(|(_, id)| id).collect())
}
