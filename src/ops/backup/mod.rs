//! Backup: a source becomes a snapshot (format-spec, "Order of writes").
//!
//! One thread walks the source beside the parent snapshot and builds trees; the others read, cut, name,
//! compress and seal what is new. Every few minutes, and when it is interrupted, what was done so far is kept in a
//! checkpoint that the next backup goes on from, also within a file. What is in memory at a time is bounded: one unfinished node per open
//! directory, a bounded queue of files, a few chunks.

mod assemble;
mod blobs;
mod checkpoint;
mod hints;
mod parent;
mod pipeline;
mod promise;
mod sink;
mod stack;
mod tree;

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::progress::BackupCounters;
use super::source::{Source, Trouble};
use crate::format::codec::{Ascending, Bytes};
use crate::format::control::{
    Label, Lineage, PathBytes, RunStatus, SessionKind, Signature, Snapshot, SnapshotState, Summary,
};
use crate::format::extras::Extras;
use crate::format::limits::{OBJECT_MAX, PATHS_MAX, TAGS_MAX};
use crate::format::tree::{Time, TreeRef};
use crate::id::SnapshotId;
use crate::repo::{self, Ending, RepoError, Repository, Who, Writer};

use assemble::Built;
use blobs::Blobs;
pub use checkpoint::CHECKPOINT_EVERY;
use checkpoint::Keeper;
use parent::Earlier;
use pipeline::{Failure, Pipeline};
use sink::Sink;

/// How content is made shorter before it is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shrink {
    /// Not at all.
    Not,
    /// By zstd at this level, 1 to 19.
    Zstd(i32),
}

impl Default for Shrink {
    fn default() -> Self {
        Shrink::Zstd(crate::compress::Compressor::DEFAULT_LEVEL)
    }
}

/// What a backup is compared with.
#[derive(Debug, Clone, Default)]
pub enum ParentChoice {
    /// The newest snapshot of the same host and paths.
    #[default]
    Newest,
    /// This one.
    Given(SnapshotId),
    /// None: every file is read.
    Nothing,
}

/// What a backup is asked for.
#[derive(Debug, Clone)]
pub struct BackupOptions {
    /// Who runs it.
    pub who: Who,
    /// What kind of thing the source is: `files`, `stream`.
    pub component: &'static str,
    /// What was asked for, as the snapshot records it.
    pub paths: Vec<Vec<u8>>,
    /// Words for the snapshot.
    pub tags: Vec<String>,
    /// What the snapshot is dated by, if not by now.
    pub time: Option<Time>,
    /// What it is compared with.
    pub parent: ParentChoice,
    /// How content is compressed.
    pub shrink: Shrink,
    /// Say what would be done, write nothing.
    pub dry_run: bool,
    /// Make no snapshot if it would equal its parent.
    pub skip_if_unchanged: bool,
    /// Threads that read and compress.
    pub threads: usize,
    /// How much time may pass until what was read is kept in a checkpoint: usually [`CHECKPOINT_EVERY`].
    pub checkpoint_every: Duration,
}

/// How a backup ended.
#[derive(Debug, Clone)]
pub struct BackupReport {
    /// What became of it.
    pub outcome: Outcome,
    /// What it was compared with.
    pub parent: Option<SnapshotId>,
    /// The newest checkpoint that it went on from.
    pub resumed: Option<SnapshotId>,
    /// What it found and did.
    pub summary: Summary,
    /// When it began.
    pub started: Time,
    /// When all had been read.
    pub finished: Time,
    /// Everything in it.
    pub root: TreeRef,
}

/// What became of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A snapshot that is certain to be good.
    Saved(SnapshotId),
    /// None, because nothing changed since the parent.
    Unchanged,
    /// None, because none was to be made.
    DryRun,
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The repository.
    #[error(transparent)]
    Repository(#[from] RepoError),
    /// The source cannot be backed up in part, and a part failed.
    #[error("{0}; no snapshot was made")]
    Source(Trouble),
    /// The snapshot is there and whole, and no report vouches for it: what is lost of it later would not be called damage.
    #[error("snapshot {} is stored and whole, but the report of this run could not be stored; run it again", .0.short())]
    Unreported(SnapshotId),
    /// Asked to stop. The next run goes on from what was kept of this one.
    #[error("interrupted; no snapshot was made")]
    Interrupted {
        /// What a checkpoint holds, if there was anything new to be kept.
        kept: Option<TreeRef>,
    },
}

/// Whom a backup talks to while it runs.
pub struct Listener<'a> {
    /// Told of each trouble as it comes.
    pub on_trouble: &'a (dyn Fn(&Trouble) + Sync),
    /// Asked, often, whether to stop.
    pub interrupted: &'a (dyn Fn() -> bool + Sync),
    /// Raised as work is done.
    pub counters: &'a BackupCounters,
}

