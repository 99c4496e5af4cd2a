//! `repair`: index, packs, snapshots.

use std::sync::Arc;

use serde::Serialize;

use crate::cli::args::repair::{IndexArgs, PacksArgs, Repair, RepairArgs, SnapshotsArgs};
use crate::cli::render::printable;
use crate::cli::{Context, Exit, Failure, Progress, choose, open, signals};
use crate::format::control::Snapshot;
use crate::id::{PackId, SnapshotId};
use crate::ops::progress::WorkCounters;
use crate::ops::repair::{
    self, IndexOptions, IndexReport, Listener, PacksOptions, PacksReport, SnapshotsOptions, SnapshotsReport, Stage,
    Step,
};
use crate::repo::{Repository, Result, id_of, pack_name};

/// Repairs what is asked for.
pub fn run(context: &Context, args: &RepairArgs) -> std::result::Result<Exit, Failure> {
    match &args.what {
        Repair::Index(args) => index(context, args),
        Repair::Packs(args) => packs(context, args),
        Repair::Snapshots(args) => snapshots(context, args),
    }
}

fn index(context: &Context, args: &IndexArgs) -> std::result::Result<Exit, Failure> {
    let mut repository = open::repository(context)?;
    let IndexArgs { read_all_packs, dry_run } = *args;
    let options = IndexOptions { read_all_packs, dry_run, who: open::who(context, None) };
    let report = watched(context, "objects", |listener| repair::index(&mut repository, &options, listener))?;
    let IndexReport { packs_added, packs_corrected, packs_dropped, segments_damaged, segments_wrong, .. } = report;
    let mended = report.objects_mended;
    let changed = packs_added + packs_corrected + packs_dropped + segments_damaged + segments_wrong + mended;
    let words = match (changed, dry_run) {
        (0, _) => "the index lists what is there".into(),
        (_, true) => format!("would add {packs_added} packs, correct {packs_corrected}, drop {packs_dropped}"),
        (_, false) => format!("added {packs_added} packs, corrected {packs_corrected}, dropped {packs_dropped}"),
    };
    summarize(context, "index", dry_run, report.is_damage_left(), &words, &IndexSummary::of(&report))
}

fn packs(context: &Context, args: &PacksArgs) -> std::result::Result<Exit, Failure> {
    let mut repository = open::repository(context)?;
    let options = PacksOptions {
        packs: chosen_packs(&repository, args)?,
        read_data: args.read_data,
        dry_run: args.dry_run,
        who: open::who(context, None),
    };
    let report = watched(context, "packs", |listener| repair::packs(&mut repository, &options, listener))?;
    let PacksReport { packs, damaged, blobs_rescued, blobs_elsewhere, blobs_lost, missing } = report;
    let kept = blobs_rescued + blobs_elsewhere;
    let words = match (damaged, args.dry_run) {
        (0, _) => format!("{packs} packs looked at, none of them is damaged"),
        (_, true) => format!("would condemn {damaged} packs, keep {kept} of their blobs, and lose {blobs_lost}"),
        (_, false) => format!("condemned {damaged} packs, kept {kept} of their blobs, lost {blobs_lost}"),
    };
    if blobs_lost > 0 {
        context.note("back up again what is still there: that heals what it can; then repair snapshots, and check");
    }
    let summary = PacksSummary { packs, damaged, blobs_rescued, blobs_elsewhere, blobs_lost, missing };
    summarize(context, "packs", args.dry_run, report.is_damage_left(), &words, &summary)
}

fn chosen_packs(repository: &Repository, args: &PacksArgs) -> std::result::Result<Vec<PackId>, Failure> {
    if args.packs.is_empty() {
        return Ok(Vec::new());
    }
    let mut all: Vec<PackId> = Vec::new();
    let listed = repository.objects().store().list("packs", &mut |listed| {
        all.extend(id_of(&listed.name).filter(|id| pack_name(id) == listed.name));
        Ok(())
    });
    listed.map_err(|error| open::failure(error.into()))?;
    args.packs.iter().map(|prefix| choose::one_id(prefix, all.iter().copied(), "keepstone check")).collect()
}

fn snapshots(context: &Context, args: &SnapshotsArgs) -> std::result::Result<Exit, Failure> {
    let mut repository = open::repository(context)?;
    let options = SnapshotsOptions {
        snapshots: chosen_snapshots(&repository, args)?,
        forget: args.forget,
        dry_run: args.dry_run,
        who: open::who(context, None),
    };
    let report = watched(context, "snapshots", |listener| repair::snapshots(&mut repository, &options, listener))?;
    let (harmed, lost) = (report.harmed.len(), report.unreadable.len());
    let nothing = harmed + lost == 0 && report.records == 0;
    let words = match (nothing, args.dry_run) {
        (true, _) => format!("{} snapshots looked at, none of them is harmed", report.snapshots),
        (_, true) => format!("would repair {harmed} snapshots; {lost} cannot be read at all"),
        (_, false) => format!(
            "made {} snapshots without what is lost, and forgot {}",
            report.repaired.len(),
            report.forgotten.len()
        ),
    };
    summarize(context, "snapshots", args.dry_run, report.is_damage_left(), &words, &SnapshotsSummary::of(&report))
}

