//! How keepstone ends: exit codes, and failures in words for people or for programs.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;

use super::render::printable;
use super::{Form, progress};

/// Why the process ends. The numbers are a contract with scripts: they are only ever added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All that was asked for is done.
    Success = 0,
    /// Failed; nothing half-done is visible.
    Failed = 1,
    /// The words of the command line or the environment make no sense.
    Usage = 2,
    /// Done, but not wholly.
    Partly = 3,
    /// There is no repository here.
    NoRepository = 10,
    /// Another operation makes this one impossible now.
    Busy = 11,
    /// Wrong password or key.
    WrongPassword = 12,
    /// Damage found.
    Damage = 13,
    /// The repository needs a newer keepstone.
    TooNew = 14,
    /// Deliberately skipped.
    Skipped = 75,
    /// Interrupted by Ctrl-C or SIGTERM.
    Interrupted = 130,
    /// Whoever read our output has closed it. 128 + SIGPIPE: what a shell reports of the coreutils, and of
    /// restic, which the signal kills. We end by ourselves so that sessions and spools are tidied up.
    OutputClosed = 141,
}

impl Exit {
    /// The worse of two ways to end, of those in which a command did what it could.
    #[must_use]
    pub fn worse(self, other: Exit) -> Exit {
        let rank = |exit: &Exit| match exit {
            Exit::Success => 0,
            Exit::Partly => 1,
            _ => 2,
        };
        // Where both are bad, damage is what must not be missed.
        match rank(&other) > rank(&self) || other == Exit::Damage {
            true => other,
            false => self,
        }
    }

    /// Its number.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// What ended a command early: what was attempted, on which object, why it failed, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// One sentence, without a full stop.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure in one sentence.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Failure { exit, message: message.into(), hint: None }
    }

    /// The words of the command line or the environment make no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Failure::new(Exit::Usage, message)
    }

    /// Ended by Ctrl-C or SIGTERM.
    pub fn interrupted() -> Self {
        Failure::new(Exit::Interrupted, "interrupted")
    }

    /// Standard output did not take what was written to it.
    pub fn of_output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::new(Exit::OutputClosed, "standard output was closed"),
            _ => Failure::new(Exit::Failed, format!("cannot write to standard output: {error}")),
        }
    }

    /// The same, and what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says so on stderr; nothing if it was only our output that was closed.
    pub fn report(&self, form: Form) {
        if self.exit == Exit::OutputClosed {
            return;
        }
        let text = match form {
            Form::Human => self.to_string(),
            Form::Json => self.to_json(),
        };
        // When stderr is gone too, the exit code is all that can still be said.
        let _ = progress::above(|| writeln!(io::stderr(), "{text}"));
    }

    fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Object<'a> {
            message_type: &'static str,
            code: u8,
            message: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            hint: Option<&'a str>,
        }
        let object = Object {
            message_type: "exit_error",
            code: self.exit.code(),
            message: &self.message,
            hint: self.hint.as_deref(),
        };
        serde_json::to_string(&object).expect("strings and a number are always JSON")
    }
}

/// For people. Messages quote names and the words of others: nothing in them may steer a terminal.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "keepstone: {}", printable(self.message.as_bytes()))?;
        for line in self.hint.iter().flat_map(|hint| hint.lines()) {
            write!(f, "\n{}", printable(line.as_bytes()))?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_a_hint_and_no_escape_sequence() {
        let failure = Failure::new(Exit::Damage, "pack \x1b[2J is cut\nshort").hint("run check\nthen repair");
        assert_eq!(failure.to_string(), "keepstone: pack \\x1b[2J is cut\\nshort\nrun check\nthen repair");
    }

    #[test]
    fn a_failure_is_one_json_object() {
        let failure = Failure::new(Exit::NoRepository, "no \"repository\"\nhere");
        let json = r#"{"message_type":"exit_error","code":10,"message":"no \"repository\"\nhere"}"#;
        assert_eq!(failure.to_json(), json);
    }

    #[test]
    fn damage_is_the_worst_way_to_end() {
        assert_eq!(Exit::Success.worse(Exit::Partly), Exit::Partly);
        assert_eq!(Exit::Partly.worse(Exit::Success), Exit::Partly);
        assert_eq!(Exit::Failed.worse(Exit::Partly), Exit::Failed);
        assert_eq!(Exit::Failed.worse(Exit::Damage), Exit::Damage);
        assert_eq!(Exit::Damage.worse(Exit::Failed), Exit::Damage);
    }

    #[test]
    fn closed_output_is_told_from_other_trouble() {
        assert_eq!(Failure::of_output(&io::ErrorKind::BrokenPipe.into()).exit, Exit::OutputClosed);
        assert_eq!(Failure::of_output(&io::ErrorKind::StorageFull.into()).exit, Exit::Failed);
    }
}
