//! `man`: a manual page for every command. Touches the disk.

use std::fs;

use clap::CommandFactory;

use crate::cli::args::Cli;
use crate::cli::args::tool::ManArgs;
use crate::cli::{Context, Exit, Failure};

/// Writes the pages.
pub fn run(_: &Context, args: &ManArgs) -> Result<Exit, Failure> {
    let directory = &args.directory;
    let written = fs::create_dir_all(directory).and_then(|()| clap_mangen::generate_to(Cli::command(), directory));
    match written {
        Ok(()) => Ok(Exit::Success),
        Err(error) => {
            let message = format!("cannot write manual pages to {}: {error}", directory.display());
            Err(Failure::new(Exit::Failed, message))
        }
    }
}
