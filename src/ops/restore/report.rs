//! What a restore tells while it runs and when it is over.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::ops::progress::{Current, Seen, Watched};
use crate::ops::source::Trouble;

/// How far a restore is. Counts only ever grow.
#[derive(Debug, Default)]
pub struct RestoreCounters {
    /// Entries to be restored, as far as they are known.
    pub entries_total: AtomicU64,
    /// Bytes of content to be restored, as far as they are known.
    pub bytes_total: AtomicU64,
    /// Whether the totals will not grow any more.
    pub totals_known: AtomicBool,
    /// Entries that are done with, in whatever way.
    pub entries: AtomicU64,
    /// Bytes of content that are done with, in whatever way.
    pub bytes: AtomicU64,
    /// Entries that were made, or replaced.
    pub restored: AtomicU64,
    /// Files whose content was right already.
    pub unchanged: AtomicU64,
    /// Entries that were not restored, so as not to overwrite what stands there.
    pub kept: AtomicU64,
    /// Things that were removed because the snapshot does not hold them.
    pub deleted: AtomicU64,
    /// Files that were read again and found right.
    pub verified: AtomicU64,
    /// Bytes of content that came from the repository.
    pub bytes_fetched: AtomicU64,
    /// Bytes of changed files that were taken from what stood in their place.
    pub bytes_reused: AtomicU64,
    /// The file at hand.
    pub current: Current,
    /// Things that could not be restored.
    pub troubles: AtomicU64,
}

impl Watched for RestoreCounters {
    fn look(&self) -> Seen {
        let total = |total: &AtomicU64| self.totals_known.load(Relaxed).then(|| total.load(Relaxed));
        Seen {
            noun: "entries",
            done: self.entries.load(Relaxed),
            total: total(&self.entries_total),
            bytes_done: self.bytes.load(Relaxed),
            bytes_total: total(&self.bytes_total),
            added: None,
            current: self.current.get(),
            troubles: self.troubles.load(Relaxed),
        }
    }
}

/// What was done with one entry, or would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// It was made where nothing stood.
    Restored,
    /// It was made in place of what stood there.
    Replaced,
    /// It was right already.
    Unchanged,
    /// What stands there was left alone.
    Kept,
    /// It was removed because the snapshot does not hold it.
    Deleted,
}

/// Called with what was done, and the path.
pub type OnItem<'a> = &'a (dyn Fn(Deed, &str) + Sync);

/// Whom a restore talks to while it runs, from several threads at once.
pub struct Listener<'a> {
    /// Raised as work is done.
    pub counters: &'a RestoreCounters,
    /// Told of every entry and its path, if someone wants to know.
    pub on_item: Option<OnItem<'a>>,
    /// Told of everything that could not be restored, damage included.
    pub on_trouble: &'a (dyn Fn(&Trouble) + Sync),
    /// Asked, often, whether to stop. What is in the making vanishes.
    pub interrupted: &'a (dyn Fn() -> bool + Sync),
}

/// How a restore ended.
#[derive(Debug, Default)]
pub struct RestoreReport {
    /// Entries that the repository does not hold whole any more; the first thousand of them.
    pub damaged: Vec<Trouble>,
    /// How many there were.
    pub damaged_count: u64,
    /// How many troubles there were besides.
    pub troubles: u64,
    /// What could not be done for all entries alike, in one sentence each.
    pub shortcomings: Vec<String>,
    /// It was told to stop before it was done.
    pub interrupted: bool,
}
