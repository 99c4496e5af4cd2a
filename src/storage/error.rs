//! What can go wrong with a store, kept apart by what a caller does about it.

use super::{BadName, ObjectName};
use std::io;

/// Result of a call of a store.
pub type Result<T> = std::result::Result<T, StoreError>;

/// The message is complete: what was attempted, on which object, in which place, and why it failed.
#[derive(thiserror::Error, Debug)]
pub enum StoreError {
    /// The store answered: it holds no such object.
    #[error("there is no object {name} in {place}")]
    NotFound {
        /// The object.
        name: ObjectName,
        /// The store.
        place: String,
    },

    /// The object is longer than anything the caller could use, so it is not what it should be.
    #[error("object {name} in {place} has {len} bytes, and at most {max_len} were expected")]
    TooLong {
        /// The object.
        name: ObjectName,
        /// The store.
        place: String,
        /// Its length, in bytes.
        len: u64,
        /// What the caller takes, in bytes.
        max_len: u64,
    },

    /// No room is left: on the medium, or in the user's quota.
    #[error("cannot {attempted}: {source}")]
    Full {
        /// Verb, object and place.
        attempted: String,
        /// What the system said.
        source: io::Error,
    },

    /// The store can be reached, and does not let us: permissions, or it is read-only.
    #[error("cannot {attempted}: {source}")]
    Denied {
        /// Verb, object and place.
        attempted: String,
        /// What the system said.
        source: io::Error,
    },

    /// Anything else the world did. After a put or a delete it may have happened all the same.
    #[error("cannot {attempted}: {source}")]
    Unavailable {
        /// Verb, object and place.
        attempted: String,
        /// What the system said.
        source: io::Error,
    },

    /// A store was to be opened where there is no directory.
    #[error("there is no directory {place}")]
    NoPlace {
        /// The place that was named.
        place: String,
    },

    /// A store was to be created where something else already is.
    #[error("{place} is not empty, and a new store needs an empty directory or none")]
    Occupied {
        /// The place that was named.
        place: String,
    },

    /// What was asked for can be no object.
    #[error(transparent)]
    BadName(#[from] BadName),
}

impl StoreError {
    /// Sorts what an operating system reports; `attempted` is verb, object and place.
    pub(super) fn from_io(attempted: String, source: io::Error) -> Self {
        use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        match source.kind() {
            StorageFull | QuotaExceeded => Self::Full { attempted, source },
            PermissionDenied | ReadOnlyFilesystem => Self::Denied { attempted, source },
            _ => Self::Unavailable { attempted, source },
        }
    }
}
