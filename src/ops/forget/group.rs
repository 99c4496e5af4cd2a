//! Groups: a policy is applied to the snapshots of each by themselves.

use std::collections::BTreeMap;

use crate::format::control::Snapshot;
use crate::id::SnapshotId;

/// By what snapshots are told apart; by nothing, all are one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupBy {
    /// By their host.
    pub host: bool,
    /// By their set of paths.
    pub paths: bool,
    /// By their set of tags.
    pub tags: bool,
}

impl Default for GroupBy {
    fn default() -> Self {
        GroupBy { host: true, paths: true, tags: false }
    }
}

/// What the snapshots of a group have in common, of what is asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupKey {
    /// Their host.
    pub host: Option<String>,
    /// Their paths, ascending.
    pub paths: Option<Vec<Vec<u8>>>,
    /// Their tags, ascending.
    pub tags: Option<Vec<String>>,
}

impl GroupKey {
    /// The group that `snapshot` belongs to.
    pub fn of(snapshot: &Snapshot, by: GroupBy) -> Self {
        GroupKey {
            host: by.host.then(|| snapshot.host.to_string()),
            paths: by.paths.then(|| snapshot.paths.iter().map(|path| path.to_vec()).collect()),
            tags: by.tags.then(|| snapshot.tags.iter().map(|tag| tag.to_string()).collect()),
        }
    }
}

/// A snapshot and its id.
pub type Listed = (SnapshotId, Snapshot);

/// The snapshots of each group, in the order in which they came.
pub fn group(snapshots: Vec<Listed>, by: GroupBy) -> BTreeMap<GroupKey, Vec<Listed>> {
    let mut groups: BTreeMap<GroupKey, Vec<Listed>> = BTreeMap::new();
    for (id, snapshot) in snapshots {
        groups.entry(GroupKey::of(&snapshot, by)).or_default().push((id, snapshot));
    }
    groups
}
