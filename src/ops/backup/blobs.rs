//! From plaintext to a stored blob: name, ask, compress, store.

use std::cell::RefCell;
use std::sync::atomic::Ordering::Relaxed;

use super::super::progress::BackupCounters;
use super::Shrink;
use super::sink::Sink;
use crate::compress::Compressor;
use crate::crypto::Keyset;
use crate::format::control::Snapshot;
use crate::format::pack::{BlobHeader, BlobKind, Compression};
use crate::id::{BlobId, SnapshotId};
use crate::repo::{RepoError, Repository, Result};

thread_local! {
    /// One context per thread and level: making one costs more than compressing a small file.
    static COMPRESSOR: RefCell<Option<(i32, Compressor)>> = const { RefCell::new(None) };
}

/// Saves blobs.
pub(super) struct Blobs<'a> {
    keys: &'a Keyset,
    sink: &'a Sink<'a>,
    shrink: Shrink,
    counters: &'a BackupCounters,
}

impl<'a> Blobs<'a> {
    pub fn new(repository: &'a Repository, sink: &'a Sink<'a>, shrink: Shrink, counters: &'a BackupCounters) -> Self {
        Blobs { keys: repository.objects().keys(), sink, shrink, counters }
    }

    pub fn keys(&self) -> &'a Keyset {
        self.keys
    }

    pub fn counters(&self) -> &'a BackupCounters {
        self.counters
    }

    /// Whether a blob is there to be relied on.
    pub fn has(&self, id: &BlobId) -> Result<bool> {
        self.sink.has(id)
    }

    /// The id of the blob with this plaintext, which is stored if it was not there.
    pub fn save(&self, kind: BlobKind, plain: Vec<u8>) -> Result<BlobId> {
        let id = self.keys.namer().name(kind, &plain);
        self.sink.save(&id, || self.make(kind, id, plain))?;
        Ok(id)
    }

    /// Commits a checkpoint; `None` if that is not to be.
    pub fn checkpoint(&self, snapshot: Snapshot) -> Result<Option<SnapshotId>> {
        self.sink.checkpoint(snapshot)
    }

    fn make(&self, kind: BlobKind, id: BlobId, plain: Vec<u8>) -> Result<(BlobHeader, Vec<u8>)> {
        let plain_len = u32::try_from(plain.len()).map_err(|_| too_long(plain.len()))?;
        let (compression, stored) = match self.compress(&plain)? {
            Some(shorter) => (Compression::Zstd, shorter),
            None => (Compression::None, plain),
        };
        let stored_len = u32::try_from(stored.len()).map_err(|_| too_long(stored.len()))?;
        let blob = BlobHeader { id, kind, compression, stored_len, plain_len };
        self.counters.bytes_new.fetch_add(u64::from(plain_len), Relaxed);
        self.counters.bytes_stored.fetch_add(blob.sealed_len(), Relaxed);
        Ok((blob, stored))
    }

    fn compress(&self, plain: &[u8]) -> Result<Option<Vec<u8>>> {
        let Shrink::Zstd(level) = self.shrink else { return Ok(None) };
        COMPRESSOR.with_borrow_mut(|slot| {
            if !matches!(slot, Some((made, _)) if *made == level) {
                let compressor = Compressor::new(level).map_err(|error| RepoError::Refused(error.to_string()))?;
                *slot = Some((level, compressor));
            }
            Ok(slot.as_mut().and_then(|(_, compressor)| compressor.compress(plain)))
        })
    }
}

fn too_long(len: usize) -> RepoError {
    RepoError::Refused(format!("a chunk of {len} bytes is longer than a blob can be"))
}
