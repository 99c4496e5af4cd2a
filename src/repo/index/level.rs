//! One level of the view: an immutable redb file. Touches the disk (through redb).

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use redb::{ReadOnlyDatabase, ReadOnlyTable, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};

use crate::format::limits::{BLOB_PLAIN_MAX, BLOB_STORED_MAX};
use crate::format::pack::{BlobHeader, BlobKind, Compression, Placed};
use crate::format::segment::PackClass;
use crate::id::{BlobId, IndexId, PackId, SessionId};

pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
pub(super) const SEGMENTS: TableDefinition<u32, &[u8]> = TableDefinition::new("segments");
pub(super) const PACKS: TableDefinition<u32, &[u8; PACK_ROW_LEN]> = TableDefinition::new("packs");
pub(super) const BLOBS: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("blobs");

/// What the tables hold; a file that says another number was left by another version.
pub(super) const LAYOUT: u64 = 3;
pub(super) const PACK_ROW_LEN: usize = 32 + 8 + 1 + 4;
const BLOB_ROW_LEN: usize = 4 + 4 + 1 + 1 + 8 + 4 + 4;
/// redb's own cache, for each level that is open.
const LEVEL_CACHE_BYTES: usize = 8 << 20;

/// Where a blob lies, by pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// The pack.
    pub pack: PackId,
    /// Its length.
    pub pack_len: u64,
    /// What it holds.
    pub class: PackClass,
    /// The blob within it.
    pub placed: Placed,
}

/// A pack in a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PackRow {
    pub id: PackId,
    pub len: u64,
    pub class: PackClass,
    pub blobs: u32,
}

impl PackRow {
    pub fn to_bytes(self) -> [u8; PACK_ROW_LEN] {
        let mut bytes = [0; PACK_ROW_LEN];
        bytes[..32].copy_from_slice(self.id.as_bytes());
        bytes[32..40].copy_from_slice(&self.len.to_le_bytes());
        bytes[40] = u8::from(self.class == PackClass::Meta);
        bytes[41..].copy_from_slice(&self.blobs.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; PACK_ROW_LEN]) -> Self {
        let mut cursor = Cursor(bytes);
        PackRow {
            id: PackId::from_bytes(cursor.take()),
            len: u64::from_le_bytes(cursor.take()),
            class: if cursor.take() == [0] { PackClass::Data } else { PackClass::Meta },
            blobs: u32::from_le_bytes(cursor.take()),
        }
    }
}

/// Where a blob lies, by numbers within its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlobRow {
    pub pack: u32,
    pub segment: u32,
    pub kind: BlobKind,
    pub compression: Compression,
    pub offset: u64,
    pub stored_len: u32,
    pub plain_len: u32,
}

impl BlobRow {
    pub fn append_to(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.pack.to_le_bytes());
        bytes.extend_from_slice(&self.segment.to_le_bytes());
        bytes.extend_from_slice(&[self.kind as u8, self.compression as u8]);
        bytes.extend_from_slice(&self.offset.to_le_bytes());
        bytes.extend_from_slice(&self.stored_len.to_le_bytes());
        bytes.extend_from_slice(&self.plain_len.to_le_bytes());
    }

    /// The rows of one blob; a row that makes no sense is none (the cache is not trusted to be whole).
    pub fn all(bytes: &[u8]) -> impl Iterator<Item = BlobRow> + '_ {
        bytes.chunks_exact(BLOB_ROW_LEN).filter_map(Self::from_bytes)
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor(bytes);
        let row = BlobRow {
            pack: u32::from_le_bytes(cursor.take()),
            segment: u32::from_le_bytes(cursor.take()),
            kind: BlobKind::from_byte(cursor.take::<1>()[0])?,
            compression: match cursor.take::<1>() {
                [0] => Compression::None,
                _ => Compression::Zstd,
            },
            offset: u64::from_le_bytes(cursor.take()),
            stored_len: u32::from_le_bytes(cursor.take()),
            plain_len: u32::from_le_bytes(cursor.take()),
        };
        // Memory is given by these lengths.
        (row.stored_len <= BLOB_STORED_MAX && row.plain_len <= BLOB_PLAIN_MAX).then_some(row)
    }
}

/// Takes fixed fields off rows whose length was checked by their type.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self.0.split_first_chunk().expect("a row has its whole length");
        self.0 = rest;
        *field
    }
}

/// A segment that a level covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Covered {
    pub id: IndexId,
    /// What it is sealed under.
    pub epoch: u32,
    pub session: SessionId,
    pub replaces: Vec<IndexId>,
    /// The packs that it lists, by their numbers in the level.
    pub packs: Vec<u32>,
    /// How many blobs it lists.
    pub blobs: u32,
}

impl Covered {
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = [&self.id.as_bytes()[..], self.session.as_bytes(), &self.epoch.to_le_bytes()].concat();
        bytes.extend_from_slice(&self.blobs.to_le_bytes());
        bytes.extend_from_slice(&(self.replaces.len() as u32).to_le_bytes());
        bytes.extend(self.replaces.iter().flat_map(|id| *id.as_bytes()));
        bytes.extend(self.packs.iter().flat_map(|pack| pack.to_le_bytes()));
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (id, rest) = bytes.split_first_chunk()?;
        let (session, rest) = rest.split_first_chunk()?;
        let (epoch, rest) = rest.split_first_chunk()?;
        let (blobs, rest) = rest.split_first_chunk()?;
        let (replaces, rest) = rest.split_first_chunk()?;
        let replaces = (u32::from_le_bytes(*replaces) as usize).checked_mul(32)?;
        let (replaces, packs) = rest.split_at_checked(replaces)?;
        let ids = replaces.chunks_exact(32).map(|id| IndexId::from_bytes(id.try_into().expect("32 bytes")));
        let packs = packs.chunks_exact(4).map(|pack| u32::from_le_bytes(pack.try_into().expect("4 bytes")));
        Some(Covered {
            id: IndexId::from_bytes(*id),
            epoch: u32::from_le_bytes(*epoch),
            session: SessionId::from_bytes(*session),
            replaces: ids.collect(),
            packs: packs.collect(),
            blobs: u32::from_le_bytes(*blobs),
        })
    }
}

