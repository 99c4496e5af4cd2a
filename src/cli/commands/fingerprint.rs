//! `fingerprint`: what to keep elsewhere, so that an older state of the repository, or another one in its
//! place, is noticed. The lines are for comparing: they say the same on every machine, and change only
//! when the repository does.

use serde::Serialize;

use crate::cli::args::filter::FilterArgs;
use crate::cli::render::rfc3339;
use crate::cli::{Context, Exit, Failure, choose, open};

#[derive(Serialize)]
struct Fingerprint {
    message_type: &'static str,
    repository: String,
    keyring: String,
    keyring_generation: u32,
    snapshots: usize,
    latest_snapshot: Option<String>,
    latest_snapshot_time: Option<String>,
}

/// Prints it.
pub fn run(context: &Context) -> Result<Exit, Failure> {
    let repository = open::repository(context)?;
    let keychain = repository.keychain();
    let listing = choose::filtered(context, &repository, &FilterArgs::default())?;
    let latest = listing.snapshots.last();
    let fingerprint = Fingerprint {
        message_type: "fingerprint",
        repository: repository.id().to_hex(),
        keyring: keychain.id.to_hex(),
        keyring_generation: keychain.keyring.generation,
        snapshots: listing.snapshots.len(),
        latest_snapshot: latest.map(|(id, _)| id.to_hex()),
        latest_snapshot_time: latest.map(|(_, snapshot)| rfc3339(snapshot.time)),
    };
    match open::is_json(context) {
        true => context.out().json(&fingerprint)?,
        false => print(context, &fingerprint)?,
    }
    Ok(listing.exit)
}

fn print(context: &Context, fingerprint: &Fingerprint) -> Result<(), Failure> {
    let out = context.out();
    out.line(format_args!("repository {}", fingerprint.repository))?;
    out.line(format_args!("keyring    {} generation {}", fingerprint.keyring, fingerprint.keyring_generation))?;
    out.line(format_args!("snapshot   {}", fingerprint.latest_snapshot.as_deref().unwrap_or("none")))
}
