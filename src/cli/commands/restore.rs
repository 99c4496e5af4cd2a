//! `restore`. Touches the world: disk, clock.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::cli::args::restore::{self as args, RestoreArgs};
use crate::cli::render::{duration, printable, size};
use crate::cli::{Context, Exit, Failure, Progress, Volume, choose, open, signals, stores};
use crate::component::bucket::{BucketAddress, BucketTarget};
use crate::component::files::{FilesTarget, raise_open_files_limit};
use crate::format::control::Snapshot;
use crate::id::SnapshotId;
use crate::ops::pattern::{Case, Patterns, Selection};
use crate::ops::restore::{Deed, Listener, Origin, Overwrite, RestoreCounters, RestoreOptions, RestoreReport, restore};
use crate::ops::snapshots::{Spot, is_bucket};
use crate::ops::target::Target;
use crate::repo::Repository;

/// Restores a snapshot, or what stands at a path in it, into a directory.
pub fn run(context: &Context, args: &RestoreArgs) -> Result<Exit, Failure> {
    let options = options(args)?;
    if let Err(error) = raise_open_files_limit() {
        tracing::debug!("the limit of open files stays as it is: {error}");
    }
    let repository = open::repository(context)?;
    let _held = repository.hold_back_deletions(&open::who(context, None));
    let (id, snapshot) = choose::one(&repository, &args.snapshot.name, &args.filter)?;
    let origin = origin(&repository, &snapshot, &args.snapshot.path)?;
    let place = Place::open(context, args)?;
    let restored = Restored { id, args, begun: Instant::now(), counters: Arc::default() };
    let report = execute(context, &repository, &origin, &place, &options, &restored)?;
    for shortcoming in &report.shortcomings {
        context.complain(&args.target.to_string_lossy(), shortcoming);
    }
    if report.interrupted {
        return Err(Failure::new(Exit::Interrupted, "interrupted; what was restored so far is whole")
            .hint("run it again: what is right already is not written again"));
    }
    place.sync(&args.target)?;
    restored.summarize(context, &report)?;
    Ok(exit(&report, &restored.counters))
}

fn exit(report: &RestoreReport, counters: &RestoreCounters) -> Exit {
    let nothing_came_back = counters.restored.load(Relaxed) == 0 && counters.unchanged.load(Relaxed) == 0;
    match (report.damaged_count, report.troubles, report.shortcomings.is_empty()) {
        (1.., ..) => Exit::Damage,
        (0, 0, true) => Exit::Success,
        // A target that takes nothing at all: that is not "in part".
        (0, 1.., _) if nothing_came_back => Exit::Failed,
        (0, ..) => Exit::Partly,
    }
}

fn options(args: &RestoreArgs) -> Result<RestoreOptions, Failure> {
    let patterns = |words: &[String]| {
        let words: Vec<Vec<u8>> = words.iter().map(|word| word.clone().into_bytes()).collect();
        Patterns::parse(&words, Case::Sensitive).map_err(|error| Failure::usage(error.to_string()))
    };
    let selection = Selection { includes: vec![patterns(&args.include)?], excludes: vec![patterns(&args.exclude)?] };
    Ok(RestoreOptions {
        selection,
        overwrite: match args.overwrite {
            args::Overwrite::Always => Overwrite::Always,
            args::Overwrite::IfChanged => Overwrite::IfChanged,
            args::Overwrite::IfNewer => Overwrite::IfNewer,
            args::Overwrite::Never => Overwrite::Never,
        },
        delete: args.delete,
        sparse: args.sparse,
        verify: args.verify,
        dry_run: args.dry_run,
    })
}

fn origin(repository: &Repository, snapshot: &Snapshot, path: &[u8]) -> Result<Origin, Failure> {
    let spot = choose::place(repository, snapshot, path)?;
    if let Some(tree) = spot.tree() {
        return Ok(Origin::Directory(tree.clone()));
    }
    Ok(match spot {
        Spot::Entry(entry) if is_bucket(snapshot) => Origin::Object(entry),
        Spot::Entry(entry) => Origin::Single(entry),
        Spot::Root(tree) => Origin::Directory(tree),
        Spot::Keys { tree, prefix } => Origin::Keys { tree, prefix },
    })
}

/// Where is restored to.
enum Place {
    Directory {
        target: FilesTarget,
        /// What stands for a directory that is not there while nothing is to be written.
        stand_in: Option<tempfile::TempDir>,
        is_written: bool,
    },
    Bucket(BucketTarget),
}

