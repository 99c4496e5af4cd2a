//! Packs: sealed blobs, a sealed directory of them, a sealed trailer (format-spec, "Packs").
//!
//! The directory has no count and no offsets: records have a fixed length, and a blob begins where the
//! one before it ends. So nothing can be said twice and differently.

use super::codec::Malformed;
use super::envelope::{Fields, ObjectKind, PREFIX_LEN, TAG_LEN};
use super::limits::{BLOB_PLAIN_MAX, BLOB_STORED_MAX, PACK_BLOBS_MAX, PACK_MAX};
use crate::id::{BlobId, ID_LEN, SessionId};

/// Length of a directory record, in bytes.
pub const RECORD_LEN: usize = 42;
/// Plaintext length of the trailer.
pub const TRAILER_LEN: usize = 16;
/// Length of the trailer as stored.
pub const TRAILER_STORED_LEN: usize = TRAILER_LEN + TAG_LEN;

/// What a blob's plaintext is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum BlobKind {
    /// A chunk of content.
    Data = 1,
    /// A tree node.
    Tree = 2,
    /// A chunk-list node.
    List = 3,
    /// Zeros that hide a pack's true length.
    Padding = 4,
}

impl BlobKind {
    /// Every kind.
    pub const ALL: [BlobKind; 4] = [BlobKind::Data, BlobKind::Tree, BlobKind::List, BlobKind::Padding];

    /// The kind with this number.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }

    /// Whether packs of kind `pack` hold such blobs.
    pub fn belongs_in(self, pack: ObjectKind) -> bool {
        match self {
            BlobKind::Data => pack == ObjectKind::DataPack,
            BlobKind::Tree | BlobKind::List => pack == ObjectKind::MetaPack,
            BlobKind::Padding => matches!(pack, ObjectKind::DataPack | ObjectKind::MetaPack),
        }
    }
}

/// How a blob's plaintext was made shorter before sealing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Compression {
    /// It was not: stored and plaintext lengths are equal.
    None = 0,
    /// One zstd frame, shorter than the plaintext.
    Zstd = 1,
}

/// What is known of a blob beside where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobHeader {
    /// Its id.
    pub id: BlobId,
    /// What it is.
    pub kind: BlobKind,
    /// How it was compressed.
    pub compression: Compression,
    /// Bytes before sealing, after compression.
    pub stored_len: u32,
    /// Bytes of plaintext.
    pub plain_len: u32,
}

impl BlobHeader {
    const WHAT: &'static str = "blob record";

    /// Bytes that the sealed blob takes in its pack.
    pub fn sealed_len(&self) -> u64 {
        u64::from(self.stored_len).saturating_add(TAG_LEN as u64)
    }

    /// Its bytes, as in a directory and as associated data of the blob.
    pub fn to_bytes(&self) -> [u8; RECORD_LEN] {
        let mut bytes = Vec::with_capacity(RECORD_LEN);
        bytes.extend_from_slice(self.id.as_bytes());
        bytes.push(self.kind as u8);
        bytes.push(self.compression as u8);
        bytes.extend_from_slice(&self.stored_len.to_le_bytes());
        bytes.extend_from_slice(&self.plain_len.to_le_bytes());
        bytes.try_into().expect("the fields above are 42 bytes long")
    }

    /// The record in exactly these bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new(Self::WHAT, bytes);
        let header = Self::read(&mut fields)?;
        fields.end()?;
        Ok(header)
    }

    pub(super) fn read(fields: &mut Fields<'_>) -> Result<Self, Malformed> {
        let id = BlobId::from_bytes(fields.array::<ID_LEN>()?);
        let kind =
            BlobKind::from_byte(fields.byte()?).ok_or_else(|| Malformed::newer(Self::WHAT, "unknown blob kind"))?;
        let compression = match fields.byte()? {
            0 => Compression::None,
            1 => Compression::Zstd,
            other => return Err(Malformed::newer(Self::WHAT, format!("unknown compression {other}"))),
        };
        let header = BlobHeader { id, kind, compression, stored_len: fields.u32()?, plain_len: fields.u32()? };
        header.obey()?;
        Ok(header)
    }

    fn obey(&self) -> Result<(), Malformed> {
        if self.plain_len > BLOB_PLAIN_MAX || self.stored_len > BLOB_STORED_MAX {
            return Err(Malformed::new(Self::WHAT, "a blob over the limit"));
        }
        let fits = match self.compression {
            Compression::None => self.stored_len == self.plain_len,
            Compression::Zstd => self.stored_len < self.plain_len && self.kind != BlobKind::Padding,
        };
        if !fits {
            return Err(Malformed::new(Self::WHAT, "lengths that its compression does not give"));
        }
        if self.plain_len == 0 && self.kind != BlobKind::Padding {
            return Err(Malformed::new(Self::WHAT, "an empty blob"));
        }
        Ok(())
    }
}

