//! A file that is being restored: its parts come in any order, from any thread.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::report::Deed;
use super::run::Run;
use super::window::Wanted;
use crate::format::content::{Body, Content, Item};
use crate::ops::source::Trouble;
use crate::ops::target::NewFile;
use crate::repo::RepoError;

/// Zeros are made a hole in blocks of so many bytes: what file systems commonly allocate at a time.
const BLOCK_LEN: usize = 4096;

/// A file that is being restored.
pub(super) struct File<'w> {
    pub wanted: &'w Wanted,
    pub content: &'w Content,
    /// The length of the file that stands there and may hold some of the content.
    pub standing_size: Option<u64>,
    /// Whether what stands there need not be replaced if it holds all of the content.
    pub may_stay: bool,
    deed: Deed,
    stage: RwLock<Stage>,
    /// Parts that are not written yet, and one more until all of them are known.
    left: AtomicU64,
}

enum Stage {
    /// Nothing is written yet.
    Untouched,
    /// Some of it is.
    Making(Box<dyn NewFile>),
    /// It stands, or never will.
    Over,
}

impl<'w> File<'w> {
    /// A file that is made from the repository alone.
    pub fn new(wanted: &'w Wanted, content: &'w Content, deed: Deed) -> Self {
        let (stage, left) = (RwLock::new(Stage::Untouched), AtomicU64::new(1));
        File { wanted, content, standing_size: None, may_stay: false, deed, stage, left }
    }

    /// A file that stands with `size` bytes already, not necessarily the right ones.
    pub fn over(wanted: &'w Wanted, content: &'w Content, size: u64, may_stay: bool) -> Self {
        File { standing_size: Some(size), may_stay, ..File::new(wanted, content, Deed::Replaced) }
    }

    /// How many chunks it is made of, holes counted where the list does not tell.
    pub fn chunks(&self) -> u64 {
        match &self.content.body {
            Body::Inline(_) => 0,
            Body::Items(items) => items.iter().filter(|item| matches!(item, Item::Data { .. })).count() as u64,
            Body::Split(list) => list.items,
        }
    }

    /// Says that so many more parts are going to be written.
    pub fn expects(&self, parts: usize) {
        self.left.fetch_add(parts as u64, Ordering::AcqRel);
    }

    /// Says that a part is done, or that all parts are known by now. After the last the file is finished.
    pub fn part_done(&self, run: &Run<'_>) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 && run.goes_on() {
            self.finish(run);
        }
    }

    /// Whether there is nothing to be done about it any more.
    pub fn is_over(&self) -> bool {
        matches!(*self.read(), Stage::Over)
    }

    /// Writes a part of it.
    pub fn write(&self, run: &Run<'_>, offset: u64, bytes: &[u8]) {
        self.begin(run);
        let written = match &*self.read() {
            Stage::Making(new) if run.options.sparse => write_sparse(&**new, offset, bytes),
            Stage::Making(new) => new.write_at(offset, bytes),
            Stage::Untouched | Stage::Over => return,
        };
        match written {
            Ok(()) => self.wanted.advance(run, bytes.len() as u64),
            Err(error) => self.not_written(run, &error),
        }
    }

    /// Gives it up: the repository does not hold it whole.
    pub fn unreadable(&self, run: &Run<'_>, error: &RepoError) {
        if self.end().is_some() {
            self.wanted.unreadable(run, error);
        }
    }

    /// Leaves what stands there, which is right but for its metadata perhaps.
    pub fn stay(&self, run: &Run<'_>) {
        if self.end().is_some() {
            super::window::stay(run, self.wanted);
        }
    }

    fn begin(&self, run: &Run<'_>) {
        if !matches!(*self.read(), Stage::Untouched) {
            return;
        }
        let mut stage = self.write_stage();
        if !matches!(*stage, Stage::Untouched) {
            return;
        }
        match run.target.begin(&self.wanted.dir, &self.wanted.entry) {
            Ok(new) => {
                *stage = Stage::Making(new);
                run.counters().current.set(self.wanted.path().as_bytes());
            }
            Err(trouble) => {
                *stage = Stage::Over;
                self.wanted.failed(run, trouble);
            }
        }
    }

    fn finish(&self, run: &Run<'_>) {
        self.begin(run);
        let Some(Stage::Making(new)) = self.end() else { return };
        match new.finish(&self.wanted.entry, &run.xattrs(self.wanted)) {
            Ok(()) => self.wanted.stands(run, self.deed),
            Err(trouble) => self.wanted.failed(run, trouble),
        }
    }

    /// A full disk will take no other file either.
    fn not_written(&self, run: &Run<'_>, error: &io::Error) {
        let path = self.wanted.path();
        if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            let why = format!("{error}; the restore was stopped");
            return run.stop(RepoError::Local { attempted: format!("write {path}"), why });
        }
        if self.end().is_some() {
            self.wanted.failed(run, Trouble { path, why: format!("writing it: {error}") });
        }
    }

    /// Ends it; the stage that it was in, for the first who does.
    fn end(&self) -> Option<Stage> {
        match std::mem::replace(&mut *self.write_stage(), Stage::Over) {
            Stage::Over => None,
            stage => Some(stage),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Stage> {
        self.stage.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_stage(&self) -> RwLockWriteGuard<'_, Stage> {
        self.stage.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what is not zero, in whole blocks of the file.
fn write_sparse(new: &dyn NewFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let into_block = (offset % BLOCK_LEN as u64) as usize;
    let first_end = (BLOCK_LEN - into_block).min(bytes.len());
    let mut run_begin = 0;
    let mut begin = 0;
    let mut end = first_end;
    while begin < bytes.len() {
        if is_zero(&bytes[begin..end]) {
            write_run(new, offset, bytes, run_begin..begin)?;
            run_begin = end;
        }
        begin = end;
        end = (end + BLOCK_LEN).min(bytes.len());
    }
    write_run(new, offset, bytes, run_begin..bytes.len())
}

fn write_run(new: &dyn NewFile, offset: u64, bytes: &[u8], run: std::ops::Range<usize>) -> io::Result<()> {
    match bytes.get(run.clone()) {
        Some(some) if !some.is_empty() => new.write_at(offset.saturating_add(run.start as u64), some),
        _ => Ok(()),
    }
}

/// Whether all bytes are zero.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| *word == [0; 16]) && rest.iter().all(|byte| *byte == 0)
}
