//! `completions`: what a shell needs to complete our words.

use clap::CommandFactory;

use crate::cli::args::Cli;
use crate::cli::args::tool::CompletionsArgs;
use crate::cli::{Context, Exit, Failure};

/// Prints the completions.
pub fn run(context: &Context, args: &CompletionsArgs) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "keepstone", &mut script);
    context.out().bytes(&script)?;
    Ok(Exit::Success)
}
