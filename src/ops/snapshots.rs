//! Snapshots: listed, filtered, chosen by what people type, and the paths in them.

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use crate::format::control::{PathBytes, Run, Snapshot, SnapshotState};
use crate::format::tree::{Entry, EntryKey, Name, Node, Time, TreeRef};
use crate::id::{ID_LEN, Id, Named, SnapshotId};
use crate::repo::{Class, RepoError, Repository, Result, walk};

/// Hex digits that an abbreviated id has at least.
pub const PREFIX_MIN: usize = 4;
/// How long a checkpoint is kept that no backup goes on from.
pub const CHECKPOINT_KEPT_DAYS: i64 = 14;
/// Candidates that an ambiguous prefix names.
const CANDIDATES_NAMED: usize = 10;

/// The snapshots of a repository.
#[derive(Debug, Default)]
pub struct Listing {
    /// Ascending by time, then by id.
    pub snapshots: Vec<(SnapshotId, Snapshot)>,
    /// Those that cannot be read, and why.
    pub troubles: Vec<(SnapshotId, RepoError)>,
}

/// All snapshots that are for people: checkpoints are left out. One that is damaged is a trouble, and no
/// reason to fail; one that someone forgets meanwhile is not there.
pub fn all(repository: &Repository) -> Result<Listing> {
    let mut listing = all_with_checkpoints(repository)?;
    listing.snapshots.retain(|(_, snapshot)| snapshot.state != SnapshotState::Checkpoint);
    Ok(listing)
}

/// As [`all`], with the checkpoints of backups that were interrupted.
pub fn all_with_checkpoints(repository: &Repository) -> Result<Listing> {
    let ids = repository.objects().list::<Snapshot>()?;
    let get = |id: SnapshotId| (id, repository.objects().get::<Snapshot>(&id));
    let mut listing = Listing::default();
    for (id, result) in ids.into_par_iter().map(get).collect::<Vec<_>>() {
        match result {
            Ok(snapshot) => listing.snapshots.push((id, snapshot)),
            Err(RepoError::Missing { .. }) => {}
            Err(error) => listing.troubles.push((id, error)),
        }
    }
    listing.snapshots.sort_by_key(|(id, snapshot)| (snapshot.time, *id));
    Ok(listing)
}

/// Checkpoints that need not be kept any longer: a snapshot of the same things has come after them, or nobody
/// has gone on from them for [`CHECKPOINT_KEPT_DAYS`].
///
/// Their objects may be deleted without a forgotten record: no run and no person was ever told of them. `now` may
/// be wrong by years, and a backup that is at work may have one of them: then it is read again, and no more.
pub fn stale_checkpoints(listing: &Listing, now: Time) -> Vec<SnapshotId> {
    let (checkpoints, snapshots): (Vec<_>, Vec<_>) =
        listing.snapshots.iter().partition(|(_, snapshot)| snapshot.state == SnapshotState::Checkpoint);
    let mut newest: HashMap<_, Time> = HashMap::new();
    for (_, snapshot) in snapshots {
        let finished = newest.entry(things(snapshot)).or_insert(snapshot.finished);
        *finished = snapshot.finished.max(*finished);
    }
    let is_stale = |checkpoint: &Snapshot| {
        let has_successor = newest.get(&things(checkpoint)).is_some_and(|finished| *finished > checkpoint.finished);
        has_successor || now.secs.saturating_sub(checkpoint.finished.secs) > CHECKPOINT_KEPT_DAYS * 24 * 60 * 60
    };
    checkpoints.into_iter().filter(|(_, checkpoint)| is_stale(checkpoint)).map(|(id, _)| *id).collect()
}

/// The snapshots that some run reported; `None` if nothing can be told by runs: there are none, or one of them
/// cannot be read (format-spec, "Repair").
pub fn reported(repository: &Repository) -> Result<Option<HashSet<SnapshotId>>> {
    let objects = repository.objects();
    let (mut reported, mut any) = (HashSet::new(), false);
    for id in objects.list::<Run>()? {
        match objects.get::<Run>(&id) {
            Ok(run) => reported.extend(run.snapshots.iter().copied()),
            Err(RepoError::Missing { .. } | RepoError::AfterClosing { .. }) => continue,
            Err(RepoError::Damaged { .. } | RepoError::NeedsNewer { .. }) => return Ok(None),
            Err(error) => return Err(error),
        }
        any = true;
    }
    Ok(any.then_some(reported))
}

/// What a snapshot is of.
fn things(snapshot: &Snapshot) -> (&str, &str, &[PathBytes]) {
    (&snapshot.host, &snapshot.component, &snapshot.paths)
}

/// Which snapshots are meant. What is empty asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SnapshotFilter {
    /// Of one of these hosts.
    pub hosts: Vec<String>,
    /// Of all of these paths.
    pub paths: Vec<Vec<u8>>,
    /// With all tags of one of these lists; an empty list means a snapshot without tags.
    pub tags: Vec<Vec<String>>,
}

