//! What can go wrong with an object, in one line.

use crate::storage::remote::{BadSetup, Trouble};

/// Why an object, or a listing, was not given or not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BucketError {
    /// On the way to the store, or by its refusal.
    #[error("{}", in_words(.0))]
    Store(Trouble),
    /// There is no such object any more.
    #[error("vanished before it was read")]
    NotThere,
    /// It is not the object that was asked for: another one has its key now.
    #[error("was replaced while it was read")]
    Replaced,
    /// The store does not do what is asked of it.
    #[error("{0}")]
    Odd(String),
    /// It cannot even be asked.
    #[error("{0}")]
    Setup(String),
}

/// What to do about it is said with the flag of a bucket's options, not of a repository's.
pub(super) fn in_words(trouble: &Trouble) -> String {
    trouble.to_string().replace("-o ", "-b ")
}

impl From<Trouble> for BucketError {
    fn from(trouble: Trouble) -> Self {
        BucketError::Store(trouble)
    }
}

impl From<BadSetup> for BucketError {
    fn from(error: BadSetup) -> Self {
        BucketError::Setup(error.to_string())
    }
}
