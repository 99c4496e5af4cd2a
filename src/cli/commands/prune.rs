//! `prune`.

use std::collections::HashSet;
use std::sync::Arc;

use serde::Serialize;

use crate::cli::args::prune::{PruneArgs, ThriftArgs};
use crate::cli::render::{Align, Table, size};
use crate::cli::{Context, Exit, Failure, Progress, Volume, open, signals};
use crate::id::SnapshotId;
use crate::ops::progress::WorkCounters;
use crate::ops::prune::{self, Fate, Listener, Plan, PruneOptions, PruneReport, Thrift, whose};
use crate::repo::lease::PATIENCE;
use crate::repo::{RepoError, Repository, pack_name};

/// Gives back room.
pub fn run(context: &Context, args: &PruneArgs) -> Result<Exit, Failure> {
    let repository = open::repository(context)?;
    open::sweep(context);
    match args.dry_run {
        true => would_do(context, &repository, &args.thrift, &[]),
        false => with(context, &repository, &args.thrift),
    }
}

/// Prunes an opened repository.
pub fn with(context: &Context, repository: &Repository, args: &ThriftArgs) -> Result<Exit, Failure> {
    let report = watched(context, args, &|options, listener| prune::prune(repository, options, listener))?;
    open::sweep_remote(context);
    summarize(context, &report, false)?;
    let why =
        "it does not hold what the index says of it; other copies were kept: run keepstone repair packs --read-data";
    report.unfounded.iter().for_each(|id| context.complain(pack_name(id).as_str(), why));
    Ok(if report.unfounded.is_empty() { Exit::Success } else { Exit::Damage })
}

/// Says what a prune would do if these snapshots were gone.
pub fn would_do(
    context: &Context,
    repository: &Repository,
    args: &ThriftArgs,
    gone: &[SnapshotId],
) -> Result<Exit, Failure> {
    let gone: HashSet<SnapshotId> = gone.iter().copied().collect();
    let report = watched(context, args, &|options, listener| prune::plan(repository, &gone, options, listener))?;
    summarize(context, &report, true)?;
    Ok(Exit::Success)
}