impl SnapshotFilter {
    /// The tags in one `--tag` argument: a comma is "and".
    pub fn tag_list(argument: &str) -> Vec<String> {
        argument.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
    }

    /// Whether `snapshot` is meant.
    pub fn matches(&self, snapshot: &Snapshot) -> bool {
        self.is_of_host(snapshot) && self.is_of_paths(snapshot) && self.has_tags(snapshot)
    }

    fn is_of_host(&self, snapshot: &Snapshot) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|host| **host == *snapshot.host)
    }

    fn is_of_paths(&self, snapshot: &Snapshot) -> bool {
        self.paths.iter().all(|path| snapshot.paths.iter().any(|of| **of == **path))
    }

    fn has_tags(&self, snapshot: &Snapshot) -> bool {
        let has = |tag: &String| snapshot.tags.iter().any(|of| **of == **tag);
        let satisfied = |list: &Vec<String>| match list.is_empty() {
            true => snapshot.tags.is_empty(),
            false => list.iter().all(has),
        };
        self.tags.is_empty() || self.tags.iter().any(satisfied)
    }
}

/// `ID:path` as the snapshot and the path in it.
pub fn split_spec(spec: &str) -> (&str, Option<&str>) {
    match spec.split_once(':') {
        Some((snapshot, path)) => (snapshot, Some(path)),
        None => (spec, None),
    }
}

/// The snapshot that `latest`, `latest~N` or an unambiguous prefix of an id means; `filter` narrows what
/// `latest` looks at, and nothing else.
pub fn resolve(repository: &Repository, spec: &str, filter: &SnapshotFilter) -> Result<(SnapshotId, Snapshot)> {
    match back_from_latest(spec)? {
        Some(back) => latest(repository, back, filter),
        None => {
            let id = the_one(spec, repository.objects().list::<Snapshot>()?)?;
            let snapshot = repository.objects().get::<Snapshot>(&id)?;
            match snapshot.state {
                SnapshotState::Checkpoint => Err(RepoError::Refused(format!(
                    "{} is no snapshot but the checkpoint of a backup that was interrupted: run that backup again",
                    id.short()
                ))),
                _ => Ok((id, snapshot)),
            }
        }
    }
}

fn back_from_latest(spec: &str) -> Result<Option<usize>> {
    let Some(rest) = spec.strip_prefix("latest") else { return Ok(None) };
    let back = match rest.strip_prefix('~') {
        None if rest.is_empty() => Some(0),
        None => None,
        Some(number) => number.parse().ok(),
    };
    let unclear = || RepoError::Refused(format!("{spec}: expected latest or latest~N, with a number N"));
    back.map(Some).ok_or_else(unclear)
}

fn latest(repository: &Repository, back: usize, filter: &SnapshotFilter) -> Result<(SnapshotId, Snapshot)> {
    let mut listing = all(repository)?;
    // Any of these may be the one that was meant.
    for (_, error) in &listing.troubles {
        match error.class() {
            Class::Corrupt => tracing::warn!("{error}; it is not considered"),
            _ => return Err(listing.troubles.remove(0).1),
        }
    }
    let matching = listing.snapshots.into_iter().rev().filter(|(_, snapshot)| filter.matches(snapshot));
    let mut matching = matching.enumerate();
    let found = matching.find(|(at, _)| *at == back).map(|(_, found)| found);
    found.ok_or_else(|| {
        RepoError::Refused(match back {
            0 => "there is no snapshot that fits".into(),
            back => format!("there are not {} snapshots that fit", back.saturating_add(1)),
        })
    })
}

/// The one of `ids` that a prefix of at least [`PREFIX_MIN`] hex digits means.
///
/// # Errors
///
/// Refused if it means none, or several: then they are named.
pub fn the_one<M: Named>(prefix: &str, mut ids: Vec<Id<M>>) -> Result<Id<M>> {
    let wanted = prefix.to_ascii_lowercase();
    let is_hex = wanted.bytes().all(|digit| digit.is_ascii_hexdigit());
    if !is_hex || !(PREFIX_MIN..=2 * ID_LEN).contains(&wanted.len()) {
        let why = format!("{prefix:?} is no {}: expected at least {PREFIX_MIN} hex digits of its id", M::NOUN);
        return Err(RepoError::Refused(why));
    }
    ids.retain(|id| id.to_hex().starts_with(&wanted));
    match ids[..] {
        [id] => Ok(id),
        [] => Err(RepoError::Refused(format!("there is no {} whose id begins with {prefix}", M::NOUN))),
        _ => Err(ambiguous(prefix, &ids)),
    }
}

