//! Restoring a snapshot, or a part of one, into a target.
//!
//! The tree is walked in windows of files, and their blobs are read pack by pack: each stretch of a pack
//! once, each blob decoded once, however many files of a window need it. Promises: memory does not grow
//! with the snapshot; a file appears whole or not at all; what is damaged is named and harms nothing
//! else; what stands already and is right is neither read from the repository nor written.

mod fetch;
mod file;
mod keys;
mod links;
mod report;
mod run;
mod sift;
mod standing;
mod strays;
mod walk;
mod window;

use std::thread;

pub use report::{Deed, Listener, OnItem, RestoreCounters, RestoreReport};

use super::pattern::Selection;
use super::target::Target;
use crate::format::tree::{Entry, TreeRef};
use crate::repo::{RepoError, Repository};
use links::Links;
use run::Run;
use walk::Walker;

/// What is restored.
#[derive(Debug, Clone)]
pub enum Origin {
    /// Everything in a directory, but not the directory itself.
    Directory(TreeRef),
    /// One entry, under its name, with all below it.
    Single(Box<Entry>),
    /// One object of a bucket, under what comes after the last slash of its key.
    Object(Box<Entry>),
    /// The objects of a bucket whose keys begin so, by the rest of their keys.
    Keys {
        /// All of the bucket.
        tree: TreeRef,
        /// Ends in a slash, or is empty.
        prefix: Vec<u8>,
    },
}

/// What happens where something stands already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overwrite {
    /// It is compared chunk by chunk, and what differs is replaced.
    #[default]
    Always,
    /// The same, but a file of the same size and modification time is taken for unchanged unread.
    IfChanged,
    /// It is replaced if the snapshot's was modified later.
    IfNewer,
    /// It stays as it is.
    Never,
}

/// How to restore.
#[derive(Debug, Clone, Default)]
pub struct RestoreOptions {
    /// What is wanted, by paths relative to what is restored.
    pub selection: Selection,
    /// What happens where something stands already.
    pub overwrite: Overwrite,
    /// Removes what the snapshot does not hold: only in directories that it holds, and only what the
    /// selection wants.
    pub delete: bool,
    /// Writes runs of zeros as holes; the snapshot's own holes are holes in any case.
    pub sparse: bool,
    /// Reads every restored file again and compares it with the snapshot.
    pub verify: bool,
    /// Changes nothing, and says what would be done.
    pub dry_run: bool,
}

/// Restores `from` into `target`.
///
/// Trouble with one entry is told to the listener and does not end the restore.
///
/// # Errors
///
/// What makes it pointless to go on: the target is full, the store or the local index cannot be read.
pub fn restore(
    repository: &Repository,
    from: &Origin,
    target: &dyn Target,
    options: &RestoreOptions,
    listener: &Listener<'_>,
) -> Result<RestoreReport, RepoError> {
    if options.delete && matches!(from, Origin::Keys { .. }) && !target.takes_keys() {
        let why = "what is not in a snapshot of a bucket can be removed from a bucket, not from a directory";
        return Err(RepoError::Refused(why.into()));
    }
    let run = Run::new(repository, target, options, listener);
    thread::scope(|scope| {
        // One window is gathered while the one before it is restored: two are held, never more.
        let (sender, windows) = crossbeam_channel::bounded(0);
        scope.spawn(|| Walker::new(&run, sender).walk(from));
        let mut links = Links::default();
        for window in windows {
            window::restore(&run, window, &mut links);
        }
    });
    run.finish()
}
