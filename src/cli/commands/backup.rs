//! `backup`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::cli::args::backup::{BackupArgs, ExcludeArgs, ListArgs, What};
use crate::cli::args::filter::FilterArgs;
use crate::cli::render::{duration, rfc3339, size};
use crate::cli::{Context, Exit, Failure, Progress, Volume, choose, open, signals, stores};
use crate::component::bucket::{BucketAddress, BucketSource, KeyFilter};
use crate::component::files::files_from::{self, Manner};
use crate::component::files::filter::{Filter, Tag, read_patterns};
use crate::component::files::{FilesSource, raise_open_files_limit};
use crate::component::stream::{Pipe, StreamSource};
use crate::crypto::Chance;
use crate::format::tree::Time;
use crate::ops::backup::{
    BackupError, BackupOptions, BackupReport, CHECKPOINT_EVERY, Listener, Outcome, ParentChoice, Shrink, backup,
};
use crate::ops::pattern::{Case, Patterns};
use crate::ops::progress::BackupCounters;
use crate::ops::snapshots::BUCKET;
use crate::ops::source::Source;
use crate::repo::{RepoError, Repository, SystemChance};
use crate::storage::StoreError;

/// Makes a snapshot.
pub fn run(context: &Context, args: &BackupArgs) -> Result<Exit, Failure> {
    if let Err(error) = raise_open_files_limit() {
        tracing::debug!("the limit of open files stays as it is: {error}");
    }
    match args.what() {
        What::Paths(paths) => back_up_files(context, args, paths),
        What::Stdin { name } => {
            let reader = Pipe::stdin(signals::flag());
            let reader = reader.map_err(|error| Failure::new(Exit::Failed, format!("standard input: {error}")))?;
            let source = StreamSource::reader(stream_path(args, name), SystemChance.now(), Box::new(reader));
            back_up_stream(context, args, name, source.map_err(|error| Failure::usage(error.to_string()))?)
        }
        What::Command { name, words } => {
            let (program, arguments) = words.split_first().ok_or_else(|| Failure::usage("a command is missing"))?;
            let source = StreamSource::command(
                stream_path(args, name),
                SystemChance.now(),
                program,
                arguments.to_vec(),
                signals::flag(),
            );
            back_up_stream(context, args, name, source.map_err(|error| Failure::usage(error.to_string()))?)
        }
    }
}

/// The bucket that is to be backed up, if it is one.
fn bucket(args: &BackupArgs, paths: &[PathBuf]) -> Result<Option<BucketAddress>, Failure> {
    let addresses = paths.iter().filter_map(|path| BucketAddress::parse(path.to_str()?));
    let Some(address) = addresses.into_iter().next() else { return Ok(None) };
    let address = address.map_err(|error| Failure::usage(error.to_string()))?;
    if paths.len() != 1 || !args.lists.is_empty() {
        return Err(Failure::usage(format!("{address} cannot be backed up together with something else")));
    }
    let stray = args.snapshot.as_path.as_ref().map(|_| "--as").or(args.exclude.for_files_only());
    match stray {
        Some(flag) => Err(Failure::usage(format!("{flag} means nothing for a bucket"))),
        None => Ok(Some(address)),
    }
}

fn back_up_bucket(context: &Context, args: &BackupArgs, address: BucketAddress) -> Result<Exit, Failure> {
    let ExcludeArgs { exclude, iexclude, exclude_file, exclude_larger_than, .. } = &args.exclude;
    let filter = KeyFilter {
        excludes: excludes(exclude, iexclude, exclude_file)?,
        larger_than: exclude_larger_than.map(|size| size.bytes()),
    };
    let path = address.to_string().into_bytes();
    let client = stores::bucket(context, address, &args.bucket)?;
    finish(context, args, BUCKET, vec![path], &BucketSource::new(client, filter))
}