fn ambiguous<M>(prefix: &str, ids: &[Id<M>]) -> RepoError {
    let digits = (prefix.len() + 4).clamp(8, 2 * ID_LEN);
    let mut candidates: Vec<String> =
        ids.iter().take(CANDIDATES_NAMED).map(|id| id.to_hex()[..digits].to_owned()).collect();
    if ids.len() > CANDIDATES_NAMED {
        candidates.push(format!("{} more", ids.len() - CANDIDATES_NAMED));
    }
    RepoError::Refused(format!("{prefix} is ambiguous: it may be {}", candidates.join(", ")))
}

/// What stands at a path in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spot {
    /// The top, which has no entry of its own.
    Root(TreeRef),
    /// An entry.
    Entry(Box<Entry>),
    /// The objects of a bucket whose keys begin so.
    Keys {
        /// All of the bucket.
        tree: TreeRef,
        /// Ends in a slash, or is empty.
        prefix: Vec<u8>,
    },
}

impl Spot {
    /// The directory that it is, if it is one.
    pub fn tree(&self) -> Option<&TreeRef> {
        match self {
            Spot::Root(tree) => Some(tree),
            Spot::Entry(entry) => match &entry.node {
                Node::Directory(tree) => Some(tree),
                _ => None,
            },
            Spot::Keys { .. } => None,
        }
    }
}

/// What stands at `path` in a snapshot: of a bucket, the object of that key, or all whose keys begin with it and a slash.
///
/// # Errors
///
/// Refused if there is nothing.
pub fn find_spot(repository: &Repository, snapshot: &Snapshot, path: &[u8]) -> Result<Spot> {
    match is_bucket(snapshot) {
        true => find_key(repository, &snapshot.root, path),
        false => find_path(repository, &snapshot.root, path),
    }
}

/// The same for whoever wants a directory rather than an object that has its name and a slash at its end.
///
/// # Errors
///
/// Refused if there is nothing.
pub fn find_directory(repository: &Repository, snapshot: &Snapshot, path: &[u8]) -> Result<Spot> {
    let prefix = path.strip_prefix(b"/").unwrap_or(path);
    let is_directory = is_bucket(snapshot)
        && prefix.ends_with(b"/")
        && walk::entries_below(repository, &snapshot.root, prefix).nth(1).is_some();
    match is_directory {
        true => Ok(Spot::Keys { tree: snapshot.root.clone(), prefix: prefix.to_vec() }),
        false => find_spot(repository, snapshot, path),
    }
}

/// Whether a snapshot is of a bucket: its tree is flat, and its names are keys.
pub fn is_bucket(snapshot: &Snapshot) -> bool {
    &*snapshot.component == BUCKET
}

/// The component of snapshots of buckets.
pub const BUCKET: &str = "bucket";

fn find_key(repository: &Repository, tree: &TreeRef, path: &[u8]) -> Result<Spot> {
    // Typed like a path from the top, or as the key that it is.
    let from_top = path.strip_prefix(b"/").unwrap_or(path);
    if from_top.is_empty() {
        return Ok(Spot::Keys { tree: tree.clone(), prefix: Vec::new() });
    }
    for key in [path, from_top] {
        let Ok(name) = Name::new(key) else { continue };
        let found = repository.find_entry(tree, &EntryKey { name, discriminator: 0 })?;
        if let Some(entry) = found {
            return Ok(Spot::Entry(Box::new(entry)));
        }
    }
    for key in [path, from_top] {
        let prefix = [key.strip_suffix(b"/").unwrap_or(key), b"/"].concat();
        if walk::entries_below(repository, tree, &prefix).next().transpose()?.is_some() {
            return Ok(Spot::Keys { tree: tree.clone(), prefix });
        }
    }
    let shown = String::from_utf8_lossy(from_top).into_owned();
    Err(RepoError::Refused(format!(
        "there is no object {shown} in the snapshot, and none whose key begins with it and a slash"
    )))
}

/// What stands at `path` below `root`. Slashes before, after and between names count once.
///
/// # Errors
///
/// Refused, and the first part that is missing or no directory is named, if there is nothing.
pub fn find_path(repository: &Repository, root: &TreeRef, path: &[u8]) -> Result<Spot> {
    let mut spot = Spot::Root(root.clone());
    let mut walked = Vec::new();
    for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".") {
        let shown = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
        let Some(tree) = spot.tree() else {
            return Err(RepoError::Refused(format!("{} is no directory", shown(&walked))));
        };
        let found = match Name::new(name) {
            Ok(name) => repository.find_entry(tree, &EntryKey { name, discriminator: 0 })?,
            Err(_) => None,
        };
        walked = super::walk::join(&walked, name);
        let missing = || RepoError::Refused(format!("there is no {} in the snapshot", shown(&walked)));
        spot = Spot::Entry(Box::new(found.ok_or_else(missing)?));
    }
    Ok(spot)
}
