//! Writing the index anew from what is known of packs: segments that add, and at the end one that names what
//! all of them replace (format-spec, "Repair").

use std::collections::BTreeMap;

use super::error::{RepoError, Result};
use super::{Announced, Repository};
use crate::format::codec::Ascending;
use crate::format::control::{Lineage, Signature};
use crate::format::extras::Extras;
use crate::format::limits::{SEGMENT_PACKS_MAX, SEGMENT_REPLACES_MAX};
use crate::format::pack::{BlobKind, Placed};
use crate::format::segment::{BlobRecord, PackRecord, Segment, SegmentHeader};
use crate::id::{IndexId, PackId};

/// A segment is closed when it lists so many blobs: some ten megabytes.
const FULL: usize = 1 << 17;

/// A pack, and where all of its blobs but padding lie.
#[derive(Debug, Clone)]
pub struct WholePack {
    /// As a segment lists it.
    pub record: PackRecord,
    /// Its blobs.
    pub blobs: Vec<Placed>,
}

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

/// What a segment lists, pack by pack.
pub fn packs_of(segment: Segment) -> impl Iterator<Item = WholePack> {
    let Segment { header, records } = segment;
    let mut blobs: Vec<Vec<Placed>> = vec![Vec::new(); header.packs.len()];
    for record in records {
        if let Some(blobs) = blobs.get_mut(record.pack as usize) {
            blobs.push(record.placed);
        }
    }
    header.packs.into_vec().into_iter().zip(blobs).map(|(record, blobs)| WholePack { record, blobs })
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
        let (mut packs, mut records) = (Vec::new(), Vec::new());
        for (number, pack) in std::mem::take(&mut self.packs).into_values().enumerate() {
            packs.push(pack.record);
            let number = u32::try_from(number).map_err(|_| too_many())?;
            records.extend(pack.blobs.into_iter().map(|placed| BlobRecord { placed, pack: number }));
        }
        let header = SegmentHeader {
            session: self.session.id(),
            lineage: Lineage::default(),
            replaces: Ascending::new(replaces.to_vec()).map_err(|_| too_many())?,
            packs: Ascending::new(packs).map_err(|_| too_many())?,
            blobs: 0,
            signature: Signature::default(),
            extras: Extras::default(),
        };
        self.repository.objects().put(&Segment::new(header, records))?;
        self.written += 1;
        Ok(())
    }
}

fn too_many() -> RepoError {
    RepoError::Refused("an index segment would list more than one can hold".into())
}
