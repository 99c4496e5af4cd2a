//! `snapshots`, `ls`, `find`, `diff`, `stats` and `cat`: what only looks.

use std::ffi::OsString;
use std::num::NonZeroUsize;

use clap::{Args, Subcommand, ValueEnum};

use super::filter::FilterArgs;
use super::os;
use crate::cli::values::{IdPrefix, SnapshotName, SnapshotSpec};

/// List snapshots
#[derive(Debug, Args)]
pub struct SnapshotsArgs {
    /// Only these [default: all that the filters leave]
    #[arg(value_name = "SNAPSHOT")]
    pub snapshots: Vec<SnapshotName>,
    /// Only the newest N of each host and set of paths
    #[arg(long, value_name = "N")]
    pub latest: Option<NonZeroUsize>,
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// List what is in a snapshot
#[derive(Debug, Args)]
pub struct LsArgs {
    /// Which snapshot: latest, latest~N or an id; with :PATH, that directory
    #[arg(value_name = "SNAPSHOT[:PATH]", value_parser = os(SnapshotSpec::parse))]
    pub snapshot: SnapshotSpec,
    /// List only these, below the path in SNAPSHOT:PATH if one is given
    #[arg(value_name = "PATH")]
    pub paths: Vec<OsString>,
    /// Show mode, owner, size and time
    #[arg(short, long)]
    pub long: bool,
    /// List directories with all that is below them
    #[arg(short = 'R', long)]
    pub recursive: bool,
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// Find files by name in all snapshots
#[derive(Debug, Args)]
pub struct FindArgs {
    /// Patterns such as '*.conf' or '/etc/**'; one that matches is enough
    #[arg(value_name = "PATTERN", required = true)]
    pub patterns: Vec<String>,
    /// Regardless of upper and lower case
    #[arg(short, long)]
    pub ignore_case: bool,
    /// Show mode, owner, size and time
    #[arg(short, long)]
    pub long: bool,
    /// Look only in this snapshot; may be repeated
    #[arg(short, long = "snapshot", value_name = "SNAPSHOT")]
    pub snapshots: Vec<SnapshotName>,
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// Show what differs between two snapshots
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The older one, or a directory in it
    #[arg(value_name = "SNAPSHOT[:PATH]", value_parser = os(SnapshotSpec::parse))]
    pub from: SnapshotSpec,
    /// The newer one, or a directory in it
    #[arg(value_name = "SNAPSHOT[:PATH]", value_parser = os(SnapshotSpec::parse))]
    pub to: SnapshotSpec,
    /// Show also what differs only in owner, mode, times or attributes
    #[arg(long)]
    pub metadata: bool,
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// Say how much snapshots hold and how much room they take
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// Only these [default: all that the filters leave]
    #[arg(value_name = "SNAPSHOT")]
    pub snapshots: Vec<SnapshotName>,
    /// What to count
    #[arg(long, value_enum, default_value_t)]
    pub mode: StatsMode,
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// What `stats` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum StatsMode {
    /// What a restore of all of them would write
    #[default]
    RestoreSize,
    /// What they take in the repository, each blob once
    RawData,
}

/// Print an object of the repository as it is
#[derive(Debug, Args)]
pub struct CatArgs {
    #[command(subcommand)]
    pub what: CatWhat,
}

/// What `cat` prints.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum CatWhat {
    /// The repository's config
    Config,
    /// The keyring, without its keys
    Keyring,
    /// A snapshot
    Snapshot {
        /// Which: latest, latest~N or an id
        snapshot: SnapshotName,
    },
    /// A node of a tree
    Tree {
        /// Which: a snapshot and a path, for the root node of that directory
        #[arg(value_name = "SNAPSHOT[:PATH]", value_parser = os(SnapshotSpec::parse))]
        snapshot: SnapshotSpec,
    },
    /// The plaintext of a blob, in bytes
    Blob {
        /// Its id, or how it begins
        id: IdPrefix,
    },
    /// The directory of a pack
    Pack {
        /// Its id, or how it begins
        id: IdPrefix,
    },
    /// An index segment
    Index {
        /// Its id, or how it begins
        id: IdPrefix,
    },
    /// The report of a run
    Run {
        /// Its id, or how it begins
        id: IdPrefix,
    },
    /// The announcement of a session
    Session {
        /// Its id, or how it begins
        id: IdPrefix,
    },
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;

    #[test]
    fn listings_take_what_they_list() {
        let good = [
            "snapshots",
            "snapshots latest 4f2a --host a --host b --path /x",
            "ls latest",
            "ls -l --recursive latest:/etc nginx",
            "find *.conf -i -l -s latest",
            "diff latest~1 latest",
            "diff 4f2a:/etc 5b:/etc",
            "stats --mode raw-data latest",
            "cat config",
            "cat snapshot latest",
            "cat tree latest:/etc",
            "cat blob 4f2a",
        ];
        for words in good {
            assert!(parse(words).is_ok(), "{words}");
        }
        let bad = ["ls", "find", "diff latest", "cat", "cat blob", "cat key", "snapshots :/x", "stats --mode x"];
        for words in bad {
            assert!(parse(words).is_err(), "{words}");
        }
    }
}
