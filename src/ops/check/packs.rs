//! The index and the packs that it lists: each is there, and as long as the index says.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rayon::prelude::*;

use super::finding::{Finding, Severity};
use super::objects::{Directory, not_ours};
use super::{Check, lock, read, write};
use crate::format::segment::{PackClass, PackRecord, Segment};
use crate::id::{IndexId, PackId};
use crate::ops::segments::{PackInSegment, SegmentOutline, outline};
use crate::repo::{RepoError, Result, SyncReport, id_of, name_of, pack_name};
use crate::storage::ObjectName;

/// Segments up to this length are read side by side, longer ones one after the other: a segment at the
/// limit takes a quarter of a gigabyte.
const SMALL_SEGMENT_MAX: u64 = 8 << 20;
/// How often index and packs are listed anew because someone rewrites them meanwhile.
const SURVEYS: usize = 3;

/// What the index says of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PackInfo {
    /// Its length.
    pub len: u64,
    /// What it holds.
    pub class: PackClass,
    /// Its blobs, padding counted.
    pub blobs: u32,
    /// Records of blobs in it.
    pub rows: u32,
}

/// What the index says of all packs.
pub(super) type PackTable = BTreeMap<PackId, PackInfo>;

/// What one look at the index found.
pub(super) struct Survey {
    pub table: PackTable,
    findings: Vec<Finding>,
    listed: Vec<IndexId>,
    /// A segment was replaced while it was looked at.
    torn: bool,
}

