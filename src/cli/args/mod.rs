//! The words of the command line: what each command takes, and nothing of what it does.

// Docs here are what `--help` says; a group of flags, or a command that takes them, has nothing to add.
#![allow(missing_docs)]
// Brackets in them are what people know from usage lines, no links.
#![allow(rustdoc::broken_intra_doc_links, rustdoc::invalid_html_tags)]

use std::ffi::{OsStr, OsString};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{ArgAction, Args, Parser, Subcommand};

use super::values::{BadValue, Place, StoreOption};

pub mod backup;
pub mod bucket;
pub mod check;
pub mod copy;
pub mod filter;
pub mod forget;
pub mod from;
pub mod key;
pub mod listing;
pub mod prune;
pub mod repair;
pub mod replace;
pub mod repository;
pub mod restore;
pub mod tool;

/// Content-addressed, deduplicating, encrypting backups
#[derive(Debug, Parser)]
#[command(name = "keepstone", version, propagate_version = false, max_term_width = 100)]
#[command(after_help = "An option wins over the environment variable named beside it. Exit codes: 0 done, 1 failed, \
    2 usage, 3 done but not wholly, 10 no repository, 11 busy, 12 wrong password, 13 damage found, \
    14 a newer keepstone is needed, 75 skipped, 130 interrupted.")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub global: GlobalArgs,
}

/// What every command takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Where the repository is: a directory, or s3://, azblob://, gs://, sftp:// or webdav+https:// (or KEEPSTONE_REPOSITORY)
    #[arg(short, long, global = true, value_name = "PLACE", value_parser = os(Place::parse))]
    pub repo: Option<Place>,
    /// Read where the repository is from this file (or KEEPSTONE_REPOSITORY_FILE)
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "repo")]
    pub repository_file: Option<PathBuf>,
    /// Read the password from this file (or KEEPSTONE_PASSWORD_FILE)
    #[arg(long, global = true, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Run this command, without a shell, and take its output as the password (or KEEPSTONE_PASSWORD_COMMAND)
    #[arg(long, global = true, value_name = "COMMAND", conflicts_with = "password_file")]
    pub password_command: Option<String>,
    /// Keep the cache in this directory (or KEEPSTONE_CACHE_DIR)
    #[arg(long, global = true, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
    /// Keep no cache beyond this command
    #[arg(long, global = true, conflicts_with = "cache_dir")]
    pub no_cache: bool,
    /// Write results as JSON: one document, or one object a line for long commands
    #[arg(long, global = true)]
    pub json: bool,
    /// Say nothing but results
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more; twice and three times, more still
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Set an option of the store; may be repeated
    #[arg(short = 'o', long = "option", global = true, value_name = "KEY=VALUE")]
    pub options: Vec<StoreOption>,
    /// Send no more than so many KiB a second
    #[arg(long, global = true, value_name = "KIB")]
    pub limit_upload: Option<NonZeroU32>,
    /// Receive no more than so many KiB a second
    #[arg(long, global = true, value_name = "KIB")]
    pub limit_download: Option<NonZeroU32>,
    /// Work with so many threads [default: as many as there are processors]
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
}

/// What keepstone can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    Init(repository::InitArgs),
    // Much larger than the others.
    Backup(Box<backup::BackupArgs>),
    Restore(restore::RestoreArgs),
    Dump(restore::DumpArgs),
    Snapshots(listing::SnapshotsArgs),
    Ls(listing::LsArgs),
    Find(listing::FindArgs),
    Diff(listing::DiffArgs),
    Stats(listing::StatsArgs),
    Cat(listing::CatArgs),
    Check(check::CheckArgs),
    Forget(Box<forget::ForgetArgs>),
    Copy(copy::CopyArgs),
    Prune(prune::PruneArgs),
    Tag(replace::TagArgs),
    Rewrite(replace::RewriteArgs),
    Repair(repair::RepairArgs),
    Key(key::KeyArgs),
    Fingerprint(repository::FingerprintArgs),
    Cache(repository::CacheArgs),
    Completions(tool::CompletionsArgs),
    Man(tool::ManArgs),
    Version(tool::VersionArgs),
}

/// Lets clap make a value from words that need not be UTF-8.
fn os<T: Clone + Send + Sync + 'static>(parse: fn(&OsStr) -> Result<T, BadValue>) -> impl TypedValueParser<Value = T> {
    OsStringValueParser::new().try_map(move |text: OsString| parse(&text))
}

#[cfg(test)]
pub(crate) mod tests {
    use clap::CommandFactory;

    use super::*;

    /// The command that these words make.
    pub(crate) fn parse(words: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("keepstone").chain(words.split_whitespace()))
    }

    #[test]
    fn the_definitions_contradict_themselves_nowhere() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_in_a_line_what_it_is_for() {
        let mut commands: Vec<clap::Command> = Cli::command().get_subcommands().cloned().collect();
        assert_eq!(commands.len(), 23);
        while let Some(command) = commands.pop() {
            let about = command.get_about().unwrap_or_else(|| panic!("{} has no help", command.get_name())).to_string();
            assert!((10..90).contains(&about.len()), "{about}");
            for arg in command.get_arguments() {
                let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
                assert!(!help.is_empty(), "{} of {} has no help", arg.get_id(), command.get_name());
            }
            commands.extend(command.get_subcommands().cloned());
        }
    }

    #[test]
    fn global_options_stand_before_or_after_the_command() {
        for words in ["-r /repo --json -vv version", "version -r /repo --json -v -v", "-r /repo version --json -vv"] {
            let global = parse(words).unwrap().global;
            assert_eq!(global.repo, Some(Place::Path("/repo".into())));
            assert_eq!((global.json, global.verbose), (true, 2));
        }
    }

    #[test]
    fn options_that_exclude_each_other_are_refused() {
        let cases = [
            "version -q -v",
            "version -r a --repository-file b",
            "version --password-file a --password-command b",
            "version --cache-dir a --no-cache",
            "version --threads 0",
        ];
        for words in cases {
            assert!(parse(words).is_err(), "{words}");
        }
    }

    #[test]
    fn no_secret_option_shows_in_debug() {
        let cli = parse("version -o secret-key=hush").unwrap();
        assert!(!format!("{cli:?}").contains("hush"));
    }
}
