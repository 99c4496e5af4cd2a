//! Which snapshots are meant.

use std::path::PathBuf;

use clap::Args;

use crate::cli::values::TagList;

/// Which snapshots are meant; no option of a kind means all of that kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Which snapshots")]
pub struct FilterArgs {
    /// Only snapshots of this host; repeated: of one of them
    #[arg(short = 'H', long = "host", value_name = "HOST")]
    pub hosts: Vec<String>,
    /// Only snapshots with all these tags (a,b); repeated: one of the lists is enough; '' for those without tags
    #[arg(long = "tag", value_name = "TAG,…")]
    pub tags: Vec<TagList>,
    /// Only snapshots that include this path; repeated: all of them
    // `ls` has paths of its own.
    #[arg(id = "filter_paths", long = "path", value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}