fn back_up_files(context: &Context, args: &BackupArgs, mut paths: Vec<PathBuf>) -> Result<Exit, Failure> {
    if let Some(address) = bucket(args, &paths)? {
        return back_up_bucket(context, args, address);
    }
    paths.extend(listed_paths(context, &args.lists)?);
    let filter = filter(&args.exclude)?;
    let source = FilesSource::new(&paths, args.snapshot.as_path.as_deref(), filter)
        .map_err(|error| Failure::usage(error.to_string()))?;
    if source.is_empty() {
        for trouble in source.missing() {
            context.complain(&trouble.path, &trouble.why);
        }
        return Err(Failure::new(Exit::Partly, "none of the given paths can be backed up; no snapshot was made"));
    }
    let paths = source.paths().into_iter().map(|path| path.into_os_string().into_encoded_bytes()).collect();
    finish(context, args, "files", paths, &source)
}

fn back_up_stream(context: &Context, args: &BackupArgs, name: &OsStr, source: StreamSource) -> Result<Exit, Failure> {
    let path = stream_path(args, name).as_os_str().as_encoded_bytes();
    let rooted = if path.starts_with(b"/") { path.to_vec() } else { [b"/", path].concat() };
    finish(context, args, "stream", vec![rooted], &source)
}

fn stream_path<'a>(args: &'a BackupArgs, name: &'a OsStr) -> &'a Path {
    args.snapshot.as_path.as_deref().unwrap_or(Path::new(name))
}

/// The paths in lists, and a word on what in them matches nothing.
fn listed_paths(context: &Context, lists: &ListArgs) -> Result<Vec<PathBuf>, Failure> {
    let patterns = lists.files_from.iter().map(|list| (list, Manner::Patterns));
    let verbatim = lists.files_from_verbatim.iter().map(|list| (list, Manner::Verbatim));
    let raw = lists.files_from_raw.iter().map(|list| (list, Manner::Raw));
    let mut paths = Vec::new();
    for (list, manner) in patterns.chain(verbatim).chain(raw) {
        let failed = |error: files_from::BadList| Failure::new(Exit::Failed, error.to_string());
        let listed = files_from::read_list(list, manner).map_err(failed)?;
        for pattern in listed.unmatched {
            context.note(format!("{}: {pattern} matches nothing", list.display()));
        }
        paths.extend(listed.paths);
    }
    Ok(paths)
}

/// What is left out: these patterns, these regardless of case, and those in these files.
pub(super) fn excludes(exclude: &[String], iexclude: &[String], files: &[PathBuf]) -> Result<Vec<Patterns>, Failure> {
    let parse =
        |words: &[Vec<u8>], case| Patterns::parse(words, case).map_err(|error| Failure::usage(error.to_string()));
    let words = |patterns: &[String]| patterns.iter().map(|word| word.clone().into_bytes()).collect::<Vec<_>>();
    let mut excludes = vec![parse(&words(exclude), Case::Sensitive)?, parse(&words(iexclude), Case::Insensitive)?];
    for file in files {
        let failed =
            |error| Failure::new(Exit::Failed, format!("cannot read patterns from {}: {error}", file.display()));
        excludes.push(parse(&read_patterns(file).map_err(failed)?, Case::Sensitive)?);
    }
    Ok(excludes)
}

fn filter(args: &ExcludeArgs) -> Result<Filter, Failure> {
    let mut tags = Vec::new();
    for marker in &args.exclude_if_present {
        let mut spec = marker.name.as_encoded_bytes().to_vec();
        if let Some(header) = &marker.header {
            spec.push(b':');
            spec.extend_from_slice(header);
        }
        tags.push(Tag::parse(&spec).ok_or_else(|| Failure::usage("--exclude-if-present takes the name of a file"))?);
    }
    if args.exclude_caches {
        tags.push(Tag::cache());
    }
    Ok(Filter {
        excludes: excludes(&args.exclude, &args.iexclude, &args.exclude_file)?,
        tags,
        larger_than: args.exclude_larger_than.map(|size| size.bytes()),
        ignore_files: args.ignore_file.iter().map(|name| name.as_encoded_bytes().to_vec()).collect(),
        one_file_system: args.one_file_system,
    })
}

