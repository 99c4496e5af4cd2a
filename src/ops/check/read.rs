//! Reading packs: which of them, by whose word, and what is found.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rayon::prelude::*;

use super::finding::{Finding, Severity, reason};
use super::packs::{PackInfo, PackTable};
use super::subset::ReadData;
use super::{Check, lock, read, write};
use crate::crypto::PackOpener;
use crate::format::pack::{BlobKind, Directory, Placed};
use crate::id::PackId;
use crate::ops::scan::{Scan, indexed_blobs};
use crate::repo::{Location, RepoError, Result, noun, pack_name};

/// Packs whose records are collected from the index at a time, when they have no directory of their own.
const SUSPECTS_AT_ONCE: usize = 64;

/// What reading a pack found.
#[derive(Default)]
struct PackLook {
    /// What is wrong with the pack as a whole.
    wrong: Vec<String>,
    /// Blobs that do not open, or are not what their ids name, and why of the first.
    bad: Vec<Placed>,
    first_bad: Option<String>,
    bytes: u64,
    blobs: u64,
}

impl Check<'_> {
    /// Packs that are not as long as they were: which of their blobs can still be read.
    pub(super) fn read_suspects(&self, table: &PackTable) -> Result<()> {
        let is_there = |id: &&PackId| read(&self.stored).contains_key(*id);
        let suspects: Vec<PackId> = read(&self.suspects).keys().filter(is_there).copied().collect();
        self.read_by_index(&suspects, table)
    }

    /// Reads the packs that were asked for, those that are there and as long as they were.
    pub(super) fn read_packs(&self, table: &PackTable, read_data: ReadData) -> Result<()> {
        let seed = self.repository.objects().chance().random();
        let mut chosen = read_data.choose(table.iter().map(|(id, info)| (*id, info.len)), &seed);
        // Condemned packs are garbage already, and those of another length were read.
        let counts = |id: &PackId| !read(&self.condemned).contains(id) && !read(&self.suspects).contains_key(id);
        chosen.retain(|id| counts(id) && read(&self.stored).contains_key(id));
        let bytes = chosen.iter().filter_map(|id| table.get(id)).map(|info| info.len).sum();
        self.counters.bytes_total.store(bytes, Relaxed);
        let read = |id: &PackId| self.read_pack(id, table.get(id)?).transpose();
        let without_directory: Vec<PackId> = chosen.par_iter().filter_map(read).collect::<Result<_>>()?;
        self.read_by_index(&without_directory, table)?;
        self.tell_of_vanished()
    }

    /// Reads a pack by its own directory. Gives it back if it is to be read by what the index says.
    fn read_pack(&self, id: &PackId, info: &PackInfo) -> Result<Option<PackId>> {
        self.go_on()?;
        let Some(opener) = self.open_pack(id, info)? else { return Ok(None) };
        let directory = match self.repository.pack_directory(id, info.len, &opener) {
            Ok(directory) => directory,
            Err(error) => {
                self.trouble_with(id, &error);
                return Ok(Some(*id));
            }
        };
        let mut look = PackLook::default();
        self.compare_with_index(id, info, &directory, &mut look)?;
        match self.read_through(id, info.len, &opener, &directory.blobs, &mut look) {
            Ok(hash) if PackId::from_bytes(hash) != *id => {
                look.wrong.push("its bytes do not have the hash that it is named by".into());
            }
            Ok(_) => {}
            Err(error) => self.trouble_with(id, &error),
        }
        if look.wrong.is_empty() {
            self.conclude(id, look);
            return Ok(None);
        }
        look.wrong.iter().for_each(|why| self.tell(Finding::object(Severity::Damage, pack_name(id), why)));
        // Another pack in its place opens as well as any: what counts is what the index says.
        Ok(Some(*id))
    }

    /// Tells why a pack cannot be read. One that was there when the packs were listed may have been pruned
    /// since: that is found out at the end.
    fn trouble_with(&self, id: &PackId, error: &RepoError) {
        match error {
            RepoError::Missing { .. } => lock(&self.vanished).push(*id),
            error => self.tell_of_pack(id, Severity::of(error), reason(error)),
        }
    }

    /// What is found of a suspect pack is told with the rest of it.
    fn tell_of_pack(&self, id: &PackId, severity: Severity, why: String) {
        match write(&self.suspects).get_mut(id) {
            Some(said) if said.contains(&why) => {}
            Some(said) => *said += &format!("; {why}"),
            None => self.tell(Finding::object(severity, pack_name(id), why)),
        }
    }

    fn tell_of_vanished(&self) -> Result<()> {
        let vanished = std::mem::take(&mut *lock(&self.vanished));
        if vanished.is_empty() {
            return Ok(());
        }
        let table = self.survey_index()?.table;
        for id in vanished.iter().filter(|id| table.contains_key(id)) {
            self.tell(Finding::object(Severity::Damage, pack_name(id), "it vanished while it was being checked"));
        }
        self.look_again()
    }

    /// The cipher of a pack; without it, the pack is lost.
    fn open_pack(&self, id: &PackId, info: &PackInfo) -> Result<Option<Arc<PackOpener>>> {
        match self.repository.opener(id, info.class) {
            Ok(opener) => Ok(Some(opener)),
            Err(error) => {
                self.trouble_with(id, &error);
                if matches!(error, RepoError::Damaged { .. }) {
                    write(&self.bad).packs.insert(*id);
                }
                Ok(None)
            }
        }
    }

    /// The directory and the index list the same blobs at the same places.
    fn compare_with_index(
        &self,
        id: &PackId,
        info: &PackInfo,
        directory: &Directory,
        look: &mut PackLook,
    ) -> Result<()> {
        let blobs: Vec<&Placed> = not_padding(&directory.blobs).collect();
        let (listed, rows) = (directory.blobs.len() as u64, blobs.len() as u64);
        if (u64::from(info.blobs), u64::from(info.rows)) != (listed, rows) {
            let why = format!(
                "its directory lists {listed} blobs, {rows} without padding, and the index {} and {}",
                info.blobs, info.rows
            );
            look.wrong.push(why);
        }
        for placed in blobs {
            let is_it = |location: &Location| location.pack == *id && location.placed == *placed;
            if !self.repository.view().locate(&placed.blob.id)?.iter().any(is_it) {
                let blob = &placed.blob;
                let why = format!("the index does not list {} blob {} where it lies", noun(blob.kind), blob.id);
                look.wrong.push(why);
                break;
            }
        }
        Ok(())
    }

    /// Reads packs, whose own directories cannot be trusted, by what the index says of them.
    fn read_by_index(&self, packs: &[PackId], table: &PackTable) -> Result<()> {
        for packs in packs.chunks(SUSPECTS_AT_ONCE) {
            let rows = indexed_blobs(self.repository, packs)?;
            rows.par_iter().try_for_each(|(id, rows)| {
                self.go_on()?;
                match table.get(id) {
                    Some(info) => self.read_rows(id, info, rows),
                    None => Ok(()),
                }
            })?;
        }
        Ok(())
    }

    fn read_rows(&self, id: &PackId, info: &PackInfo, rows: &[Placed]) -> Result<()> {
        let Some(opener) = self.open_pack(id, info)? else { return Ok(()) };
        let len = read(&self.stored).get(id).copied().unwrap_or(0).min(info.len);
        let mut look = PackLook::default();
        if let Err(error) = self.read_through(id, len, &opener, rows, &mut look) {
            self.trouble_with(id, &error);
        }
        self.conclude(id, look);
        Ok(())
    }

    /// Reads the first `len` bytes of a pack, opens the blobs in them, and gives the hash of the bytes.
    fn read_through(
        &self,
        id: &PackId,
        len: u64,
        opener: &PackOpener,
        blobs: &[Placed],
        look: &mut PackLook,
    ) -> Result<[u8; 32]> {
        let PackLook { bad, first_bad, bytes, blobs: count, .. } = look;
        let on_bytes = &mut |len| {
            *bytes += len;
            self.counters.bytes_done.fetch_add(len, Relaxed);
        };
        let on_blob = &mut |placed: &Placed, stored: Result<Vec<u8>>| {
            *count += 1;
            if let Err(error) = stored {
                first_bad.get_or_insert_with(|| reason(&error));
                bad.push(*placed);
            }
            Ok(())
        };
        Scan { repository: self.repository, pack: id, opener, on_bytes, on_blob }.run(len, blobs)
    }

    /// Counts a pack that was read, and tells of its bad blobs in one finding.
    fn conclude(&self, id: &PackId, look: PackLook) {
        self.done(1);
        self.count(|report| {
            report.packs_read += 1;
            report.bytes_read += look.bytes;
            report.blobs_read += look.blobs;
        });
        if let Some(first) = look.first_bad {
            let why = match look.bad.len() {
                1 => first,
                count => format!("{count} of its blobs cannot be read, the first: {first}"),
            };
            self.tell_of_pack(id, Severity::Damage, why);
        }
        let copies = not_padding(&look.bad).map(|placed| (*id, placed.offset));
        write(&self.bad).copies.extend(copies);
    }
}

fn not_padding(blobs: &[Placed]) -> impl Iterator<Item = &Placed> {
    blobs.iter().filter(|placed| placed.blob.kind != BlobKind::Padding)
}
