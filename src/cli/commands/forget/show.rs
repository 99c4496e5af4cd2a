//! How a plan is shown: for each group a table that says of every snapshot why it stays or goes.

use serde::Serialize;

use crate::cli::commands::snapshots::Fields;
use crate::cli::render::{Align, Table, hex, local, printable};
use crate::cli::{Context, Failure};
use crate::format::control::SnapshotState;
use crate::ops::forget::{GroupKey, Plan, Planned, PlannedGroup, Policy, Reason, Verdict};

/// Shows it to people.
pub(super) fn tables(context: &Context, plan: &Plan, policy: &Policy) -> Result<(), Failure> {
    context.note(format!("policy: keep {policy}"));
    for group in &plan.groups {
        let (stay, go) = (group.kept().count(), group.removed().count());
        context.out().line(format_args!("{}: {stay} to keep, {go} to remove", group_name(&group.key)))?;
        context.out().text(&table(group))?;
        context.out().line("")?;
    }
    let is_partial = |planned: &Planned| planned.snapshot.state == SnapshotState::Partial;
    if plan.groups.iter().any(|group| group.snapshots.iter().any(is_partial)) {
        context.note("! some of the source could not be read when it was made");
    }
    Ok(())
}

/// Columns that are the same in all of a group stand in its name.
fn table(group: &PlannedGroup) -> Table {
    let columns = [
        ("ID", true),
        ("", true),
        ("Time", true),
        ("Host", group.key.host.is_none()),
        ("Tags", group.key.tags.is_none()),
        ("", true),
        ("Why", true),
        ("Paths", group.key.paths.is_none()),
    ];
    let shown: Vec<(&str, Align)> =
        columns.iter().filter(|(_, shown)| *shown).map(|(head, _)| (*head, Align::Left)).collect();
    let mut table = Table::of(&shown);
    for planned in &group.snapshots {
        let cells = cells(planned).into_iter().zip(columns);
        table.row(cells.filter(|(_, (_, shown))| *shown).map(|(cell, _)| cell));
    }
    table
}

fn cells(planned: &Planned) -> [String; 8] {
    let snapshot = &planned.snapshot;
    let is_partial = snapshot.state == SnapshotState::Partial;
    let tags: Vec<&str> = snapshot.tags.iter().map(|tag| &**tag).collect();
    let paths: Vec<String> = snapshot.paths.iter().map(|path| printable(path)).collect();
    let (word, why) = match &planned.verdict {
        Verdict::Keep(reasons) => ("keep", reasons.iter().map(in_short).collect::<Vec<String>>().join(", ")),
        Verdict::Remove if is_partial => ("remove", "no rule keeps it, and it is partial".into()),
        Verdict::Remove => ("remove", "no rule keeps it".into()),
    };
    [
        planned.id.short(),
        if is_partial { "!" } else { "" }.into(),
        local(snapshot.time),
        printable(snapshot.host.as_bytes()),
        printable(tags.join(",").as_bytes()),
        word.into(),
        printable(why.as_bytes()),
        paths.join(" "),
    ]
}

/// One snapshot may have many reasons, and they share a line.
fn in_short(reason: &Reason) -> String {
    let words = reason.to_string();
    match reason.is_rule() {
        true => words.trim_end_matches(" snapshot").to_owned(),
        false => words,
    }
}

/// "host web1, paths /etc /srv".
pub(super) fn group_name(key: &GroupKey) -> String {
    let host = key.host.as_ref().map(|host| format!("host {}", printable(host.as_bytes())));
    let paths = key.paths.as_ref().map(|paths| {
        let shown: Vec<String> = paths.iter().map(|path| printable(path)).collect();
        format!("path{} {}", if shown.len() == 1 { "" } else { "s" }, shown.join(" "))
    });
    let tags = key.tags.as_ref().map(|tags| match tags.is_empty() {
        true => "no tags".into(),
        false => format!("tags {}", printable(tags.join(",").as_bytes())),
    });
    let parts: Vec<String> = [host, paths, tags].into_iter().flatten().collect();
    if parts.is_empty() { "all snapshots".into() } else { parts.join(", ") }
}

/// "1 snapshot", "2 snapshots".
pub(super) fn snapshots(count: usize) -> String {
    format!("{count} snapshot{}", if count == 1 { "" } else { "s" })
}

/// A group for programs, with restic's names.
#[derive(Serialize)]
struct GroupFields<'p> {
    tags: Option<&'p [String]>,
    host: Option<&'p str>,
    paths: Option<Vec<String>>,
    /// All paths in hex, if one of them is no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    paths_raw: Option<Vec<String>>,
    keep: Vec<Fields<'p>>,
    remove: Vec<Fields<'p>>,
    reasons: Vec<ReasonFields<'p>>,
}

#[derive(Serialize)]
struct ReasonFields<'p> {
    snapshot: Fields<'p>,
    matches: Vec<String>,
}

/// Shows it to programs.
pub(super) fn json(context: &Context, plan: &Plan) -> Result<(), Failure> {
    context.out().json(&plan.groups.iter().map(GroupFields::of).collect::<Vec<_>>())
}

impl<'p> GroupFields<'p> {
    fn of(group: &'p PlannedGroup) -> Self {
        let GroupKey { host, paths, tags } = &group.key;
        let paths = paths.as_deref();
        let is_text = paths.is_none_or(|paths| paths.iter().all(|path| std::str::from_utf8(path).is_ok()));
        let text = |path: &Vec<u8>| String::from_utf8_lossy(path).into_owned();
        let fields = |planned: &'p Planned| Fields::of(&planned.id, &planned.snapshot);
        GroupFields {
            tags: tags.as_deref(),
            host: host.as_deref(),
            paths: paths.map(|paths| paths.iter().map(text).collect()),
            paths_raw: paths.filter(|_| !is_text).map(|paths| paths.iter().map(|path| hex(path)).collect()),
            keep: group.kept().map(fields).collect(),
            remove: group.removed().map(fields).collect(),
            reasons: group.kept().map(ReasonFields::of).collect(),
        }
    }
}

impl<'p> ReasonFields<'p> {
    fn of(planned: &'p Planned) -> Self {
        let matches = match &planned.verdict {
            Verdict::Keep(reasons) => reasons.iter().map(ToString::to_string).collect(),
            Verdict::Remove => Vec::new(),
        };
        ReasonFields { snapshot: Fields::of(&planned.id, &planned.snapshot), matches }
    }
}
