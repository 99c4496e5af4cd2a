//! Where blobs go: into the repository, or nowhere in a dry run.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;

use crate::format::control::{Snapshot, Summary};
use crate::format::pack::BlobHeader;
use crate::id::{BlobId, SnapshotId};
use crate::repo::{Added, Repository, Result, Writer};

/// Where blobs go.
pub(super) enum Sink<'r> {
    /// Into packs.
    Real(Box<Writer<'r>>),
    /// Nowhere; only counted.
    Dry { repository: &'r Repository, taken: Mutex<HashSet<BlobId>>, added: Added },
}

impl<'r> Sink<'r> {
    pub fn dry(repository: &'r Repository) -> Self {
        Sink::Dry { repository, taken: Mutex::default(), added: Added::default() }
    }

    /// Whether a blob is there to be relied on.
    pub fn has(&self, id: &BlobId) -> Result<bool> {
        match self {
            Sink::Real(writer) => writer.has(id),
            Sink::Dry { repository, taken, .. } => {
                let taken = taken.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).contains(id);
                Ok(taken || repository.view().lies_in(id, |_, _| true)?)
            }
        }
    }

    /// Stores the blob `id` if it is not there; then it is made.
    pub fn save(&self, id: &BlobId, make: impl FnOnce() -> Result<(BlobHeader, Vec<u8>)>) -> Result<()> {
        match self {
            Sink::Real(writer) => writer.save(id, make),
            Sink::Dry { taken, added, .. } => {
                if self.has(id)? || !taken.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(*id) {
                    return Ok(());
                }
                let (blob, _) = make()?;
                added.blobs.fetch_add(1, Relaxed);
                added.bytes.fetch_add(u64::from(blob.plain_len), Relaxed);
                added.stored.fetch_add(blob.sealed_len(), Relaxed);
                Ok(())
            }
        }
    }

    /// Commits a checkpoint, but not in a dry run, and not if the session was taken for dead.
    pub fn checkpoint(&self, snapshot: Snapshot) -> Result<Option<SnapshotId>> {
        match self {
            Sink::Real(writer) => writer.checkpoint(snapshot),
            Sink::Dry { .. } => Ok(None),
        }
    }

    /// Fills in what was added.
    pub fn summarize(&self, summary: &mut Summary) {
        let added = match self {
            Sink::Real(writer) => writer.added(),
            Sink::Dry { added, .. } => added,
        };
        summary.blobs_added = added.blobs.load(Relaxed);
        summary.bytes_added = added.bytes.load(Relaxed);
        summary.bytes_stored = added.stored.load(Relaxed);
    }
}
