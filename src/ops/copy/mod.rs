//! Copy: snapshots of one repository into another (format-spec, "Copies" and "Related repositories").
//!
//! A window of entries at a time: what their content needs and the target lacks is read pack by pack,
//! verified, and stored as it was compressed; then their trees are built for the target, whose keys decide
//! where trees split and how blobs are named. Each snapshot is committed by itself, so that an interrupted
//! copy goes on where it stopped.

mod build;
mod fetch;
mod walk;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering::Relaxed;

use super::progress::WorkCounters;
use super::snapshots;
use crate::format::control::{Lineage, RunStatus, Session, SessionKind, Signature, Snapshot, SnapshotState};
use crate::format::tree::TreeRef;
use crate::id::{BlobId, SessionId, SnapshotId};
use crate::repo::{Ending, RepoError, Repository, Who, Writer, program};
use build::Build;
use fetch::Names;
use walk::{Event, Walk};

/// Entries and pieces of content that are copied together: the more, the fewer times a pack is read.
const WINDOW: usize = 1 << 15;
/// Directories that are remembered, so that what snapshots share is walked once.
const DIRECTORIES_REMEMBERED: usize = 1 << 17;

/// Whom a copy talks to while it runs.
pub struct Listener<'a> {
    /// Raised by entries, and by their bytes.
    pub counters: &'a WorkCounters,
    /// Told of each snapshot that cannot be copied, and why.
    pub on_failure: &'a (dyn Fn(&SnapshotId, &RepoError) + Sync),
    /// Asked, often, whether to stop.
    pub interrupted: &'a (dyn Fn() -> bool + Sync),
}

/// What a copy did.
#[derive(Debug, Default)]
pub struct CopyReport {
    /// The snapshots that were copied, and their copies.
    pub copied: Vec<(SnapshotId, SnapshotId)>,
    /// The snapshots that were there already, and where.
    pub already_there: Vec<(SnapshotId, SnapshotId)>,
    /// The snapshots that could not be copied, and why.
    pub failed: Vec<(SnapshotId, RepoError)>,
    /// Blobs that were added.
    pub blobs_added: u64,
    /// What they take in packs, in bytes.
    pub bytes_stored: u64,
}

/// Why a snapshot is not copied.
enum Failure {
    /// It cannot be read: others perhaps can.
    Source(RepoError),
    /// Nothing can be written.
    Target(RepoError),
    /// Asked to stop.
    Interrupted,
}

/// Copies snapshots from one repository into another, in the order in which they are given. What is there
/// already is passed over, checkpoints are. A copy that no run reported is none: whoever made it may have been
/// stopped before he knew that it is whole. It is made anew, and then forgotten.
///
/// # Errors
///
/// Only what concerns the target, or interruption; what was committed until then is good, and reported. A snapshot
/// that cannot be read is reported, and the others are copied.
pub fn copy(
    from: &Repository,
    into: &Repository,
    chosen: &[(SnapshotId, Snapshot)],
    who: &Who,
    listener: &Listener<'_>,
) -> Result<CopyReport, RepoError> {
    if from.id() == into.id() {
        return Err(RepoError::Refused("both are the same repository; there is nothing to copy".into()));
    }
    let Sorted { mut report, wanted, unreported } = sort_out(into, chosen)?;
    if wanted.is_empty() {
        return Ok(report);
    }
    let total = |of: fn(&TreeRef) -> u64| wanted.iter().map(|(_, snapshot)| of(&snapshot.root)).sum();
    listener.counters.total.store(total(|root| root.entries), Relaxed);
    listener.counters.bytes_total.store(total(|root| root.bytes), Relaxed);
    let started = into.objects().chance().now();
    let _reading = from.hold_back_deletions(who);
    let writer = Writer::begin(into, SessionKind::Maintain, who)?;
    let mut copying = Copying::new(from, into, writer, listener);
    let result = wanted.iter().try_for_each(|(id, snapshot)| copying.copy(id, snapshot, &mut report));
    let added = copying.writer.added();
    (report.blobs_added, report.bytes_stored) = (added.blobs.load(Relaxed), added.stored.load(Relaxed));
    let status = if report.failed.is_empty() && result.is_ok() { RunStatus::Done } else { RunStatus::Partial };
    let troubles = report.failed.iter().map(|(id, why)| format!("snapshot {id}: {why}")).collect();
    let is_reported = copying.writer.finish(&Ending { status, troubles, ..Ending::done(started) });
    // What ended it is told; not that it could not be ended well after that.
    result?;
    if !is_reported? {
        let why = "what was copied is stored and whole, but the report of this run could not be stored";
        return Err(RepoError::Refused(why.into()));
    }
    forget_unreported(into, &unreported, &report, who)?;
    Ok(report)
}