fn finish<S: Source>(
    context: &Context,
    args: &BackupArgs,
    component: &'static str,
    paths: Vec<Vec<u8>>,
    source: &S,
) -> Result<Exit, Failure> {
    let repository = open_or_make(context, args)?;
    open::sweep(context);
    let options = options(context, &repository, args, component, paths)?;
    let counters = Arc::new(BackupCounters::default());
    let progress = Progress::watch(context, "backup", Arc::clone(&counters));
    let listener = Listener {
        on_trouble: &|trouble| context.complain(&trouble.path, &trouble.why),
        interrupted: &signals::interrupted,
        counters: &counters,
    };
    let result = match backup(&repository, source, &options, &listener) {
        // Taken for dead by a prune: what was read is known now, so a second run is quick. Standard input is gone.
        Err(BackupError::Repository(RepoError::Conflict(why))) if !matches!(args.what(), What::Stdin { .. }) => {
            context.note(format!("{why}; running again"));
            backup(&repository, source, &options, &listener)
        }
        result => result,
    };
    drop(progress);
    let report = result.map_err(backup_failure)?;
    summarize(context, &report)?;
    match report.summary.troubles {
        0 => Ok(Exit::Success),
        _ => Ok(Exit::Partly),
    }
}

fn open_or_make(context: &Context, args: &BackupArgs) -> Result<Repository, Failure> {
    match open::repository(context) {
        Err(failure) if args.init && failure.exit == Exit::NoRepository => {
            super::init::make(context, args.pack_size.or(context.settings().pack_size), None)?;
            context.note("made a new repository; keep its password safe");
            open::repository(context)
        }
        opened => opened,
    }
}

fn options(
    context: &Context,
    repository: &Repository,
    args: &BackupArgs,
    component: &'static str,
    paths: Vec<Vec<u8>>,
) -> Result<BackupOptions, Failure> {
    let compression = args.compression.or(context.settings().compression).unwrap_or_default();
    Ok(BackupOptions {
        who: open::who(context, args.snapshot.host.as_deref()),
        component,
        paths,
        tags: args.snapshot.tags(),
        time: args.snapshot.time,
        parent: parent(repository, args)?,
        shrink: compression.zstd_level().map_or(Shrink::Not, Shrink::Zstd),
        dry_run: args.dry_run,
        skip_if_unchanged: args.skip_if_unchanged,
        threads: open::threads(context),
        checkpoint_every: CHECKPOINT_EVERY,
    })
}

/// What the backup is compared with; `latest` is here the newest of all, whatever its host and paths.
fn parent(repository: &Repository, args: &BackupArgs) -> Result<ParentChoice, Failure> {
    match &args.snapshot.parent {
        _ if args.force => Ok(ParentChoice::Nothing),
        None => Ok(ParentChoice::Newest),
        Some(name) => Ok(ParentChoice::Given(choose::one(repository, name, &FilterArgs::default())?.0)),
    }
}

fn backup_failure(error: BackupError) -> Failure {
    match error {
        BackupError::Repository(error) => {
            let full = matches!(error, RepoError::Store(StoreError::Full { .. }));
            let failure = open::failure(error);
            if full {
                failure.hint("no snapshot was made, earlier ones are unharmed; make room and run it again")
            } else {
                failure
            }
        }
        BackupError::Source(_) | BackupError::Unreported(_) => Failure::new(Exit::Failed, error.to_string()),
        BackupError::Interrupted { ref kept } => {
            let kept = match kept {
                Some(kept) if kept.entries > 0 => format!(
                    "{} files and directories with {} are kept, and the next run goes on from there",
                    kept.entries,
                    size(kept.bytes)
                ),
                _ => "there was nothing new to be kept".to_owned(),
            };
            Failure::new(Exit::Interrupted, format!("{error}; {kept}"))
        }
    }
}

