//! Builds levels: from segments, or from smaller levels. Touches the disk.

use std::collections::BTreeMap;
use std::path::Path;

use redb::Database;

use super::level::{BLOBS, BlobRow, Covered, LAYOUT, Level, META, PACKS, PackRow, SEGMENTS, contained};
use crate::format::segment::{BlobRecord, Segment, SegmentHeader};
use crate::id::{BlobId, IndexId, PackId};

type Failed = Box<dyn std::error::Error>;

/// redb's cache while a level is written.
const BUILD_CACHE_BYTES: usize = 16 << 20;

/// The file name of the level that covers these segments: whoever builds it, builds the same.
pub(super) fn file_name(segments: &[Covered]) -> String {
    let mut ids: Vec<&IndexId> = segments.iter().map(|segment| &segment.id).collect();
    ids.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&LAYOUT.to_le_bytes());
    ids.iter().for_each(|id| {
        hasher.update(id.as_bytes());
    });
    format!("{}.level", &hasher.finalize().to_hex()[..32])
}

/// A segment that no level covers yet.
pub(super) struct FreshSegment {
    pub id: IndexId,
    pub epoch: u32,
    pub segment: Segment,
}

/// Writes the level of these segments, and opens it.
pub(super) fn from_segments(dir: &Path, segments: Vec<FreshSegment>) -> Result<Level, Failed> {
    let mut packs = PackNumbers::default();
    let mut covered = Vec::with_capacity(segments.len());
    let mut rows: Vec<(BlobId, BlobRow)> =
        Vec::with_capacity(segments.iter().map(|fresh| fresh.segment.records.len()).sum());
    for (number, FreshSegment { id, epoch, segment }) in segments.into_iter().enumerate() {
        let number = u32::try_from(number)?;
        let renumbered: Vec<u32> = segment
            .header
            .packs
            .iter()
            .map(|pack| packs.number(PackRow { id: pack.id, len: pack.len, class: pack.class, blobs: pack.blobs }))
            .collect();
        rows.extend(segment.records.iter().map(|record| row(record, number, &renumbered)));
        covered.push(cover(id, epoch, &segment, renumbered));
    }
    rows.sort_unstable_by_key(|(id, row)| (*id, row.pack, row.offset, row.segment));
    write(dir, covered, packs, |insert| {
        let mut value = Vec::new();
        for group in rows.chunk_by(|a, b| a.0 == b.0) {
            value.clear();
            group.iter().for_each(|(_, row)| row.append_to(&mut value));
            insert(group[0].0.as_bytes(), &value)?;
        }
        Ok(())
    })
}

fn cover(id: IndexId, epoch: u32, segment: &Segment, packs: Vec<u32>) -> Covered {
    let SegmentHeader { session, replaces, .. } = &segment.header;
    Covered { id, epoch, session: *session, replaces: replaces.to_vec(), packs, blobs: segment.records.len() as u32 }
}

fn row(record: &BlobRecord, segment: u32, packs: &[u32]) -> (BlobId, BlobRow) {
    let blob = &record.placed.blob;
    let row = BlobRow {
        pack: packs[record.pack as usize],
        segment,
        kind: blob.kind,
        compression: blob.compression,
        offset: record.placed.offset,
        stored_len: blob.stored_len,
        plain_len: blob.plain_len,
    };
    (blob.id, row)
}

/// Writes one level that holds the live rows of `levels`, in constant memory, and opens it.
pub(super) fn from_levels(dir: &Path, levels: &[&Level]) -> Result<Level, Failed> {
    contained(|| merge(dir, levels))
}

