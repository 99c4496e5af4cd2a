//! Touches the world: how much time has passed. Checkpoints: what an unfinished backup has done, kept as a
//! snapshot that nobody takes for a backup, so that the next one goes on from there (format-spec, "Control
//! objects" and "Trees").

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::blobs::Blobs;
use crate::format::control::{Snapshot, SnapshotState, Summary};
use crate::format::tree::TreeRef;
use crate::id::SnapshotId;
use crate::repo::{Objects, Result};

/// How much time may pass between two checkpoints, if anything was read.
pub const CHECKPOINT_EVERY: Duration = Duration::from_secs(2 * 60);

/// Keeps what was done, now and then.
pub(super) struct Keeper<'a> {
    objects: &'a Objects,
    every: Duration,
    /// What is said in every checkpoint of this run.
    words: Snapshot,
    looked: Instant,
    /// How much work there was at the last one.
    done: u64,
    /// Checkpoints of the same things: of earlier runs, and our own last.
    there: Vec<(SnapshotId, TreeRef)>,
    kept: Option<TreeRef>,
}

impl<'a> Keeper<'a> {
    /// Checkpoints that say of themselves what `words` says, every so often. `there` are those of earlier runs.
    pub fn new(objects: &'a Objects, every: Duration, words: Snapshot, there: Vec<(SnapshotId, TreeRef)>) -> Self {
        let words = Snapshot { state: SnapshotState::Checkpoint, ..words };
        Keeper { objects, every, words, looked: Instant::now(), done: 0, there, kept: None }
    }

    /// No checkpoints, however much is done: for a dry run.
    pub fn idle(objects: &'a Objects, words: Snapshot) -> Self {
        Keeper { done: u64::MAX, ..Keeper::new(objects, Duration::MAX, words, Vec::new()) }
    }

    /// Whether it is time for one.
    pub fn is_due(&self, work: &AtomicU64) -> bool {
        self.is_worthwhile(work) && self.looked.elapsed() >= self.every
    }

    /// Whether anything was read since the last one. What was only compared is as quickly compared again.
    pub fn is_worthwhile(&self, work: &AtomicU64) -> bool {
        work.load(Relaxed) > self.done
    }

    /// Commits a checkpoint, and deletes those that have no more than it.
    ///
    /// If this session was taken for dead nothing is kept and nothing said: the last commit will deal with it.
    pub fn keep(&mut self, blobs: &Blobs<'_>, done: u64, root: TreeRef, summary: Summary) -> Result<()> {
        let finished = self.objects.chance().now();
        let id = blobs.checkpoint(Snapshot { root: root.clone(), finished, summary, ..self.words.clone() })?;
        (self.looked, self.done) = (Instant::now(), done);
        let Some(id) = id else { return Ok(()) };
        let superseded =
            |(_, older): &mut (SnapshotId, TreeRef)| older.entries <= root.entries && older.bytes <= root.bytes;
        for (older, _) in self.there.extract_if(.., superseded) {
            delete(self.objects, &older);
        }
        self.there.push((id, root.clone()));
        self.kept = Some(root);
        Ok(())
    }

    /// What the last checkpoint of this run holds.
    pub fn kept(self) -> Option<TreeRef> {
        self.kept
    }

    /// Deletes all checkpoints: a snapshot has what they were kept for.
    pub fn clear(self) {
        self.there.iter().for_each(|(id, _)| delete(self.objects, id));
    }
}

/// Nobody is told of checkpoints, so no record says that one was removed. One that cannot be removed waits for
/// the next backup, or for a prune.
fn delete(objects: &Objects, id: &SnapshotId) {
    if let Err(error) = objects.delete::<Snapshot>(id) {
        tracing::debug!("the checkpoint {} could not be removed: {error}", id.short());
    }
}
