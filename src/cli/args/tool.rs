//! `completions`, `man` and `version`: keepstone about itself.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// Print completions for a shell
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Write the manual pages into a directory
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The directory; made if need be
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

/// Print the version
#[derive(Debug, Args)]
pub struct VersionArgs {}
