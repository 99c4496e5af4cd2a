//! The view as a whole: brought up to date, asked, and kept small in number. Touches the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::build::{self, FreshSegment};
use super::level::{Level, Location, PackRow};
use crate::format::segment::{PackClass, Segment};
use crate::id::{BlobId, IndexId, PackId, SessionId};
use crate::repo::error::{RepoError, Result};
use crate::repo::metacache::remove_abandoned;

/// Blob records that become one level at a time: bounds the memory of a rebuild to some 40 MB,
/// or to the largest segment.
const RECORDS_AT_ONCE: usize = 1 << 18;
/// A level is merged with the next larger one unless it is smaller by this factor.
const GROWTH: u64 = 4;

/// A local view of the repository's index segments.
pub struct IndexView {
    dir: PathBuf,
    levels: Vec<Level>,
    /// The segments that were there when the view was brought up to date, and our own since.
    listed: BTreeSet<IndexId>,
    /// Segments that this process found damaged: fetching them again for each lost blob helps nobody.
    damaged: BTreeMap<IndexId, String>,
    /// Segments that appeared under a closed epoch: they say nothing.
    late: BTreeMap<IndexId, String>,
    /// What this process seals its own segments under.
    epoch: u32,
}

/// Where segments come from.
pub trait Source {
    /// A segment, and the epoch that it is sealed under.
    fn get(&self, id: &IndexId) -> Result<(Segment, u32)>;
    /// Whether it still counts: epochs close, and a segment that was applied before may have been planted.
    fn counts(&self, id: &IndexId, epoch: u32) -> Result<bool>;
    /// Whether a pack is in the store.
    fn has_pack(&self, pack: &PackId) -> bool;
}

/// Levels that are open while segments are applied, before they are merged.
const LEVELS_OPEN: usize = 8;
/// Packs of a segment that vanished which are looked for.
const PROBED: usize = 16;

/// A pack as the index lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedPack {
    /// The pack.
    pub id: PackId,
    /// Its length, in bytes.
    pub len: u64,
    /// What it holds.
    pub class: PackClass,
    /// How many blobs, padding counted.
    pub blobs: u32,
    /// The session that wrote a segment which lists it.
    pub session: SessionId,
}

impl From<PackRow> for ListedPack {
    fn from(PackRow { id, len, class, blobs }: PackRow) -> Self {
        ListedPack { id, len, class, blobs, session: SessionId::from_bytes([0; 32]) }
    }
}

/// A segment that no other replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveSegment {
    /// The segment.
    pub id: IndexId,
    /// Who wrote it.
    pub session: SessionId,
    /// How many blobs it lists.
    pub blobs: u32,
    /// The packs that it lists.
    pub packs: Vec<ListedPack>,
}

/// What bringing a view up to date found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct SyncReport {
    /// Segments that are new to this cache.
    pub applied: usize,
    /// Segments that vanished without another one replacing them: the store was rolled back, or damaged.
    pub vanished: Vec<IndexId>,
    /// Segments that are not what they should be, and why. What they list is not known; the rest is.
    pub damaged: Vec<(IndexId, String)>,
    /// Segments that appeared under a closed epoch, in words. They list nothing.
    pub late: Vec<(IndexId, String)>,
    /// Levels that were lost, damaged or left by another version, and why.
    pub unusable: Vec<String>,
}

impl IndexView {
    /// Opens what the directory holds. What cannot be used is removed and said. `epoch` is the one that this
    /// process writes under.
    pub fn open(dir: &Path, epoch: u32) -> Result<(Self, SyncReport)> {
        fs::create_dir_all(dir).map_err(|error| local("create", dir, error))?;
        let mut report = SyncReport::default();
        let mut levels = Vec::new();
        for path in level_files(dir)? {
            match Level::open(&path) {
                Ok(level) => levels.push(level),
                // Another process merged it away between the listing and now.
                Err(_) if !path.exists() => {}
                Err(why) => {
                    report.unusable.push(format!("{}: {why}", path.display()));
                    remove(&path);
                }
            }
        }
        let (dir, listed) = (dir.to_owned(), BTreeSet::new());
        Ok((IndexView { dir, levels, listed, damaged: BTreeMap::new(), late: BTreeMap::new(), epoch }, report))
    }

