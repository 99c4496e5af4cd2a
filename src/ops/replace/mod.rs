//! Replacing snapshots: by others that say something else (tags), or hold less (paths taken out of history).
//!
//! A snapshot is named by its hash and never changes. The new one is committed as a backup commits its own,
//! under a session, after everything that it reaches was looked up; only then is the old one forgotten. A crash
//! leaves the old one, or both, or the new one.

pub(super) mod keeper;
mod tags;
mod without;

pub use tags::TagChange;
pub use without::Removed;

use crate::format::control::{Snapshot, SnapshotState};
use crate::id::SnapshotId;
use crate::repo::{Class, RepoError, Repository, Result, Who, program};
use keeper::Keeper;

use super::forget::Listed;
use super::pattern::Patterns;

/// Snapshots that are replaced under one session, and then forgotten: they are there twice if the process is killed.
const AT_ONCE: usize = 64;

/// The tag of a rewritten snapshot whose original is kept.
const REWRITTEN: &str = "rewrite";

/// How snapshots are replaced.
#[derive(Debug, Clone)]
pub struct ReplaceOptions {
    /// Who does it.
    pub who: Who,
    /// Whether the originals go.
    pub originals: Originals,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// What becomes of the snapshots that are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Originals {
    /// They are forgotten.
    Forget,
    /// They stay beside the new ones.
    Keep,
}

/// What became of a snapshot.
#[derive(Debug)]
pub enum Outcome {
    /// There is nothing to change.
    Unchanged,
    /// Someone else has forgotten it meanwhile, and it does not come back.
    Gone,
    /// Another one stands for it; none yet in a dry run.
    Replaced(Option<SnapshotId>, Removed),
    /// It is as it was, and why.
    Left(RepoError),
    /// The new one is there, and the old one could not be removed.
    NotForgotten(RepoError),
}

/// Whom a replacement talks to.
pub struct Listener<'a> {
    /// Told what became of each snapshot.
    pub on_outcome: &'a dyn Fn(&SnapshotId, &Outcome),
    /// Told the path of everything that is taken out of a snapshot, as it is found.
    pub on_removed: &'a dyn Fn(&[u8]),
    /// Asked, often, whether to stop.
    pub interrupted: &'a (dyn Fn() -> bool + Sync),
}

/// Changes the tags of snapshots.
///
/// # Errors
///
/// If the store or the session fails; a snapshot that is damaged is only left as it is.
pub fn tag(
    repository: &Repository,
    snapshots: &[Listed],
    change: &TagChange,
    options: &ReplaceOptions,
    listener: &Listener<'_>,
) -> Result<()> {
    replace(repository, snapshots, "tag", options, listener, &mut |keeper, old| {
        let Some(tags) = change.apply(&old.tags)? else { return Ok(None) };
        keeper.rely_on_tree(&old.root)?;
        Ok(Some((Snapshot { tags, ..old.clone() }, Removed::default())))
    })
}

/// Takes out of snapshots what matches one of `excludes`. Where the original is kept, the new one is tagged
/// "rewrite".
///
/// # Errors
///
/// As for [`tag`].
pub fn rewrite(
    repository: &Repository,
    snapshots: &[Listed],
    excludes: &[Patterns],
    options: &ReplaceOptions,
    listener: &Listener<'_>,
) -> Result<()> {
    let mark = TagChange::Edit { add: vec![REWRITTEN.into()], remove: Vec::new() };
    replace(repository, snapshots, "rewrite", options, listener, &mut |keeper, old| {
        let (root, removed) = without::without(keeper, &old.root, excludes, listener)?;
        match (removed.entries, root.entries) {
            (0, _) => return Ok(None),
            (_, 0) => return Err(RepoError::Refused("nothing would be left of it; forget it instead".into())),
            _ => {}
        }
        let mut new = Snapshot { root, program: program(), ..old.clone() };
        removed.subtract_from(&mut new.summary);
        if options.originals == Originals::Keep {
            new.tags = mark.apply(&old.tags)?.unwrap_or(new.tags);
        }
        Ok(Some((new, removed)))
    })
}

/// Makes the snapshot that takes the place of another; `None` if it would be the same.
type Make<'m> = &'m mut dyn FnMut(&mut Keeper<'_>, &Snapshot) -> Result<Option<(Snapshot, Removed)>>;

fn replace(
    repository: &Repository,
    snapshots: &[Listed],
    why: &str,
    options: &ReplaceOptions,
    listener: &Listener<'_>,
    make: Make<'_>,
) -> Result<()> {
    for some in snapshots.chunks(AT_ONCE) {
        let mut keeper = Keeper::begin(repository, &options.who, options.dry_run)?;
        let mut replaced = Vec::new();
        let ended = some.iter().try_for_each(|(id, old)| match (listener.interrupted)() {
            true => Err(RepoError::Interrupted),
            false => replace_one(&mut keeper, (id, old), listener, make).map(|done| replaced.extend(done)),
        });
        // Those that were replaced until then are not left there twice. First the report of the new ones: without
        // it nobody could know that they were ever good.
        match keeper.finish() {
            Ok(()) => forget(repository, &replaced, why, options, listener)?,
            Err(error) => return ended.and(Err(error)),
        }
        ended?;
    }
    Ok(())
}

/// Gives the snapshot's id if another one stands for it now.
fn replace_one(
    keeper: &mut Keeper<'_>,
    (id, old): (&SnapshotId, &Snapshot),
    listener: &Listener<'_>,
    make: Make<'_>,
) -> Result<Option<SnapshotId>> {
    let is_checkpoint = old.state == SnapshotState::Checkpoint;
    let made = match is_checkpoint {
        true => Err(RepoError::Refused("it is what an interrupted backup left, and no snapshot".into())),
        false => make(keeper, old),
    };
    let (outcome, done) = match made {
        Ok(None) => (Outcome::Unchanged, None),
        Ok(Some(_)) if !keeper.is_there(id)? => (Outcome::Gone, None),
        Ok(Some((new, removed))) => {
            let new = keeper.commit(new)?;
            (Outcome::Replaced(new, removed), new.map(|_| *id))
        }
        Err(error) if concerns_only_it(&error) => (Outcome::Left(error), None),
        Err(error) => return Err(error),
    };
    (listener.on_outcome)(id, &outcome);
    Ok(done)
}

/// Whether others may fare better.
fn concerns_only_it(error: &RepoError) -> bool {
    error.class() == Class::Corrupt || matches!(error, RepoError::Refused(_) | RepoError::NeedsNewer { .. })
}

fn forget(
    repository: &Repository,
    replaced: &[SnapshotId],
    why: &str,
    options: &ReplaceOptions,
    listener: &Listener<'_>,
) -> Result<()> {
    if options.originals == Originals::Keep || replaced.is_empty() {
        return Ok(());
    }
    // It takes a moment, and an interruption would leave snapshots there twice.
    let done = repository.forget(replaced, &options.who, why, &|| false)?;
    for (id, error) in done.left {
        (listener.on_outcome)(&id, &Outcome::NotForgotten(error));
    }
    done.cut_short.map_or(Ok(()), Err)
}
