//! `stats`: how much snapshots hold, and how much room they take.

use serde::Serialize;

use crate::cli::args::listing::{StatsArgs, StatsMode};
use crate::cli::choose::Chosen;
use crate::cli::render::size;
use crate::cli::{Context, Exit, Failure, choose, open};
use crate::ops::stats::{self, BlobTotals, RawData, RepositoryTotals, RestoreSize};
use crate::repo::Repository;

/// Counts what the mode says.
pub fn run(context: &Context, args: &StatsArgs) -> Result<Exit, Failure> {
    let repository = open::repository(context)?;
    let chosen = choose::several(context, &repository, &args.snapshots, &args.filter)?;
    match args.mode {
        StatsMode::RestoreSize => restore_size(context, &chosen)?,
        StatsMode::RawData => return raw_data(context, &repository, &chosen),
    }
    Ok(chosen.exit)
}

#[derive(Serialize)]
struct RestoreFields {
    message_type: &'static str,
    mode: &'static str,
    snapshots_count: usize,
    total_size: u64,
    /// Files, directories and everything else.
    total_entries: u64,
}

fn restore_size(context: &Context, chosen: &Chosen) -> Result<(), Failure> {
    let RestoreSize { entries, bytes } = stats::restore_size(chosen.snapshots.iter().map(|(_, it)| &it.root));
    let snapshots = chosen.snapshots.len();
    if open::is_json(context) {
        return context.out().json(&RestoreFields {
            message_type: "stats",
            mode: "restore-size",
            snapshots_count: snapshots,
            total_size: bytes,
            total_entries: entries,
        });
    }
    let out = context.out();
    out.line(format_args!("snapshots:  {snapshots}"))?;
    out.line(format_args!("entries:    {entries}, if each snapshot is restored to a place of its own"))?;
    out.line(format_args!("size:       {}", size(bytes)))
}

#[derive(Serialize)]
struct RawFields {
    message_type: &'static str,
    mode: &'static str,
    snapshots_count: usize,
    /// Bytes that the blobs of these snapshots take in packs.
    total_size: u64,
    total_uncompressed_size: u64,
    compression_ratio: f64,
    total_blob_count: u64,
    data: BlobFields,
    metadata: BlobFields,
    missing_blobs: u64,
    repository: RepositoryFields,
}

#[derive(Serialize)]
struct BlobFields {
    blobs: u64,
    uncompressed_size: u64,
    size: u64,
}

impl From<BlobTotals> for BlobFields {
    fn from(BlobTotals { blobs, plain, stored }: BlobTotals) -> Self {
        BlobFields { blobs, uncompressed_size: plain, size: stored }
    }
}

#[derive(Serialize)]
struct RepositoryFields {
    packs: u64,
    size: u64,
    data: BlobFields,
    metadata: BlobFields,
}

impl From<RepositoryTotals> for RepositoryFields {
    fn from(totals: RepositoryTotals) -> Self {
        let RepositoryTotals { packs, bytes, data, metadata } = totals;
        RepositoryFields { packs, size: bytes, data: data.into(), metadata: metadata.into() }
    }
}

fn raw_data(context: &Context, repository: &Repository, chosen: &Chosen) -> Result<Exit, Failure> {
    let roots = chosen.snapshots.iter().map(|(_, snapshot)| &snapshot.root);
    let raw = stats::raw_data(repository, roots).map_err(open::failure)?;
    let totals = stats::repository(repository).map_err(open::failure)?;
    let all = BlobTotals {
        blobs: raw.data.blobs + raw.metadata.blobs,
        plain: raw.data.plain.saturating_add(raw.metadata.plain),
        stored: raw.data.stored.saturating_add(raw.metadata.stored),
    };
    match open::is_json(context) {
        true => context.out().json(&RawFields {
            message_type: "stats",
            mode: "raw-data",
            snapshots_count: chosen.snapshots.len(),
            total_size: all.stored,
            total_uncompressed_size: all.plain,
            compression_ratio: all.compression_ratio(),
            total_blob_count: all.blobs,
            data: raw.data.into(),
            metadata: raw.metadata.into(),
            missing_blobs: raw.missing,
            repository: totals.into(),
        })?,
        false => print_raw(context, chosen.snapshots.len(), &raw, &all, &totals)?,
    }
    if raw.missing == 0 {
        return Ok(chosen.exit);
    }
    context
        .complain("index", &format!("{} blobs that snapshots need are in no pack; run keepstone check", raw.missing));
    Ok(Exit::Damage)
}

fn print_raw(
    context: &Context,
    snapshots: usize,
    raw: &RawData,
    all: &BlobTotals,
    totals: &RepositoryTotals,
) -> Result<(), Failure> {
    let out = context.out();
    let line = |name: &str, of: &BlobTotals| {
        let (plain, stored) = (size(of.plain), size(of.stored));
        out.line(format_args!("{name:<12}{stored} for {plain} in {} blobs", of.blobs))
    };
    out.line(format_args!("snapshots:  {snapshots}"))?;
    line("content:", &raw.data)?;
    line("metadata:", &raw.metadata)?;
    out.line(format_args!("ratio:      {:.2}", all.compression_ratio()))?;
    out.line(format_args!("repository: {} in {} packs", size(totals.bytes), totals.packs))
}