impl Check<'_> {
    /// Reads the index, lists the packs, and compares them.
    pub(super) fn survey_packs(&self) -> Result<PackTable> {
        let synced = self.repository.refresh_index()?;
        let mut survey = self.survey_index()?;
        let mut stray = self.list_packs()?;
        for _ in 1..SURVEYS {
            if self.is_settled(&survey)? {
                break;
            }
            self.repository.refresh_index()?;
            survey = self.survey_index()?;
            stray = self.list_packs()?;
        }
        self.tell_of_rollback(&synced);
        survey.findings.into_iter().for_each(|finding| self.tell(finding));
        stray.iter().for_each(|name| self.tell(not_ours(name)));
        self.compare_lengths(&survey.table);
        self.count_garbage(&survey.table);
        Ok(survey.table)
    }

    /// Whether what is missing is not missing because someone rewrote the index meanwhile.
    fn is_settled(&self, survey: &Survey) -> Result<bool> {
        if survey.torn {
            return Ok(false);
        }
        let (stored, condemned) = (read(&self.stored), read(&self.condemned));
        let all_there = survey.table.keys().all(|pack| stored.contains_key(pack) || condemned.contains(pack));
        drop((stored, condemned));
        Ok(all_there || self.repository.objects().list::<Segment>()? == survey.listed)
    }

    fn tell_of_rollback(&self, synced: &SyncReport) {
        let first = self.repository.first_sync();
        let vanished: BTreeSet<IndexId> = first.vanished.iter().chain(&synced.vanished).copied().collect();
        for id in vanished {
            let why =
                "this machine has seen it, nothing replaces it, and it is missing: the store may have been rolled back";
            self.tell(Finding::object(Severity::Warning, name_of::<Segment>(&id), why));
        }
    }

    pub(super) fn survey_index(&self) -> Result<Survey> {
        let Directory { objects, foreign } = self.list_directory::<Segment>()?;
        let listed: Vec<IndexId> = objects.keys().copied().collect();
        let (small, large): (Vec<_>, Vec<_>) = objects.into_iter().partition(|(_, len)| *len <= SMALL_SEGMENT_MAX);
        let look = |(id, _): &(IndexId, u64)| (*id, self.read_segment(id));
        let read: Vec<_> = small.par_iter().map(look).collect();
        let mut findings: Vec<Finding> = foreign.iter().map(not_ours).collect();
        let (mut segments, mut torn) = (Vec::new(), false);
        for (id, segment) in read.into_iter().chain(large.iter().map(look)) {
            match segment {
                Ok(segment) => segments.push(segment),
                Err(RepoError::Missing { .. }) => torn = true,
                Err(error) => findings.push(Finding::met(name_of::<Segment>(&id), &error)),
            }
        }
        let table = merge(segments, &mut findings);
        Ok(Survey { table, findings, listed, torn })
    }

    /// Reads a segment without holding its records.
    fn read_segment(&self, id: &IndexId) -> Result<SegmentOutline> {
        self.done(1);
        self.count(|report| report.objects += 1);
        outline(self.repository, id)
    }

    /// Lists the packs, and gives what among them is none.
    fn list_packs(&self) -> Result<Vec<ObjectName>> {
        let (mut stored, mut stray) = (HashMap::new(), Vec::new());
        self.repository.objects().store().list("packs", &mut |listed| {
            match id_of(&listed.name).filter(|id| pack_name(id) == listed.name) {
                Some(id) => drop(stored.insert(id, listed.len)),
                None => stray.push(listed.name),
            }
            Ok(())
        })?;
        *write(&self.stored) = stored;
        Ok(stray)
    }

    /// Finds the packs that are missing, or not as long as the index says.
    fn compare_lengths(&self, table: &PackTable) {
        let (stored, condemned) = (read(&self.stored), read(&self.condemned));
        let mut suspects = BTreeMap::new();
        for (id, info) in table.iter().filter(|(id, _)| !condemned.contains(id)) {
            let why = match stored.get(id) {
                None => "it is missing".into(),
                Some(len) if *len < info.len => format!("it is cut short: {len} of {} bytes", info.len),
                Some(len) if *len > info.len => format!("it is too long: {len} bytes where {} were stored", info.len),
                Some(_) => continue,
            };
            suspects.insert(*id, why);
        }
        *write(&self.suspects) = suspects;
    }

    /// Tells of the suspect packs, once it is known which of them are needed.
    pub(super) fn tell_of_suspects(&self) {
        for (id, why) in read(&self.suspects).iter() {
            let is_needed = lock(&self.needed).contains(id);
            let (severity, why) = match (is_needed, read(&self.stored).contains_key(id)) {
                (true, _) => (Severity::Damage, why.clone()),
                (false, true) => {
                    (Severity::Warning, format!("{why}; nothing is needed of it: repair packs condemns it"))
                }
                (false, false) => (
                    Severity::Warning,
                    format!("{why}; nothing is needed of it: repair index takes it out of the index"),
                ),
            };
            self.tell(Finding::object(severity, pack_name(id), why));
        }
    }

    fn count_garbage(&self, table: &PackTable) {
        let stored = read(&self.stored);
        let condemned = read(&self.condemned);
        let garbage = stored.iter().filter(|(id, _)| !table.contains_key(id) || condemned.contains(id));
        let (packs, bytes) =
            garbage.fold((0, 0u64), |(packs, bytes), (_, len)| (packs + 1, bytes.saturating_add(*len)));
        drop((stored, condemned));
        self.count(|report| {
            report.packs = table.len() as u64;
            (report.garbage_packs, report.garbage_bytes) = (packs, bytes);
        });
    }

    /// Lists the packs again: what a prune has moved meanwhile is where the index says now.
    pub(super) fn look_again(&self) -> Result<()> {
        self.repository.refresh_index()?;
        self.list_packs().map(drop)
    }
}

/// What the segments say together that no other of them replaces.
fn merge(segments: Vec<SegmentOutline>, findings: &mut Vec<Finding>) -> PackTable {
    let replaced: BTreeSet<IndexId> = segments.iter().flat_map(|segment| segment.replaces.iter().copied()).collect();
    let mut table = PackTable::new();
    for segment in segments.iter().filter(|segment| !replaced.contains(&segment.id)) {
        for PackInSegment { record: PackRecord { id: pack, len, class, blobs, .. }, rows, .. } in &segment.packs {
            let info = PackInfo { len: *len, class: *class, blobs: *blobs, rows: *rows };
            let known = table.entry(*pack).or_insert(info);
            if (known.len, known.class, known.blobs) != (info.len, info.class, info.blobs) {
                let why = format!("it contradicts another segment about {}", pack_name(pack));
                findings.push(Finding::object(Severity::Damage, name_of::<Segment>(&segment.id), why));
            }
            known.rows = known.rows.max(info.rows);
        }
    }
    table
}
