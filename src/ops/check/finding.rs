//! What a check finds, and what it adds up to.

use std::fmt;

use crate::format::pack::BlobKind;
use crate::id::{BlobId, SnapshotId};
use crate::repo::{RepoError, noun};

/// How bad a finding is, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Harms nothing: garbage, foreign objects, traces of a rollback or of a run that died.
    Warning,
    /// Could not be looked at: the store failed, or a newer keepstone is needed.
    Unreadable,
    /// What is stored is not what was stored.
    Damage,
}

impl Severity {
    /// What an error says about the object that it was met on.
    pub(super) fn of(error: &RepoError) -> Self {
        match error {
            RepoError::Damaged { .. } | RepoError::AfterClosing { .. } | RepoError::Missing { .. } => Severity::Damage,
            _ => Severity::Unreadable,
        }
    }
}

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// An object, or a directory of them, by its name in the store.
    Object(String),
    /// A blob that is referred to.
    Blob(BlobKind, BlobId),
    /// A snapshot that does not come back whole: so many of its files do not.
    Snapshot {
        /// The snapshot.
        id: SnapshotId,
        /// Files that are harmed; a directory that cannot be read counts as one.
        harmed: u64,
    },
    /// A file of a snapshot, or a directory of which not all can be read.
    Path {
        /// The snapshot.
        snapshot: SnapshotId,
        /// From the snapshot's top; empty for the top itself.
        path: Vec<u8>,
    },
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Object(name) => f.write_str(name),
            Subject::Blob(kind, id) => write!(f, "{} blob {id}", noun(*kind)),
            Subject::Snapshot { id, .. } => write!(f, "snapshots/{id}"),
            Subject::Path { snapshot, path } => write!(f, "{}:/{}", snapshot.short(), String::from_utf8_lossy(path)),
        }
    }
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub subject: Subject,
    /// What is wrong with it, in words.
    pub why: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.why)
    }
}

impl Finding {
    pub(super) fn new(severity: Severity, subject: Subject, why: impl Into<String>) -> Self {
        Finding { severity, subject, why: why.into() }
    }

    pub(super) fn object(severity: Severity, name: impl ToString, why: impl Into<String>) -> Self {
        Self::new(severity, Subject::Object(name.to_string()), why)
    }

    /// `error`, met on the object `name`.
    pub(super) fn met(name: impl ToString, error: &RepoError) -> Self {
        Self::object(Severity::of(error), name, reason(error))
    }
}

/// What an error says beside the name of the object that it is about.
pub(super) fn reason(error: &RepoError) -> String {
    match error {
        RepoError::Damaged { why, .. } => why.clone(),
        RepoError::AfterClosing { epoch, .. } => {
            format!(
                "it appeared under a closed epoch ({epoch}): someone who once had its keys may have made it, and it is not used"
            )
        }
        RepoError::Missing { .. } => "it is missing".into(),
        other => other.to_string(),
    }
}

/// A snapshot that does not come back whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Harmed {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Files that do not come back; a directory that cannot be read counts as one.
    pub files: u64,
}

/// What a check looked at and found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct CheckReport {
    /// Findings of the severity damage.
    pub damages: u64,
    /// Findings of the severity unreadable.
    pub unreadable: u64,
    /// Findings of the severity warning.
    pub warnings: u64,
    /// Small objects that were read.
    pub objects: u64,
    /// Snapshots that were walked.
    pub snapshots: u64,
    /// Nodes of trees and chunk lists that were read.
    pub nodes: u64,
    /// Packs that the index lists.
    pub packs: u64,
    /// Packs that were read.
    pub packs_read: u64,
    /// Bytes of packs that were read.
    pub bytes_read: u64,
    /// Blobs in them that were opened.
    pub blobs_read: u64,
    /// Packs that no segment lists: left over from runs that were interrupted, or being written now.
    pub garbage_packs: u64,
    /// Their lengths, in bytes.
    pub garbage_bytes: u64,
    /// The snapshots that do not come back whole.
    pub harmed: Vec<Harmed>,
}

impl CheckReport {
    /// Whether anything that was stored is not what was stored.
    pub fn damaged(&self) -> bool {
        self.damages > 0
    }

    /// Whether everything that was asked for could be looked at.
    pub fn is_complete(&self) -> bool {
        self.unreadable == 0
    }
}
