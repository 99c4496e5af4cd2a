//! Choosing by what people type: snapshots by name and filters, anything else by how its id begins.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use super::args::filter::FilterArgs;
use super::exit::{Exit, Failure};
use super::values::{IdPrefix, SnapshotName, SnapshotSpec};
use super::{Context, open};
use crate::component::bucket::BucketAddress;
use crate::format::control::Snapshot;
use crate::format::tree::TreeRef;
use crate::id::{ID_LEN, Id, Named, SnapshotId};
use crate::ops::snapshots::{self, SnapshotFilter, Spot};
use crate::repo::{RepoError, Repository};

/// Candidates that an ambiguous prefix names.
const CANDIDATES_NAMED: usize = 10;

/// Snapshots that can be read, and how a command ends that did all it could with them.
#[derive(Debug)]
pub struct Chosen {
    /// Ascending by time.
    pub snapshots: Vec<(SnapshotId, Snapshot)>,
    /// Damage, if some could not be read; success otherwise.
    pub exit: Exit,
}

/// What the filters say.
pub fn filter(args: &FilterArgs) -> SnapshotFilter {
    SnapshotFilter {
        hosts: args.hosts.clone(),
        paths: args.paths.iter().map(|path| recorded(path)).collect(),
        tags: args.tags.iter().map(|list| list.tags().to_vec()).collect(),
    }
}

/// The path as a snapshot records it: absolute, no slash at its end; of a bucket, its address.
fn recorded(path: &Path) -> Vec<u8> {
    if let Some(Ok(address)) = path.to_str().and_then(BucketAddress::parse) {
        return address.to_string().into_bytes();
    }
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let plain: PathBuf = absolute.components().filter(|part| *part != Component::CurDir).collect();
    plain.into_os_string().into_vec()
}

/// All snapshots that the filters leave. Those that cannot be read are named on stderr.
pub fn filtered(context: &Context, repository: &Repository, args: &FilterArgs) -> Result<Chosen, Failure> {
    let listing = snapshots::all(repository).map_err(open::failure)?;
    let mut exit = Exit::Success;
    for (id, error) in listing.troubles {
        context.complain(&format!("snapshot {}", id.short()), &error.to_string());
        exit = exit.worse(open::failure(error).exit);
    }
    let filter = filter(args);
    let mut snapshots = listing.snapshots;
    snapshots.retain(|(_, snapshot)| filter.matches(snapshot));
    Ok(Chosen { snapshots, exit })
}

/// The snapshots that are named, each once; all that the filters leave if none is.
pub fn several(
    context: &Context,
    repository: &Repository,
    names: &[SnapshotName],
    args: &FilterArgs,
) -> Result<Chosen, Failure> {
    if names.is_empty() {
        return filtered(context, repository, args);
    }
    let named = names.iter().map(|name| one(repository, name, args)).collect::<Result<BTreeMap<_, _>, _>>()?;
    let mut snapshots: Vec<(SnapshotId, Snapshot)> = named.into_iter().collect();
    snapshots.sort_by_key(|(id, snapshot)| (snapshot.time, *id));
    Ok(Chosen { snapshots, exit: Exit::Success })
}

/// The snapshot that a name means; the filters narrow what `latest` looks at.
pub fn one(repository: &Repository, name: &SnapshotName, args: &FilterArgs) -> Result<(SnapshotId, Snapshot), Failure> {
    snapshots::resolve(repository, &name.to_string(), &filter(args)).map_err(not_there)
}

/// There is no such snapshot, or more than one.
pub fn not_there(error: RepoError) -> Failure {
    refused(error, "list snapshots with: keepstone snapshots")
}

/// What stands at a path in a snapshot.
pub fn spot(repository: &Repository, snapshot: &Snapshot, path: &[u8]) -> Result<Spot, Failure> {
    snapshots::find_spot(repository, snapshot, path)
        .map_err(|error| refused(error, "see what is in a snapshot with: keepstone ls -R SNAPSHOT"))
}

