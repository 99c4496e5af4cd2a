//! Fetching content: pack by pack in stretches, each blob verified and stored as it was compressed.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::build::save;
use super::walk::Event;
use super::{Copying, Failure};
use crate::format::content::Item;
use crate::format::pack::BlobKind;
use crate::id::BlobId;
use crate::ops::stretches::stretches;
use crate::repo::{Location, RepoError};

/// Names that are remembered; of blobs beyond that some are read again.
const NAMES_REMEMBERED: usize = 1 << 19;

/// What blobs of the source are called in the target.
pub(super) struct Names {
    /// `None` if they have the same names there.
    known: Option<HashMap<BlobId, (BlobId, u32)>>,
}

impl Names {
    pub fn new(related: bool) -> Self {
        Names { known: (!related).then(HashMap::new) }
    }

    /// The name of a blob that was fetched.
    pub fn of(&self, id: &BlobId) -> BlobId {
        match &self.known {
            None => *id,
            Some(known) => known.get(id).expect("a window is built after all that it needs was fetched").0,
        }
    }

    pub fn forget(&mut self) {
        self.known.iter_mut().for_each(HashMap::clear);
    }
}

/// A blob that is needed, and its length as it is referred to.
#[derive(Clone, Copy)]
struct Want {
    id: BlobId,
    len: u32,
}

/// The name of a blob in the target, as it was found out.
type Found = (BlobId, (BlobId, u32));

impl Copying<'_> {
    /// Makes sure that all data of a window is in the target, and that its names there are known.
    pub(super) fn fetch(&mut self, window: &[Event]) -> Result<(), Failure> {
        if self.names.known.as_ref().is_some_and(|known| known.len() > NAMES_REMEMBERED) {
            self.names.forget();
        }
        let wants = self.wanted(window)?;
        let mut located = Vec::with_capacity(wants.len());
        let mut failed = Vec::new();
        for want in wants {
            match self.locate(&want.id).map_err(Failure::Source)? {
                Some(location) => located.push((location, want)),
                None => failed.push(want),
            }
        }
        located.sort_unstable_by_key(|(location, _)| (location.pack, location.placed.offset));
        let failed = Mutex::new(failed);
        let read: Vec<Vec<Found>> = stretches(&located, |(location, _)| location)
            .into_par_iter()
            .map(|stretch| self.read(&located[stretch], &failed))
            .collect::<Result<_, Failure>>()?;
        let mut found: Vec<Found> = read.into_iter().flatten().collect();
        for want in failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            found.push(self.second_look(&want)?);
        }
        if let Some(known) = &mut self.names.known {
            known.extend(found);
        }
        Ok(())
    }

    /// The blobs that have to be read, each once.
    fn wanted(&self, window: &[Event]) -> Result<Vec<Want>, Failure> {
        let (mut seen, mut wants) = (HashSet::new(), Vec::new());
        for event in window {
            let Event::Item(Item::Data { id, len }) = event else { continue };
            let known_len = self.names.known.as_ref().and_then(|known| known.get(id)).map(|(_, len)| *len);
            if known_len.is_some_and(|known| known != *len) {
                return Err(Failure::Source(other_length(id, known_len.unwrap_or(0), *len)));
            }
            if known_len.is_some() || !seen.insert(*id) {
                continue;
            }
            if self.names.known.is_none() && self.writer.has(id).map_err(Failure::Target)? {
                continue;
            }
            wants.push(Want { id: *id, len: *len });
        }
        Ok(wants)
    }

    fn locate(&self, id: &BlobId) -> Result<Option<Location>, RepoError> {
        let located = self.from.view().locate(id)?;
        Ok(located.into_iter().find(|location| location.placed.blob.kind == BlobKind::Data))
    }

    /// Reads a stretch of a pack, and stores what is wanted of it. What cannot be read is looked for again.
    fn read(&self, stretch: &[(Location, Want)], failed: &Mutex<Vec<Want>>) -> Result<Vec<Found>, Failure> {
        self.go_on()?;
        let (Some((first, _)), Some((last, _))) = (stretch.first(), stretch.last()) else { return Ok(Vec::new()) };
        let (pack, begin, end) = (first.pack, first.placed.offset, last.placed.end());
        let read = self.from.opener(&pack, first.class).and_then(|opener| {
            let bytes = self.from.read_pack_range(&pack, begin, end.saturating_sub(begin))?;
            Ok((opener, bytes))
        });
        let fail = |want: &Want| failed.lock().unwrap_or_else(PoisonError::into_inner).push(*want);
        let Ok((opener, bytes)) = read else {
            stretch.iter().for_each(|(_, want)| fail(want));
            return Ok(Vec::new());
        };
        let namer = self.names.known.is_some().then(|| self.into.objects().keys().namer());
        let mut found = Vec::with_capacity(stretch.len());
        for (location, want) in stretch {
            self.go_on()?;
            let placed = &location.placed;
            let at = (placed.offset - begin) as usize;
            let sealed = bytes.get(at..).and_then(|rest| rest.get(..placed.blob.sealed_len() as usize));
            // Opened before it is taken on: what cannot be opened fails this snapshot, and no other.
            let opened = sealed.map(|sealed| self.from.open_renamed(&pack, &opener, placed, sealed.to_vec(), namer));
            match opened {
                Some(Ok((blob, stored))) if blob.plain_len == want.len => {
                    self.writer.save(&blob.id, || Ok((blob, stored))).map_err(Failure::Target)?;
                    found.push((want.id, (blob.id, want.len)));
                }
                _ => fail(want),
            }
        }
        Ok(found)
    }

    /// Tries every copy of a blob, after the index was listed again.
    fn second_look(&self, want: &Want) -> Result<Found, Failure> {
        let plain = self.from.read_blob(BlobKind::Data, &want.id).map_err(Failure::Source)?;
        if plain.len() != want.len as usize {
            return Err(Failure::Source(other_length(&want.id, plain.len() as u32, want.len)));
        }
        let id = save(self.into, &self.writer, BlobKind::Data, plain).map_err(Failure::Target)?;
        Ok((want.id, (id, want.len)))
    }
}

fn other_length(id: &BlobId, is: u32, said: u32) -> RepoError {
    RepoError::Damaged {
        object: format!("data blob {id}"),
        why: format!("it has {is} bytes where {said} are referred to"),
    }
}
