//! `repair`: what is damaged.

use clap::{Args, Subcommand};

use crate::cli::values::{IdPrefix, SnapshotName};

/// Make good what is damaged, from what is left; without deleting anything that holds data
#[derive(Debug, Args)]
#[command(after_help = "When check finds damage: repair index, then repair packs, then back up again what is still \
    there, then repair snapshots, then check. Exit code 13 says that something is lost for now.")]
pub struct RepairArgs {
    #[command(subcommand)]
    pub what: Repair,
}

/// What is repaired.
#[derive(Debug, Subcommand)]
pub enum Repair {
    /// List again what packs hold: add what is missing, replace what is damaged or wrong
    Index(IndexArgs),
    /// Store anew what can be read of damaged packs, and condemn them; prune deletes them
    Packs(PacksArgs),
    /// Make new snapshots without what is lost
    Snapshots(SnapshotsArgs),
}

/// What `repair index` takes.
#[derive(Debug, Clone, Default, Args)]
pub struct IndexArgs {
    /// Compare every pack's own directory with the index, not only where something is amiss
    #[arg(long)]
    pub read_all_packs: bool,
    /// Say what would be done, and write nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}

/// What `repair packs` takes.
#[derive(Debug, Clone, Default, Args)]
pub struct PacksArgs {
    /// Packs to read wholly, by their ids or how these begin [default: all, by length and directory]
    #[arg(value_name = "PACK-ID")]
    pub packs: Vec<IdPrefix>,
    /// Read all of every pack
    #[arg(long, conflicts_with = "packs")]
    pub read_data: bool,
    /// Say what would be done, and write nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}

/// What `repair snapshots` takes.
#[derive(Debug, Clone, Default, Args)]
pub struct SnapshotsArgs {
    /// Snapshots, by their ids or how these begin [default: all]
    #[arg(value_name = "ID")]
    pub snapshots: Vec<SnapshotName>,
    /// Forget the originals, and snapshots that cannot be read at all
    #[arg(long)]
    pub forget: bool,
    /// Say what would be done, and write nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;

    #[test]
    fn index_packs_and_snapshots_are_repaired() {
        for words in [
            "repair index -n",
            "repair index --read-all-packs",
            "repair packs",
            "repair packs 4f 2a --dry-run",
            "repair packs --read-data",
            "repair snapshots --forget",
            "repair snapshots 4f2a latest -n",
        ] {
            assert!(parse(words).is_ok(), "{words}");
        }
        for words in ["repair", "repair packs xyz", "repair packs 4f --read-data", "repair everything"] {
            assert!(parse(words).is_err(), "{words}");
        }
    }
}