    /// Makes the view say what `listed` says, the segments in the repository: applies new ones, passes
    /// over replaced ones, un-applies those that vanished.
    pub fn sync(&mut self, listed: &[IndexId], source: &dyn Source) -> Result<SyncReport> {
        let mut report = SyncReport::default();
        let listed: BTreeSet<IndexId> = listed.iter().copied().collect();
        let covered: BTreeSet<IndexId> = self.covered().map(|segment| segment.id).collect();
        let fresh: Vec<IndexId> = listed.difference(&covered).copied().collect();
        report.applied = self.apply(fresh.clone(), source, &mut report.damaged)?;
        self.find_late(&listed, source)?;
        let late = std::mem::take(&mut self.late);
        let counts = |id: &IndexId| listed.contains(id) && !late.contains_key(id);
        // Only a listed segment's word counts: one that vanished replaces nothing.
        let replaced: BTreeSet<IndexId> = self
            .covered()
            .filter(|segment| counts(&segment.id))
            .flat_map(|segment| segment.replaces.iter().copied())
            .collect();
        let mut vanished: Vec<IndexId> =
            covered.iter().filter(|id| !listed.contains(*id) && !replaced.contains(*id)).copied().collect();
        self.mark_live(|id| counts(id) && !replaced.contains(id));
        if self.replace_unseen(&fresh, &covered) {
            vanished.retain(|id| self.left_something(id, source));
        }
        report.vanished = vanished;
        report.late = late.iter().filter(|(id, _)| listed.contains(*id)).map(|(id, why)| (*id, why.clone())).collect();
        self.late = late;
        self.tidy()?;
        self.listed = listed;
        Ok(report)
    }

    /// Whether one of the `fresh` segments replaces one that this machine never saw: then segments came and went
    /// meanwhile, and one that it had seen may have been replaced by one that is gone as well.
    fn replace_unseen(&self, fresh: &[IndexId], seen: &BTreeSet<IndexId>) -> bool {
        let fresh: BTreeSet<&IndexId> = fresh.iter().collect();
        let mut new = self.covered().filter(|segment| fresh.contains(&segment.id));
        new.any(|segment| segment.replaces.iter().any(|id| !seen.contains(id) && !fresh.contains(id)))
    }

    /// Whether a segment that vanished listed a pack that is there, and that no segment lists any more. One that
    /// was replaced honestly did not: its packs are listed elsewhere, or are gone.
    fn left_something(&self, id: &IndexId, source: &dyn Source) -> bool {
        let listed = self.packs();
        let levels = self.levels.iter().filter_map(|level| {
            let segment = level.segments.iter().find(|segment| segment.id == *id)?;
            Some(segment.packs.iter().filter_map(|number| level.packs.get(*number as usize)))
        });
        let unlisted = levels.flatten().map(|pack| pack.id).filter(|pack| !listed.contains_key(pack));
        unlisted.take(PROBED).any(|pack| source.has_pack(&pack))
    }

    /// Throws away what was built so far: it is not believed any more.
    pub fn clear(&mut self) {
        self.levels.drain(..).for_each(|level| remove(&level.path));
        self.damaged.clear();
        self.late.clear();
    }

    /// From here on this process writes under `epoch`.
    pub fn seal_under(&mut self, epoch: u32) {
        self.epoch = epoch;
    }

    /// Applies segments that this process has just written itself.
    pub fn add(&mut self, segments: Vec<(IndexId, Segment)>) -> Result<()> {
        self.listed.extend(segments.iter().map(|(id, _)| *id));
        let epoch = self.epoch;
        let fresh = segments.into_iter().map(|(id, segment)| FreshSegment { id, epoch, segment });
        self.push_level(fresh.collect())?;
        self.tidy()
    }

    /// Finds listed segments that were applied when their epoch was open, and do not count now that it is closed.
    fn find_late(&mut self, listed: &BTreeSet<IndexId>, source: &dyn Source) -> Result<()> {
        let mut late = Vec::new();
        for segment in self.covered().filter(|segment| listed.contains(&segment.id)) {
            if !source.counts(&segment.id, segment.epoch)? {
                let (object, epoch) = (crate::repo::name_of::<Segment>(&segment.id).to_string(), segment.epoch);
                late.push((segment.id, RepoError::AfterClosing { object, epoch }.to_string()));
            }
        }
        self.late.extend(late);
        Ok(())
    }

