//! Sifting: which chunks of a file are asked of the repository, and which stand in the target already.

use std::sync::atomic::Ordering;

use super::fetch::Want;
use super::file::File;
use super::run::Run;
use super::standing::StandingFile;
use crate::format::content::Item;
use crate::repo::walk::Items;

/// Appends to `wants` what has to be fetched for `file`, and lets `each` look at them after every item.
/// What stands in the target is copied into the new file; if that is all there is to it, nothing is
/// written and the file stays.
pub(super) fn sift<'f>(
    run: &Run<'_>,
    file: &'f File<'f>,
    wants: &mut Vec<Want<'f>>,
    each: &mut dyn FnMut(&mut Vec<Want<'f>>),
) {
    let mut sieve = Sieve { run, file, standing: StandingFile::open(run, file), same: true };
    let mut offset = 0u64;
    for item in Items::new(run.repository, file.content) {
        match item {
            Ok(item) => {
                sieve.pass(offset, &item, wants);
                // Content adds up to its size, which fits: the reader of lists has checked it.
                offset = offset.saturating_add(item.len());
            }
            Err(error) => return file.unreadable(run, &error),
        }
        each(wants);
        if !run.goes_on() || file.is_over() {
            return;
        }
    }
    sieve.end(wants);
}

struct Sieve<'s, 'f> {
    run: &'s Run<'s>,
    file: &'f File<'f>,
    standing: Option<StandingFile>,
    /// Everything that passed so far stands there, and nothing is written yet.
    same: bool,
}

impl<'f> Sieve<'_, 'f> {
    fn pass(&mut self, offset: u64, item: &Item, wants: &mut Vec<Want<'f>>) {
        let Some(standing) = &mut self.standing else {
            return want(self.file, offset, item, wants);
        };
        if self.same {
            if standing.holds(self.run, offset, item) {
                return;
            }
            self.same = false;
            self.copy_before(offset, wants);
            return want(self.file, offset, item, wants);
        }
        self.copy(offset, item, wants);
    }

    /// Takes an item from what stands there, or wants it if it is not there.
    fn copy(&mut self, offset: u64, item: &Item, wants: &mut Vec<Want<'f>>) {
        let (Some(standing), Item::Data { len, .. }) = (&mut self.standing, item) else { return };
        if !standing.holds(self.run, offset, item) {
            return want(self.file, offset, item, wants);
        }
        self.file.write(self.run, offset, standing.bytes());
        self.run.counters().bytes_reused.fetch_add(u64::from(*len), Ordering::Relaxed);
    }

    /// Takes everything before `end`, which was there when it passed: it is read, and looked at, again.
    fn copy_before(&mut self, end: u64, wants: &mut Vec<Want<'f>>) {
        let mut offset = 0u64;
        for item in Items::new(self.run.repository, self.file.content) {
            if offset >= end || !self.run.goes_on() {
                return;
            }
            match item {
                Ok(item) => {
                    self.copy(offset, &item, wants);
                    offset = offset.saturating_add(item.len());
                }
                Err(error) => return self.file.unreadable(self.run, &error),
            }
        }
    }

    fn end(mut self, wants: &mut Vec<Want<'f>>) {
        let Some(standing) = &self.standing else { return };
        if !self.same {
            return;
        }
        match self.file.may_stay && standing.has_size(self.file.content.size) {
            true => self.file.stay(self.run),
            false => self.copy_before(u64::MAX, wants),
        }
    }
}

fn want<'f>(file: &'f File<'f>, offset: u64, item: &Item, wants: &mut Vec<Want<'f>>) {
    if let Item::Data { id, len } = item {
        wants.push(Want { id: *id, len: *len, file, offset });
    }
}
