//! Strays: what stands in a restored directory and is not in the snapshot.

use std::iter::Peekable;
use std::sync::Arc;

use super::report::Deed;
use super::run::Run;
use crate::ops::pattern::Steps;
use crate::ops::source::Kind;
use crate::ops::target::{DirPath, Names};

/// Directories within a stray one that are looked into for what the selection spares.
const DEPTH_MAX: usize = 256;

/// The names in a directory of the target, held against the snapshot's as those come in order.
pub(super) struct Strays<'r> {
    names: Peekable<Names<'r>>,
}

impl<'r> Strays<'r> {
    /// The names in `dir`; trouble if they cannot be listed, and then nothing is removed there.
    pub fn list(run: &'r Run<'_>, dir: &Arc<DirPath>) -> Option<Self> {
        match run.target.names(dir) {
            Ok(names) => Some(Strays { names: names.peekable() }),
            Err(trouble) => {
                run.trouble(trouble);
                None
            }
        }
    }

    /// The strays before `name`, which is next in the snapshot and so is none.
    pub fn before(&mut self, run: &Run<'_>, name: &[u8]) -> Vec<Vec<u8>> {
        let strays = self.take_while(run, |stray| stray < name);
        self.take_while(run, |stray| stray == name);
        strays
    }

    /// The strays after everything in the snapshot.
    pub fn rest(mut self, run: &Run<'_>) -> Vec<Vec<u8>> {
        self.take_while(run, |_| true)
    }

    fn take_while(&mut self, run: &Run<'_>, is_such: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
        let mut taken = Vec::new();
        while let Some(name) = self.names.next_if(|name| name.as_ref().map_or(true, |name| is_such(name))) {
            match name {
                Ok(name) => taken.push(name),
                Err(trouble) => {
                    run.trouble(trouble);
                    let none: Names<'_> = Box::new(std::iter::empty());
                    self.names = none.peekable();
                }
            }
        }
        taken
    }
}

/// Whether the selection wants `name`, below `steps`, or may want something below it.
pub(super) fn wants_any(run: &Run<'_>, steps: &mut Steps, name: &[u8]) -> bool {
    let depth = steps.len();
    steps.extend(name);
    let selected = run.options.selection.select(steps);
    steps.truncate(depth);
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
    let above = steps.len();
    steps.extend(name);
    let selected = run.options.selection.select(steps);
    let spares = selected.below && !run.takes_all();
    let emptied = !spares || !is_directory(run, dir, name) || empty(run, steps, &dir.child(name), depth);
    steps.truncate(above);
    selected.wanted && emptied && remove_whole(run, dir, name)
}

fn is_directory(run: &Run<'_>, dir: &Arc<DirPath>, name: &[u8]) -> bool {
    let standing = run.target.inspect(dir, name).ok().flatten();
    standing.is_some_and(|standing| standing.kind == Kind::Directory)
}

/// Whether nothing is left in it.
fn empty(run: &Run<'_>, steps: &mut Steps, dir: &Arc<DirPath>, depth: usize) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    let names = match run.target.names(dir).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
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