/// A damaged snapshot can be named, though it cannot be read.
fn chosen_snapshots(repository: &Repository, args: &SnapshotsArgs) -> std::result::Result<Vec<SnapshotId>, Failure> {
    let ids = repository.objects().list::<Snapshot>().map_err(open::failure)?;
    let one = |name: &crate::cli::values::SnapshotName| match name.to_string().parse() {
        Ok(prefix) => choose::one_id(&prefix, ids.iter().copied(), "keepstone snapshots"),
        Err(_) => choose::one(repository, name, &Default::default()).map(|(id, _)| id),
    };
    args.snapshots.iter().map(one).collect()
}

/// Runs a repair, and tells what it says as it comes.
fn watched<T>(
    context: &Context,
    noun: &'static str,
    work: impl FnOnce(&Listener<'_>) -> Result<T>,
) -> std::result::Result<T, Failure> {
    let counters = Arc::new(WorkCounters::new(noun));
    let progress = Progress::watch(context, "repair", Arc::clone(&counters));
    let on_step = |step: &Step| tell(context, step);
    let done = work(&Listener { counters: &counters, on_step: &on_step, interrupted: &signals::interrupted });
    drop(progress);
    done.map_err(open::failure)
}

fn word(stage: Stage) -> &'static str {
    match stage {
        Stage::Found => "damage",
        Stage::Plan => "to do",
        Stage::Done => "done",
        Stage::Left => "left",
    }
}

#[derive(Serialize)]
struct StepFields<'a> {
    message_type: &'static str,
    stage: &'static str,
    item: &'a str,
    message: &'a str,
}

/// Steps are results. A closed output is met again by the summary, which decides about it.
fn tell(context: &Context, step: &Step) {
    let stage = match step.stage {
        Stage::Found => "found",
        Stage::Plan => "plan",
        Stage::Done => "done",
        Stage::Left => "left",
    };
    let _ = match open::is_json(context) {
        true => {
            context.out().json(&StepFields { message_type: "step", stage, item: &step.object, message: &step.what })
        }
        false => {
            let what = printable(format!("{}: {}", step.object, step.what).as_bytes());
            context.out().line(format_args!("{}: {what}", word(step.stage)))
        }
    };
}

#[derive(Serialize)]
struct Summary<'a, T> {
    message_type: &'static str,
    repair: &'a str,
    dry_run: bool,
    damage_left: bool,
    #[serde(flatten)]
    counts: &'a T,
}

#[derive(Serialize)]
struct IndexSummary {
    packs_added: u64,
    packs_corrected: u64,
    packs_dropped: u64,
    packs_damaged: u64,
    segments_damaged: u64,
    segments_wrong: u64,
    segments_written: u64,
    objects_mended: u64,
}

impl IndexSummary {
    fn of(report: &IndexReport) -> Self {
        IndexSummary {
            packs_added: report.packs_added,
            packs_corrected: report.packs_corrected,
            packs_dropped: report.packs_dropped,
            packs_damaged: report.packs_damaged,
            segments_damaged: report.segments_damaged,
            segments_wrong: report.segments_wrong,
            segments_written: report.segments_written,
            objects_mended: report.objects_mended,
        }
    }
}

#[derive(Serialize)]
struct PacksSummary {
    packs: u64,
    damaged: u64,
    blobs_rescued: u64,
    blobs_elsewhere: u64,
    blobs_lost: u64,
    missing: u64,
}

#[derive(Serialize)]
struct SnapshotsSummary {
    snapshots: u64,
    harmed: Vec<String>,
    unreadable: Vec<String>,
    records: u64,
    repaired: Vec<RepairedFields>,
    forgotten: Vec<String>,
}

#[derive(Serialize)]
struct RepairedFields {
    original: String,
    id: String,
}

impl SnapshotsSummary {
    fn of(report: &SnapshotsReport) -> Self {
        let hex = |ids: &[SnapshotId]| ids.iter().map(SnapshotId::to_hex).collect();
        let repaired = report.repaired.iter();
        SnapshotsSummary {
            snapshots: report.snapshots,
            harmed: hex(&report.harmed),
            unreadable: hex(&report.unreadable),
            records: report.records,
            repaired: repaired.map(|(old, new)| RepairedFields { original: old.to_hex(), id: new.to_hex() }).collect(),
            forgotten: hex(&report.forgotten),
        }
    }
}

fn summarize(
    context: &Context,
    repair: &str,
    dry_run: bool,
    damage_left: bool,
    words: &str,
    counts: &impl Serialize,
) -> std::result::Result<Exit, Failure> {
    match open::is_json(context) {
        true => context.out().json(&Summary { message_type: "summary", repair, dry_run, damage_left, counts })?,
        false => {
            let dry = if dry_run { "; dry run: nothing was written" } else { "" };
            context.out().line(format_args!("{words}{dry}"))?;
        }
    }
    Ok(if damage_left { Exit::Damage } else { Exit::Success })
}
