//! Replacing index segments: fewer and without packs that are about to go (format-spec, "Prune", D8).
//!
//! Only segments that list such a pack, or are small, are rewritten: leaving another as it is says the same as
//! writing it again.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::error::Result;
use super::relist::too_many;
use super::session::Announced;
use super::{ActiveSegment, Repository};
use crate::format::limits::{SEGMENT_PACKS_MAX, SEGMENT_REPLACES_MAX};
use crate::format::segment::{Segment, WholePack};
use crate::id::{IndexId, PackId, SessionId};

/// A segment of fewer blobs is small.
const SMALL: u32 = 1 << 16;
/// So many small segments are worth merging.
const MANY: usize = 8;
/// A merged segment is closed when it lists so many blobs: some ten megabytes.
const FULL: usize = 1 << 18;

/// What replacing did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Replaced {
    /// Segments that were replaced and deleted.
    pub removed: u64,
    /// Segments that were put instead.
    pub written: u64,
}

impl Repository {
    /// Replaces the segments that list one of `omit`, without it, and merges small ones when they are many. The
    /// view must just have been brought up to date. Segments of `live` sessions are left alone.
    ///
    /// # Errors
    ///
    /// [`RepoError::Missing`](super::RepoError::Missing) if a segment vanished meanwhile: someone else replaced it, look again.
    pub fn replace_segments(
        &self,
        session: &Announced,
        omit: &HashSet<PackId>,
        live: &HashSet<SessionId>,
    ) -> Result<Replaced> {
        let (chosen, replaced) = {
            let view = self.view();
            (choose(view.segments().filter(|segment| !live.contains(&segment.session)), omit), view.replaced())
        };
        if chosen.is_empty() {
            return Ok(Replaced::default());
        }
        // Those first that would go on to list what is omitted.
        let mut replaces: Vec<IndexId> = chosen.iter().copied().chain(replaced).collect();
        replaces.truncate(SEGMENT_REPLACES_MAX);
        let mut merge = Merge { repository: self, session: session.id(), packs: BTreeMap::new(), blobs: 0, written: 0 };
        let mut seen = HashSet::new();
        for id in &chosen {
            merge.take(self.objects().get::<Segment>(id)?, omit, &mut seen)?;
        }
        merge.put(&replaces)?;
        // Looked at again after it was put: whoever took this session for dead may have closed the epoch that it is
        // sealed under, and then it replaces nothing (format-spec, "Closing").
        session.must_be_there("no index segment was removed")?;
        let written = merge.written;
        for id in &replaces {
            self.objects().delete::<Segment>(id)?;
        }
        self.refresh_index()?;
        Ok(Replaced { removed: replaces.len() as u64, written })
    }

    /// Whether small segments are so many that merging them is worth it.
    pub fn has_many_small_segments(&self) -> bool {
        self.view().segments().filter(|segment| segment.blobs < SMALL).count() >= MANY
    }
}

/// The segments to rewrite.
fn choose(segments: impl Iterator<Item = ActiveSegment>, omit: &HashSet<PackId>) -> BTreeSet<IndexId> {
    let (mut chosen, mut small) = (BTreeSet::new(), Vec::new());
    for segment in segments {
        if segment.packs.iter().any(|pack| omit.contains(&pack.id)) {
            chosen.insert(segment.id);
        } else if segment.blobs < SMALL {
            small.push(segment.id);
        }
    }
    if small.len() >= MANY {
        chosen.extend(small);
    }
    chosen
}

/// Segments in the making, one at a time.
struct Merge<'r> {
    repository: &'r Repository,
    session: SessionId,
    packs: BTreeMap<PackId, WholePack>,
    blobs: usize,
    written: u64,
}

impl Merge<'_> {
    /// Takes what a segment lists but `omit`, and what was taken before. Of two that say different things of a pack
    /// both are taken, in segments of their own: which is right shows when it is read.
    fn take(&mut self, segment: Segment, omit: &HashSet<PackId>, seen: &mut HashSet<blake3::Hash>) -> Result<()> {
        for pack in segment.into_packs() {
            let id = pack.record.id;
            if omit.contains(&id) || !seen.insert(said(&pack)) {
                continue;
            }
            if self.packs.contains_key(&id) {
                self.put(&[])?;
            }
            self.blobs += pack.blobs.len();
            self.packs.insert(id, pack);
            if self.blobs >= FULL || self.packs.len() >= SEGMENT_PACKS_MAX {
                self.put(&[])?;
            }
        }
        Ok(())
    }

    /// Puts what was taken. Each pack is listed whole; the last segment names what all of them replace.
    fn put(&mut self, replaces: &[IndexId]) -> Result<()> {
        self.blobs = 0;
        let packs = std::mem::take(&mut self.packs).into_values().collect();
        let segment = Segment::listing(self.session, packs, replaces).map_err(|_| too_many())?;
        self.repository.objects().put(&segment)?;
        self.written += 1;
        Ok(())
    }
}

/// What a segment says of a pack, in short.
fn said(pack: &WholePack) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(pack.record.id.as_bytes()).update(&pack.record.len.to_le_bytes());
    for placed in &pack.blobs {
        hasher.update(&placed.blob.to_bytes()).update(&placed.offset.to_le_bytes());
    }
    hasher.finalize()
}
