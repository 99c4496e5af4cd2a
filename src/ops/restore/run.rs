//! One restore: what it works with, what it met, and whether it goes on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::report::{Deed, Listener, RestoreCounters, RestoreReport};
use super::window::{Fate, Wanted};
use super::{Overwrite, RestoreOptions};
use crate::format::limits::TROUBLES_MAX;
use crate::format::tree::{Node, Xattrs};
use crate::ops::source::{Kind, Trouble};
use crate::ops::target::{DirPath, Standing, Target};
use crate::repo::{Class, RepoError, Repository};

/// One restore.
pub(super) struct Run<'a> {
    pub repository: &'a Repository,
    pub target: &'a dyn Target,
    pub options: &'a RestoreOptions,
    listener: &'a Listener<'a>,
    stopped: AtomicBool,
    why: Mutex<Option<RepoError>>,
    damaged: Mutex<Vec<Trouble>>,
    damaged_count: AtomicU64,
    troubles: AtomicU64,
}

/// What is to become of an entry, by what stands at its name.
pub(super) enum Decision {
    /// Something stands there and stays.
    Keep,
    /// A file stands there and is taken for the entry's.
    Settle,
    /// A file of so many bytes stands there, and may hold some of the content; with `may_stay` it need
    /// not be replaced if it holds all of it.
    Compare { size: u64, may_stay: bool },
    /// It is made, in place of what stands there if something does.
    Make(Deed),
}

impl<'a> Run<'a> {
    pub fn new(
        repository: &'a Repository,
        target: &'a dyn Target,
        options: &'a RestoreOptions,
        listener: &'a Listener<'a>,
    ) -> Self {
        Run {
            repository,
            target,
            options,
            listener,
            stopped: AtomicBool::new(false),
            why: Mutex::default(),
            damaged: Mutex::default(),
            damaged_count: AtomicU64::new(0),
            troubles: AtomicU64::new(0),
        }
    }

