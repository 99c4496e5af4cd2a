//! Reading packs: each once from start to end, in windows, while its hash is taken and its blobs are opened.

use std::collections::HashMap;

use crate::crypto::PackOpener;
use crate::format::pack::Placed;
use crate::id::PackId;
use crate::repo::{RepoError, Repository, Result, pack_name};

/// Bytes that are asked of the store at a time.
const WINDOW: u64 = 4 << 20;

/// What becomes of a blob that was reached: its bytes as stored, which are what its id names, or why not.
pub type OnBlob<'a> = &'a mut dyn FnMut(&Placed, Result<Vec<u8>>) -> Result<()>;

/// A pack that is being read.
pub struct Scan<'a> {
    /// Where it is.
    pub repository: &'a Repository,
    /// Which it is.
    pub pack: &'a PackId,
    /// Its cipher.
    pub opener: &'a PackOpener,
    /// Told of bytes as they come.
    pub on_bytes: &'a mut dyn FnMut(u64),
    /// Told of each blob.
    pub on_blob: OnBlob<'a>,
}

impl Scan<'_> {
    /// Reads the first `len` bytes, opens `blobs`, which ascend by offset, and gives the hash of the bytes.
    pub fn run(mut self, len: u64, blobs: &[Placed]) -> Result<[u8; 32]> {
        let mut hasher = blake3::Hasher::new();
        let mut blobs = blobs.iter().peekable();
        // What was read and not opened yet, and where in the pack that begins.
        let (mut held, mut held_at): (Vec<u8>, u64) = (Vec::new(), 0);
        let mut at = 0;
        while at < len {
            let window = self.repository.read_pack_range(self.pack, at, WINDOW.min(len - at))?;
            hasher.update(&window);
            held.extend_from_slice(&window);
            at += window.len() as u64;
            (self.on_bytes)(window.len() as u64);
            while let Some(placed) = blobs.next_if(|placed| placed.end() <= at) {
                self.open_held(placed, &held, held_at)?;
            }
            let keep_from = blobs.peek().map_or(at, |placed| placed.offset.clamp(held_at, at));
            held.drain(..(keep_from - held_at) as usize);
            held_at = keep_from;
        }
        for placed in blobs {
            let lost = self.damaged("it lies past the pack's end");
            (self.on_blob)(placed, Err(lost))?;
        }
        Ok(*hasher.finalize().as_bytes())
    }

    fn open_held(&mut self, placed: &Placed, held: &[u8], held_at: u64) -> Result<()> {
        let sealed = placed
            .offset
            .checked_sub(held_at)
            .and_then(|begin| held.get(usize::try_from(begin).ok()?..usize::try_from(placed.end() - held_at).ok()?));
        let opened = match sealed {
            Some(sealed) => self.repository.open_stored(self.pack, self.opener, placed, sealed.to_vec()),
            None => Err(self.damaged("blobs that overlap")),
        };
        (self.on_blob)(placed, opened)
    }

    fn damaged(&self, why: &str) -> RepoError {
        RepoError::Damaged { object: pack_name(self.pack).to_string(), why: why.into() }
    }
}

/// What the index says of the blobs in these packs, each ascending by offset. Goes through the whole index.
pub fn indexed_blobs(repository: &Repository, packs: &[PackId]) -> Result<HashMap<PackId, Vec<Placed>>> {
    let mut rows: HashMap<PackId, Vec<Placed>> = packs.iter().map(|id| (*id, Vec::new())).collect();
    repository.view().each(&mut |location| {
        if let Some(rows) = rows.get_mut(&location.pack) {
            rows.push(location.placed);
        }
    })?;
    for rows in rows.values_mut() {
        rows.sort_unstable_by_key(|placed| placed.offset);
        rows.dedup();
    }
    Ok(rows)
}
