//! Dumping: a file's bytes, or a directory as an archive, as one stream.
//!
//! Chunks are read ahead by several threads and come out in order; what is held of them is bounded.

mod ahead;
mod archive;
mod content;
mod flat;
mod tar;
mod zip;

use std::io::{self, Write};

use super::source::Trouble;
use crate::format::content::{Body, Content};
use crate::format::limits::TROUBLES_MAX;
use crate::format::tree::TreeRef;
use crate::repo::{Class, RepoError, Repository};
use ahead::{Piece, Ready};
use archive::Archivist;

/// How a directory is written as one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// With owners, times to the nanosecond, links of both kinds, devices and extended attributes (pax).
    Tar,
    /// Files, directories and symlinks, with modes, times to two seconds and names as UTF-8.
    Zip,
}

/// Whom a dump talks to while it runs.
pub struct Listener<'a> {
    /// Told of everything that is not in the archive as it should be, damage included.
    pub on_trouble: &'a (dyn Fn(&Trouble) + Sync),
    /// Asked, often, whether to stop.
    pub interrupted: &'a (dyn Fn() -> bool + Sync),
}

/// How a dump ended.
#[derive(Debug, Default)]
pub struct DumpReport {
    /// Entries that the repository does not hold whole any more; the first thousand of them.
    pub damaged: Vec<Trouble>,
    /// How many there were.
    pub damaged_count: u64,
    /// How many troubles there were besides.
    pub troubles: u64,
}

/// Why a dump ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The repository.
    #[error(transparent)]
    Repository(#[from] RepoError),
    /// Whoever takes the stream.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
    /// Asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// Writes the bytes of one file, holes as zeros.
///
/// # Errors
///
/// The first chunk that cannot be read ends it: what was written before is right.
pub fn dump_file(
    repository: &Repository,
    content: &Content,
    out: &mut dyn Write,
    listener: &Listener<'_>,
) -> Result<(), DumpError> {
    if let Body::Inline(bytes) = &content.body {
        return Ok(out.write_all(bytes)?);
    }
    ahead::read(repository, flat::pieces_of(repository, content), |pieces| {
        for piece in pieces {
            if (listener.interrupted)() {
                return Err(DumpError::Interrupted);
            }
            match piece {
                Ready::Chunk { plain, .. } => out.write_all(&plain?)?,
                Ready::Other(Piece::Hole(len)) => write_zeros(out, len, listener)?,
                Ready::Other(Piece::Broken(error)) => return Err(error.into()),
                Ready::Other(_) => {}
            }
        }
        Ok(())
    })
}

/// A hole may be longer than anyone wants to wait for.
fn write_zeros(out: &mut dyn Write, len: u64, listener: &Listener<'_>) -> Result<(), DumpError> {
    static BLOCK: [u8; 64 << 10] = [0; 64 << 10];
    let mut left = len;
    while left > 0 {
        if (listener.interrupted)() {
            return Err(DumpError::Interrupted);
        }
        let step = left.min(BLOCK.len() as u64);
        out.write_all(&BLOCK[..step as usize])?;
        left -= step;
    }
    Ok(())
}

/// Writes everything in a directory as an archive, under `prefix` (names with slashes between them, or
/// nothing).
///
/// Trouble with one entry is told to the listener, and does not end it. A file whose first chunk cannot
/// be read is left out; in one that turns out to be damaged later, zeros stand for what is missing.
pub fn dump_archive(
    repository: &Repository,
    tree: &TreeRef,
    prefix: &[u8],
    format: ArchiveFormat,
    out: &mut dyn Write,
    listener: &Listener<'_>,
) -> Result<DumpReport, DumpError> {
    archive(repository, flat::Flat::new(repository, tree, prefix), format, out, listener)
}

/// Writes the objects of a bucket whose keys begin with `prefix` as an archive of files under their keys. What is no path
/// (`a//b`, `../a`) is told to the listener and left out.
pub fn dump_keys(
    repository: &Repository,
    tree: &TreeRef,
    prefix: &[u8],
    format: ArchiveFormat,
    out: &mut dyn Write,
    listener: &Listener<'_>,
) -> Result<DumpReport, DumpError> {
    archive(repository, flat::Flat::of_keys(repository, tree, prefix), format, out, listener)
}

fn archive(
    repository: &Repository,
    entries: flat::Flat<'_>,
    format: ArchiveFormat,
    out: &mut dyn Write,
    listener: &Listener<'_>,
) -> Result<DumpReport, DumpError> {
    let report = Reporter { listener, report: DumpReport::default() };
    ahead::read(repository, entries, |pieces| match format {
        ArchiveFormat::Tar => Archivist::new(repository, tar::TarArchive::new(out), report).write(pieces),
        ArchiveFormat::Zip => Archivist::new(repository, zip::ZipArchive::new(out), report).write(pieces),
    })
}

/// Counts what is not as it should be, and tells of it.
struct Reporter<'a> {
    listener: &'a Listener<'a>,
    report: DumpReport,
}

impl Reporter<'_> {
    fn trouble(&mut self, path: &[u8], why: impl Into<String>) {
        self.report.troubles += 1;
        (self.listener.on_trouble)(&Trouble { path: show(path), why: why.into() });
    }

    fn unreadable(&mut self, path: &[u8], error: &RepoError, consequence: &str) {
        let why = format!("{error}{consequence}");
        if error.class() != Class::Corrupt {
            return self.trouble(path, why);
        }
        let trouble = Trouble { path: show(path), why };
        (self.listener.on_trouble)(&trouble);
        self.report.damaged_count += 1;
        if self.report.damaged.len() < TROUBLES_MAX {
            self.report.damaged.push(trouble);
        }
    }
}

fn show(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