    fn apply(
        &mut self,
        fresh: Vec<IndexId>,
        source: &dyn Source,
        damaged: &mut Vec<(IndexId, String)>,
    ) -> Result<usize> {
        let (mut batch, mut records, mut applied) = (Vec::new(), 0, 0);
        for id in fresh {
            if self.late.contains_key(&id) {
                continue;
            }
            if let Some(why) = self.damaged.get(&id) {
                damaged.push((id, why.clone()));
                continue;
            }
            let (segment, epoch) = match source.get(&id) {
                Ok(got) => got,
                // Replaced and deleted between the listing and now.
                Err(RepoError::Missing { .. }) => continue,
                Err(error @ RepoError::AfterClosing { .. }) => {
                    self.late.insert(id, error.to_string());
                    continue;
                }
                // Harms nothing but what it alone lists: whoever needs that will miss it, and say so.
                Err(error @ RepoError::Damaged { .. }) => {
                    self.damaged.insert(id, error.to_string());
                    damaged.push((id, error.to_string()));
                    continue;
                }
                Err(error) => return Err(error),
            };
            if records + segment.records.len() > RECORDS_AT_ONCE && !batch.is_empty() {
                self.push_level(std::mem::take(&mut batch))?;
                records = 0;
            }
            records += segment.records.len();
            applied += 1;
            batch.push(FreshSegment { id, epoch, segment });
        }
        if !batch.is_empty() {
            self.push_level(batch)?;
        }
        Ok(applied)
    }

    fn push_level(&mut self, segments: Vec<FreshSegment>) -> Result<()> {
        let level = build::from_segments(&self.dir, segments).map_err(|error| local("write", &self.dir, error))?;
        self.levels.push(level);
        // Each that is open takes memory: a first look at a large index must not open a hundred.
        if self.levels.len() > LEVELS_OPEN { self.tidy() } else { Ok(()) }
    }

    fn covered(&self) -> impl Iterator<Item = &super::level::Covered> {
        self.levels.iter().flat_map(|level| &level.segments)
    }

    /// A segment may be covered twice, when another process merged meanwhile: one copy counts.
    fn mark_live(&mut self, counts: impl Fn(&IndexId) -> bool) {
        let mut seen = BTreeSet::new();
        for level in &mut self.levels {
            for (segment, live) in level.segments.iter().zip(&mut level.live) {
                *live = counts(&segment.id) && seen.insert(segment.id);
            }
        }
    }

    /// Merges levels until each is several times the next, and drops dead ones: lookups stay few, and a
    /// record is rewritten a logarithm of times.
    fn tidy(&mut self) -> Result<()> {
        let dead = |level: &mut Level| !level.live.contains(&true);
        for level in self.levels.extract_if(.., dead) {
            remove(&level.path);
        }
        self.levels.sort_by_key(|level| std::cmp::Reverse(level.rows));
        while let Some(from) = self.first_to_merge() {
            let merged: Vec<Level> = self.levels.drain(from..).collect();
            let sources: Vec<&Level> = merged.iter().collect();
            let level = build::from_levels(&self.dir, &sources).map_err(|error| local("write", &self.dir, error))?;
            merged.iter().filter(|old| old.path != level.path).for_each(|old| remove(&old.path));
            self.levels.push(level);
        }
        Ok(())
    }

    /// The first level (largest first) that is to be merged with all smaller ones.
    fn first_to_merge(&self) -> Option<usize> {
        let rows: Vec<u64> = self.levels.iter().map(|level| level.rows.max(1)).collect();
        let crowded = rows.windows(2).position(|pair| pair[0] < pair[1] * GROWTH);
        let dead = self.levels.iter().position(Level::is_mostly_dead);
        crowded.into_iter().chain(dead).min()
    }

    /// All places where `id` lies.
    pub fn locate(&self, id: &BlobId) -> Result<Vec<Location>> {
        let mut locations = Vec::new();
        for level in &self.levels {
            level
                .find(id, &mut |row, pack| locations.push(Location::new(id, row, pack)))
                .map_err(|why| local("read", &level.path, why))?;
        }
        // Two segments may list one pack.
        locations.sort_unstable_by_key(|location| (location.pack, location.placed.offset));
        locations.dedup();
        Ok(locations)
    }

