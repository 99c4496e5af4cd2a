//! `forget`: removes snapshots by a policy, or those that are named.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use serde::Serialize;

use crate::cli::args::forget::ForgetArgs;
use crate::cli::values::SnapshotName;
use crate::cli::{Context, Exit, Failure, Volume, choose, open, signals};
use crate::crypto::Chance;
use crate::format::control::Snapshot;
use crate::id::SnapshotId;
use crate::ops::forget::{Plan, Policy, plan};
use crate::ops::snapshots::the_one;
use crate::repo::{Repository, SystemChance};

mod show;

/// Removes snapshots.
pub fn run(context: &Context, args: &ForgetArgs) -> Result<Exit, Failure> {
    let policy = args.keep.policy();
    is_meant(args, &policy)?;
    let repository = open::repository(context)?;
    let (gone, exit) = match policy.is_empty() {
        true => by_hand(context, &repository, args)?,
        false => by_policy(context, &repository, args, &policy)?,
    };
    match (args.prune && exit == Exit::Success, args.dry_run) {
        (true, false) => super::prune::with(context, &repository, &args.thrift),
        (true, true) => super::prune::would_do(context, &repository, &args.thrift, &gone),
        (false, _) => Ok(exit),
    }
}

/// The snapshots that are gone, or would be, and how that ended.
type Done = (Vec<SnapshotId>, Exit);

/// Refuses what is more likely a mistake than a wish, before anything is opened.
fn is_meant(args: &ForgetArgs, policy: &Policy) -> Result<(), Failure> {
    let filters = &args.filter;
    let filtered = !(filters.hosts.is_empty() && filters.tags.is_empty() && filters.paths.is_empty());
    let refused = match (policy.is_empty(), args.snapshots.is_empty()) {
        (false, false) => "snapshots that go and a policy for those that stay exclude each other",
        (true, true) if !args.unsafe_allow_remove_all => "no policy was given, so no snapshot is removed",
        (true, true) if !filtered => "--unsafe-allow-remove-all without a policy needs --host, --tag or --path",
        _ => return Ok(()),
    };
    Err(Failure::usage(refused).hint("say what stays, such as --keep-daily 7, or name the snapshots that go"))
}

fn by_policy(context: &Context, repository: &Repository, args: &ForgetArgs, policy: &Policy) -> Result<Done, Failure> {
    let chosen = choose::filtered(context, repository, &args.filter)?;
    let plan = plan(chosen.snapshots, policy, args.group_by, SystemChance.now(), &TimeZone::system());
    if !args.unsafe_allow_remove_all {
        leaves_something(&plan)?;
    }
    let is_quiet = context.output().volume == Volume::Quiet && !args.dry_run;
    match open::is_json(context) {
        true => show::json(context, &plan)?,
        false if is_quiet => {}
        false => show::tables(context, &plan, policy)?,
    }
    let ids = plan.removed();
    let (gone, exit) = carry_out(context, repository, args, &ids, "policy")?;
    if !open::is_json(context) && !is_quiet {
        let kept = plan.groups.iter().map(|group| group.kept().count()).sum();
        let (went, stay) = (show::snapshots(gone.len()), show::snapshots(kept));
        context.out().line(match (args.dry_run, ids.len() - gone.len()) {
            (true, _) => format!("would remove {went} and keep {stay}; nothing was changed"),
            (false, 0) => format!("removed {went}, kept {stay}"),
            (false, left) => format!("removed {went}, kept {stay}; {left} could not be removed"),
        })?;
    }
    // A snapshot that cannot be looked at is left alone, and costs no other its place.
    Ok((gone, exit.worse(if chosen.exit == Exit::Failed { Exit::Partly } else { chosen.exit })))
}

fn leaves_something(plan: &Plan) -> Result<(), Failure> {
    let emptied = plan.emptied();
    let Some(first) = emptied.first() else { return Ok(()) };
    let others = match emptied.len() {
        1 => String::new(),
        more => format!(", and {} other groups", more - 1),
    };
    let what = format!("the policy keeps no snapshot of {}{others}; nothing was removed", show::group_name(&first.key));
    let hint = "--unsafe-allow-remove-all does it nevertheless; with --dry-run it only shows what would go";
    Err(Failure::new(Exit::Failed, what).hint(hint))
}

/// What is done with snapshots that were named, or that the filters leave.
#[derive(Serialize)]
struct ByHand {
    message_type: &'static str,
    dry_run: bool,
    removed: Vec<String>,
}

fn by_hand(context: &Context, repository: &Repository, args: &ForgetArgs) -> Result<Done, Failure> {
    let (ids, chosen) = match args.snapshots.is_empty() {
        false => (named(repository, args)?, Exit::Success),
        true => {
            let chosen = choose::filtered(context, repository, &args.filter)?;
            (chosen.snapshots.into_iter().map(|(id, _)| id).collect(), chosen.exit)
        }
    };
    let (gone, exit) = carry_out(context, repository, args, &ids, "by hand")?;
    let is_quiet = context.output().volume == Volume::Quiet && !args.dry_run;
    if open::is_json(context) {
        let removed = gone.iter().map(|id| id.to_hex()).collect();
        context.out().json(&ByHand { message_type: "forgotten", dry_run: args.dry_run, removed })?;
    } else if !is_quiet {
        let did = if args.dry_run { "would remove" } else { "removed" };
        gone.iter().try_for_each(|id| context.out().line(format_args!("{did} snapshot {}", id.short())))?;
    }
    Ok((gone, exit.worse(chosen)))
}

/// The snapshots that are named, each once. One that is damaged can be removed as well: it is not read for that.
fn named(repository: &Repository, args: &ForgetArgs) -> Result<Vec<SnapshotId>, Failure> {
    let listed = repository.objects().list::<Snapshot>().map_err(open::failure)?;
    let one = |name: &SnapshotName| match name {
        SnapshotName::Id(prefix) => the_one(prefix.as_str(), listed.clone()).map_err(choose::not_there),
        SnapshotName::Latest { .. } => choose::one(repository, name, &args.filter).map(|(id, _)| id),
    };
    let ids: BTreeSet<SnapshotId> = args.snapshots.iter().map(one).collect::<Result<_, _>>()?;
    Ok(ids.into_iter().collect())
}

/// Removes them, unless this is a dry run, and gives those that are gone.
fn carry_out(
    context: &Context,
    repository: &Repository,
    args: &ForgetArgs,
    ids: &[SnapshotId],
    why: &str,
) -> Result<Done, Failure> {
    if args.dry_run {
        return Ok((ids.to_vec(), Exit::Success));
    }
    let done = repository.forget(ids, &open::who(context, None), why, &signals::interrupted);
    let done = done.map_err(open::failure)?;
    for (id, error) in &done.left {
        context.complain(&format!("snapshot {}", id.short()), &format!("it could not be removed: {error}"));
    }
    match done.cut_short {
        Some(error) => Err(open::failure(error)),
        None if done.left.is_empty() => Ok((done.gone, Exit::Success)),
        None => Ok((done.gone, Exit::Partly)),
    }
}
