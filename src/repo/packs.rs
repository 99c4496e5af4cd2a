//! Packs from the inside: what their own ends say, and blobs as they are stored (format-spec, "Packs").

use super::error::{RepoError, Result};
use super::reader::DECOMPRESSOR;
use super::{Location, Repository, names};
use crate::crypto::{Namer, PackOpener};
use crate::format::envelope::{ObjectKind, PREFIX_LEN, Prefix};
use crate::format::pack::{BlobHeader, Compression, Directory, Placed, TRAILER_STORED_LEN};
use crate::format::segment::PackClass;
use crate::id::PackId;

/// Bytes at the end of a pack that are read first: its trailer, and nearly always all of its directory.
const TAIL: u64 = 64 << 10;

/// Bytes that are asked of the store at a time when all of a pack is.
const WINDOW: u64 = 4 << 20;

/// A pack as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackInside {
    /// What it holds.
    pub class: PackClass,
    /// The epoch that it is sealed under.
    pub epoch: u32,
    /// Who wrote it, and its blobs.
    pub directory: Directory,
}

impl Repository {
    /// What a pack of `len` bytes says of itself. Reads its prefix and its end.
    pub fn look_into_pack(&self, id: &PackId, len: u64) -> Result<PackInside> {
        let prefix = self.pack_prefix(id)?;
        let class = match prefix.kind {
            ObjectKind::DataPack => PackClass::Data,
            ObjectKind::MetaPack => PackClass::Meta,
            _ => {
                let object = names::pack(id).to_string();
                return Err(RepoError::Damaged { object, why: "it is another kind of object".into() });
            }
        };
        let opener = self.opener(id, class)?;
        let directory = self.pack_directory(id, len, &opener)?;
        Ok(PackInside { class, epoch: prefix.epoch, directory })
    }

    /// What a pack begins with. It is authentic only when something in the pack has been opened.
    pub fn pack_prefix(&self, id: &PackId) -> Result<Prefix> {
        let prefix = self.read_pack_range(id, 0, PREFIX_LEN as u64)?;
        let split = Prefix::split(&prefix).map_err(|error| RepoError::malformed(names::pack(id), error));
        split.map(|(prefix, _)| prefix).map_err(|error| self.blamed(id, error))
    }

    /// One flipped bit can make a pack look as if a newer keepstone had written it: then its name tells.
    pub(super) fn blamed(&self, id: &PackId, error: RepoError) -> RepoError {
        let is_newer = matches!(error, RepoError::NeedsNewer { .. });
        let intact = || {
            let len = self.objects().store().len(&names::pack(id))?;
            self.pack_is_intact(id, len)
        };
        match is_newer && matches!(intact(), Ok(false)) {
            true => RepoError::Damaged {
                object: names::pack(id).to_string(),
                why: "its bytes do not have the hash that it is named by".into(),
            },
            false => error,
        }
    }

    /// Whether the first `len` bytes of a pack have the hash that it is named by. Reads all of them.
    pub fn pack_is_intact(&self, id: &PackId, len: u64) -> Result<bool> {
        let (mut hasher, mut at) = (blake3::Hasher::new(), 0);
        while at < len {
            let window = self.read_pack_range(id, at, WINDOW.min(len - at))?;
            hasher.update(&window);
            at += window.len() as u64;
        }
        Ok(PackId::from_bytes(*hasher.finalize().as_bytes()) == *id)
    }

    /// The directory of a pack of `len` bytes, from its end.
    pub fn pack_directory(&self, id: &PackId, len: u64, opener: &PackOpener) -> Result<Directory> {
        let damaged = |why: String| RepoError::Damaged { object: names::pack(id).to_string(), why };
        let tail_at = len.saturating_sub(TAIL);
        let tail = self.read_pack_range(id, tail_at, len - tail_at)?;
        let end = tail.len().checked_sub(TRAILER_STORED_LEN).ok_or_else(|| damaged("shorter than any pack".into()))?;
        let trailer = opener.open_trailer(len, &tail[end..]).map_err(|error| damaged(error.to_string()))?;
        let offset = trailer.directory_offset(len).map_err(|error| damaged(error.to_string()))?;
        let sealed = match offset.checked_sub(tail_at) {
            Some(begin) => tail[begin as usize..end].to_vec(),
            None => self.read_pack_range(id, offset, trailer.directory_stored_len)?,
        };
        opener.open_directory(offset, sealed).map_err(|error| damaged(error.to_string()))
    }

    /// Whether every blob of a pack opens, and is what its id names. Reads all of the pack.
    pub fn holds_what_it_lists(&self, id: &PackId, inside: &PackInside) -> Result<bool> {
        let opener = self.opener(id, inside.class)?;
        for placed in &inside.directory.blobs {
            let read = self.read_pack_range(id, placed.offset, placed.blob.sealed_len());
            match read.and_then(|sealed| self.open_stored(id, &opener, placed, sealed)) {
                Ok(_) => {}
                Err(RepoError::Damaged { .. } | RepoError::Missing { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// A sealed blob as it was stored, compressed or not: authentic, and its plaintext is what its id names. To be
    /// stored again elsewhere without compressing it anew.
    pub fn open_stored(&self, pack: &PackId, opener: &PackOpener, placed: &Placed, sealed: Vec<u8>) -> Result<Vec<u8>> {
        self.open_renamed(pack, opener, placed, sealed, None).map(|(_, stored)| stored)
    }

    /// The same, under the name that `namer` gives it, for another repository.
    pub fn open_renamed(
        &self,
        pack: &PackId,
        opener: &PackOpener,
        placed: &Placed,
        sealed: Vec<u8>,
        namer: Option<&Namer>,
    ) -> Result<(BlobHeader, Vec<u8>)> {
        let mut stored = sealed;
        let damaged = |why: String| self.blob_is_damaged(pack, placed, why);
        opener.open(placed, &mut stored).map_err(|error| damaged(error.to_string()))?;
        let unpacked = match placed.blob.compression {
            Compression::None => None,
            Compression::Zstd => {
                let plain_len = placed.blob.plain_len as usize;
                let plain = DECOMPRESSOR.with_borrow_mut(|zstd| zstd.decompress(&stored, plain_len));
                Some(plain.map_err(|error| damaged(error.to_string()))?)
            }
        };
        let plain = unpacked.as_deref().unwrap_or(&stored);
        if self.objects().keys().namer().name(placed.blob.kind, plain) != placed.blob.id {
            return Err(damaged("its content is not what its id names".into()));
        }
        let id = namer.map_or(placed.blob.id, |namer| namer.name(placed.blob.kind, plain));
        Ok((BlobHeader { id, ..placed.blob }, stored))
    }

    /// The blob at a location as it is stored there, in the store itself: to be stored again elsewhere.
    pub fn read_stored(&self, location: &Location) -> Result<(BlobHeader, Vec<u8>)> {
        let Location { pack, class, placed, .. } = location;
        let opener = self.opener(pack, *class)?;
        let sealed = self.read_pack_range(pack, placed.offset, placed.blob.sealed_len())?;
        Ok((placed.blob, self.open_stored(pack, &opener, placed, sealed)?))
    }
}
