//! `check`.

use std::sync::Arc;

use serde::Serialize;

use crate::cli::args::check::{self as args, CheckArgs};
use crate::cli::render::{PathFields, printable, size};
use crate::cli::values::ReadDataSubset;
use crate::cli::{Context, Exit, Failure, Progress, open, signals};
use crate::ops::check::{CheckReport, Finding, Listener, ReadData, Severity, Subject, check};
use crate::ops::progress::WorkCounters;
use crate::repo::noun;

/// Looks for damage, and names what it harms.
pub fn run(context: &Context, args: &CheckArgs) -> Result<Exit, Failure> {
    let mut repository = open::repository_to_check(context)?;
    let _held = repository.hold_back_deletions(&open::who(context, None));
    let counters = Arc::new(WorkCounters::new("objects"));
    let progress = Progress::watch(context, "check", Arc::clone(&counters));
    let on_finding = |finding: &Finding| tell(context, finding);
    let listener = Listener { counters: &counters, on_finding: &on_finding, interrupted: &signals::interrupted };
    let report = check(&mut repository, read_data(args), &listener);
    drop(progress);
    let report = report.map_err(open::failure)?;
    summarize(context, &report)?;
    Ok(match (report.damaged(), report.is_complete()) {
        (true, _) => Exit::Damage,
        (false, false) => Exit::Partly,
        (false, true) => Exit::Success,
    })
}

fn read_data(args: &CheckArgs) -> ReadData {
    match args.read_data() {
        args::ReadData::Nothing => ReadData::No,
        args::ReadData::All => ReadData::All,
        args::ReadData::Some(ReadDataSubset::Part { part, of }) => ReadData::Subset(part.get(), of.get()),
        args::ReadData::Some(ReadDataSubset::Percent(percent)) => ReadData::Percent(percent),
        args::ReadData::Some(ReadDataSubset::Size(size)) => ReadData::Bytes(size.bytes()),
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Warning => "warning",
        Severity::Unreadable => "unreadable",
        Severity::Damage => "damage",
    }
}

/// A finding for programs. What does not apply to its subject is left out.
#[derive(Default, Serialize)]
struct Event<'a> {
    message_type: &'static str,
    severity: &'static str,
    item: String,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blob: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blob_kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    harmed_files: Option<u64>,
    #[serde(flatten)]
    path: Option<PathFields>,
}

impl<'a> Event<'a> {
    fn of(finding: &'a Finding) -> Self {
        let mut event = Event {
            message_type: if finding.severity == Severity::Warning { "warning" } else { "error" },
            severity: word(finding.severity),
            item: finding.subject.to_string(),
            message: &finding.why,
            ..Event::default()
        };
        match &finding.subject {
            Subject::Object(name) => event.object = Some(name),
            Subject::Blob(kind, id) => (event.blob, event.blob_kind) = (Some(id.to_hex()), Some(noun(*kind))),
            Subject::Snapshot { id, harmed } => {
                (event.snapshot, event.harmed_files) = (Some(id.to_hex()), Some(*harmed));
            }
            Subject::Path { snapshot, path } => {
                event.snapshot = Some(snapshot.to_hex());
                event.path = Some(PathFields::of(&[b"/", &path[..]].concat()));
            }
        }
        event
    }
}

/// Findings are results. A closed output is met again by the summary, which decides about it.
fn tell(context: &Context, finding: &Finding) {
    let _ = match open::is_json(context) {
        true => context.out().json(&Event::of(finding)),
        false => {
            let what = printable(finding.to_string().as_bytes());
            context.out().line(format_args!("{}: {what}", word(finding.severity)))
        }
    };
}

#[derive(Serialize)]
struct Summary<'a> {
    message_type: &'static str,
    num_errors: u64,
    num_warnings: u64,
    num_unreadable: u64,
    objects: u64,
    snapshots: u64,
    tree_nodes: u64,
    packs: u64,
    packs_read: u64,
    bytes_read: u64,
    blobs_read: u64,
    garbage_packs: u64,
    garbage_bytes: u64,
    harmed_snapshots: Vec<HarmedFields>,
    outcome: &'a str,
}

#[derive(Serialize)]
struct HarmedFields {
    snapshot: String,
    files: u64,
}

fn summarize(context: &Context, report: &CheckReport) -> Result<(), Failure> {
    if !open::is_json(context) {
        return print(context, report);
    }
    let harmed = report.harmed.iter();
    context.out().json(&Summary {
        message_type: "summary",
        num_errors: report.damages,
        num_warnings: report.warnings,
        num_unreadable: report.unreadable,
        objects: report.objects,
        snapshots: report.snapshots,
        tree_nodes: report.nodes,
        packs: report.packs,
        packs_read: report.packs_read,
        bytes_read: report.bytes_read,
        blobs_read: report.blobs_read,
        garbage_packs: report.garbage_packs,
        garbage_bytes: report.garbage_bytes,
        harmed_snapshots: harmed.map(|it| HarmedFields { snapshot: it.snapshot.to_hex(), files: it.files }).collect(),
        outcome: match (report.damaged(), report.is_complete()) {
            (true, _) => "damage",
            (false, false) => "incomplete",
            (false, true) => "sound",
        },
    })
}

fn print(context: &Context, report: &CheckReport) -> Result<(), Failure> {
    context.note(format!(
        "looked at {} objects, {} snapshots, {} tree nodes and {} packs",
        report.objects, report.snapshots, report.nodes, report.packs
    ));
    context.note(match report.packs_read {
        0 => "packs were not read; --read-data reads them".to_owned(),
        read => format!("read {read} packs, {} with {} blobs", size(report.bytes_read), report.blobs_read),
    });
    if report.garbage_packs > 0 {
        let room = size(report.garbage_bytes);
        context
            .note(format!("{} packs ({room}) belong to nothing: interrupted or running backups", report.garbage_packs));
    }
    context.out().line(verdict(report))?;
    if report.damaged() && report.harmed.is_empty() {
        context.note("no snapshot is harmed: every file can be restored");
    }
    Ok(())
}

fn verdict(report: &CheckReport) -> String {
    let plural = |count: u64| if count == 1 { "" } else { "s" };
    let (damages, unreadable) = (report.damages, report.unreadable);
    match (report.damaged(), report.is_complete()) {
        (true, _) => {
            let harmed = report.harmed.len();
            format!(
                "damage found: {damages} finding{}, {harmed} harmed snapshot{}",
                plural(damages),
                plural(harmed as u64)
            )
        }
        (false, false) => {
            format!("no damage found, but {unreadable} thing{} could not be looked at", plural(unreadable))
        }
        (false, true) => "no damage found".into(),
    }
}