/// A blob and where it begins in its pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Placed {
    /// The blob.
    pub blob: BlobHeader,
    /// Byte offset of its ciphertext in the pack.
    pub offset: u64,
}

impl Placed {
    /// Byte offset of what follows it.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.blob.sealed_len())
    }
}

/// A pack's directory: who wrote it, and its blobs in the order in which they lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// The session of the writer.
    pub session: SessionId,
    /// The blobs, from the prefix on without a gap.
    pub blobs: Vec<Placed>,
}

impl Directory {
    const WHAT: &'static str = "pack directory";

    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(directory_len(self.blobs.len()));
        bytes.extend_from_slice(self.session.as_bytes());
        self.blobs.iter().for_each(|placed| bytes.extend_from_slice(&placed.blob.to_bytes()));
        bytes
    }

    /// The directory of a pack of kind `pack`, in exactly these bytes.
    pub fn from_bytes(pack: ObjectKind, bytes: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new(Self::WHAT, bytes);
        let session = SessionId::from_bytes(fields.array::<ID_LEN>()?);
        let mut blobs = Vec::new();
        let mut offset = PREFIX_LEN as u64;
        while !fields.rest.is_empty() {
            if blobs.len() == PACK_BLOBS_MAX {
                return Err(Malformed::new(Self::WHAT, "more blobs than the limit"));
            }
            let blob = BlobHeader::read(&mut fields)?;
            if !blob.kind.belongs_in(pack) {
                return Err(Malformed::new(Self::WHAT, "a blob of a kind that does not belong in this pack"));
            }
            let placed = Placed { blob, offset };
            offset = placed.end();
            if offset > PACK_MAX {
                return Err(Malformed::new(Self::WHAT, "a pack over the limit"));
            }
            blobs.push(placed);
        }
        Ok(Directory { session, blobs })
    }

    /// Byte offset at which the sealed directory itself begins.
    pub fn offset(&self) -> u64 {
        self.blobs.last().map_or(PREFIX_LEN as u64, Placed::end)
    }
}

/// Plaintext length of a directory of `blobs` blobs.
pub fn directory_len(blobs: usize) -> usize {
    blobs.saturating_mul(RECORD_LEN).saturating_add(ID_LEN)
}

/// The end of a pack: how long the sealed directory before it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trailer {
    /// Length of the sealed directory, in bytes.
    pub directory_stored_len: u64,
}

impl Trailer {
    const WHAT: &'static str = "pack trailer";

    /// Its bytes.
    pub fn to_bytes(self) -> [u8; TRAILER_LEN] {
        let mut bytes = [0; TRAILER_LEN];
        if let Some((len, _reserved)) = bytes.split_first_chunk_mut::<8>() {
            *len = self.directory_stored_len.to_le_bytes();
        }
        bytes
    }

    /// The trailer of a pack of `pack_len` bytes, in exactly these bytes.
    pub fn from_bytes(pack_len: u64, bytes: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new(Self::WHAT, bytes);
        let directory_stored_len = fields.u64()?;
        if fields.u64()? != 0 {
            return Err(Malformed::newer(Self::WHAT, "reserved bytes are in use"));
        }
        fields.end()?;
        let trailer = Trailer { directory_stored_len };
        trailer.directory_offset(pack_len).map(|_| trailer)
    }

    /// Byte offset of the sealed directory in a pack of `pack_len` bytes.
    pub fn directory_offset(&self, pack_len: u64) -> Result<u64, Malformed> {
        let least = directory_len(0).saturating_add(TAG_LEN) as u64;
        pack_len
            .checked_sub(TRAILER_STORED_LEN as u64)
            .and_then(|end| end.checked_sub(self.directory_stored_len))
            .filter(|offset| *offset >= PREFIX_LEN as u64 && self.directory_stored_len >= least)
            .ok_or_else(|| Malformed::new(Self::WHAT, "a directory that does not fit its pack"))
    }
}
