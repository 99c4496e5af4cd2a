//! `ls`: what is in a snapshot.

use serde::Serialize;

use crate::cli::args::listing::LsArgs;
use crate::cli::aside::Aside;
use crate::cli::render::{EntryFields, details, link_target, local, rfc3339};
use crate::cli::{Context, Exit, Failure, choose, open};
use crate::format::control::Snapshot;
use crate::format::tree::Entry;
use crate::id::SnapshotId;
use crate::ops::list::{Depth, list};

/// Lists what is in a snapshot, or in directories of it.
pub fn run(context: &Context, args: &LsArgs) -> Result<Exit, Failure> {
    let repository = open::repository(context)?;
    let (id, snapshot) = choose::one(&repository, &args.snapshot.name, &args.filter)?;
    let paths: Vec<Vec<u8>> = match args.paths.is_empty() {
        true => vec![args.snapshot.path.clone()],
        false => args.paths.iter().map(|path| choose::below(&args.snapshot.path, path)).collect(),
    };
    // Before anything is printed: a path that is not there should not be found out after a million lines.
    for path in &paths {
        choose::spot(&repository, &snapshot, path)?;
    }
    head(context, &id, &snapshot)?;
    let depth = if args.recursive { Depth::Recursive } else { Depth::Shallow };
    for path in &paths {
        let mut aside = Aside::default();
        let each = &mut |path: &[u8], entry: &Entry| aside.go_on(show(context, args.long, path, entry));
        let listed = list(&repository, &snapshot, path, depth, each);
        aside.settle(listed)?;
    }
    Ok(Exit::Success)
}

#[derive(Serialize)]
struct Head<'a> {
    message_type: &'static str,
    id: String,
    short_id: String,
    time: String,
    hostname: &'a str,
    tree: String,
}

/// Says which snapshot this is: `latest` may be another one than was thought.
fn head(context: &Context, id: &SnapshotId, snapshot: &Snapshot) -> Result<(), Failure> {
    if open::is_json(context) {
        return context.out().json(&Head {
            message_type: "snapshot",
            id: id.to_hex(),
            short_id: id.short(),
            time: rfc3339(snapshot.time),
            hostname: &snapshot.host,
            tree: snapshot.root.id.to_hex(),
        });
    }
    context.note(format!("snapshot {} of {}, {}", id.short(), &*snapshot.host, local(snapshot.time)));
    Ok(())
}

#[derive(Serialize)]
struct Node {
    message_type: &'static str,
    #[serde(flatten)]
    entry: EntryFields,
}

fn show(context: &Context, long: bool, path: &[u8], entry: &Entry) -> Result<(), Failure> {
    let path = [b"/", path].concat();
    if open::is_json(context) {
        return context.out().json(&Node { message_type: "node", entry: EntryFields::of(&path, entry) });
    }
    context.out().bytes(&line(context, long, b"", &path, entry))
}

/// A line for people or for `while read`: with details if they are wanted, the path after `prefix`.
pub(super) fn line(context: &Context, long: bool, prefix: &[u8], path: &[u8], entry: &Entry) -> Vec<u8> {
    let out = context.out();
    let mut line = Vec::new();
    if long {
        line.extend_from_slice(details(entry).as_bytes());
        line.extend_from_slice(b"  ");
    }
    line.extend_from_slice(prefix);
    line.extend_from_slice(&out.name(path));
    if let Some(target) = link_target(entry).filter(|_| long) {
        line.extend_from_slice(b" -> ");
        line.extend_from_slice(&out.name(target));
    }
    line.push(b'\n');
    line
}