impl Place {
    fn open(context: &Context, args: &RestoreArgs) -> Result<Self, Failure> {
        match args.target.to_str().and_then(BucketAddress::parse) {
            None => Place::directory(&args.target, args.dry_run),
            Some(address) => {
                let address = address.map_err(|error| Failure::usage(error.to_string()))?;
                let target = BucketTarget::open(stores::bucket(context, address, &args.bucket)?);
                Ok(Place::Bucket(target.map_err(|trouble| Failure::new(Exit::Failed, trouble.to_string()))?))
            }
        }
    }

    fn directory(path: &Path, dry_run: bool) -> Result<Self, Failure> {
        let stand_in =
            match dry_run && !path.exists() {
                true => Some(tempfile::tempdir().map_err(|error| {
                    Failure::new(Exit::Failed, format!("cannot make a temporary directory: {error}"))
                })?),
                false => None,
            };
        let target = match (&stand_in, dry_run) {
            (Some(dir), _) => FilesTarget::open_existing(dir.path()),
            (None, true) => FilesTarget::open_existing(path),
            (None, false) => FilesTarget::open(path),
        };
        let target = target.map_err(|trouble| Failure::new(Exit::Failed, trouble.to_string()))?;
        Ok(Place::Directory { target, stand_in, is_written: !dry_run })
    }

    fn target(&self) -> &dyn Target {
        match self {
            Place::Directory { target, .. } => target,
            Place::Bucket(target) => target,
        }
    }

    /// Runs `restore` with as many threads as keep the place busy: each waits for one answer of a bucket.
    fn with_threads<T: Send>(&self, restore: impl FnOnce() -> T + Send) -> Result<T, Failure> {
        let Place::Bucket(bucket) = self else { return Ok(restore()) };
        let threads = rayon::ThreadPoolBuilder::new().num_threads(bucket.connections().min(16)).build();
        let threads = threads.map_err(|error| Failure::new(Exit::Failed, format!("cannot start threads: {error}")))?;
        Ok(threads.install(restore))
    }

    /// A disk may say only now that it is full.
    fn sync(&self, path: &Path) -> Result<(), Failure> {
        match self {
            Place::Directory { target, stand_in: None, is_written: true } => target.sync().map_err(|error| {
                Failure::new(
                    Exit::Failed,
                    format!("cannot bring what was restored to {} to disk: {error}", path.display()),
                )
            }),
            _ => Ok(()),
        }
    }
}

fn execute(
    context: &Context,
    repository: &Repository,
    origin: &Origin,
    place: &Place,
    options: &RestoreOptions,
    restored: &Restored<'_>,
) -> Result<RestoreReport, Failure> {
    let progress = Progress::watch(context, "restore", Arc::clone(&restored.counters));
    let is_told = told(context, options.dry_run);
    let on_item = |deed, path: &str| {
        if is_told(deed) {
            tell(context, options.dry_run, deed, path);
        }
    };
    let listener = Listener {
        counters: &restored.counters,
        on_item: Some(&on_item),
        on_trouble: &|trouble| context.complain(&trouble.path, &trouble.why),
        interrupted: &signals::interrupted,
    };
    let report = place.with_threads(|| restore(repository, origin, place.target(), options, &listener));
    drop(progress);
    report?.map_err(open::failure)
}

/// Which deeds are worth a line: with `--dry-run` or `-v` all that change something, with `-vv` all.
fn told(context: &Context, dry_run: bool) -> impl Fn(Deed) -> bool + Sync + use<> {
    let volume = context.output().volume;
    move |deed| match volume {
        Volume::Verbose(2..) => true,
        Volume::Verbose(_) => deed != Deed::Unchanged,
        Volume::Normal | Volume::Quiet => dry_run && deed != Deed::Unchanged,
    }
}

#[derive(Serialize)]
struct Item<'a> {
    message_type: &'static str,
    action: &'static str,
    item: &'a str,
}

