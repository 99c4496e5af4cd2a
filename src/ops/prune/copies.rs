//! Copies that stay while others go are opened first: whoever once had the keys, or a disk, may have made a pack that does
//! not hold what the index says of it (format-spec, "Prune", P4 and D6).

use rayon::prelude::*;

use super::Prune;
use super::usage::{Needed, pass};
use crate::id::{BlobId, PackId};
use crate::ops::stretches::stretches;
use crate::repo::{Location, RepoError, Result};

/// Blobs whose copies are opened together: some ten megabytes of places.
const AT_ONCE: usize = 1 << 15;

/// A blob of which a copy goes, and its copies that stay.
struct Kept {
    id: BlobId,
    stays: Vec<Location>,
}

impl Prune<'_> {
    /// Of every needed blob that lies in a condemned pack and elsewhere too, opens a copy that stays. Those that do not
    /// open are not relied on any more; a blob of which none does is stored anew, out of the pack that goes.
    pub(super) fn open_what_stays(&mut self, needed: &Needed<'_>) -> Result<()> {
        let (mut batch, mut unfounded) = (Vec::new(), Vec::new());
        pass(self.repository, needed, self.listener, &mut |id, locations, is_needed| {
            batch.extend(is_needed.then(|| self.kept(id, locations)).flatten());
            if batch.len() >= AT_ONCE {
                unfounded.extend(self.unfounded(&std::mem::take(&mut batch))?);
            }
            Ok(())
        })?;
        unfounded.extend(self.unfounded(&batch)?);
        for (pack, id) in &unfounded {
            self.writer.session_mut().usable_mut().disbelieve(*pack, *id);
            self.report.unfounded.insert(*pack);
        }
        for (_, id) in &unfounded {
            self.save_from_anywhere(id)?;
        }
        Ok(())
    }

    /// A blob of which a copy goes and others stay. What this prune stored itself was opened before.
    fn kept(&self, id: &BlobId, locations: &[Location]) -> Option<Kept> {
        let usable = self.writer.session().usable();
        let goes = |location: &Location| usable.condemned().contains_key(&location.pack);
        let stays = |location: &&Location| usable.holds(&location.pack, location.pack_len, id);
        if !locations.iter().any(goes) || self.writer.has_put(locations) {
            return None;
        }
        let stays: Vec<Location> = locations.iter().filter(stays).copied().collect();
        Some(Kept { id: *id, stays }).filter(|kept| !kept.stays.is_empty())
    }

    /// The copies that do not open, of blobs of which no copy does.
    fn unfounded(&self, batch: &[Kept]) -> Result<Vec<(PackId, BlobId)>> {
        let mut in_order: Vec<&Kept> = batch.iter().collect();
        in_order.sort_unstable_by_key(|kept| (kept.stays[0].pack, kept.stays[0].placed.offset));
        let stretches = stretches(&in_order, |kept| &kept.stays[0]);
        let found = stretches.into_par_iter().map(|stretch| self.unopened(&in_order[stretch]));
        let mut unfounded = Vec::new();
        for kept in found.collect::<Result<Vec<_>>>()?.into_iter().flatten() {
            if !self.opens_anywhere(&kept.stays)? {
                unfounded.extend(kept.stays.iter().map(|location| (location.pack, kept.id)));
            }
        }
        Ok(unfounded)
    }

    /// Those of a stretch whose first copies do not open.
    fn unopened<'k>(&self, stretch: &[&'k Kept]) -> Result<Vec<&'k Kept>> {
        self.listener.go_on()?;
        let (Some(first), Some(last)) = (stretch.first(), stretch.last()) else { return Ok(Vec::new()) };
        let (first, end) = (&first.stays[0], last.stays[0].placed.end());
        let begin = first.placed.offset;
        let read = self.repository.opener(&first.pack, first.class).and_then(|opener| {
            let bytes = self.repository.read_pack_range(&first.pack, begin, end.saturating_sub(begin))?;
            Ok((opener, bytes))
        });
        let (opener, bytes) = match read {
            Ok(read) => read,
            Err(RepoError::Damaged { .. } | RepoError::Missing { .. }) => return Ok(stretch.to_vec()),
            Err(error) => return Err(error),
        };
        let opens = |kept: &&&Kept| {
            let Location { pack, placed, .. } = &kept.stays[0];
            let at = (placed.offset - begin) as usize;
            let sealed = bytes.get(at..).and_then(|rest| rest.get(..placed.blob.sealed_len() as usize));
            sealed.is_some_and(|sealed| self.repository.open_stored(pack, &opener, placed, sealed.to_vec()).is_ok())
        };
        Ok(stretch.iter().filter(|kept| !opens(kept)).copied().collect())
    }

    fn opens_anywhere(&self, locations: &[Location]) -> Result<bool> {
        for location in locations {
            match self.repository.read_stored(location) {
                Ok(_) => return Ok(true),
                Err(RepoError::Damaged { .. } | RepoError::Missing { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Stores a blob anew, from any place where it can still be read.
    ///
    /// # Errors
    ///
    /// Why it cannot be read, if that is so everywhere.
    pub(super) fn save_from_anywhere(&self, id: &BlobId) -> Result<()> {
        let located = self.repository.view().locate(id)?;
        let mut failure = RepoError::Missing { what: format!("blob {id}") };
        for location in located {
            match self.repository.read_stored(&location) {
                Ok(stored) => return self.writer.save(id, || Ok(stored)),
                Err(error @ (RepoError::Damaged { .. } | RepoError::Missing { .. })) => failure = error,
                Err(error) => return Err(error),
            }
        }
        Err(failure)
    }
}
