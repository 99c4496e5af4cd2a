//! Forgetting: a plan says for every snapshot whether it stays and why; carrying it out decides nothing.
//!
//! [`policy`] holds the rules, [`Repository::forget`] the order of writes.

mod calendar;
mod group;
pub mod policy;

use jiff::tz::TimeZone;

pub use calendar::{Each, Reach};
pub use group::{GroupBy, GroupKey, Listed};
pub use policy::{Candidate, Count, Policy, Reason, Rule, Verdict};

use crate::format::control::{Snapshot, SnapshotState};
use crate::format::tree::Time;
use crate::id::SnapshotId;
#[cfg(doc)]
use crate::repo::Repository;

/// What is to become of every snapshot that a policy was asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Each group by itself.
    pub groups: Vec<PlannedGroup>,
}

/// What is to become of the snapshots of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedGroup {
    /// What they have in common.
    pub key: GroupKey,
    /// Ascending by time, as they came.
    pub snapshots: Vec<Planned>,
}

/// What is to become of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Its id.
    pub id: SnapshotId,
    /// The snapshot.
    pub snapshot: Snapshot,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// Applies a policy to each group of `snapshots`, which ascend by time and hold no checkpoints.
pub fn plan(snapshots: Vec<Listed>, policy: &Policy, by: GroupBy, now: Time, zone: &TimeZone) -> Plan {
    let groups = group::group(snapshots, by).into_iter();
    Plan { groups: groups.map(|(key, snapshots)| plan_group(key, snapshots, policy, now, zone)).collect() }
}

fn plan_group(key: GroupKey, snapshots: Vec<Listed>, policy: &Policy, now: Time, zone: &TimeZone) -> PlannedGroup {
    let candidates: Vec<Candidate<'_>> = snapshots.iter().map(|(_, snapshot)| candidate(snapshot)).collect();
    let verdicts = policy::decide(&candidates, policy, now, zone);
    drop(candidates);
    let planned = snapshots.into_iter().zip(verdicts);
    let planned = planned.map(|((id, snapshot), verdict)| Planned { id, snapshot, verdict });
    PlannedGroup { key, snapshots: planned.collect() }
}

fn candidate(snapshot: &Snapshot) -> Candidate<'_> {
    Candidate {
        time: snapshot.time,
        is_complete: snapshot.state == SnapshotState::Complete,
        tags: snapshot.tags.iter().map(|tag| &**tag).collect(),
    }
}

impl Plan {
    /// What goes, the oldest of each group first.
    pub fn removed(&self) -> Vec<SnapshotId> {
        self.groups.iter().flat_map(PlannedGroup::removed).map(|planned| planned.id).collect()
    }

    /// The groups of which no rule keeps anything although something is to go: more likely a mistake than a wish.
    pub fn emptied(&self) -> Vec<&PlannedGroup> {
        self.groups.iter().filter(|group| group.is_emptied()).collect()
    }
}

impl PlannedGroup {
    /// What stays.
    pub fn kept(&self) -> impl Iterator<Item = &Planned> {
        self.snapshots.iter().filter(|planned| planned.verdict.keeps())
    }

    /// What goes.
    pub fn removed(&self) -> impl Iterator<Item = &Planned> {
        self.snapshots.iter().filter(|planned| !planned.verdict.keeps())
    }

    fn is_emptied(&self) -> bool {
        let by_rule = |planned: &Planned| match &planned.verdict {
            Verdict::Keep(reasons) => reasons.iter().any(Reason::is_rule),
            Verdict::Remove => false,
        };
        self.removed().next().is_some() && !self.snapshots.iter().any(by_rule)
    }
}
