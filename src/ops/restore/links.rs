//! Hard links: the first of a file's names is restored, the others are linked to it.

use std::collections::HashMap;
use std::sync::Arc;

use super::report::Deed;
use super::run::{Decision, Run};
use super::window::{Fate, Wanted, restore_content};
use crate::ops::links::SameFile;
use crate::ops::source::Trouble;
use crate::ops::target::DirPath;
use crate::repo::RepoError;

/// The files with several names that were met so far: one small record for each.
#[derive(Default)]
pub(super) struct Links(HashMap<SameFile, Known>);

enum Known {
    /// It is being restored.
    Pending,
    /// It stands there.
    At(Arc<DirPath>, Box<[u8]>),
    /// The repository does not give it.
    Unreadable,
}

impl Links {
    /// Restores entries, linked as they were.
    pub fn restore(&mut self, run: &Run<'_>, mut wanted: Vec<Wanted>) {
        while !wanted.is_empty() && run.goes_on() {
            let (first, more) = self.first_names(run, wanted);
            restore_content(run, &first);
            first.iter().for_each(|wanted| self.note(wanted));
            wanted = more;
        }
    }

    /// Links what can be linked. Gives back what is to be restored by its content, and what comes after
    /// that: further names of it.
    fn first_names(&mut self, run: &Run<'_>, wanted: Vec<Wanted>) -> (Vec<Wanted>, Vec<Wanted>) {
        let (mut first, mut more) = (Vec::with_capacity(wanted.len()), Vec::new());
        for wanted in wanted {
            let Some(identity) = wanted.hard_link() else {
                first.push(wanted);
                continue;
            };
            match self.0.get(&identity) {
                Some(Known::Pending) => more.push(wanted),
                Some(Known::Unreadable) => wanted.unreadable(run, &unreadable()),
                Some(Known::At(dir, name)) if link(run, &wanted, dir, name) => {}
                Some(Known::At(..)) | None => {
                    self.0.insert(identity, Known::Pending);
                    first.push(wanted);
                }
            }
        }
        (first, more)
    }

    fn note(&mut self, wanted: &Wanted) {
        let Some(identity) = wanted.hard_link() else { return };
        if wanted.fate.is(Fate::STANDS) {
            self.0.insert(identity, Known::At(Arc::clone(&wanted.dir), wanted.name().into()));
        } else if wanted.fate.is(Fate::UNREADABLE) {
            self.0.insert(identity, Known::Unreadable);
        } else {
            // Not restored, or not under this name: the next name is the first.
            self.0.remove(&identity);
        }
    }
}

fn unreadable() -> RepoError {
    let why = "it is another name of a file that is damaged".into();
    RepoError::Damaged { object: "its content".into(), why }
}

/// Whether the entry is done with; otherwise it is restored as a file of its own.
fn link(run: &Run<'_>, wanted: &Wanted, dir: &Arc<DirPath>, name: &[u8]) -> bool {
    if !run.goes_on() {
        return true;
    }
    let deed = match run.decide(wanted) {
        Err(trouble) => {
            wanted.failed(run, trouble);
            return true;
        }
        Ok(Decision::Keep) => {
            wanted.kept(run);
            return true;
        }
        Ok(Decision::Make(deed)) => deed,
        Ok(Decision::Settle | Decision::Compare { .. }) => Deed::Replaced,
    };
    if !run.options.dry_run
        && let Err(Trouble { path, why }) = run.target.link(&wanted.dir, wanted.name(), (dir, name))
    {
        run.trouble(Trouble { path, why: format!("{why}; it is restored as a file of its own") });
        return false;
    }
    wanted.stands(run, deed);
    true
}
