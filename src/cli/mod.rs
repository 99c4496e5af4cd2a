//! The command line: words in, words out. Nothing here decides what a backup is. Touches the world.
//!
//! [`args`] says what the words are, [`values`] what they stand for, [`settings`] adds the environment;
//! each file in [`commands`] does one command with a [`Context`], [`choose`] finds what is named; [`exit`] says how it ended.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use clap::error::ErrorKind;

pub mod args;
mod aside;
pub mod choose;
pub mod commands;
pub mod context;
pub mod environment;
pub mod exit;
mod logging;
pub mod open;
pub mod out;
pub mod password;
pub mod progress;
pub mod render;
pub mod settings;
pub mod signals;
pub mod stores;
pub mod values;

pub use context::{Context, Form, Output, Volume};
pub use environment::Environment;
pub use exit::{Exit, Failure};
pub use out::Out;
pub use password::Password;
pub use progress::Progress;

use args::{Cli, Command};

/// The whole program.
pub fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let form = form_of_errors(&words);
    match run(words, Environment::of_process(), Out::stdout()) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.report(form);
            failure.exit.into()
        }
    }
}

/// Does what the words say, and says how it ended. All that is printed has left when this is `Ok`.
pub fn run(words: Vec<OsString>, environment: Environment, out: Out) -> Result<Exit, Failure> {
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error),
    };
    logging::start(Output::of(&cli.global).volume, &environment)?;
    signals::catch().map_err(|error| Failure::new(Exit::Failed, format!("cannot catch signals: {error}")))?;
    let context = Context::new(cli.global, environment, Arc::new(out))?;
    let exit = dispatch(&context, &cli.command)?;
    context.out().flush()?;
    Ok(exit)
}

fn dispatch(context: &Context, command: &Command) -> Result<Exit, Failure> {
    match command {
        Command::Completions(args) => commands::completions::run(context, args),
        Command::Man(args) => commands::man::run(context, args),
        Command::Version(_) => commands::version::run(context),
        Command::Init(args) => commands::init::run(context, args),
        Command::Backup(args) => commands::backup::run(context, args),
        Command::Key(args) => commands::key::run(context, args),
        Command::Cache(args) => commands::cache::run(context, args),
        Command::Fingerprint(_) => commands::fingerprint::run(context),
        Command::Snapshots(args) => commands::snapshots::run(context, args),
        Command::Ls(args) => commands::ls::run(context, args),
        Command::Find(args) => commands::find::run(context, args),
        Command::Diff(args) => commands::diff::run(context, args),
        Command::Stats(args) => commands::stats::run(context, args),
        Command::Cat(args) => commands::cat::run(context, args),
        Command::Forget(args) => commands::forget::run(context, args),
        Command::Repair(args) => commands::repair::run(context, args),
        Command::Check(args) => commands::check::run(context, args),
        Command::Tag(args) => commands::replace::tag(context, args),
        Command::Rewrite(args) => commands::replace::rewrite(context, args),
        Command::Copy(args) => commands::copy::run(context, args),
        Command::Prune(args) => commands::prune::run(context, args),
        Command::Restore(args) => commands::restore::run(context, args),
        Command::Dump(args) => commands::dump::run(context, args),
    }
}

/// Help that was asked for is a result; anything else is a usage error in clap's words, of which the first
/// line is the message and the rest, the valid choices among it, the hint.
fn not_understood(error: &clap::Error) -> Result<Exit, Failure> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            error.print().map_err(|error| Failure::of_output(&error))?;
            Ok(Exit::Success)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Err(Failure::usage("a command is missing").hint(error.to_string().trim_end()))
        }
        _ => {
            let text = error.to_string();
            let (message, rest) = text.split_once('\n').unwrap_or((&text, ""));
            let failure = Failure::usage(message.trim_start_matches("error: "));
            Err(if rest.trim().is_empty() { failure } else { failure.hint(rest.trim_matches('\n')) })
        }
    }
}

/// How errors are told even if the words cannot be understood.
fn form_of_errors(words: &[OsString]) -> Form {
    let mut ours = words.iter().take_while(|word| *word != "--");
    if ours.any(|word| word == "--json") { Form::Json } else { Form::Human }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::out::tests::Paper;
    use super::*;

    /// The context that these words and variables make, writing to `paper`.
    pub(crate) fn context(words: &str, variables: &[(&str, &str)], paper: Paper) -> Context {
        let cli = args::tests::parse(words).unwrap();
        let out = Arc::new(Out::to(Box::new(paper), false));
        Context::new(cli.global, Environment::of(variables), out).unwrap()
    }

    fn words(text: &str) -> Vec<OsString> {
        std::iter::once("keepstone").chain(text.split_whitespace()).map(OsString::from).collect()
    }

    #[test]
    fn results_have_left_when_a_command_is_done() {
        let paper = Paper::default();
        let exit = run(words("version --json"), Environment::of(&[]), Out::to(Box::new(paper.clone()), false));
        assert_eq!(exit, Ok(Exit::Success));
        assert!(paper.text().starts_with(r#"{"message_type":"version","version":""#), "{}", paper.text());
    }

    #[test]
    fn the_form_of_errors_is_read_off_our_own_words() {
        assert_eq!(form_of_errors(&words("frobnicate --json")), Form::Json);
        assert_eq!(form_of_errors(&words("backup --stdin-from-command -- docker ps --json")), Form::Human);
    }

    #[test]
    fn nothing_secret_shows_in_a_context() {
        let variables = [("KEEPSTONE_PASSWORD", "hush")];
        let context = context("version -o key=hush", &variables, Paper::default());
        assert_eq!(context.password().unwrap().as_bytes(), b"hush");
        let shown = format!("{context:?}");
        assert!(!shown.contains("hush") && shown.contains("redacted"), "{shown}");
    }
}