fn merge(dir: &Path, levels: &[&Level]) -> Result<Level, Failed> {
    let mut packs = PackNumbers::default();
    let mut covered = Vec::new();
    let mut renumber = Vec::new();
    for level in levels {
        // Packs that only dead segments list are left behind.
        let mut numbers: Vec<Option<u32>> = vec![None; level.packs.len()];
        let mut segments = Vec::with_capacity(level.segments.len());
        for (segment, live) in level.segments.iter().zip(&level.live) {
            segments.push(live.then_some(covered.len() as u32));
            if *live {
                let mut renumbered = Vec::with_capacity(segment.packs.len());
                for number in &segment.packs {
                    let Some(pack) = level.packs.get(*number as usize) else { continue };
                    let number = *numbers[*number as usize].get_or_insert_with(|| packs.number(*pack));
                    renumbered.push(number);
                }
                covered.push(Covered { packs: renumbered, ..segment.clone() });
            }
        }
        renumber.push((segments, numbers));
    }
    let mut streams = Vec::new();
    for level in levels {
        streams.push(level.iter()?.peekable());
    }
    write(dir, covered, packs, |insert| {
        let mut value = Vec::new();
        while let Some(id) = streams.iter_mut().filter_map(|stream| key_of(stream.peek())).min() {
            value.clear();
            for (stream, (segments, numbers)) in streams.iter_mut().zip(&renumber) {
                if key_of(stream.peek()) != Some(id) {
                    continue;
                }
                let (_, rows) = stream.next().expect("it was peeked at")?;
                for mut row in BlobRow::all(rows.value()) {
                    let segment = segments.get(row.segment as usize).copied().flatten();
                    let pack = numbers.get(row.pack as usize).copied().flatten();
                    if let (Some(segment), Some(pack)) = (segment, pack) {
                        (row.segment, row.pack) = (segment, pack);
                        row.append_to(&mut value);
                    }
                }
            }
            if !value.is_empty() {
                insert(&id, &value)?;
            }
        }
        Ok(())
    })
}

type Row<'a> =
    Result<(redb::AccessGuard<'a, &'static [u8; 32]>, redb::AccessGuard<'a, &'static [u8]>), redb::StorageError>;

/// The key of the next row. A row that cannot be read sorts first, and fails when it is taken.
fn key_of(row: Option<&Row<'_>>) -> Option<[u8; 32]> {
    row.map(|row| row.as_ref().map_or([0; 32], |(key, _)| *key.value()))
}

type Insert<'a> = &'a mut dyn FnMut(&[u8; 32], &[u8]) -> Result<(), Failed>;

fn write(
    dir: &Path,
    covered: Vec<Covered>,
    packs: PackNumbers,
    fill: impl FnOnce(Insert<'_>) -> Result<(), Failed>,
) -> Result<Level, Failed> {
    // Someone may have cleared the cache since it was opened; that costs work, and is no error.
    std::fs::create_dir_all(dir)?;
    let temporary = tempfile::Builder::new().prefix(".building-").tempfile_in(dir)?;
    let path = dir.join(file_name(&covered));
    let database =
        Database::builder().set_cache_size(BUILD_CACHE_BYTES).create_file(temporary.as_file().try_clone()?)?;
    let mut write = database.begin_write()?;
    write.set_durability(redb::Durability::Immediate)?;
    write.open_table(META)?.insert("layout", LAYOUT)?;
    {
        let mut table = write.open_table(SEGMENTS)?;
        for (number, segment) in covered.iter().enumerate() {
            table.insert(u32::try_from(number)?, &segment.to_bytes()[..])?;
        }
        let mut table = write.open_table(PACKS)?;
        for (number, pack) in packs.rows.iter().enumerate() {
            table.insert(u32::try_from(number)?, &pack.to_bytes())?;
        }
        let mut table = write.open_table(BLOBS)?;
        fill(&mut |id, rows| {
            table.insert(id, rows)?;
            Ok(())
        })?;
    }
    write.commit()?;
    drop(database);
    // Opened before others can see it: whoever sees it may merge it into another and remove it.
    let mut level = Level::open(temporary.path())?;
    temporary.persist(&path)?;
    level.path = path;
    Ok(level)
}

/// Numbers packs as they come, each once.
#[derive(Default)]
struct PackNumbers {
    rows: Vec<PackRow>,
    numbers: BTreeMap<PackId, u32>,
}

impl PackNumbers {
    fn number(&mut self, pack: PackRow) -> u32 {
        *self.numbers.entry(pack.id).or_insert_with(|| {
            self.rows.push(pack);
            self.rows.len() as u32 - 1
        })
    }
}
