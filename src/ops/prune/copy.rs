//! Copying what is needed out of packs that are about to go: verified, and not compressed anew.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::Prune;
use super::usage::Needed;
use crate::crypto::PackOpener;
use crate::format::pack::{BlobKind, Placed};
use crate::id::{BlobId, PackId};
use crate::repo::{PackInside, RepoError, Result};

/// Bytes that are read at a time, unless one blob is longer.
const WINDOW: u64 = 4 << 20;
/// Bytes that are read though nobody wants them, rather than asking twice.
const GAP: u64 = 128 << 10;

impl Prune<'_> {
    /// Stores anew what of these packs is needed and lies nowhere that may be relied on.
    pub(super) fn copy_out(&self, packs: &[PackId], needed: &Needed<'_>) -> Result<()> {
        let unopened = Mutex::new(Vec::new());
        for id in packs {
            self.listener.go_on()?;
            let usable = self.writer.session().usable();
            let Some(len) = usable.condemned().get(id).or_else(|| usable.packs().get(id)) else { continue };
            let PackInside { class, directory, .. } = self.repository.look_into_pack(id, *len)?;
            let mut wanted = Vec::new();
            for placed in directory.blobs {
                let blob = &placed.blob;
                if blob.kind != BlobKind::Padding && needed.contains(&blob.id)? && !self.writer.has(&blob.id)? {
                    wanted.push(placed);
                }
            }
            let opener = self.repository.opener(id, class)?;
            windows(wanted).par_iter().try_for_each(|window| self.copy_window(id, &opener, window, &unopened))?;
        }
        // Perhaps another copy opens, which goes as well.
        for id in unopened.into_inner().unwrap_or_else(PoisonError::into_inner) {
            self.save_from_anywhere(&id)?;
        }
        Ok(())
    }

    fn copy_window(
        &self,
        pack: &PackId,
        opener: &PackOpener,
        window: &[Placed],
        unopened: &Mutex<Vec<BlobId>>,
    ) -> Result<()> {
        self.listener.go_on()?;
        let (Some(first), Some(last)) = (window.first(), window.last()) else { return Ok(()) };
        let len = last.end() - first.offset;
        let bytes = self.repository.read_pack_range(pack, first.offset, len)?;
        self.listener.counters.bytes_done.fetch_add(len, Relaxed);
        for placed in window {
            let begin = (placed.offset - first.offset) as usize;
            let sealed = bytes[begin..begin + placed.blob.sealed_len() as usize].to_vec();
            // Opened before it is taken on: what cannot be opened anywhere fails this prune, and no one else.
            match self.repository.open_stored(pack, opener, placed, sealed) {
                Ok(stored) => self.writer.save(&placed.blob.id, || Ok((placed.blob, stored)))?,
                Err(RepoError::Damaged { .. }) => {
                    unopened.lock().unwrap_or_else(PoisonError::into_inner).push(placed.blob.id);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Blobs that are read together, in the order in which they lie.
fn windows(wanted: Vec<Placed>) -> Vec<Vec<Placed>> {
    let mut windows: Vec<Vec<Placed>> = Vec::new();
    for placed in wanted {
        let fits = |window: &Vec<Placed>| {
            let (first, last) = (window[0].offset, window[window.len() - 1].end());
            placed.offset - last <= GAP && placed.end() - first <= WINDOW
        };
        match windows.last_mut().filter(|window| fits(window)) {
            Some(window) => window.push(placed),
            None => windows.push(vec![placed]),
        }
    }
    windows
}
