//! Strays: what stands in a restored directory and is not in the snapshot.

use std::sync::Arc;

use super::report::Deed;
use super::run::Run;
use crate::ops::pattern::Steps;
use crate::ops::source::Kind;
use crate::ops::target::DirPath;

/// Directories within a stray one that are looked into for what the selection spares.
const DEPTH_MAX: usize = 256;

/// The names in a directory of the target, held against the snapshot's as those come in order.
pub(super) struct Strays {
    /// Descending, so that the next is the last.
    names: Vec<Vec<u8>>,
}

impl Strays {
    /// The names in `dir`; trouble if they cannot be listed, and then nothing is removed there.
    pub fn list(run: &Run<'_>, dir: &Arc<DirPath>) -> Option<Self> {
        match run.target.names(dir) {
            Ok(mut names) => {
                names.sort_unstable_by(|a, b| b.cmp(a));
                Some(Strays { names })
            }
            Err(trouble) => {
                run.trouble(trouble);
                None
            }
        }
    }

    /// The strays before `name`, which is next in the snapshot and so is none.
    pub fn before(&mut self, name: &[u8]) -> Vec<Vec<u8>> {
        let at = self.names.partition_point(|stray| stray[..] >= *name);
        let before = self.names.split_off(at);
        if self.names.last().is_some_and(|last| last[..] == *name) {
            self.names.pop();
        }
        before
    }

    /// The strays after everything in the snapshot.
    pub fn rest(self) -> Vec<Vec<u8>> {
        self.names
    }
}

/// Whether the selection wants `name`, below `steps`, or may want something below it.
pub(super) fn wants_any(run: &Run<'_>, steps: &mut Steps, name: &[u8]) -> bool {
    steps.push(name);
    let selected = run.options.selection.select(steps);
    steps.pop();
    selected.wanted || selected.below
}

/// Removes `name` in `dir` as far as the selection wants it and all below it. `steps` lead to `dir`.
pub(super) fn remove(run: &Run<'_>, steps: &mut Steps, dir: &Arc<DirPath>, name: &[u8]) {
    remove_below(run, steps, dir, name, DEPTH_MAX);
}

/// Whether it is gone, or would be.
fn remove_below(run: &Run<'_>, steps: &mut Steps, dir: &Arc<DirPath>, name: &[u8], depth: usize) -> bool {
    if !run.goes_on() {
        return false;
    }
    steps.push(name);
    let selected = run.options.selection.select(steps);
    let spares = selected.below && !run.takes_all();
    let emptied = !spares || !is_directory(run, dir, name) || empty(run, steps, &dir.child(name), depth);
    steps.pop();
    selected.wanted && emptied && remove_whole(run, dir, name)
}

fn is_directory(run: &Run<'_>, dir: &Arc<DirPath>, name: &[u8]) -> bool {
    let standing = run.target.inspect(dir, name).ok().flatten();
    standing.is_some_and(|standing| standing.kind == Kind::Directory)
}

/// Whether nothing is left in it.
fn empty(run: &Run<'_>, steps: &mut Steps, dir: &Arc<DirPath>, depth: usize) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    let names = match run.target.names(dir) {
        Ok(names) => names,
        Err(trouble) => {
            run.trouble(trouble);
            return false;
        }
    };
    let mut empty = true;
    for name in names {
        empty &= remove_below(run, steps, dir, &name, depth);
    }
    empty
}

fn remove_whole(run: &Run<'_>, dir: &Arc<DirPath>, name: &[u8]) -> bool {
    if !run.options.dry_run
        && let Err(trouble) = run.target.remove(dir, name)
    {
        run.trouble(trouble);
        return false;
    }
    run.done(Deed::Deleted, dir, name);
    true
}
