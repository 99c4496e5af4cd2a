//! What every command is given: settings, where results go, and the password when it is needed.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, OnceLock};

use super::args::GlobalArgs;
use super::args::from::FromArgs;
use super::args::key::NewPasswordArgs;
use super::environment::Environment;
use super::exit::Failure;
use super::out::Out;
use super::password::{self, Asking, Password, Terminal, Wanted};
use super::progress;
use super::render::printable;
use super::settings::Settings;

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Human,
    /// For programs: JSON.
    Json,
}

/// How much is said beside results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Volume {
    /// Nothing (`-q`).
    Quiet,
    /// Progress and warnings.
    Normal,
    /// More, for each `-v`; at least 1.
    Verbose(u8),
}

/// How, and how much, is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Output {
    /// How results are written.
    pub form: Form,
    /// How much is said beside them.
    pub volume: Volume,
}

impl Output {
    /// What the flags say.
    pub fn of(flags: &GlobalArgs) -> Self {
        let volume = match (flags.quiet, flags.verbose) {
            (true, _) => Volume::Quiet,
            (false, 0) => Volume::Normal,
            (false, times) => Volume::Verbose(times),
        };
        Output { form: if flags.json { Form::Json } else { Form::Human }, volume }
    }
}

/// What every command is given.
#[derive(Debug)]
pub struct Context {
    settings: Settings,
    output: Output,
    out: Arc<Out>,
    environment: Environment,
    password: OnceLock<Password>,
    flags: GlobalArgs,
}

impl Context {
    /// The context that flags and environment make; a bad variable is exit 2.
    pub fn new(flags: GlobalArgs, environment: Environment, out: Arc<Out>) -> Result<Self, Failure> {
        let settings = Settings::resolve(&flags, &environment)?;
        let output = Output::of(&flags);
        Ok(Context { settings, output, out, environment, password: OnceLock::new(), flags })
    }

    /// What flags and environment say.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How, and how much, is said.
    pub fn output(&self) -> Output {
        self.output
    }

    /// Where results go.
    pub fn out(&self) -> &Out {
        &self.out
    }

    /// The same, for a thread.
    pub fn shared_out(&self) -> Arc<Out> {
        Arc::clone(&self.out)
    }

    /// The environment.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Tells people something beside results, on stderr; not with `-q` or `--json`.
    pub fn note(&self, note: impl fmt::Display) {
        if self.output.form == Form::Human && self.output.volume != Volume::Quiet {
            let note = printable(note.to_string().as_bytes());
            // When stderr is gone there is nobody to tell.
            let _ = progress::above(|| writeln!(io::stderr(), "{note}"));
        }
    }

    /// Tells of trouble with one thing that does not end the command, on stderr: even with `-q`, for the exit
    /// code alone does not say what it was about.
    pub fn complain(&self, item: &str, why: &str) {
        let line = match self.output.form {
            Form::Human => printable(format!("warning: {item}: {why}").as_bytes()),
            Form::Json => serde_json::json!({ "message_type": "error", "item": item, "message": why }).to_string(),
        };
        // When stderr is gone there is nobody to tell.
        let _ = progress::above(|| writeln!(io::stderr(), "{line}"));
    }

    /// The password of the repository; asked for, or read, the first time.
    pub fn password(&self) -> Result<&Password, Failure> {
        if let Some(password) = self.password.get() {
            return Ok(password);
        }
        let password = self.repository_password("password", Asking::Existing)?;
        Ok(self.password.get_or_init(|| password))
    }

    /// The password that a repository in the making gets: from the same places, or typed twice.
    pub fn first_password(&self) -> Result<&Password, Failure> {
        let password = self.repository_password("new password", Asking::New)?;
        Ok(self.password.get_or_init(|| password))
    }

    /// The password of a second repository.
    pub fn second_password(&self, args: &FromArgs) -> Result<Password, Failure> {
        let wanted = Wanted {
            what: "password of the other repository",
            file: args.from_password_file.clone(),
            command: args.from_password_command.clone(),
            variables: &password::FROM,
            asking: Asking::Existing,
        };
        wanted.obtain(&self.environment, &Terminal)
    }

    /// A password that is added, or takes the place of the one in use.
    pub fn new_password(&self, args: &NewPasswordArgs) -> Result<Password, Failure> {
        let wanted = Wanted {
            what: "new password",
            file: args.new_password_file.clone(),
            command: args.new_password_command.clone(),
            variables: &password::NEW,
            asking: Asking::New,
        };
        wanted.obtain(&self.environment, &Terminal)
    }

    fn repository_password(&self, what: &'static str, asking: Asking) -> Result<Password, Failure> {
        let wanted = Wanted {
            what,
            file: self.flags.password_file.clone(),
            command: self.flags.password_command.clone(),
            variables: &password::REPOSITORY,
            asking,
        };
        wanted.obtain(&self.environment, &Terminal)
    }
}
