//! `snapshots`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cli::args::listing::SnapshotsArgs;
use crate::cli::render::{Align, Table, hex, local, printable, rfc3339, size};
use crate::cli::{Context, Exit, Failure, choose, open};
use crate::format::control::{Snapshot, SnapshotState, Summary};
use crate::id::SnapshotId;

type Listed = [(SnapshotId, Snapshot)];

/// Lists snapshots.
pub fn run(context: &Context, args: &SnapshotsArgs) -> Result<Exit, Failure> {
    let repository = open::repository(context)?;
    let mut chosen = choose::several(context, &repository, &args.snapshots, &args.filter)?;
    if let Some(count) = args.latest {
        keep_latest(&mut chosen.snapshots, count.get());
    }
    match open::is_json(context) {
        true => {
            let fields: Vec<Fields> = chosen.snapshots.iter().map(|(id, snapshot)| Fields::of(id, snapshot)).collect();
            context.out().json(&fields)?;
        }
        false => print(context, &chosen.snapshots)?,
    }
    Ok(chosen.exit)
}

/// Of each host and set of paths the newest so many.
fn keep_latest(snapshots: &mut Vec<(SnapshotId, Snapshot)>, count: usize) {
    let mut left: BTreeMap<(String, Vec<Vec<u8>>), usize> = BTreeMap::new();
    let mut keep = |snapshot: &Snapshot| {
        let paths = snapshot.paths.iter().map(|path| path.to_vec()).collect();
        let left = left.entry((snapshot.host.to_string(), paths)).or_insert(count);
        let is_kept = *left > 0;
        *left = left.saturating_sub(1);
        is_kept
    };
    snapshots.reverse();
    snapshots.retain(|(_, snapshot)| keep(snapshot));
    snapshots.reverse();
}

fn print(context: &Context, snapshots: &Listed) -> Result<(), Failure> {
    if snapshots.is_empty() {
        context.note("there are no snapshots that fit; keepstone backup makes one");
        return Ok(());
    }
    context.out().text(&table(snapshots))?;
    let count = snapshots.len();
    context.note(format!("{count} snapshot{}", if count == 1 { "" } else { "s" }));
    if snapshots.iter().any(|(_, snapshot)| snapshot.state == SnapshotState::Partial) {
        context.note("! some of the source could not be read when it was made");
    }
    Ok(())
}

/// A snapshot of several paths takes a line for each of them.
fn table(snapshots: &Listed) -> Table {
    let mut table = Table::new([
        ("ID", Align::Left),
        ("", Align::Left),
        ("Time", Align::Left),
        ("Host", Align::Left),
        ("Tags", Align::Left),
        ("Paths", Align::Left),
        ("Size", Align::Right),
        ("Files", Align::Right),
    ]);
    for (id, snapshot) in snapshots {
        let mut paths = snapshot.paths.iter().map(|path| printable(path));
        let mark = if snapshot.state == SnapshotState::Partial { "!" } else { "" };
        let tags: Vec<&str> = snapshot.tags.iter().map(|tag| &**tag).collect();
        table.row([
            id.short(),
            mark.into(),
            local(snapshot.time),
            printable(snapshot.host.as_bytes()),
            printable(tags.join(",").as_bytes()),
            paths.next().unwrap_or_default(),
            size(snapshot.root.bytes),
            files(&snapshot.summary).to_string(),
        ]);
        for path in paths {
            let empty = String::new;
            table.row([empty(), empty(), empty(), empty(), empty(), path]);
        }
    }
    table
}

fn files(summary: &Summary) -> u64 {
    summary.files_new.saturating_add(summary.files_changed).saturating_add(summary.files_unmodified)
}

/// A snapshot for programs, with restic's names where it has one.
#[derive(Serialize)]
pub(super) struct Fields<'a> {
    id: String,
    short_id: String,
    time: String,
    finished: String,
    state: &'static str,
    component: &'a str,
    hostname: &'a str,
    username: &'a str,
    tags: Vec<&'a str>,
    paths: Vec<String>,
    /// All paths in hex, if one of them is no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    paths_raw: Option<Vec<String>>,
    parent: Option<String>,
    tree: String,
    entries: u64,
    size: u64,
    program_version: &'a str,
    summary: SummaryFields,
}

#[derive(Serialize)]
struct SummaryFields {
    files_new: u64,
    files_changed: u64,
    files_unmodified: u64,
    dirs: u64,
    others: u64,
    total_files_processed: u64,
    total_bytes_processed: u64,
    bytes_read: u64,
    data_blobs: u64,
    data_added: u64,
    data_added_packed: u64,
    troubles: u64,
}

impl<'a> Fields<'a> {
    pub(super) fn of(id: &SnapshotId, snapshot: &'a Snapshot) -> Self {
        let is_text = snapshot.paths.iter().all(|path| std::str::from_utf8(path).is_ok());
        Fields {
            id: id.to_hex(),
            short_id: id.short(),
            time: rfc3339(snapshot.time),
            finished: rfc3339(snapshot.finished),
            state: state(snapshot.state),
            component: &snapshot.component,
            hostname: &snapshot.host,
            username: &snapshot.user,
            tags: snapshot.tags.iter().map(|tag| &**tag).collect(),
            paths: snapshot.paths.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect(),
            paths_raw: (!is_text).then(|| snapshot.paths.iter().map(|path| hex(path)).collect()),
            parent: snapshot.parent.map(|parent| parent.to_hex()),
            tree: snapshot.root.id.to_hex(),
            entries: snapshot.root.entries,
            size: snapshot.root.bytes,
            program_version: &snapshot.program,
            summary: SummaryFields::of(&snapshot.summary),
        }
    }
}

impl SummaryFields {
    fn of(summary: &Summary) -> Self {
        SummaryFields {
            files_new: summary.files_new,
            files_changed: summary.files_changed,
            files_unmodified: summary.files_unmodified,
            dirs: summary.dirs,
            others: summary.others,
            total_files_processed: files(summary),
            total_bytes_processed: summary.bytes_processed,
            bytes_read: summary.bytes_read,
            data_blobs: summary.blobs_added,
            data_added: summary.bytes_added,
            data_added_packed: summary.bytes_stored,
            troubles: summary.troubles,
        }
    }
}

fn state(state: SnapshotState) -> &'static str {
    match state {
        SnapshotState::Complete => "complete",
        SnapshotState::Partial => "partial",
        SnapshotState::Checkpoint => "checkpoint",
    }
}
