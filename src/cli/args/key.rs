//! `key`: who can open the repository.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::values::IdPrefix;

/// Add, list, remove or change the passwords that open the repository; begin new keys
#[derive(Debug, Args)]
pub struct KeyArgs {
    #[command(subcommand)]
    pub action: KeyAction,
}

/// What is done with keys.
#[derive(Debug, Subcommand)]
pub enum KeyAction {
    /// Let one more password open the repository
    Add(AddArgs),
    /// List the keys; the one in use is marked
    List,
    /// Let a key's password open the repository no longer
    Remove {
        /// The key's id, or how it begins
        id: IdPrefix,
    },
    /// Begin a new epoch of keys, for all holders alike, and close the ones before
    Rotate,
    /// Close the epochs that a rotation or removal had to leave open
    Close {
        /// Also record anew what is valid under an epoch whose record is lost: all that is there now
        #[arg(long)]
        again: bool,
    },
    /// Change the password in use
    Passwd(NewPasswordArgs),
}

/// What `key add` takes.
#[derive(Debug, Clone, Default, Args)]
pub struct AddArgs {
    /// Whose it is, in words [default: USER@HOST]
    #[arg(long, value_name = "WORDS")]
    pub label: Option<String>,
    #[command(flatten)]
    pub password: NewPasswordArgs,
}

/// Where a new password comes from; a prompt if nothing is given.
#[derive(Debug, Clone, Default, Args)]
pub struct NewPasswordArgs {
    /// Read the new password from this file (or KEEPSTONE_NEW_PASSWORD_FILE)
    #[arg(long, value_name = "FILE")]
    pub new_password_file: Option<PathBuf>,
    /// Run this command and take its output as the new password (or KEEPSTONE_NEW_PASSWORD_COMMAND)
    #[arg(long, value_name = "COMMAND", conflicts_with = "new_password_file")]
    pub new_password_command: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;

    #[test]
    fn keys_are_added_listed_removed_and_changed() {
        for words in [
            "key add --label backup@nas --new-password-file f",
            "key list",
            "key remove 4f",
            "key passwd --new-password-command c",
            "key rotate",
            "key close --again",
        ] {
            assert!(parse(words).is_ok(), "{words}");
        }
        for words in ["key", "key remove", "key remove xyz", "key add --new-password-file f --new-password-command c"] {
            assert!(parse(words).is_err(), "{words}");
        }
    }
}
