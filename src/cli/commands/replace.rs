//! `tag` and `rewrite`: snapshots that are replaced by others.

use std::cell::Cell;

use serde::Serialize;

use crate::cli::args::replace::{RewriteArgs, TagArgs};
use crate::cli::render::{PathFields, size};
use crate::cli::{Context, Exit, Failure, Volume, choose, open, signals};
use crate::id::SnapshotId;
use crate::ops::replace::{self, Listener, Originals, Outcome, Removed, ReplaceOptions};
use crate::repo::{Class, RepoError};

/// Changes tags.
pub fn tag(context: &Context, args: &TagArgs) -> Result<Exit, Failure> {
    let repository = open::repository(context)?;
    let chosen = choose::several(context, &repository, &args.snapshots, &args.filter)?;
    let options = ReplaceOptions { who: open::who(context, None), originals: Originals::Forget, dry_run: false };
    let telling = Telling::new(context, false);
    telling
        .listen(|listener| replace::tag(&repository, &chosen.snapshots, &args.change.change(), &options, listener))?;
    Ok(chosen.exit.worse(telling.sum_up()?))
}

/// Takes paths out of history.
pub fn rewrite(context: &Context, args: &RewriteArgs) -> Result<Exit, Failure> {
    let excludes = &args.excludes;
    let excludes = super::backup::excludes(&excludes.exclude, &excludes.iexclude, &excludes.exclude_file)?;
    let repository = open::repository(context)?;
    let chosen = choose::several(context, &repository, &args.snapshots, &args.filter)?;
    let originals = if args.forget { Originals::Forget } else { Originals::Keep };
    let options = ReplaceOptions { who: open::who(context, None), originals, dry_run: args.dry_run };
    let telling = Telling::new(context, args.dry_run);
    telling.listen(|listener| replace::rewrite(&repository, &chosen.snapshots, &excludes, &options, listener))?;
    Ok(chosen.exit.worse(telling.sum_up()?))
}

/// What became of a snapshot, for programs.
#[derive(Serialize)]
struct Changed {
    message_type: &'static str,
    old_snapshot_id: String,
    new_snapshot_id: Option<String>,
    removed_entries: u64,
    removed_bytes: u64,
}

#[derive(Serialize)]
struct Excluded {
    message_type: &'static str,
    #[serde(flatten)]
    path: PathFields,
}

#[derive(Serialize)]
struct Summary {
    message_type: &'static str,
    dry_run: bool,
    changed_snapshots: u64,
    unchanged_snapshots: u64,
    failed_snapshots: u64,
}

/// Tells of each snapshot as it comes, and of all in the end.
struct Telling<'c> {
    context: &'c Context,
    dry_run: bool,
    changed: Cell<u64>,
    unchanged: Cell<u64>,
    failed: Cell<u64>,
    exit: Cell<Exit>,
}

impl<'c> Telling<'c> {
    fn new(context: &'c Context, dry_run: bool) -> Self {
        let none = || Cell::new(0);
        let exit = Cell::new(Exit::Success);
        Telling { context, dry_run, changed: none(), unchanged: none(), failed: none(), exit }
    }

    fn listen(&self, act: impl FnOnce(&Listener<'_>) -> Result<(), RepoError>) -> Result<(), Failure> {
        let listener = Listener {
            on_outcome: &|id, outcome| self.tell(id, outcome),
            on_removed: &|path| self.tell_removed(path),
            interrupted: &signals::interrupted,
        };
        act(&listener).map_err(open::failure)
    }

    fn tell(&self, id: &SnapshotId, outcome: &Outcome) {
        let count = |of: &Cell<u64>| of.set(of.get() + 1);
        match outcome {
            Outcome::Unchanged | Outcome::Gone => count(&self.unchanged),
            Outcome::Replaced(new, removed) => {
                count(&self.changed);
                self.tell_replaced(id, new.as_ref(), removed);
            }
            Outcome::Left(error) => {
                count(&self.failed);
                self.complain(id, &format!("it is left as it is: {error}"), error);
            }
            Outcome::NotForgotten(error) => {
                self.complain(id, &format!("another one stands for it, and it could not be removed: {error}"), error);
            }
        }
    }

    fn complain(&self, id: &SnapshotId, why: &str, error: &RepoError) {
        self.context.complain(&format!("snapshot {}", id.short()), why);
        let exit = match (error.class(), error) {
            (Class::Corrupt, _) => Exit::Damage,
            (_, RepoError::NeedsNewer { .. }) => Exit::TooNew,
            _ => Exit::Partly,
        };
        self.exit.set(self.exit.get().worse(exit));
    }

    /// A closed output is met again by the summary, which decides about it.
    fn tell_replaced(&self, old: &SnapshotId, new: Option<&SnapshotId>, removed: &Removed) {
        let _ = match (open::is_json(self.context), new) {
            (true, _) => self.context.out().json(&Changed {
                message_type: "changed",
                old_snapshot_id: old.to_hex(),
                new_snapshot_id: new.map(|id| id.to_hex()),
                removed_entries: removed.entries,
                removed_bytes: removed.bytes,
            }),
            _ if self.is_quiet() => Ok(()),
            (false, Some(new)) => {
                self.line(format!("snapshot {} is now {}{}", old.short(), new.short(), less(removed)))
            }
            (false, None) => self.line(format!("snapshot {} would change{}", old.short(), less(removed))),
        };
    }

    fn tell_removed(&self, path: &[u8]) {
        let is_told = self.dry_run || matches!(self.context.output().volume, Volume::Verbose(_));
        let out = self.context.out();
        let _ = match open::is_json(self.context) {
            _ if !is_told => Ok(()),
            true => out.json(&Excluded { message_type: "excluded", path: PathFields::of(path) }),
            false => out.bytes(&[b"-    ", &*out.name(path), b"\n"].concat()),
        };
    }

    fn is_quiet(&self) -> bool {
        self.context.output().volume == Volume::Quiet && !self.dry_run
    }

    fn line(&self, line: String) -> Result<(), Failure> {
        self.context.out().line(line)
    }

    fn sum_up(&self) -> Result<Exit, Failure> {
        let (changed, unchanged) = (self.changed.get(), self.unchanged.get());
        if open::is_json(self.context) {
            self.context.out().json(&Summary {
                message_type: "summary",
                dry_run: self.dry_run,
                changed_snapshots: changed,
                unchanged_snapshots: unchanged,
                failed_snapshots: self.failed.get(),
            })?;
        } else if !self.is_quiet() {
            let verb = if self.dry_run { "would change" } else { "changed" };
            let plural = if changed == 1 { "" } else { "s" };
            self.line(format!("{verb} {changed} snapshot{plural}; nothing to change in {unchanged}"))?;
        }
        Ok(self.exit.get())
    }
}

/// ", with 3 entries (1.5 GiB) less"; nothing, if nothing was taken out.
fn less(removed: &Removed) -> String {
    match removed.entries {
        0 => String::new(),
        1 => format!(", with one entry ({}) less", size(removed.bytes)),
        entries => format!(", with {entries} entries ({}) less", size(removed.bytes)),
    }
}