/// What prunes, or says what it would do.
type Work<'w> = &'w dyn Fn(&PruneOptions, &Listener<'_>) -> Result<PruneReport, RepoError>;

fn watched(context: &Context, args: &ThriftArgs, work: Work<'_>) -> Result<PruneReport, Failure> {
    let options = PruneOptions {
        who: open::who(context, None),
        thrift: Thrift {
            max_unused: args.max_unused.map_or_else(|| Thrift::default().max_unused, |limit| limit.limit()),
            max_repack: args.max_repack_size.map(|size| size.bytes()),
            reseal: args.reseal,
        },
        patience: args.session_timeout.unwrap_or(PATIENCE),
    };
    let counters = Arc::new(WorkCounters::new("tree nodes"));
    let progress = Progress::watch(context, "prune", Arc::clone(&counters));
    let on_plan = |plan: &Plan| show_plan(context, plan);
    let listener = Listener { counters: &counters, interrupted: &signals::interrupted, on_plan: &on_plan };
    let report = work(&options, &listener);
    drop(progress);
    report.map_err(failure)
}

fn failure(error: RepoError) -> Failure {
    let stops = matches!(error, RepoError::Interrupted);
    let failure = open::failure(error);
    match stops {
        true => failure.hint("nothing that a snapshot needs was touched; the next prune goes on from here"),
        false => failure,
    }
}

/// What is about to be done, for people; programs get it with the summary.
fn show_plan(context: &Context, plan: &Plan) {
    if open::is_json(context) || context.output().volume == Volume::Quiet {
        return;
    }
    let mut table = Table::new([("Packs", Align::Right), ("Size", Align::Right), ("", Align::Left)]);
    for fate in [Fate::Keep, Fate::Drop, Fate::DropStray, Fate::DropAbsent, Fate::Rewrite] {
        let total = plan.total(fate);
        if total.packs > 0 || fate == Fate::Keep {
            table.row([total.packs.to_string(), size(total.bytes), fate.to_string()]);
        }
    }
    // A closed output is met again by the summary, which decides about it.
    let _ = context.out().text(&table);
    if plan.stranded_blobs > 0 {
        context.note(format!("{} blobs are needed again and copied out of condemned packs", plan.stranded_blobs));
    }
}

#[derive(Serialize)]
struct Summary {
    message_type: &'static str,
    dry_run: bool,
    snapshots: u64,
    packs_kept: u64,
    packs_to_remove: u64,
    packs_to_rewrite: u64,
    bytes_needed: u64,
    bytes_unused_before: u64,
    bytes_unused_after: u64,
    bytes_copied: u64,
    packs_condemned: u64,
    bytes_condemned: u64,
    packs_deleted: u64,
    bytes_deleted: u64,
    packs_waiting: u64,
    waiting_for: Vec<String>,
    sessions_buried: u64,
    index_segments_removed: u64,
    index_segments_written: u64,
    reports_removed: u64,
    unconfirmed_snapshots: Vec<String>,
}

fn summarize(context: &Context, report: &PruneReport, dry_run: bool) -> Result<(), Failure> {
    for id in &report.unconfirmed {
        let why = "it is not whole, and was never reported good: its backup was interrupted; it can be forgotten";
        context.complain(&format!("snapshot {}", id.short()), why);
    }
    if open::is_json(context) {
        return context.out().json(&Summary::of(report, dry_run));
    }
    let plan = &report.plan;
    if dry_run {
        let freed = plan.total(Fate::Drop).bytes + plan.total(Fate::DropStray).bytes + plan.total(Fate::Rewrite).bytes;
        return context.out().line(format_args!(
            "would free {}, after copying {}; {} unused would stay",
            size(freed.saturating_sub(plan.copied)),
            size(plan.copied),
            size(plan.unused_after)
        ));
    }
    if report.waiting_packs > 0 {
        context.note(format!(
            "{} condemned packs wait for a later prune: someone at work may still rely on them:",
            report.waiting_packs
        ));
        report.waiting_for.iter().for_each(|open| context.note(format!("  {}", whose(open))));
    }
    if report.replaced.removed > 0 {
        let (removed, written) = (report.replaced.removed, report.replaced.written);
        context.note(format!("{removed} index segments became {written}"));
    }
    if report.reports_removed > 0 {
        context.note(format!("{} reports of runs were removed: their snapshots are forgotten", report.reports_removed));
    }
    let freed = report.deleted.bytes.saturating_sub(plan.copied);
    context.out().line(match (plan.is_idle(), report.deleted.packs) {
        (true, 0) => "nothing to remove".to_owned(),
        (_, packs) => {
            format!("removed {packs} packs and freed {}; {} unused stay", size(freed), size(plan.unused_after))
        }
    })
}

impl Summary {
    fn of(report: &PruneReport, dry_run: bool) -> Summary {
        let plan = &report.plan;
        let remove = [Fate::Drop, Fate::DropStray, Fate::DropAbsent].map(|fate| plan.total(fate).packs);
        Summary {
            message_type: "summary",
            dry_run,
            snapshots: report.snapshots,
            packs_kept: plan.total(Fate::Keep).packs,
            packs_to_remove: remove.iter().sum(),
            packs_to_rewrite: plan.total(Fate::Rewrite).packs,
            bytes_needed: plan.needed,
            bytes_unused_before: plan.unused_before,
            bytes_unused_after: plan.unused_after,
            bytes_copied: plan.copied,
            packs_condemned: report.condemned.packs,
            bytes_condemned: report.condemned.bytes,
            packs_deleted: report.deleted.packs,
            bytes_deleted: report.deleted.bytes,
            packs_waiting: report.waiting_packs,
            waiting_for: report.waiting_for.iter().map(whose).collect(),
            sessions_buried: report.buried,
            index_segments_removed: report.replaced.removed,
            index_segments_written: report.replaced.written,
            reports_removed: report.reports_removed,
            unconfirmed_snapshots: report.unconfirmed.iter().map(|id| id.to_hex()).collect(),
        }
    }
}
