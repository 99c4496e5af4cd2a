//! What is needed of each pack: the marks beside the index, both sorted, in one pass and in constant memory
//! but for a few numbers for each pack.

use std::collections::BTreeMap;

use super::Listener;
use super::marks::{Beside, Marks};
use crate::id::{BlobId, PackId};
use crate::repo::{Location, Repository, Result, Usable};

/// What is needed of one pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PackUse {
    /// Bytes of blobs that are needed, as they lie in it.
    pub needed: u64,
    /// How many they are.
    pub needed_blobs: u64,
    /// Bytes of blobs that are not needed, or that another pack holds as well.
    pub spare: u64,
    /// How many they are.
    pub spare_blobs: u64,
}

/// What is needed of all packs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Usage {
    /// By pack; packs that the index does not list are not in it.
    pub packs: BTreeMap<PackId, PackUse>,
    /// Blobs that the index lists.
    pub blobs: u64,
    /// Needed blobs that lie in condemned packs alone, by pack: they must be copied out.
    pub stranded: BTreeMap<PackId, u64>,
    /// Needed blobs that lie in no pack that is there.
    pub lost: u64,
    /// One of them, unless the index does not list any.
    pub lost_example: Option<BlobId>,
    /// Needed blobs of which the index lists several copies, wherever.
    pub copied: u64,
    /// Needed blobs that lie in several usable packs.
    shared: u64,
}

/// Which blobs are needed: what any of several walks marked.
pub(super) struct Needed<'m>(pub Vec<&'m Marks>);

impl<'m> Needed<'m> {
    pub fn contains(&self, id: &BlobId) -> Result<bool> {
        for marks in &self.0 {
            if marks.contains(id)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn beside(&self) -> Result<Vec<Beside<'m>>> {
        self.0.iter().map(|marks| marks.beside()).collect()
    }
}

/// Holds the marks against the index. A blob that is needed and lies in several usable packs is counted as
/// needed in one of them: the one of which most is needed anyway.
pub(super) fn measure(
    repository: &Repository,
    usable: &Usable,
    needed: &Needed<'_>,
    listener: &Listener<'_>,
) -> Result<Usage> {
    let mut usage = Usage::default();
    for pack in repository.view().packs().into_keys() {
        usage.packs.insert(pack, PackUse::default());
    }
    let unlisted = pass(repository, needed, listener, &mut |id, locations, is_needed| {
        usage.blobs += 1;
        usage.take(usable, id, locations, is_needed);
        Ok(())
    })?;
    usage.lost += unlisted;
    if usage.shared > 0 {
        let alone = usage.packs.clone();
        pass(repository, needed, listener, &mut |id, locations, is_needed| {
            if is_needed {
                usage.settle_shared(usable, id, locations, &alone);
            }
            Ok(())
        })?;
    }
    Ok(usage)
}

/// Told of a blob, its places, and whether it is needed.
pub(super) type EachBlob<'a> = &'a mut dyn FnMut(&BlobId, &[Location], bool) -> Result<()>;

/// Calls `each` for every blob that the index lists, with whether it is needed; gives how many are needed
/// that it does not list.
pub(super) fn pass(
    repository: &Repository,
    needed: &Needed<'_>,
    listener: &Listener<'_>,
    each: EachBlob<'_>,
) -> Result<u64> {
    let mut beside = needed.beside()?;
    let (mut unlisted, mut count) = (0, 0u32);
    repository.view().each_blob(&mut |id, locations| {
        count = count.wrapping_add(1);
        if count % (1 << 16) == 0 {
            listener.go_on()?;
        }
        let mut is_needed = false;
        for marks in &mut beside {
            is_needed |= marks.is_marked(id, &mut unlisted)?;
        }
        each(id, locations, is_needed)
    })?;
    for marks in beside {
        unlisted += marks.rest()?;
    }
    Ok(unlisted)
}

impl Usage {
    fn take(&mut self, usable: &Usable, id: &BlobId, locations: &[Location], is_needed: bool) {
        let is_usable = |location: &&Location| usable.holds(&location.pack, location.pack_len, id);
        let copies = locations.iter().filter(is_usable).count();
        self.copied += u64::from(is_needed && locations.len() > 1);
        if is_needed && copies == 0 {
            return self.take_stranded(usable, id, locations);
        }
        self.shared += u64::from(is_needed && copies > 1);
        for location in locations {
            let len = location.placed.blob.sealed_len();
            let pack = self.packs.entry(location.pack).or_default();
            match is_needed && is_usable(&location) && copies == 1 {
                true => (pack.needed, pack.needed_blobs) = (pack.needed + len, pack.needed_blobs + 1),
                // Shared ones are settled when it is known of which pack most is needed.
                false => (pack.spare, pack.spare_blobs) = (pack.spare + len, pack.spare_blobs + 1),
            }
        }
    }

    fn take_stranded(&mut self, usable: &Usable, id: &BlobId, locations: &[Location]) {
        let is_there = |location: &&Location| usable.condemned().get(&location.pack) == Some(&location.pack_len);
        match locations.iter().find(is_there) {
            Some(location) => *self.stranded.entry(location.pack).or_default() += 1,
            None => {
                self.lost += 1;
                self.lost_example.get_or_insert(*id);
            }
        }
    }

    fn settle_shared(
        &mut self,
        usable: &Usable,
        id: &BlobId,
        locations: &[Location],
        alone: &BTreeMap<PackId, PackUse>,
    ) {
        let is_usable = |location: &&Location| usable.holds(&location.pack, location.pack_len, id);
        let copies: Vec<&Location> = locations.iter().filter(is_usable).collect();
        if copies.len() < 2 {
            return;
        }
        let needed_alone = |pack: &PackId| alone.get(pack).map_or(0, |pack| pack.needed);
        let keeper = copies.iter().max_by_key(|copy| (needed_alone(&copy.pack), copy.pack));
        if let Some(pack) = keeper.and_then(|keeper| self.packs.get_mut(&keeper.pack)) {
            let len = copies[0].placed.blob.sealed_len();
            (pack.needed, pack.needed_blobs) = (pack.needed + len, pack.needed_blobs + 1);
            pack.spare = pack.spare.saturating_sub(len);
            pack.spare_blobs = pack.spare_blobs.saturating_sub(1);
        }
    }
}