    pub fn counters(&self) -> &'a RestoreCounters {
        self.listener.counters
    }

    /// Whether everything is wanted.
    pub fn takes_all(&self) -> bool {
        let selection = &self.options.selection;
        selection.includes.iter().chain(&selection.excludes).all(|patterns| patterns.is_empty())
    }

    /// Whether there is anything to go on for. Asked before each step that takes time.
    pub fn goes_on(&self) -> bool {
        if !self.stopped.load(Ordering::Relaxed) && (self.listener.interrupted)() {
            self.stopped.store(true, Ordering::Relaxed);
        }
        !self.stopped.load(Ordering::Relaxed)
    }

    /// Ends the restore for a reason that concerns all of it.
    pub fn stop(&self, why: RepoError) {
        lock(&self.why).get_or_insert(why);
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Names something that could not be restored.
    pub fn trouble(&self, trouble: Trouble) {
        self.troubles.fetch_add(1, Ordering::Relaxed);
        self.tell(&trouble);
    }

    fn tell(&self, trouble: &Trouble) {
        self.counters().troubles.fetch_add(1, Ordering::Relaxed);
        (self.listener.on_trouble)(trouble);
    }

    /// Names something that the repository does not give: because it is damaged, or for another reason.
    pub fn unreadable(&self, path: String, error: &RepoError) {
        let trouble = Trouble { path, why: error.to_string() };
        if error.class() != Class::Corrupt {
            return self.trouble(trouble);
        }
        self.damaged_count.fetch_add(1, Ordering::Relaxed);
        self.tell(&trouble);
        let mut damaged = lock(&self.damaged);
        if damaged.len() < TROUBLES_MAX {
            damaged.push(trouble);
        }
    }

    /// Counts what was done at `name`, and tells whoever wants to know.
    pub fn done(&self, deed: Deed, dir: &DirPath, name: &[u8]) {
        let counters = self.counters();
        let count = match deed {
            Deed::Restored | Deed::Replaced => &counters.restored,
            Deed::Unchanged => &counters.unchanged,
            Deed::Kept => &counters.kept,
            Deed::Deleted => &counters.deleted,
        };
        count.fetch_add(1, Ordering::Relaxed);
        if let Some(on_item) = self.listener.on_item {
            on_item(deed, &dir.show(name));
        }
    }

    /// The attributes of an entry; none of them, and a trouble, if they cannot be read.
    pub fn xattrs(&self, wanted: &Wanted) -> Xattrs {
        self.repository.xattrs(&wanted.entry).unwrap_or_else(|error| {
            self.unreadable(wanted.path(), &error);
            Xattrs::default()
        })
    }

    /// Gives what stands there the entry's metadata.
    pub fn settle(&self, wanted: &Wanted) {
        if self.options.dry_run {
            return;
        }
        let settled = self.target.settle(&wanted.dir, &wanted.entry, &self.xattrs(wanted));
        settled.unwrap_or_else(|trouble| self.trouble(trouble));
    }

    /// What is to become of an entry that is no directory.
    pub fn decide(&self, wanted: &Wanted) -> Result<Decision, Trouble> {
        if wanted.fresh {
            return Ok(Decision::Make(Deed::Restored));
        }
        match self.target.inspect(&wanted.dir, wanted.name())? {
            None => Ok(Decision::Make(Deed::Restored)),
            Some(standing) => Ok(self.decide_over(wanted, &standing)),
        }
    }

    fn decide_over(&self, wanted: &Wanted, standing: &Standing) -> Decision {
        let (theirs, ours) = (standing.stat.mtime, wanted.entry.meta.mtime);
        match self.options.overwrite {
            Overwrite::Never => return Decision::Keep,
            Overwrite::IfNewer if ours <= theirs => return Decision::Keep,
            _ => {}
        }
        if self.target.holds(&wanted.dir, &wanted.entry, standing) {
            return Decision::Settle;
        }
        let (Node::File(content), Kind::File { size: Some(size) }) = (&wanted.entry.node, standing.kind) else {
            return Decision::Make(Deed::Replaced);
        };
        // Another name of it may be outside the target, and must not get our metadata.
        let may_stay = standing.stat.hard_link.is_none() || wanted.hard_link().is_some();
        let alike = size == content.size && theirs == ours;
        match self.options.overwrite {
            Overwrite::IfChanged if alike && may_stay => Decision::Settle,
            _ => Decision::Compare { size, may_stay },
        }
    }

    /// How it ended.
    pub fn finish(self) -> Result<RestoreReport, RepoError> {
        let interrupted = self.stopped.into_inner();
        if let Some(why) = self.why.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(why);
        }
        Ok(RestoreReport {
            damaged: self.damaged.into_inner().unwrap_or_else(PoisonError::into_inner),
            damaged_count: self.damaged_count.into_inner(),
            troubles: self.troubles.into_inner(),
            shortcomings: self.target.shortcomings(),
            interrupted,
        })
    }
}

impl Wanted {
    /// Counts bytes of its content that are done with.
    pub fn advance(&self, run: &Run<'_>, bytes: u64) {
        self.bytes_done.fetch_add(bytes, Ordering::Relaxed);
        run.counters().bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn end(&self, run: &Run<'_>, fate: u8) {
        self.fate.set(fate);
        run.counters().entries.fetch_add(1, Ordering::Relaxed);
        let left = self.entry.bytes().saturating_sub(self.bytes_done.load(Ordering::Relaxed));
        run.counters().bytes.fetch_add(left, Ordering::Relaxed);
    }

    /// Ends it: `deed` was done, and what stands there now is the entry.
    pub fn stands(&self, run: &Run<'_>, deed: Deed) {
        self.end(run, Fate::STANDS);
        run.done(deed, &self.dir, self.name());
    }

    /// Ends it: something else stands there and stays.
    pub fn kept(&self, run: &Run<'_>) {
        self.end(run, Fate::FAILED);
        run.done(Deed::Kept, &self.dir, self.name());
    }

    /// Ends it: the target did not take it.
    pub fn failed(&self, run: &Run<'_>, trouble: Trouble) {
        self.end(run, Fate::FAILED);
        run.trouble(trouble);
    }

    /// Ends it: the repository did not give it.
    pub fn unreadable(&self, run: &Run<'_>, error: &RepoError) {
        self.end(run, Fate::UNREADABLE);
        run.unreadable(self.path(), error);
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
