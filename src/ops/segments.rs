//! Segments, without their blobs: which packs they list, how many blobs in each, and a sum of where these lie.

use crate::crypto::Sealed;
use crate::format::limits::SEGMENT_MAX;
use crate::format::pack::Placed;
use crate::format::segment::{PackRecord, Segment};
use crate::id::{IndexId, SessionId};
use crate::repo::{RepoError, Repository, Result, name_of};
use crate::storage::StoreError;

/// A pack as one segment lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackInSegment {
    /// The pack's own record.
    pub record: PackRecord,
    /// Records of blobs in it.
    pub rows: u32,
    /// What these records add up to.
    pub places: Places,
}

/// What one segment lists.
#[derive(Debug, Clone)]
pub struct SegmentOutline {
    /// The segment.
    pub id: IndexId,
    /// Who wrote it.
    pub session: SessionId,
    /// Segments that it says are passed over.
    pub replaces: Vec<IndexId>,
    /// Its packs.
    pub packs: Vec<PackInSegment>,
}

/// A sum over records of blobs and where they lie, in any order: two lists with one sum say the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Places(u128);

impl Places {
    /// Adds a blob.
    pub fn add(&mut self, placed: &Placed) {
        let bytes = placed.blob.to_bytes();
        let hash = blake3::Hasher::new().update(&bytes).update(&placed.offset.to_le_bytes()).finalize();
        let half = hash.as_bytes().first_chunk().expect("a hash is 32 bytes long");
        self.0 = self.0.wrapping_add(u128::from_le_bytes(*half));
    }

    /// The sum over these blobs.
    pub fn of(blobs: &[Placed]) -> Self {
        let mut places = Places::default();
        blobs.iter().for_each(|placed| places.add(placed));
        places
    }
}

/// Reads a segment without holding its records.
pub fn outline(repository: &Repository, id: &IndexId) -> Result<SegmentOutline> {
    let name = name_of::<Segment>(id);
    let damaged = |why: String| RepoError::Damaged { object: name.to_string(), why };
    let objects = repository.objects();
    let bytes = objects.store().get(&name, SEGMENT_MAX).map_err(|error| match error {
        StoreError::NotFound { .. } => RepoError::Missing { what: name.to_string() },
        StoreError::TooLong { .. } => damaged(error.to_string()),
        other => other.into(),
    })?;
    if IndexId::of_stored(&bytes) != *id {
        return Err(damaged("its bytes do not have the hash that it is named by".into()));
    }
    let sealed = Sealed::<Segment>::claimed(bytes);
    let opened = objects.object_keys().open(&sealed).map_err(|error| damaged(error.to_string()))?;
    objects.refuse_late(id, &sealed)?;
    let malformed = |error| RepoError::malformed(&name, error);
    let (header, records) = Segment::split(opened.content().map_err(malformed)?).map_err(malformed)?;
    let unseen = |record: &PackRecord| PackInSegment { record: *record, rows: 0, places: Places::default() };
    let mut packs: Vec<PackInSegment> = header.packs.iter().map(unseen).collect();
    for record in records {
        let record = record.map_err(malformed)?;
        if let Some(pack) = packs.get_mut(record.pack as usize) {
            pack.rows += 1;
            pack.places.add(&record.placed);
        }
    }
    Ok(SegmentOutline { id: *id, session: header.session, replaces: header.replaces.to_vec(), packs })
}
