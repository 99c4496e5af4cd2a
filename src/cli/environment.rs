//! Touches the world. The environment: every variable is asked for by name, when it is needed, and a bad
//! value is an error that names it. Nothing is copied ahead of time, so that a password in it is not held in passing.

use std::ffi::OsString;
use std::fmt;
use std::str::FromStr;

use super::exit::Failure;

/// Where variables are looked up.
pub struct Environment(Lookup);

type Lookup = Box<dyn Fn(&str) -> Option<OsString> + Send + Sync>;

impl Environment {
    /// The process's own.
    pub fn of_process() -> Self {
        Environment(Box::new(|name| std::env::var_os(name)))
    }

    /// Exactly these variables.
    pub fn of(variables: &[(&str, &str)]) -> Self {
        let variables: Vec<(String, OsString)> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), value.into())).collect();
        Environment(Box::new(move |wanted| {
            variables.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
        }))
    }

    /// The variable's value; an empty one counts as unset, because scripts cannot always unset.
    pub fn raw(&self, name: &str) -> Option<OsString> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// The variable's value as text.
    pub fn text(&self, name: &str) -> Result<Option<String>, Failure> {
        let not_text = |_| Failure::usage(format!("{name} is not UTF-8"));
        self.raw(name).map(OsString::into_string).transpose().map_err(not_text)
    }

    /// The variable's value as what it stands for.
    pub fn value<T>(&self, name: &str) -> Result<Option<T>, Failure>
    where
        T: FromStr<Err: fmt::Display>,
    {
        let parse = |text: String| {
            text.parse().map_err(|error| Failure::usage(format!("invalid value '{text}' for {name}: {error}")))
        };
        self.text(name)?.map(parse).transpose()
    }
}

/// The environment holds secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment(redacted)")
    }
}
