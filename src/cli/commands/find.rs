//! `find`: entries by name, in many snapshots.

use serde::Serialize;

use crate::cli::args::listing::FindArgs;
use crate::cli::aside::Aside;
use crate::cli::render::EntryFields;
use crate::cli::{Context, Exit, Failure, choose, open};
use crate::format::tree::Entry;
use crate::id::SnapshotId;
use crate::ops::find::{Case, Patterns, find};

/// Prints what matches as `SNAPSHOT:PATH`, which other commands take.
pub fn run(context: &Context, args: &FindArgs) -> Result<Exit, Failure> {
    let case = if args.ignore_case { Case::Insensitive } else { Case::Sensitive };
    let patterns = Patterns::new(&args.patterns, case).map_err(|error| Failure::usage(error.to_string()))?;
    let repository = open::repository(context)?;
    let chosen = choose::several(context, &repository, &args.snapshots, &args.filter)?;
    let mut aside = Aside::default();
    let mut found = 0u64;
    let each = &mut |id: &SnapshotId, path: &[u8], entry: &Entry| {
        found += 1;
        aside.go_on(show(context, args.long, id, path, entry))
    };
    let searched = find(&repository, chosen.snapshots.iter().map(|(id, it)| (id, &it.root)), &patterns, each);
    let mut exit = chosen.exit;
    for (id, error) in aside.settle(searched)? {
        context.complain(&format!("snapshot {}", id.short()), &error.to_string());
        exit = exit.worse(open::failure(error).exit);
    }
    if found == 0 {
        context.note(format!("nothing matches in {} snapshots", chosen.snapshots.len()));
    }
    Ok(exit)
}

#[derive(Serialize)]
struct Match {
    message_type: &'static str,
    snapshot: String,
    #[serde(flatten)]
    entry: EntryFields,
}

fn show(context: &Context, long: bool, id: &SnapshotId, path: &[u8], entry: &Entry) -> Result<(), Failure> {
    let path = [b"/", path].concat();
    if open::is_json(context) {
        let entry = EntryFields::of(&path, entry);
        return context.out().json(&Match { message_type: "match", snapshot: id.to_hex(), entry });
    }
    let prefix = format!("{}:", id.short());
    context.out().bytes(&super::ls::line(context, long, prefix.as_bytes(), &path, entry))
}