/// Copies that no run reported are of no more use once there is another one.
fn forget_unreported(
    into: &Repository,
    unreported: &[(SnapshotId, SnapshotId, SessionId)],
    report: &CopyReport,
    who: &Who,
) -> Result<(), RepoError> {
    let at_work: HashSet<SessionId> = into.objects().list::<Session>()?.into_iter().collect();
    let copied: HashSet<SnapshotId> = report.copied.iter().map(|(original, _)| *original).collect();
    let is_useless = |(original, _, session): &&(SnapshotId, SnapshotId, SessionId)| {
        // Whoever is at work on it may come to report it.
        copied.contains(original) && !at_work.contains(session)
    };
    let useless: Vec<SnapshotId> = unreported.iter().filter(is_useless).map(|(_, copy, _)| *copy).collect();
    if useless.is_empty() {
        return Ok(());
    }
    let done = into.forget(&useless, who, "copied anew", &|| false)?;
    for (id, error) in &done.left {
        tracing::warn!("the unfinished copy {} is still there: {error}", id.short());
    }
    Ok(())
}

/// What is to be done.
struct Sorted<'s> {
    /// With the snapshots that the target holds.
    report: CopyReport,
    /// Those that are to be copied.
    wanted: Vec<&'s (SnapshotId, Snapshot)>,
    /// Of these, copies that no run reported: the snapshot, its copy, and who made that.
    unreported: Vec<(SnapshotId, SnapshotId, SessionId)>,
}

fn sort_out<'s>(into: &Repository, chosen: &'s [(SnapshotId, Snapshot)]) -> Result<Sorted<'s>, RepoError> {
    let reported = snapshots::reported(into)?;
    let mut there: HashMap<SnapshotId, Vec<(SnapshotId, SessionId, bool)>> = HashMap::new();
    for (id, snapshot) in snapshots::all(into)?.snapshots {
        let original = snapshot.original();
        // A copy is always reported; of a snapshot of the target's own nothing may be known.
        let is_good = reported.as_ref().map_or(original.is_none(), |reported| reported.contains(&id));
        for named in [Some(id), original].into_iter().flatten() {
            there.entry(named).or_default().push((id, snapshot.session, is_good));
        }
    }
    let mut sorted = Sorted { report: CopyReport::default(), wanted: Vec::new(), unreported: Vec::new() };
    for of in chosen.iter().filter(|(_, snapshot)| snapshot.state != SnapshotState::Checkpoint) {
        let (id, snapshot) = of;
        let copies = there.get(&snapshot.original().unwrap_or(*id)).map(Vec::as_slice).unwrap_or_default();
        match copies.iter().find(|(.., is_good)| *is_good) {
            Some((copy, ..)) => sorted.report.already_there.push((*id, *copy)),
            None => {
                sorted.wanted.push(of);
                sorted.unreported.extend(copies.iter().map(|(copy, session, _)| (*id, *copy, *session)));
            }
        }
    }
    Ok(sorted)
}