/// Backs up `source`.
pub fn backup<S: Source>(
    repository: &Repository,
    source: &S,
    options: &BackupOptions,
    listener: &Listener<'_>,
) -> Result<BackupReport, BackupError> {
    let started = repository.objects().chance().now();
    // Before any work is done: what no snapshot can say would be found out hours later.
    let names = Names::of(options)?;
    let sink = match options.dry_run {
        true => Sink::dry(repository),
        false => Sink::Real(Box::new(Writer::begin(repository, SessionKind::Backup, &options.who)?)),
    };
    // After the announcement: what these refer to is spared from here on, or looked up anew.
    let earlier = parent::find(repository, options)?;
    let parent = earlier.parent.as_ref().map(|(_, parent)| parent);
    if let Some(parent) = parent {
        listener.counters.files_total.store(parent.root.entries, Relaxed);
        listener.counters.bytes_total.store(parent.root.bytes, Relaxed);
    }
    let frame = snapshot_of(options, names, started, earlier.parent.as_ref().map(|(id, _)| *id));
    let blobs = Blobs::new(repository, &sink, options.shrink, listener.counters);
    let mut keeper = keeper(repository, options, &frame, started, &earlier);
    let built = Pipeline::new(repository, &blobs, options.threads, listener.interrupted)?
        .run(|pipeline| tree::build(pipeline, source, &earlier, &mut keeper, listener));
    let Built { root, mut summary, troubles } = match built {
        Ok(built) => built,
        Err(Failure::Repository(error)) => return Err(error.into()),
        Err(Failure::Source(trouble)) => return Err(BackupError::Source(trouble)),
        Err(Failure::Interrupted) => return Err(BackupError::Interrupted { kept: keeper.kept() }),
    };
    let finished = repository.objects().chance().now();
    sink.summarize(&mut summary);
    let is_whole = summary.troubles == 0;
    let unchanged = is_whole && parent.is_some_and(|parent| parent.root == root);
    let outcome = match sink {
        Sink::Dry { .. } => Outcome::DryRun,
        Sink::Real(mut writer) => {
            let status = if is_whole { RunStatus::Done } else { RunStatus::Partial };
            let state = if is_whole { SnapshotState::Complete } else { SnapshotState::Partial };
            let outcome = match options.skip_if_unchanged && unchanged {
                true => Outcome::Unchanged,
                false => {
                    let snapshot = Snapshot { state, finished, summary, root: root.clone(), ..frame };
                    Outcome::Saved(writer.commit(snapshot)?)
                }
            };
            let is_reported = writer.finish(&Ending { started, status, troubles, summary })?;
            if let (Outcome::Saved(id), false) = (outcome, is_reported) {
                return Err(BackupError::Unreported(id));
            }
            keeper.clear();
            outcome
        }
    };
    let resumed = earlier.checkpoints.first().map(|(id, _)| *id);
    let parent = earlier.parent.map(|(id, _)| id);
    Ok(BackupReport { outcome, parent, resumed, summary, started, finished, root })
}

fn keeper<'r>(
    repository: &'r Repository,
    options: &BackupOptions,
    frame: &Snapshot,
    started: Time,
    earlier: &Earlier,
) -> Keeper<'r> {
    // Whatever the snapshot is to be dated by: what is settled is judged by the time at which reading began.
    let words = Snapshot { time: started, ..frame.clone() };
    let there = earlier.all_checkpoints.iter().map(|(id, checkpoint)| (*id, checkpoint.root.clone())).collect();
    match options.dry_run {
        true => Keeper::idle(repository.objects(), words),
        false => Keeper::new(repository.objects(), options.checkpoint_every, words, there),
    }
}

/// What people said of a snapshot, within the bounds of what one can hold.
struct Names {
    paths: Ascending<PathBytes, PATHS_MAX>,
    tags: Ascending<Label, TAGS_MAX>,
}

impl Names {
    fn of(options: &BackupOptions) -> Result<Self, RepoError> {
        let too_long = |what: &str| RepoError::Refused(format!("{what} is longer than a snapshot can hold"));
        let paths = options.paths.iter().map(|path| Bytes::new(path.clone())).collect::<Result<Vec<_>, _>>();
        let tags = options.tags.iter().map(|tag| Label::new(tag.clone())).collect::<Result<Vec<_>, _>>();
        let paths = Ascending::new(paths.map_err(|_| too_long("a path"))?);
        let paths = paths.map_err(|_| too_long("the list of paths"))?;
        if paths.iter().map(|path| path.len()).sum::<usize>() as u64 > OBJECT_MAX / 2 {
            return Err(too_long("the list of paths"));
        }
        let tags = Ascending::new(tags.map_err(|_| too_long("a tag"))?).map_err(|_| too_long("the list of tags"))?;
        Ok(Names { paths, tags })
    }
}

/// The snapshot but for what is not known before the end.
fn snapshot_of(options: &BackupOptions, names: Names, started: Time, parent: Option<SnapshotId>) -> Snapshot {
    Snapshot {
        // The writer's, once it is known which one commits.
        session: crate::id::SessionId::from_bytes([0; 32]),
        lineage: Lineage::default(),
        state: SnapshotState::Partial,
        time: options.time.unwrap_or(started),
        finished: started,
        component: Label::truncated(options.component),
        host: Label::truncated(&options.who.host),
        user: Label::truncated(&options.who.user),
        paths: names.paths,
        tags: names.tags,
        parent,
        root: TreeRef { id: crate::id::BlobId::from_bytes([0; 32]), level: 0, entries: 0, bytes: 0 },
        summary: Summary::default(),
        program: repo::program(),
        signature: Signature::default(),
        extras: Extras::default(),
    }
}
