//! Passwords: where they come from, and the form in which they open a repository (format-spec, "Keys").
//!
//! Never from the command line, never in a log, and gone from memory when they are dropped.

use std::fmt;
use std::path::PathBuf;

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use super::environment::Environment;
use super::exit::{Exit, Failure};

mod prompt;
mod source;

pub use prompt::{Asked, Terminal};
use source::Source;

/// The longest password, in bytes: much longer is a wrong file, not a password.
pub const PASSWORD_MAX: usize = 4096;

/// A password as it opens a repository: UTF-8, one trailing newline dropped, NFC, never empty.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Zeroizing<String>);

/// Why these bytes are no password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPassword {
    /// Nothing but perhaps a newline.
    #[error("it is empty")]
    Empty,
    /// Not text, so that it could not be typed elsewhere.
    #[error("it is not UTF-8")]
    NotText,
    /// Over [`PASSWORD_MAX`].
    #[error("it is longer than {PASSWORD_MAX} bytes")]
    TooLong,
}

impl Password {
    /// The password that these bytes spell.
    pub fn new(bytes: &[u8]) -> Result<Self, BadPassword> {
        if bytes.len() > PASSWORD_MAX {
            return Err(BadPassword::TooLong);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| BadPassword::NotText)?;
        let text = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
        if text.is_empty() {
            return Err(BadPassword::Empty);
        }
        // NFC is at most three times as long (UAX 15); a string that grew would leave copies behind.
        let mut normal = Zeroizing::new(String::with_capacity(3 * text.len()));
        normal.extend(text.nfc());
        Ok(Password(normal))
    }

    /// What the key is derived from.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(redacted)")
    }
}

/// Which password is wanted, and where it may come from: the first that is given, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What people call it.
    pub what: &'static str,
    /// The file that a flag names.
    pub file: Option<PathBuf>,
    /// The command that a flag names.
    pub command: Option<String>,
    /// The variables that do the same.
    pub variables: &'static Variables,
    /// How a person is asked, in the end.
    pub asking: Asking,
}

/// The names of environment variables.
#[derive(Debug, PartialEq, Eq)]
pub struct Variables {
    file: &'static str,
    command: &'static str,
    value: &'static str,
    /// The flags that do the same, for a hint.
    flags: &'static str,
}

/// The password of the repository.
pub const REPOSITORY: Variables = Variables {
    file: "KEEPSTONE_PASSWORD_FILE",
    command: "KEEPSTONE_PASSWORD_COMMAND",
    value: "KEEPSTONE_PASSWORD",
    flags: "--password-file or --password-command",
};

/// The password of a second repository.
pub const FROM: Variables = Variables {
    file: "KEEPSTONE_FROM_PASSWORD_FILE",
    command: "KEEPSTONE_FROM_PASSWORD_COMMAND",
    value: "KEEPSTONE_FROM_PASSWORD",
    flags: "--from-password-file or --from-password-command",
};

/// A password that `key add` or `key passwd` sets.
pub const NEW: Variables = Variables {
    file: "KEEPSTONE_NEW_PASSWORD_FILE",
    command: "KEEPSTONE_NEW_PASSWORD_COMMAND",
    value: "KEEPSTONE_NEW_PASSWORD",
    flags: "--new-password-file or --new-password-command",
};

/// How a person is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// Once: a typing error shows at once.
    Existing,
    /// Twice: a typing error would lock everybody out.
    New,
}

impl Wanted {
    /// The password, from the first source that is given, or from a person.
    pub fn obtain(&self, environment: &Environment, person: &dyn Asked) -> Result<Password, Failure> {
        match self.source(environment)? {
            Some(source) => source.read(self.what),
            None => self.ask(person),
        }
    }

    fn source(&self, environment: &Environment) -> Result<Option<Source>, Failure> {
        let Variables { file, command, value, .. } = *self.variables;
        Ok(if let Some(path) = &self.file {
            Some(Source::File(path.clone()))
        } else if let Some(line) = &self.command {
            Some(Source::Command(line.clone()))
        } else if let Some(path) = environment.raw(file) {
            Some(Source::File(path.into()))
        } else if let Some(line) = environment.text(command)? {
            Some(Source::Command(line))
        } else {
            environment.raw(value).map(|secret| Source::variable(value, secret))
        })
    }

    fn ask(&self, person: &dyn Asked) -> Result<Password, Failure> {
        let what = self.what;
        if !person.is_there() {
            let Variables { file, command, value, flags } = self.variables;
            return Err(Failure::new(Exit::Failed, format!("no {what} is given, and standard input is no terminal"))
                .hint(format!("give {flags}, or set {file}, {command} or {value}")));
        }
        let password = person.ask(&format!("{what}: "))?;
        let password = Password::new(password.as_bytes())
            .map_err(|why| Failure::new(Exit::Failed, format!("this {what} cannot be used: {why}")))?;
        if self.asking == Asking::New {
            let again = person.ask("again: ")?;
            if Password::new(again.as_bytes()).as_ref() != Ok(&password) {
                return Err(Failure::new(Exit::Failed, "the two passwords differ; nothing was changed"));
            }
        }
        Ok(password)
    }
}

#[cfg(test)]
mod tests;
