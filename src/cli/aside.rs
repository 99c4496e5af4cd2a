//! A way for our failures through operations whose callbacks speak of repositories.

use super::exit::Failure;
use super::{open, signals};
use crate::repo::{self, RepoError};

/// Keeps the failure that a callback ended an operation with.
#[derive(Debug, Default)]
pub struct Aside(Option<Failure>);

impl Aside {
    /// Within the callback: goes on unless `done` failed or the user wants us to end.
    pub fn go_on(&mut self, done: Result<(), Failure>) -> repo::Result<()> {
        done.and_then(|()| signals::go_on()).map_err(|failure| {
            let why = RepoError::Refused(failure.message.clone());
            self.0 = Some(failure);
            why
        })
    }

    /// After the operation: what it gave, or why it ended.
    pub fn settle<T>(self, done: repo::Result<T>) -> Result<T, Failure> {
        match (done, self.0) {
            (Err(_), Some(failure)) => Err(failure),
            (done, _) => done.map_err(open::failure),
        }
    }
}
