//! A second repository: what `copy` copies from, and `init` takes after.

use std::path::PathBuf;

use clap::Args;

use super::os;
use crate::cli::values::{Place, StoreOption};

/// Where the second repository is, and what opens it.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "The other repository")]
pub struct FromArgs {
    /// Where the other repository is (or KEEPSTONE_FROM_REPOSITORY)
    #[arg(long, value_name = "PLACE", value_parser = os(Place::parse))]
    pub from_repo: Option<Place>,
    /// Read where it is from this file (or KEEPSTONE_FROM_REPOSITORY_FILE)
    #[arg(long, value_name = "FILE", conflicts_with = "from_repo")]
    pub from_repository_file: Option<PathBuf>,
    /// Read its password from this file (or KEEPSTONE_FROM_PASSWORD_FILE)
    #[arg(long, value_name = "FILE")]
    pub from_password_file: Option<PathBuf>,
    /// Run this command, without a shell, and take its output as its password (or KEEPSTONE_FROM_PASSWORD_COMMAND)
    #[arg(long, value_name = "COMMAND", conflicts_with = "from_password_file")]
    pub from_password_command: Option<String>,
    /// Set an option of its store, as -o does of this one's; may be repeated
    #[arg(long = "from-option", value_name = "KEY=VALUE")]
    pub from_options: Vec<StoreOption>,
}

impl FromArgs {
    /// Whether a flag names a place.
    pub fn names_a_place(&self) -> bool {
        self.from_repo.is_some() || self.from_repository_file.is_some()
    }
}
