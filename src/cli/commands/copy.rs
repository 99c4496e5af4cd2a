//! `copy`.

use std::sync::Arc;

use serde::Serialize;

use crate::cli::args::copy::CopyArgs;
use crate::cli::render::size;
use crate::cli::{Context, Exit, Failure, Progress, choose, open, signals};
use crate::id::SnapshotId;
use crate::ops::copy::{CopyReport, Listener, copy};
use crate::ops::progress::WorkCounters;
use crate::repo::{Class, RepoError, Repository};

/// Copies snapshots of another repository into this one.
pub fn run(context: &Context, args: &CopyArgs) -> Result<Exit, Failure> {
    let from = open::second_repository(context, &args.from)?;
    let into = open::repository(context)?;
    let chosen = choose::several(context, &from, &args.snapshots, &args.filter)?;
    tell_of_relation(context, &from, &into);
    let counters = Arc::new(WorkCounters::new("entries"));
    let progress = Progress::watch(context, "copy", Arc::clone(&counters));
    let on_failure = |id: &SnapshotId, why: &RepoError| {
        context.complain(&format!("snapshot {}", id.short()), &format!("not copied: {why}"));
    };
    let listener = Listener { counters: &counters, on_failure: &on_failure, interrupted: &signals::interrupted };
    let report = copy(&from, &into, &chosen.snapshots, &open::who(context, None), &listener);
    drop(progress);
    let report = report.map_err(failure)?;
    summarize(context, &report)?;
    let is_damage = |(_, error): &(_, RepoError)| error.class() == Class::Corrupt;
    Ok(chosen.exit.worse(match (report.failed.is_empty(), report.failed.iter().any(is_damage)) {
        (_, true) => Exit::Damage,
        (false, false) => Exit::Partly,
        (true, false) => Exit::Success,
    }))
}

fn failure(error: RepoError) -> Failure {
    let stops = matches!(error, RepoError::Interrupted);
    let failure = open::failure(error);
    match stops {
        true => failure.hint("the snapshots that were copied are good, and the next copy goes on from there"),
        false => failure,
    }
}

fn tell_of_relation(context: &Context, from: &Repository, into: &Repository) {
    if from.id() != into.id() && !into.keychain().is_related_to(from.keychain()) {
        context.note("These repositories cut and name content differently, so deduplication between backups and copies does not carry over; init --from makes one that fits.");
    }
}

#[derive(Serialize)]
struct Copied {
    original: String,
    id: String,
}

#[derive(Serialize)]
struct Summary {
    message_type: &'static str,
    copied: Vec<Copied>,
    already_there: Vec<Copied>,
    failed: Vec<String>,
    blobs_added: u64,
    bytes_stored: u64,
}

fn pairs(pairs: &[(SnapshotId, SnapshotId)]) -> Vec<Copied> {
    pairs.iter().map(|(original, id)| Copied { original: original.to_hex(), id: id.to_hex() }).collect()
}

fn summarize(context: &Context, report: &CopyReport) -> Result<(), Failure> {
    if open::is_json(context) {
        return context.out().json(&Summary {
            message_type: "summary",
            copied: pairs(&report.copied),
            already_there: pairs(&report.already_there),
            failed: report.failed.iter().map(|(id, _)| id.to_hex()).collect(),
            blobs_added: report.blobs_added,
            bytes_stored: report.bytes_stored,
        });
    }
    for (original, id) in &report.copied {
        context.out().line(format_args!("copied snapshot {} as {}", original.short(), id.short()))?;
    }
    let (copied, there, failed) = (report.copied.len(), report.already_there.len(), report.failed.len());
    context.out().line(format_args!(
        "{copied} snapshots copied, {there} were there already, {failed} could not be copied; {} added to the repository",
        size(report.bytes_stored)
    ))
}
