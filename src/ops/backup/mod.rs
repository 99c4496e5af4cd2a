//! Backup: a source becomes a snapshot (format-spec, "Order of writes").
//!
//! One thread walks the source beside the parent snapshot and builds trees; the others read, cut, name,
//! compress and seal what is new. What is in memory at a time is bounded: one unfinished node per open
//! directory, a bounded queue of files, a few chunks.

mod assemble;
mod blobs;
mod parent;
mod pipeline;
mod sink;
mod tree;

use std::sync::atomic::Ordering::Relaxed;

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
}

/// How a backup ended.
#[derive(Debug, Clone)]
pub struct BackupReport {
    /// What became of it.
    pub outcome: Outcome,
    /// What it was compared with.
    pub parent: Option<SnapshotId>,
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
    /// Asked to stop. What was stored stays, and the next run finds it.
    #[error("interrupted; no snapshot was made, and what was stored is kept for the next run")]
    Interrupted,
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
    // After the announcement: what the parent refers to is spared from here on, or looked up anew.
    let parent = parent::find(repository, options)?;
    if let Some((_, parent)) = &parent {
        listener.counters.files_total.store(parent.root.entries, Relaxed);
        listener.counters.bytes_total.store(parent.root.bytes, Relaxed);
    }
    let blobs = Blobs::new(repository, &sink, options.shrink, listener.counters);
    let parent_snapshot = parent.as_ref().map(|(_, snapshot)| snapshot);
    let built = Pipeline::new(repository, &blobs, options.threads, listener.interrupted)?
        .run(|pipeline| tree::build(pipeline, source, parent_snapshot, listener));
    let Built { root, mut summary, troubles } = match built {
        Ok(built) => built,
        Err(failure) => return Err(end_without_snapshot(sink, failure)),
    };
    let finished = repository.objects().chance().now();
    sink.summarize(&mut summary);
    let parent_id = parent.as_ref().map(|(id, _)| *id);
    let report =
        |outcome, summary| BackupReport { outcome, parent: parent_id, summary, started, finished, root: root.clone() };
    let unchanged = summary.troubles == 0 && parent_snapshot.is_some_and(|parent| parent.root == root);
    let ending = Ending {
        started,
        status: if summary.troubles == 0 { RunStatus::Done } else { RunStatus::Partial },
        troubles,
        summary,
    };
    match sink {
        Sink::Dry { .. } => Ok(report(Outcome::DryRun, summary)),
        Sink::Real(writer) if options.skip_if_unchanged && unchanged => {
            writer.finish(&ending)?;
            Ok(report(Outcome::Unchanged, summary))
        }
        Sink::Real(mut writer) => {
            let id =
                writer.commit(snapshot_of(options, names, (started, finished), parent_id, root.clone(), summary))?;
            writer.finish(&ending)?;
            Ok(report(Outcome::Saved(id), summary))
        }
    }
}

/// Keeps what was stored where that makes sense, and says why there is no snapshot.
fn end_without_snapshot(sink: Sink<'_>, failure: Failure) -> BackupError {
    match failure {
        Failure::Repository(error) => error.into(),
        Failure::Source(trouble) => BackupError::Source(trouble),
        Failure::Interrupted => {
            if let Sink::Real(writer) = sink
                && let Err(error) = writer.flush()
            {
                tracing::warn!("what was stored could not be kept: {error}");
            }
            BackupError::Interrupted
        }
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

fn snapshot_of(
    options: &BackupOptions,
    names: Names,
    (started, finished): (Time, Time),
    parent: Option<SnapshotId>,
    root: TreeRef,
    summary: Summary,
) -> Snapshot {
    Snapshot {
        // The writer's, once it is known which one commits.
        session: crate::id::SessionId::from_bytes([0; 32]),
        lineage: Lineage::default(),
        state: if summary.troubles == 0 { SnapshotState::Complete } else { SnapshotState::Partial },
        time: options.time.unwrap_or(started),
        finished,
        component: Label::truncated(options.component),
        host: Label::truncated(&options.who.host),
        user: Label::truncated(&options.who.user),
        paths: names.paths,
        tags: names.tags,
        parent,
        root,
        summary,
        program: repo::program(),
        signature: Signature::default(),
        extras: Extras::default(),
    }
}
