//! Fetching chunks: pack by pack in stretches, each stretch read once and each chunk decoded once.

use std::sync::Mutex;
use std::sync::atomic::Ordering;

use rayon::prelude::*;

use super::file::File;
use super::run::{Run, lock};
use crate::format::pack::BlobKind;
use crate::id::BlobId;
use crate::ops::stretches::stretches;
use crate::repo::{Class, Location, RepoError};

/// A chunk that a file needs.
pub(super) struct Want<'f> {
    pub id: BlobId,
    /// Its length in the file, in bytes.
    pub len: u32,
    pub file: &'f File<'f>,
    /// Where in the file.
    pub offset: u64,
}

/// A chunk, where it lies, and who needs it.
struct Need<'n, 'f> {
    location: Location,
    wants: &'n [Want<'f>],
}

/// Fetches chunks and writes them into the files that need them. What no copy gives is the end of those
/// files, and of no others.
pub(super) fn fetch(run: &Run<'_>, mut wants: Vec<Want<'_>>) {
    wants.sort_unstable_by_key(|want| want.id);
    let (mut needs, nowhere) = locate(run, &wants);
    needs.sort_unstable_by_key(|need| (need.location.pack, need.location.placed.offset));
    let failed = Mutex::new(nowhere);
    stretches(&needs, |need| &need.location).into_par_iter().for_each(|stretch| {
        if run.goes_on() {
            read(run, &needs[stretch], &failed);
        }
    });
    let failed = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !failed.is_empty() && run.goes_on() {
        second_look(run, &failed);
    }
}

/// A place for each chunk, and the chunks that have none.
fn locate<'n, 'f>(run: &Run<'_>, wants: &'n [Want<'f>]) -> (Vec<Need<'n, 'f>>, Vec<&'n [Want<'f>]>) {
    let chunks: Vec<&[Want<'_>]> = wants.chunk_by(|a, b| a.id == b.id).collect();
    let located = chunks.par_iter().map(|wants| (*wants, location(run, &wants[0].id)));
    let (mut needs, mut nowhere) = (Vec::with_capacity(chunks.len()), Vec::new());
    for (wants, location) in located.collect::<Vec<_>>() {
        match location {
            Some(location) => needs.push(Need { location, wants }),
            None => nowhere.push(wants),
        }
    }
    (needs, nowhere)
}

fn location(run: &Run<'_>, id: &BlobId) -> Option<Location> {
    let located = run.repository.view().locate(id).unwrap_or_else(|error| {
        run.stop(error);
        Vec::new()
    });
    located.into_iter().find(|location| location.placed.blob.kind == BlobKind::Data)
}

/// Reads a stretch and gives out what is in it.
fn read<'n, 'f>(run: &Run<'_>, stretch: &[Need<'n, 'f>], failed: &Mutex<Vec<&'n [Want<'f>]>>) {
    let Some(Location { pack, class, placed: first, .. }) = stretch.first().map(|need| need.location) else { return };
    let end = stretch.iter().map(|need| need.location.placed.end()).max().unwrap_or(first.offset);
    let read = run.repository.opener(&pack, class).and_then(|opener| {
        let bytes = run.repository.read_pack_range(&pack, first.offset, end.saturating_sub(first.offset))?;
        Ok((opener, bytes))
    });
    let Ok((opener, bytes)) = read else {
        return lock(failed).extend(stretch.iter().map(|need| need.wants));
    };
    for need in stretch {
        if !run.goes_on() {
            return;
        }
        let placed = &need.location.placed;
        let begin = (placed.offset - first.offset) as usize;
        let sealed = bytes.get(begin..).and_then(|rest| rest.get(..placed.blob.sealed_len() as usize));
        let plain = sealed.map(|sealed| run.repository.open_blob(&pack, &opener, placed, sealed.to_vec()));
        match plain {
            Some(Ok(plain)) => give_out(run, need.wants, &plain),
            _ => lock(failed).push(need.wants),
        }
    }
}

fn give_out(run: &Run<'_>, wants: &[Want<'_>], plain: &[u8]) {
    run.counters().bytes_fetched.fetch_add(plain.len() as u64, Ordering::Relaxed);
    for Want { id, len, file, offset } in wants {
        if plain.len() == *len as usize {
            file.write(run, *offset, plain);
        } else {
            let why = format!("it has {} bytes where {len} are referred to", plain.len());
            file.unreadable(run, &RepoError::Damaged { object: format!("data blob {id}"), why });
        }
        file.part_done(run);
    }
}

/// Tries every copy of what could not be read, after the index was listed again: a prune may have moved
/// it meanwhile.
fn second_look(run: &Run<'_>, failed: &[&[Want<'_>]]) {
    match run.repository.refresh_index() {
        Err(error) if error.class() == Class::Unavailable => return run.stop(error),
        Err(error) => tracing::warn!("the index could not be listed again: {error}"),
        Ok(_) => {}
    }
    failed.par_iter().filter(|_| run.goes_on()).for_each(|wants| {
        let id = &wants[0].id;
        let plain = match location(run, id) {
            Some(_) => run.repository.read_blob(BlobKind::Data, id),
            None => Err(RepoError::Missing { what: format!("data blob {id}") }),
        };
        match plain {
            Ok(plain) => give_out(run, wants, &plain),
            Err(error) => wants.iter().for_each(|want| {
                want.file.unreadable(run, &error);
                want.file.part_done(run);
            }),
        }
    });
}