/// An open level.
pub(super) struct Level {
    pub path: PathBuf,
    pub segments: Vec<Covered>,
    pub packs: Vec<PackRow>,
    pub rows: u64,
    /// Which of `segments` still count.
    pub live: Vec<bool>,
    blobs: ReadOnlyTable<&'static [u8; 32], &'static [u8]>,
    _database: ReadOnlyDatabase,
}

/// redb trusts its pages and panics on some that were damaged. Of a cache that is no reason to fail.
pub(super) fn contained<T, E: From<&'static str>>(
    read: impl FnOnce() -> std::result::Result<T, E>,
) -> std::result::Result<T, E> {
    // Nothing is read again from a level that failed: it is thrown away.
    std::panic::catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(E::from("it is damaged")))
}

impl Level {
    /// Opens a level; any reason not to is a reason to build it anew.
    pub fn open(path: &Path) -> std::result::Result<Level, String> {
        contained(|| Self::try_open(path).map_err(|error| error.to_string()))
    }

    fn try_open(path: &Path) -> std::result::Result<Level, Box<dyn std::error::Error>> {
        let mut builder = redb::Builder::new();
        let database = builder.set_cache_size(LEVEL_CACHE_BYTES).open_read_only(path)?;
        let read = database.begin_read()?;
        if read.open_table(META)?.get("layout")?.map(|layout| layout.value()) != Some(LAYOUT) {
            return Err("it has another layout".into());
        }
        let mut segments = Vec::new();
        for row in read.open_table(SEGMENTS)?.iter()? {
            segments.push(Covered::from_bytes(row?.1.value()).ok_or("a segment without an id")?);
        }
        let mut packs = Vec::new();
        for row in read.open_table(PACKS)?.iter()? {
            packs.push(PackRow::from_bytes(row?.1.value()));
        }
        let blobs = read.open_table(BLOBS)?;
        let live = vec![true; segments.len()];
        Ok(Level { path: path.to_owned(), live, segments, packs, rows: blobs.len()?, blobs, _database: database })
    }

    /// The live rows of `id`, each with its pack.
    pub fn find(&self, id: &BlobId, each: &mut dyn FnMut(&BlobRow, &PackRow)) -> std::result::Result<(), String> {
        // Copied out within: redb looks at a damaged page as late as when its value is asked for.
        let found = contained(|| {
            let rows = self.blobs.get(id.as_bytes()).map_err(|error| error.to_string())?;
            Ok::<_, String>(rows.map(|rows| rows.value().to_vec()))
        })?;
        let Some(rows) = found else { return Ok(()) };
        self.live_rows(&rows).for_each(|(row, pack)| each(&row, pack));
        Ok(())
    }

    /// All blobs, ascending by id, one after the other.
    pub fn stream(&self) -> std::result::Result<Stream<'_>, String> {
        Ok(Stream { level: self, all: contained(|| self.iter())?, id: None, rows: Vec::new() })
    }

    fn live_rows<'a>(&'a self, rows: &'a [u8]) -> impl Iterator<Item = (BlobRow, &'a PackRow)> {
        BlobRow::all(rows).filter_map(|row| {
            let live = self.live.get(row.segment as usize).copied().unwrap_or(false);
            live.then_some(())?;
            Some((row, self.packs.get(row.pack as usize)?))
        })
    }

    /// All blobs, ascending by id, with their rows as stored.
    pub fn iter(&self) -> std::result::Result<redb::Range<'_, &'static [u8; 32], &'static [u8]>, String> {
        self.blobs.iter().map_err(|error| error.to_string())
    }

    /// The share of its segments that still counts is so small that it is not worth keeping.
    pub fn is_mostly_dead(&self) -> bool {
        let live = self.live.iter().filter(|live| **live).count();
        live * 2 < self.live.len()
    }
}

/// The blobs of a level, in order.
pub(super) struct Stream<'l> {
    level: &'l Level,
    all: redb::Range<'l, &'static [u8; 32], &'static [u8]>,
    /// The blob at hand; `None` before the first and after the last.
    id: Option<BlobId>,
    rows: Vec<u8>,
}

impl Stream<'_> {
    /// Goes on to the next blob.
    pub fn step(&mut self) -> std::result::Result<(), String> {
        let Stream { all, id, rows, .. } = self;
        contained(|| {
            let row = all.next().transpose().map_err(|error| error.to_string())?;
            rows.clear();
            *id = row.map(|(id, found)| {
                rows.extend_from_slice(found.value());
                BlobId::from_bytes(*id.value())
            });
            Ok(())
        })
    }

    /// The blob at hand.
    pub fn id(&self) -> Option<BlobId> {
        self.id
    }

    /// Its live rows, each with its pack.
    pub fn rows(&self) -> impl Iterator<Item = (BlobRow, &PackRow)> {
        self.level.live_rows(&self.rows)
    }
}

impl Location {
    pub(super) fn new(id: &BlobId, row: &BlobRow, pack: &PackRow) -> Self {
        let blob = BlobHeader {
            id: *id,
            kind: row.kind,
            compression: row.compression,
            stored_len: row.stored_len,
            plain_len: row.plain_len,
        };
        Location { pack: pack.id, pack_len: pack.len, class: pack.class, placed: Placed { blob, offset: row.offset } }
    }
}