/// A copy at work.
struct Copying<'r> {
    from: &'r Repository,
    into: &'r Repository,
    writer: Writer<'r>,
    listener: &'r Listener<'r>,
    names: Names,
    /// Directories of the source that are copied: the tree there, and the one here.
    directories: HashMap<BlobId, (TreeRef, TreeRef)>,
    /// Under which all that is remembered may be relied on.
    session: SessionId,
}

impl<'r> Copying<'r> {
    fn new(from: &'r Repository, into: &'r Repository, writer: Writer<'r>, listener: &'r Listener<'r>) -> Self {
        let names = Names::new(into.keychain().is_related_to(from.keychain()));
        let session = writer.session().id();
        Copying { from, into, writer, listener, names, directories: HashMap::new(), session }
    }

    fn copy(&mut self, id: &SnapshotId, snapshot: &Snapshot, report: &mut CopyReport) -> Result<(), RepoError> {
        match self.copy_tree(&snapshot.root) {
            Ok(root) => {
                report.copied.push((*id, self.commit(id, snapshot, root)?));
                Ok(())
            }
            Err(Failure::Source(error)) => {
                self.listener.counters.troubles.fetch_add(1, Relaxed);
                (self.listener.on_failure)(id, &error);
                report.failed.push((*id, error));
                Ok(())
            }
            Err(Failure::Target(error)) => Err(error),
            Err(Failure::Interrupted) => Err(RepoError::Interrupted),
        }
    }

    fn copy_tree(&mut self, root: &TreeRef) -> Result<TreeRef, Failure> {
        if let Some(copied) = self.directories.get(&root.id).filter(|(old, _)| old == root) {
            return Ok(copied.1.clone());
        }
        let mut walk = Walk::new(self.from, root);
        let mut build = Build::new(self.into, root.clone());
        loop {
            let window = self.window(&mut walk)?;
            if window.is_empty() {
                return Ok(build.root());
            }
            self.fetch(&window)?;
            for event in window {
                self.count(&event);
                if let Some((old, new)) = build.take(event, &self.names, &self.writer).map_err(Failure::Target)? {
                    self.directories.insert(old.id, (old, new));
                }
            }
        }
    }

    fn window(&mut self, walk: &mut Walk<'_>) -> Result<Vec<Event>, Failure> {
        if self.directories.len() > DIRECTORIES_REMEMBERED {
            self.directories.clear();
        }
        let mut window = Vec::new();
        while window.len() < WINDOW {
            self.go_on()?;
            match walk.next(&self.directories).map_err(Failure::Source)? {
                Some(event) => window.push(event),
                None => break,
            }
        }
        Ok(window)
    }

    fn count(&self, event: &Event) {
        let (entries, bytes) = match event {
            Event::Ready(entry) | Event::File(entry) => (entry.entries(), entry.bytes()),
            Event::Enter(..) => (1, 0),
            Event::Item(_) | Event::Attributes | Event::Leave => (0, 0),
        };
        self.listener.counters.done.fetch_add(entries, Relaxed);
        self.listener.counters.bytes_done.fetch_add(bytes, Relaxed);
    }

    fn go_on(&self) -> Result<(), Failure> {
        if (self.listener.interrupted)() { Err(Failure::Interrupted) } else { Ok(()) }
    }

    fn commit(&mut self, id: &SnapshotId, snapshot: &Snapshot, root: TreeRef) -> Result<SnapshotId, RepoError> {
        let too_many = |_| RepoError::Refused(format!("snapshot {id} has more extras than a copy of it can have"));
        let named = snapshot.clone().with_original(snapshot.original().unwrap_or(*id)).map_err(too_many)?;
        let (lineage, signature) = (Lineage::default(), Signature::default());
        let copy = Snapshot { lineage, parent: None, root, program: program(), signature, ..named };
        let copied = self.writer.commit(copy)?;
        if self.writer.session().id() != self.session {
            // What the old session relied on may be gone.
            self.session = self.writer.session().id();
            self.directories.clear();
            self.names.forget();
        }
        Ok(copied)
    }
}