    /// Whether `id` lies in a pack, given by its id and its length, that is `usable`.
    pub fn lies_in(&self, id: &BlobId, usable: impl Fn(&PackId, u64) -> bool) -> Result<bool> {
        let mut found = false;
        for level in &self.levels {
            level
                .find(id, &mut |_, pack| found = found || usable(&pack.id, pack.len))
                .map_err(|why| local("read", &level.path, why))?;
            if found {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Every pack that an active segment lists, once.
    pub fn packs(&self) -> BTreeMap<PackId, ListedPack> {
        let mut packs = BTreeMap::new();
        for segment in self.segments() {
            packs.extend(segment.packs.iter().map(|pack| (pack.id, *pack)));
        }
        packs
    }

    /// The segments that are there and that others replace.
    pub fn replaced(&self) -> Vec<IndexId> {
        let active: BTreeSet<IndexId> = self.segments().map(|segment| segment.id).collect();
        let unread = |id: &IndexId| self.damaged.contains_key(id) || self.late.contains_key(id);
        let counts = |id: &&IndexId| !active.contains(*id) && !unread(id);
        self.listed.iter().filter(counts).copied().collect()
    }

    /// The segments that count.
    pub fn segments(&self) -> impl Iterator<Item = ActiveSegment> + '_ {
        self.levels.iter().flat_map(|level| {
            level.segments.iter().zip(&level.live).filter(|(_, live)| **live).map(|(segment, _)| {
                let packs = segment.packs.iter().filter_map(|number| level.packs.get(*number as usize));
                let packs = packs.map(|pack| ListedPack { session: segment.session, ..ListedPack::from(*pack) });
                ActiveSegment { id: segment.id, session: segment.session, blobs: segment.blobs, packs: packs.collect() }
            })
        })
    }

    /// Calls `each` for every place where a blob lies, in order of blobs.
    pub fn each(&self, each: &mut dyn FnMut(Location)) -> Result<()> {
        self.each_blob(&mut |_, locations| {
            locations.iter().for_each(|location| each(*location));
            Ok(())
        })
    }

    /// Calls `each` for every blob, ascending, with all places where it lies. Constant memory.
    pub fn each_blob(&self, each: &mut dyn FnMut(&BlobId, &[Location]) -> Result<()>) -> Result<()> {
        let failed = |level: &Level, why: String| local("read", &level.path, why);
        let mut streams = Vec::with_capacity(self.levels.len());
        for level in &self.levels {
            let mut stream = level.stream().map_err(|why| failed(level, why))?;
            stream.step().map_err(|why| failed(level, why))?;
            streams.push((level, stream));
        }
        let mut locations = Vec::new();
        while let Some(id) = streams.iter().filter_map(|(_, stream)| stream.id()).min() {
            locations.clear();
            for (level, stream) in streams.iter_mut().filter(|(_, stream)| stream.id() == Some(id)) {
                locations.extend(stream.rows().map(|(row, pack)| Location::new(&id, &row, pack)));
                stream.step().map_err(|why| failed(level, why))?;
            }
            // Two segments may list one pack.
            locations.sort_unstable_by_key(|location| (location.pack, location.placed.offset));
            locations.dedup();
            if !locations.is_empty() {
                each(&id, &locations)?;
            }
        }
        Ok(())
    }

    /// How many blobs the view holds, copies in several levels counted apart.
    pub fn blobs(&self) -> u64 {
        self.levels.iter().map(|level| level.rows).sum()
    }

    /// How many files it is made of.
    pub fn levels(&self) -> usize {
        self.levels.len()
    }
}

fn level_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).map_err(|error| local("list", dir, error))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path())).inspect(|path| remove_abandoned(path));
    Ok(paths.filter(|path| path.extension().is_some_and(|extension| extension == "level")).collect())
}

/// Someone else may have removed it first, and nobody needs it.
fn remove(path: &Path) {
    let _ = fs::remove_file(path);
}

fn local(verb: &str, path: &Path, why: impl ToString) -> RepoError {
    RepoError::local(format!("{verb} the index cache {}", path.display()), why)
}