/// A closed output is met again by the summary, which decides about it.
fn tell(context: &Context, dry_run: bool, deed: Deed, path: &str) {
    let action = match deed {
        Deed::Restored => "restored",
        Deed::Replaced => "updated",
        Deed::Unchanged => "unchanged",
        Deed::Kept => "kept",
        Deed::Deleted => "deleted",
    };
    let _ = match open::is_json(context) {
        true => context.out().json(&Item { message_type: "verbose_status", action, item: path }),
        false => {
            let would_be = if dry_run && !matches!(deed, Deed::Kept | Deed::Unchanged) { "would be " } else { "" };
            context.out().line(format_args!("{would_be}{action} {}", printable(path.as_bytes())))
        }
    };
}

/// A restore as it is told about.
struct Restored<'a> {
    id: SnapshotId,
    args: &'a RestoreArgs,
    begun: Instant,
    counters: Arc<RestoreCounters>,
}

/// With restic's names where it has one.
#[derive(Serialize)]
struct Summary {
    message_type: &'static str,
    snapshot_id: String,
    target: String,
    dry_run: bool,
    seconds_elapsed: u64,
    total_duration: f64,
    total_files: u64,
    files_restored: u64,
    files_skipped: u64,
    files_unchanged: u64,
    files_kept: u64,
    files_deleted: u64,
    files_verified: u64,
    total_bytes: u64,
    bytes_fetched: u64,
    bytes_reused: u64,
    damaged: u64,
    troubles: u64,
    shortcomings: Vec<String>,
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Relaxed)
}

impl Restored<'_> {
    fn summarize(&self, context: &Context, report: &RestoreReport) -> Result<(), Failure> {
        let took = self.begun.elapsed();
        match (open::is_json(context), context.output().volume) {
            (true, _) => context.out().json(&self.fields(report, took)),
            (false, Volume::Quiet) => Ok(()),
            (false, _) => self.print(context, report, took),
        }
    }

    fn fields(&self, report: &RestoreReport, took: Duration) -> Summary {
        let counters = &self.counters;
        let (unchanged, kept) = (read(&counters.unchanged), read(&counters.kept));
        Summary {
            message_type: "summary",
            snapshot_id: self.id.to_hex(),
            target: self.args.target.to_string_lossy().into_owned(),
            dry_run: self.args.dry_run,
            seconds_elapsed: took.as_secs(),
            total_duration: took.as_secs_f64(),
            total_files: read(&counters.entries_total),
            files_restored: read(&counters.restored),
            files_skipped: unchanged.saturating_add(kept),
            files_unchanged: unchanged,
            files_kept: kept,
            files_deleted: read(&counters.deleted),
            files_verified: read(&counters.verified),
            total_bytes: read(&counters.bytes_total),
            bytes_fetched: read(&counters.bytes_fetched),
            bytes_reused: read(&counters.bytes_reused),
            damaged: report.damaged_count,
            troubles: report.troubles,
            shortcomings: report.shortcomings.clone(),
        }
    }

    fn print(&self, context: &Context, report: &RestoreReport, took: Duration) -> Result<(), Failure> {
        let (out, counters) = (context.out(), &self.counters);
        let total = size(read(&counters.bytes_total));
        out.line(format_args!("snapshot {}: {} entries, {total}", self.id.short(), read(&counters.entries_total)))?;
        out.line(format_args!(
            "restored:  {} entries; {} of content were fetched",
            read(&counters.restored),
            size(read(&counters.bytes_fetched))
        ))?;
        for (counter, label, what) in [
            (&counters.unchanged, "unchanged:", "files were right already"),
            (&counters.kept, "kept:     ", "entries stand there and were left alone"),
            (&counters.deleted, "deleted:  ", "things that the snapshot does not hold"),
            (&counters.verified, "verified: ", "files were read back and are right"),
        ] {
            match read(counter) {
                0 => {}
                count => out.line(format_args!("{label} {count} {what}"))?,
            }
        }
        out.line(format_args!("time:      {}", duration(took)))?;
        self.print_end(context, report)
    }

    fn print_end(&self, context: &Context, report: &RestoreReport) -> Result<(), Failure> {
        let out = context.out();
        match report.damaged_count {
            0 => {}
            count => {
                out.line(format_args!("damaged:   {count} could not be restored whole; see the warnings above"))?
            }
        }
        match report.troubles {
            0 => {}
            count => out.line(format_args!("troubles:  {count}; see the warnings above"))?,
        }
        match self.args.dry_run {
            true => out.line("dry run: nothing was written"),
            false => {
                let target = self.args.target.as_os_str().as_encoded_bytes();
                out.line(format_args!("restored into {}", printable(target)))
            }
        }
    }
}