/// The same, where a directory is wanted rather than an object whose key ends in a slash.
pub fn place(repository: &Repository, snapshot: &Snapshot, path: &[u8]) -> Result<Spot, Failure> {
    snapshots::find_directory(repository, snapshot, path)
        .map_err(|error| refused(error, "see what is in a snapshot with: keepstone ls -R SNAPSHOT"))
}

/// A directory in a snapshot.
pub struct Directory {
    /// The snapshot.
    pub id: SnapshotId,
    /// The directory; of a bucket, all of it.
    pub tree: TreeRef,
    /// What those of its names begin with that are meant: empty, but for a part of a bucket.
    pub prefix: Vec<u8>,
}

/// The directory that a `SNAPSHOT:PATH` means.
pub fn directory(repository: &Repository, spec: &SnapshotSpec, args: &FilterArgs) -> Result<Directory, Failure> {
    let (id, snapshot) = one(repository, &spec.name, args)?;
    match place(repository, &snapshot, &spec.path)? {
        Spot::Keys { tree, prefix } => Ok(Directory { id, tree, prefix }),
        spot => match spot.tree() {
            Some(tree) => Ok(Directory { id, tree: tree.clone(), prefix: Vec::new() }),
            None => Err(Failure::new(Exit::Failed, format!("{spec} is no directory"))),
        },
    }
}

/// `path` below `base`, both as they were typed.
pub fn below(base: &[u8], path: &OsStr) -> Vec<u8> {
    [base, b"/", path.as_bytes()].concat()
}

/// What was asked for is not there: the failure, with a way to what is.
fn refused(error: RepoError, hint: &str) -> Failure {
    match error {
        RepoError::Refused(_) => open::failure(error).hint(hint),
        error => open::failure(error),
    }
}

/// The one id that begins so. Where there is none, or more than one, the message names what there is, and
/// `listing` is the command that lists them.
pub fn one_id<T: Named>(
    prefix: &IdPrefix,
    ids: impl IntoIterator<Item = Id<T>>,
    listing: &str,
) -> Result<Id<T>, Failure> {
    let candidates: Vec<Id<T>> = ids.into_iter().filter(|id| id.to_hex().starts_with(prefix.as_str())).collect();
    match candidates[..] {
        [id] => Ok(id),
        [] => Err(Failure::new(Exit::Failed, format!("no {}'s id begins with {prefix}", T::NOUN))
            .hint(format!("list them with: {listing}"))),
        _ => Err(Failure::new(Exit::Failed, format!("{prefix} is ambiguous: {} ids begin so", candidates.len()))
            .hint(told(prefix, &candidates))),
    }
}

/// The candidates with a few digits more than were typed, a line each.
fn told<T>(prefix: &IdPrefix, candidates: &[Id<T>]) -> String {
    let digits = (prefix.as_str().len() + 4).clamp(8, 2 * ID_LEN);
    let mut lines: Vec<String> =
        candidates.iter().take(CANDIDATES_NAMED).map(|id| format!("  {}", &id.to_hex()[..digits])).collect();
    if candidates.len() > CANDIDATES_NAMED {
        lines.push(format!("  and {} more", candidates.len() - CANDIDATES_NAMED));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{ID_LEN, PackId};

    fn pack(first: u8, second: u8) -> PackId {
        let mut bytes = [0; ID_LEN];
        (bytes[0], bytes[1]) = (first, second);
        PackId::from_bytes(bytes)
    }

    #[test]
    fn a_prefix_chooses_one_or_says_what_there_is() {
        let ids = [pack(0x4f, 0x2a), pack(0x4f, 0x2b), pack(0x10, 0)];
        let one = |prefix: &str| one_id(&prefix.parse().unwrap(), ids, "keepstone list");
        assert_eq!(one("1"), Ok(ids[2]));
        assert_eq!(one("4f2b"), Ok(ids[1]));
        let none = one("5").unwrap_err();
        assert_eq!((none.exit, none.message.as_str()), (Exit::Failed, "no pack's id begins with 5"));
        let many = one("4f2").unwrap_err();
        assert_eq!(many.hint.as_deref(), Some("  4f2a0000\n  4f2b0000"));
    }
}
