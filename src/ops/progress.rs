//! How far an operation is: counters that operations raise and others look at. No I/O, no clock.
//!
//! Counters are read while they change, each on its own: what is seen is never older than the last look,
//! and two counters need not belong to one instant.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// What a look at an operation's counters shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    /// What is counted, in the plural: "files", "packs".
    pub noun: &'static str,
    /// How many are done.
    pub done: u64,
    /// How many there are; `None` while nobody knows.
    pub total: Option<u64>,
    /// Bytes done.
    pub bytes_done: u64,
    /// Bytes there are; `None` while nobody knows.
    pub bytes_total: Option<u64>,
    /// What a backup adds to the repository; `None` for every other operation.
    pub added: Option<Added>,
    /// What is worked on, as its bytes are; may be empty.
    pub current: Vec<u8>,
    /// Things that could not be done.
    pub troubles: u64,
}

/// What a backup adds to the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Added {
    /// Bytes of content that the repository did not hold.
    pub bytes_new: u64,
    /// Bytes that they take there, compressed and sealed.
    pub bytes_stored: u64,
}

/// An operation that can be watched while it runs.
pub trait Watched: Send + Sync {
    /// How far it is now.
    fn look(&self) -> Seen;
}

/// The counters of a backup.
#[derive(Debug, Default)]
pub struct BackupCounters {
    /// Files read, or found unchanged.
    pub files_done: AtomicU64,
    /// Their bytes, and those of the file at hand so far.
    pub bytes_done: AtomicU64,
    /// Bytes of content that the repository did not hold.
    pub bytes_new: AtomicU64,
    /// Bytes that they take there.
    pub bytes_stored: AtomicU64,
    /// Files there are; 0 while nobody knows.
    pub files_total: AtomicU64,
    /// Bytes there are; 0 while nobody knows.
    pub bytes_total: AtomicU64,
    /// The file at hand.
    pub current: Current,
    /// Things that could not be read.
    pub troubles: AtomicU64,
}

impl Watched for BackupCounters {
    fn look(&self) -> Seen {
        Seen {
            noun: "files",
            done: self.files_done.load(Relaxed),
            total: known(&self.files_total),
            bytes_done: self.bytes_done.load(Relaxed),
            bytes_total: known(&self.bytes_total),
            added: Some(Added {
                bytes_new: self.bytes_new.load(Relaxed),
                bytes_stored: self.bytes_stored.load(Relaxed),
            }),
            current: self.current.get(),
            troubles: self.troubles.load(Relaxed),
        }
    }
}

/// The counters of any other long operation.
#[derive(Debug)]
pub struct WorkCounters {
    noun: &'static str,
    /// Things done.
    pub done: AtomicU64,
    /// Things there are; 0 while nobody knows.
    pub total: AtomicU64,
    /// Bytes done.
    pub bytes_done: AtomicU64,
    /// Bytes there are; 0 while nobody knows.
    pub bytes_total: AtomicU64,
    /// The thing at hand.
    pub current: Current,
    /// Things that could not be done.
    pub troubles: AtomicU64,
}

impl WorkCounters {
    /// Counts what `noun` says, in the plural: "files", "packs".
    pub fn new(noun: &'static str) -> Self {
        WorkCounters {
            noun,
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            bytes_done: AtomicU64::new(0),
            bytes_total: AtomicU64::new(0),
            current: Current::default(),
            troubles: AtomicU64::new(0),
        }
    }
}

impl Watched for WorkCounters {
    fn look(&self) -> Seen {
        Seen {
            noun: self.noun,
            done: self.done.load(Relaxed),
            total: known(&self.total),
            bytes_done: self.bytes_done.load(Relaxed),
            bytes_total: known(&self.bytes_total),
            added: None,
            current: self.current.get(),
            troubles: self.troubles.load(Relaxed),
        }
    }
}

fn known(total: &AtomicU64) -> Option<u64> {
    Some(total.load(Relaxed)).filter(|&total| total > 0)
}

/// The name of what is worked on: bytes, because names are.
#[derive(Debug, Default)]
pub struct Current(Mutex<Vec<u8>>);

impl Current {
    /// Work goes on with `name`.
    pub fn set(&self, name: &[u8]) {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        current.clear();
        current.extend_from_slice(name);
    }

    /// The last name that was set.
    pub fn get(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_of_zero_is_not_known() {
        let counters = BackupCounters::default();
        counters.files_done.store(3, Relaxed);
        counters.current.set(b"/etc/hosts");
        let seen = counters.look();
        assert_eq!((seen.done, seen.total, seen.bytes_total), (3, None, None));
        assert_eq!(seen.current, b"/etc/hosts");
        counters.files_total.store(9, Relaxed);
        assert_eq!(counters.look().total, Some(9));
    }
}
