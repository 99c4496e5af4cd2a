//! What can go wrong with a repository: the data is corrupt, the world is unavailable, or the request
//! is refused.

use crate::crypto::CryptoError;
use crate::format::Malformed;
use crate::storage::StoreError;

/// Result of repository work.
pub type Result<T> = std::result::Result<T, RepoError>;

/// Says what was attempted, on which object, and whether it is the data, the world or the request.
#[derive(Debug, thiserror::Error)]
pub enum RepoError {
    /// Nothing here that could be a repository.
    #[error("there is no repository at {place}")]
    NoRepository {
        /// Where it was looked for.
        place: String,
    },
    /// `init` where one is.
    #[error("{place} already holds a repository or other files; nothing was changed")]
    Occupied {
        /// Where it was to be made.
        place: String,
    },
    /// No key slot opens with this passphrase.
    #[error("wrong password: no key of this repository opens with it")]
    WrongPassword,
    /// A newer keepstone wrote it.
    #[error("{object} needs a newer keepstone: {why}")]
    NeedsNewer {
        /// What could not be understood.
        object: String,
        /// Why.
        why: String,
    },
    /// An object is not what its name, its key or the spec says.
    #[error("{object} is damaged: {why}")]
    Damaged {
        /// Its name in the store.
        object: String,
        /// What was found.
        why: String,
    },
    /// It is authentic, and came too late to be trusted.
    #[error(
        "{object} appeared under a closed epoch ({epoch}): someone who once had its keys may have made it, and it is not used"
    )]
    AfterClosing {
        /// Its name in the store.
        object: String,
        /// The epoch.
        epoch: u32,
    },
    /// Something that is referred to is nowhere.
    #[error("{what} is missing")]
    Missing {
        /// What, and who refers to it where that is known.
        what: String,
    },
    /// The request cannot be done, and why.
    #[error("{0}")]
    Refused(String),
    /// Asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// Someone else's work makes this one impossible now.
    #[error("{0}")]
    Conflict(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The local cache or another local file failed.
    #[error("cannot {attempted}: {why}")]
    Local {
        /// What was attempted, on which file.
        attempted: String,
        /// Why it failed.
        why: String,
    },
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The data.
    Corrupt,
    /// The world.
    Unavailable,
    /// The request.
    Refused,
}

impl RepoError {
    /// The class, for whoever only needs to know that.
    pub fn class(&self) -> Class {
        match self {
            RepoError::Damaged { .. } | RepoError::AfterClosing { .. } | RepoError::Missing { .. } => Class::Corrupt,
            RepoError::Store(_) | RepoError::Local { .. } => Class::Unavailable,
            _ => Class::Refused,
        }
    }

    /// `object` could not be opened.
    pub(super) fn unopened(object: impl ToString, error: CryptoError) -> Self {
        let object = object.to_string();
        match error {
            CryptoError::WrongPassphrase => RepoError::WrongPassword,
            CryptoError::Malformed(malformed) => Self::malformed(object, malformed),
            other => RepoError::Damaged { object, why: other.to_string() },
        }
    }

    /// `object` does not obey the spec.
    pub fn malformed(object: impl ToString, error: Malformed) -> Self {
        let object = object.to_string();
        match error.newer {
            true => RepoError::NeedsNewer { object, why: error.to_string() },
            false => RepoError::Damaged { object, why: error.to_string() },
        }
    }

    /// Something local failed.
    pub(super) fn local(attempted: impl Into<String>, why: impl ToString) -> Self {
        RepoError::Local { attempted: attempted.into(), why: why.to_string() }
    }
}
