//! `version`.

use std::env::consts::{ARCH, OS};

use serde::Serialize;

use crate::cli::{Context, Exit, Failure, Form};

#[derive(Serialize)]
struct Version {
    message_type: &'static str,
    version: &'static str,
    os: &'static str,
    arch: &'static str,
}

/// Prints the version.
pub fn run(context: &Context) -> Result<Exit, Failure> {
    let version = Version { message_type: "version", version: env!("CARGO_PKG_VERSION"), os: OS, arch: ARCH };
    match context.output().form {
        Form::Human => context.out().line(format_args!("keepstone {} on {OS}/{ARCH}", version.version))?,
        Form::Json => context.out().json(&version)?,
    }
    Ok(Exit::Success)
}
