//! Writing the index anew from what is known of packs: segments that add, and at the end one that names what
//! all of them replace (format-spec, "Repair").

use std::collections::BTreeMap;

use super::error::{RepoError, Result};
use super::{Announced, Repository};
use crate::format::limits::{SEGMENT_PACKS_MAX, SEGMENT_REPLACES_MAX};
use crate::format::pack::BlobKind;
use crate::format::segment::{PackRecord, Segment, WholePack};
use crate::id::{IndexId, PackId};

/// A segment is closed when it lists so many blobs: some ten megabytes.
const FULL: usize = 1 << 17;

impl WholePack {
    /// A pack of `len` bytes, as its own directory describes it.
    pub fn described(id: PackId, len: u64, inside: super::PackInside) -> Self {
        let super::PackInside { class, directory, .. } = inside;
        let blobs = u32::try_from(directory.blobs.len()).unwrap_or(u32::MAX);
        let record = PackRecord { id, len, class, blobs, retain_until: 0 };
        let mut blobs = directory.blobs;
        blobs.retain(|placed| placed.blob.kind != BlobKind::Padding);
        WholePack { record, blobs }
    }
}

/// Segments in the making, one at a time.
pub struct Relisting<'r> {
    repository: &'r Repository,
    session: &'r Announced,
    packs: BTreeMap<PackId, WholePack>,
    blobs: usize,
    written: u64,
}

impl<'r> Relisting<'r> {
    /// Nothing yet, under `session`.
    pub fn new(repository: &'r Repository, session: &'r Announced) -> Self {
        Relisting { repository, session, packs: BTreeMap::new(), blobs: 0, written: 0 }
    }

    /// Takes a pack, which is durably stored: it stands in a listing.
    pub fn add(&mut self, pack: WholePack) -> Result<()> {
        if !self.packs.is_empty() && (self.blobs + pack.blobs.len() > FULL || self.packs.len() >= SEGMENT_PACKS_MAX) {
            self.put(&[])?;
        }
        self.blobs += pack.blobs.len();
        self.packs.insert(pack.record.id, pack);
        Ok(())
    }

    /// Puts what is left, and then makes what is `replaced` go: all that it says and that holds was added before.
    /// Says how many segments were written.
    ///
    /// # Errors
    ///
    /// A conflict if the session was taken for dead. What was added stays, and harms nothing.
    pub fn finish(mut self, replaced: &[IndexId]) -> Result<u64> {
        let mut parts = replaced.chunks(SEGMENT_REPLACES_MAX);
        let last = parts.next_back().unwrap_or_default();
        for part in parts {
            self.put_if_there(part)?;
        }
        if !last.is_empty() || !self.packs.is_empty() {
            self.put_if_there(last)?;
        }
        // As in D8: what was just put may have come too late to replace anything.
        if !replaced.is_empty() {
            self.session.must_be_there("nothing was removed")?;
        }
        for id in replaced {
            self.repository.objects().delete::<Segment>(id)?;
        }
        self.repository.refresh_index()?;
        Ok(self.written)
    }

    fn put_if_there(&mut self, replaces: &[IndexId]) -> Result<()> {
        if !replaces.is_empty() {
            self.session.must_be_there("nothing was removed")?;
            // A segment that is sealed under keys that began meanwhile only looked damaged.
            self.repository.objects().no_epoch_began()?;
        }
        self.put(replaces)
    }

    fn put(&mut self, replaces: &[IndexId]) -> Result<()> {
        self.blobs = 0;
        let packs = std::mem::take(&mut self.packs).into_values().collect();
        let segment = Segment::listing(self.session.id(), packs, replaces).map_err(|_| too_many())?;
        self.repository.objects().put(&segment)?;
        self.written += 1;
        Ok(())
    }
}

/// Of packs or of what is replaced.
pub(super) fn too_many() -> RepoError {
    RepoError::Refused("an index segment would list more than one can hold".into())
}