#[derive(Serialize)]
struct SummaryJson<'a> {
    message_type: &'static str,
    snapshot_id: Option<String>,
    parent: Option<String>,
    outcome: &'a str,
    files_new: u64,
    files_changed: u64,
    files_unmodified: u64,
    dirs: u64,
    others: u64,
    total_files_processed: u64,
    total_bytes_processed: u64,
    bytes_read: u64,
    data_blobs: u64,
    data_added: u64,
    data_added_packed: u64,
    troubles: u64,
    backup_start: String,
    backup_end: String,
    total_duration: f64,
}

fn elapsed(from: Time, to: Time) -> Duration {
    let nanos = |time: Time| i128::from(time.secs) * 1_000_000_000 + i128::from(time.nanos);
    Duration::from_nanos(u64::try_from(nanos(to) - nanos(from)).unwrap_or(0))
}

fn summarize(context: &Context, report: &BackupReport) -> Result<(), Failure> {
    if open::is_json(context) {
        return context.out().json(&SummaryJson::of(report));
    }
    match context.output().volume {
        Volume::Quiet => Ok(()),
        _ => print(context, report),
    }
}

impl SummaryJson<'_> {
    fn of(report: &BackupReport) -> Self {
        let summary = &report.summary;
        let (outcome, id) = match report.outcome {
            Outcome::Saved(id) => ("saved", Some(id)),
            Outcome::Unchanged => ("unchanged", None),
            Outcome::DryRun => ("dry_run", None),
        };
        SummaryJson {
            message_type: "summary",
            snapshot_id: id.map(|id| id.to_hex()),
            parent: report.parent.map(|id| id.to_hex()),
            outcome,
            files_new: summary.files_new,
            files_changed: summary.files_changed,
            files_unmodified: summary.files_unmodified,
            dirs: summary.dirs,
            others: summary.others,
            total_files_processed: summary.files_new + summary.files_changed + summary.files_unmodified,
            total_bytes_processed: summary.bytes_processed,
            bytes_read: summary.bytes_read,
            data_blobs: summary.blobs_added,
            data_added: summary.bytes_added,
            data_added_packed: summary.bytes_stored,
            troubles: summary.troubles,
            backup_start: rfc3339(report.started),
            backup_end: rfc3339(report.finished),
            total_duration: elapsed(report.started, report.finished).as_secs_f64(),
        }
    }
}

fn print(context: &Context, report: &BackupReport) -> Result<(), Failure> {
    let (out, summary) = (context.out(), &report.summary);
    match report.parent {
        Some(parent) => out.line(format_args!("compared with snapshot {}", parent.short()))?,
        None if report.resumed.is_some() => out.line("no earlier snapshot to compare with")?,
        None => out.line("no earlier snapshot to compare with: everything was read")?,
    }
    if report.resumed.is_some() {
        out.line("went on from where an interrupted backup had stopped")?;
    }
    out.line(format_args!(
        "files:  {} new, {} changed, {} unmodified; {} directories, {} others",
        summary.files_new, summary.files_changed, summary.files_unmodified, summary.dirs, summary.others
    ))?;
    out.line(format_args!("data:   {} in all, {} read", size(summary.bytes_processed), size(summary.bytes_read)))?;
    let verb = if report.outcome == Outcome::DryRun { "would be added" } else { "added to the repository" };
    out.line(format_args!("new:    {}, {} {verb}", size(summary.bytes_added), size(summary.bytes_stored)))?;
    out.line(format_args!("time:   {}", duration(elapsed(report.started, report.finished))))?;
    match summary.troubles {
        0 => {}
        1 => out.line("one item could not be backed up as it is; see the warning above")?,
        many => out.line(format_args!("{many} items could not be backed up as they are; see the warnings above"))?,
    }
    match report.outcome {
        Outcome::Saved(id) => out.line(format_args!("snapshot {} saved", id.short())),
        Outcome::Unchanged => out.line("nothing changed: no snapshot was made"),
        Outcome::DryRun => out.line("dry run: nothing was written"),
    }
}
