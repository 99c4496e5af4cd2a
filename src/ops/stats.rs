//! Statistics: what snapshots would take restored, what they take stored, what the repository holds.

use std::collections::HashSet;

use super::walk::{Go, Visit, walk};
use crate::format::pack::BlobKind;
use crate::format::tree::{Entry, TreeRef};
use crate::id::BlobId;
use crate::repo::{Repository, Result, walk::blobs_of_entry};

/// What snapshots would take if each were restored to a place of its own.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct RestoreSize {
    /// Files, directories and everything else.
    pub entries: u64,
    /// Sizes of all files; of a file with several names that many times.
    pub bytes: u64,
}

/// What these trees would take restored. Their roots say it: nothing is read.
pub fn restore_size<'t>(roots: impl IntoIterator<Item = &'t TreeRef>) -> RestoreSize {
    roots.into_iter().fold(RestoreSize::default(), |sum, root| RestoreSize {
        entries: sum.entries.saturating_add(root.entries),
        bytes: sum.bytes.saturating_add(root.bytes),
    })
}

/// Blobs, each counted once.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct BlobTotals {
    /// How many.
    pub blobs: u64,
    /// Bytes of plaintext.
    pub plain: u64,
    /// Bytes that they take in packs.
    pub stored: u64,
}

impl BlobTotals {
    fn count(&mut self, plain_len: u32, sealed_len: u64) {
        self.blobs += 1;
        self.plain = self.plain.saturating_add(u64::from(plain_len));
        self.stored = self.stored.saturating_add(sealed_len);
    }

    /// Bytes of plaintext for each byte stored; 1 if nothing is.
    pub fn compression_ratio(&self) -> f64 {
        match self.stored {
            0 => 1.0,
            stored => self.plain as f64 / stored as f64,
        }
    }
}

/// What snapshots take in the repository together.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct RawData {
    /// Chunks of content.
    pub data: BlobTotals,
    /// Trees and chunk lists.
    pub metadata: BlobTotals,
    /// Blobs that are referred to and that the index does not know.
    pub missing: u64,
}

/// What these trees take together, each blob counted once. Takes 32 bytes of memory a blob.
pub fn raw_data<'t>(repository: &Repository, roots: impl IntoIterator<Item = &'t TreeRef>) -> Result<RawData> {
    let mut sum = Sum { repository, seen: HashSet::new(), raw: RawData::default(), failed: None };
    for root in roots {
        walk(repository, root, &mut sum)?;
        if let Some(error) = sum.failed.take() {
            return Err(error);
        }
    }
    Ok(sum.raw)
}

struct Sum<'r> {
    repository: &'r Repository,
    /// The first halves of ids: among 10^9 blobs, the chance that two share one is 1 in 10^20.
    seen: HashSet<[u8; 16]>,
    raw: RawData,
    failed: Option<crate::repo::RepoError>,
}

impl Sum<'_> {
    /// Counts a blob that is met for the first time; says whether it is.
    fn meet(&mut self, kind: BlobKind, id: &BlobId) -> Result<bool> {
        let half = *id.as_bytes().first_chunk().expect("an id is 32 bytes long");
        if !self.seen.insert(half) {
            return Ok(false);
        }
        let locations = self.repository.view().locate(id)?;
        let totals = if kind == BlobKind::Data { &mut self.raw.data } else { &mut self.raw.metadata };
        match locations.iter().find(|location| location.placed.blob.kind == kind) {
            Some(location) => totals.count(location.placed.blob.plain_len, location.placed.blob.sealed_len()),
            None => self.raw.missing += 1,
        }
        Ok(true)
    }
}

impl Visit for Sum<'_> {
    fn enter(&mut self, node: &TreeRef) -> Go {
        match self.meet(BlobKind::Tree, &node.id) {
            Ok(true) => Go::Into,
            Ok(false) => Go::Past,
            Err(error) => {
                self.failed.get_or_insert(error);
                Go::Past
            }
        }
    }

    fn entry(&mut self, _path: &[u8], entry: &Entry) -> Result<Go> {
        blobs_of_entry(self.repository, entry, &mut |kind, id| self.meet(kind, id).map(drop))?;
        Ok(Go::Into)
    }
}

/// What the repository holds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct RepositoryTotals {
    /// Packs in the store.
    pub packs: u64,
    /// Their lengths, in bytes.
    pub bytes: u64,
    /// What the index lists of chunks of content; a blob with copies counts as often.
    pub data: BlobTotals,
    /// What the index lists of trees and chunk lists.
    pub metadata: BlobTotals,
}

impl RepositoryTotals {
    /// Plaintext for each byte that blobs take in packs.
    pub fn compression_ratio(&self) -> f64 {
        let (data, metadata) = (self.data, self.metadata);
        let plain = data.plain.saturating_add(metadata.plain);
        BlobTotals { blobs: 0, plain, stored: data.stored.saturating_add(metadata.stored) }.compression_ratio()
    }
}

/// Counts packs in the store and blobs in the index.
pub fn repository(repository: &Repository) -> Result<RepositoryTotals> {
    let mut totals = RepositoryTotals::default();
    repository.objects().store().list("packs", &mut |listed| {
        totals.packs += 1;
        totals.bytes = totals.bytes.saturating_add(listed.len);
        Ok(())
    })?;
    repository.view().each(&mut |location| {
        let blob = location.placed.blob;
        let kind = if blob.kind == BlobKind::Data { &mut totals.data } else { &mut totals.metadata };
        kind.count(blob.plain_len, blob.sealed_len());
    })?;
    Ok(totals)
}
