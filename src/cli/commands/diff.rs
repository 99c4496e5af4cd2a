//! `diff`: what differs between two snapshots, in restic's letters.

use serde::Serialize;

use crate::cli::args::listing::DiffArgs;
use crate::cli::aside::Aside;
use crate::cli::render::{PathFields, size};
use crate::cli::{Context, Exit, Failure, choose, open};
use crate::format::tree::Node;
use crate::id::SnapshotId;
use crate::ops::diff::{Change, Difference, Tally, Totals, diff};

/// Compares two snapshots, or directories in them.
pub fn run(context: &Context, args: &DiffArgs) -> Result<Exit, Failure> {
    let repository = open::repository(context)?;
    let before = choose::directory(&repository, &args.from, &args.filter)?;
    let after = choose::directory(&repository, &args.to, &args.filter)?;
    if before.prefix != after.prefix {
        let message = format!("{} and {} are not the same part of a bucket", args.from, args.to);
        return Err(Failure::new(Exit::Usage, message).hint("give both sides one prefix, or none"));
    }
    let (from, to) = (before.id, after.id);
    if !open::is_json(context) {
        context.note(format!("comparing snapshot {} with {}", from.short(), to.short()));
    }
    let mut aside = Aside::default();
    let each = &mut |difference: &Difference<'_>| match difference.change == Change::Metadata && !args.metadata {
        true => Ok(()),
        false => aside.go_on(show(context, difference)),
    };
    let compared = diff(&repository, &before.tree, &after.tree, &before.prefix, each);
    let totals = aside.settle(compared)?;
    match open::is_json(context) {
        true => context.out().json(&Statistics::of(&from, &to, &totals))?,
        false => sum_up(context, &totals),
    }
    Ok(Exit::Success)
}

fn letter(change: Change) -> &'static str {
    match change {
        Change::Added => "+",
        Change::Removed => "-",
        Change::Modified => "M",
        Change::Metadata => "U",
        Change::Type => "T",
    }
}

#[derive(Serialize)]
struct Changed {
    message_type: &'static str,
    #[serde(flatten)]
    path: PathFields,
    modifier: &'static str,
}

fn show(context: &Context, difference: &Difference<'_>) -> Result<(), Failure> {
    let modifier = letter(difference.change);
    let mut path = [b"/", difference.path].concat();
    let entry = difference.after.or(difference.before);
    if entry.is_some_and(|entry| matches!(entry.node, Node::Directory(_))) {
        path.push(b'/');
    }
    if open::is_json(context) {
        return context.out().json(&Changed { message_type: "change", path: PathFields::of(&path), modifier });
    }
    let out = context.out();
    out.bytes(&[modifier.as_bytes(), b"    ", &out.name(&path), b"\n"].concat())
}

#[derive(Serialize)]
struct Statistics {
    message_type: &'static str,
    source_snapshot: String,
    target_snapshot: String,
    changed_files: u64,
    changed_metadata: u64,
    changed_types: u64,
    added: Side,
    removed: Side,
}

#[derive(Serialize)]
struct Side {
    files: u64,
    dirs: u64,
    others: u64,
    bytes: u64,
}

impl From<Tally> for Side {
    fn from(Tally { files, dirs, others, bytes }: Tally) -> Self {
        Side { files, dirs, others, bytes }
    }
}

impl Statistics {
    fn of(from: &SnapshotId, to: &SnapshotId, totals: &Totals) -> Self {
        Statistics {
            message_type: "statistics",
            source_snapshot: from.to_hex(),
            target_snapshot: to.to_hex(),
            changed_files: totals.modified,
            changed_metadata: totals.metadata,
            changed_types: totals.types,
            added: totals.added.into(),
            removed: totals.removed.into(),
        }
    }
}

fn sum_up(context: &Context, totals: &Totals) {
    let Totals { added, removed, modified, metadata, types } = totals;
    context.note(format!("files:        {} new, {} removed, {modified} changed", added.files, removed.files));
    context.note(format!("directories:  {} new, {} removed", added.dirs, removed.dirs));
    context.note(format!("others:       {} new, {} removed", added.others, removed.others));
    context.note(format!("also:         {metadata} with other metadata only, {types} of another type"));
    context.note(format!("data:         {} more, {} less", size(added.bytes), size(removed.bytes)));
}
