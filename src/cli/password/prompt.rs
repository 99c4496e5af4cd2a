//! A person at a terminal.

use std::io::{self, IsTerminal};

use zeroize::Zeroizing;

use crate::cli::exit::{Exit, Failure};
use crate::cli::signals;

/// Someone who can be asked.
pub trait Asked {
    /// Whether there is anybody.
    fn is_there(&self) -> bool;

    /// What they type, without showing it.
    fn ask(&self, prompt: &str) -> Result<Zeroizing<String>, Failure>;
}

/// The process's terminal. It counts as one only if standard input is: a script whose input comes from
/// elsewhere would hang at a prompt that nobody sees.
#[derive(Debug)]
pub struct Terminal;

impl Asked for Terminal {
    fn is_there(&self) -> bool {
        io::stdin().is_terminal()
    }

    fn ask(&self, prompt: &str) -> Result<Zeroizing<String>, Failure> {
        match signals::while_waiting(|| rpassword::prompt_password(prompt)) {
            Ok(answer) => Ok(Zeroizing::new(answer)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(Failure::interrupted()),
            Err(error) => Err(Failure::new(Exit::Failed, format!("cannot ask for a password: {error}"))),
        }
    }
}
