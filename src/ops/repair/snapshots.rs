//! Snapshots without what is lost. The originals stay until told otherwise.

use std::collections::{BTreeSet, HashSet};

use super::mend::{Mended, Mender, is_loss};
use super::records::Recorded;
use super::{Listener, Stage};
use crate::format::codec::{Ascending, Bytes};
use crate::format::control::{Label, MADE_FROM_TAG, Snapshot, SnapshotState};
use crate::format::extras::{Extra, Extras};
use crate::format::pack::BlobKind;
use crate::format::tree::{Entry, TreeRef};
use crate::id::{BlobId, ID_LEN, SnapshotId};
use crate::ops::replace::keeper::Keeper;
use crate::ops::snapshots::{Listing, all_with_checkpoints, reported};
use crate::ops::walk::{Go, Visit, walk};
use crate::repo::walk::blobs_of_entry;
use crate::repo::{RepoError, Repository, Result, Usable, Who, name_of, program};

/// The tag of a snapshot that lacks what was lost.
pub const REPAIRED: &str = "repaired";
/// Harmed paths that are named for one snapshot; the rest is counted.
const NAMED_MAX: u64 = 1000;

/// Which snapshots are repaired, and how.
#[derive(Debug, Clone, Default)]
pub struct SnapshotsOptions {
    /// These; all if there are none.
    pub snapshots: Vec<SnapshotId>,
    /// Forget the originals of what was made anew, and what cannot be read at all.
    pub forget: bool,
    /// Say what would be done, write nothing.
    pub dry_run: bool,
    /// Who runs it.
    pub who: Who,
}

/// What repairing snapshots found and did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SnapshotsReport {
    /// Snapshots that were looked at.
    pub snapshots: u64,
    /// Those that do not come back whole.
    pub harmed: Vec<SnapshotId>,
    /// Those that cannot be read at all.
    pub unreadable: Vec<SnapshotId>,
    /// Originals, and what was made of them without what is lost.
    pub repaired: Vec<(SnapshotId, SnapshotId)>,
    /// Records of snapshots that are damaged, and snapshots that vanished without one, as far as they are left.
    pub records: u64,
    /// Those that were forgotten.
    pub forgotten: Vec<SnapshotId>,
}

impl SnapshotsReport {
    /// Whether a harmed snapshot is still there.
    pub fn is_damage_left(&self) -> bool {
        let is_left = |id: &SnapshotId| !self.forgotten.contains(id);
        self.records > 0 || self.harmed.iter().chain(&self.unreadable).any(is_left)
    }
}

/// Repairs snapshots.
///
/// # Errors
///
/// If the store or the session fails, or a newer keepstone wrote part of a snapshot that is harmed.
pub fn snapshots(
    repository: &mut Repository,
    options: &SnapshotsOptions,
    listener: &Listener<'_>,
) -> Result<SnapshotsReport> {
    repository.bypass_meta_cache();
    let mut listing = all_with_checkpoints(repository)?;
    choose(&mut listing, &options.snapshots)?;
    let mut report = SnapshotsReport { snapshots: listing.snapshots.len() as u64, ..SnapshotsReport::default() };
    unreadable(listing.troubles, &mut report, listener)?;
    // The index before the packs.
    repository.refresh_index()?;
    let judge = Judge { repository, usable: Usable::list(repository.objects())? };
    let harmed = judge.harmed(&listing.snapshots, listener)?;
    report.harmed = harmed.iter().map(|(id, _)| *id).collect();
    let recorded = Recorded::read(repository)?;
    report.records = recorded.count();
    recorded.tell(options.forget, listener);
    tell_plan(&report, options, listener);
    if options.dry_run || !report.is_damage_left() {
        return Ok(report);
    }
    let before = MadeBefore::read(repository)?;
    let mut keeper = Keeper::begin(repository, &options.who, false)?;
    let mut goes: Vec<SnapshotId> = report.unreadable.clone();
    let ended: Result<()> = harmed.iter().try_for_each(|(id, snapshot)| {
        match remake(&mut keeper, (id, snapshot), &before, listener)? {
            Remade::Committed(new) => {
                report.repaired.push((*id, new));
                goes.extend(before.unreported(id));
            }
            Remade::Before | Remade::Nothing => {}
            Remade::Refused => return Ok(()),
        }
        goes.push(*id);
        Ok(())
    });
    // Those that were made until then are reported, whatever ended it.
    let is_reported = keeper.finish();
    ended?;
    if !is_reported? {
        let why = "the report of this run could not be stored; nothing is forgotten, run it again";
        return Err(RepoError::Conflict(why.into()));
    }
    if options.forget && !goes.is_empty() {
        report.forgotten = forget(repository, &goes, options, listener)?;
    }
    if options.forget && report.records > 0 {
        recorded.forget(repository, &options.who, listener)?;
        report.records = 0;
    }
    Ok(report)
}

fn choose(listing: &mut Listing, wanted: &[SnapshotId]) -> Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let wanted: BTreeSet<&SnapshotId> = wanted.iter().collect();
    listing.snapshots.retain(|(id, _)| wanted.contains(id));
    listing.troubles.retain(|(id, _)| wanted.contains(id));
    match listing.snapshots.len() + listing.troubles.len() == wanted.len() {
        true => Ok(()),
        false => Err(RepoError::Refused("a snapshot that was named is not there".into())),
    }
}

/// Those whose own objects are damaged: nobody can tell any more what they were.
fn unreadable(
    troubles: Vec<(SnapshotId, RepoError)>,
    report: &mut SnapshotsReport,
    listener: &Listener<'_>,
) -> Result<()> {
    for (id, error) in troubles {
        if matches!(error, RepoError::AfterClosing { .. }) {
            listener.tell(Stage::Left, name_of::<Snapshot>(&id), super::REFUSED);
            continue;
        }
        match is_loss(&error) {
            true => {
                listener.tell(Stage::Found, name_of::<Snapshot>(&id), super::damage(error)?);
                report.unreadable.push(id);
            }
            false => return Err(error),
        }
    }
    Ok(())
}

fn tell_plan(report: &SnapshotsReport, options: &SnapshotsOptions, listener: &Listener<'_>) {
    let forgotten = if options.forget { "; then it will be forgotten" } else { "; it stays until --forget" };
    for id in &report.harmed {
        let what = format!("a new snapshot will hold what is left of it{forgotten}");
        listener.tell(Stage::Plan, name_of::<Snapshot>(id), what);
    }
    for id in &report.unreadable {
        let name = name_of::<Snapshot>(id);
        match options.forget {
            true => listener.tell(Stage::Plan, name, "it cannot be repaired, and will be forgotten"),
            false => listener.tell(Stage::Left, name, "it cannot be repaired; --forget removes it"),
        }
    }
}

fn forget(
    repository: &Repository,
    goes: &[SnapshotId],
    options: &SnapshotsOptions,
    listener: &Listener<'_>,
) -> Result<Vec<SnapshotId>> {
    // It takes a moment, and an interruption would leave snapshots there twice.
    let done = repository.forget(goes, &options.who, "repaired", &|| false)?;
    for id in &done.gone {
        listener.tell(Stage::Done, name_of::<Snapshot>(id), "it is forgotten");
    }
    for (id, error) in &done.left {
        listener.tell(Stage::Left, name_of::<Snapshot>(id), error.to_string());
    }
    match done.cut_short {
        Some(error) => Err(error),
        None => Ok(done.gone),
    }
}

/// What earlier repairs made.
struct MadeBefore {
    /// Snapshots of which one was made that counts.
    done: HashSet<SnapshotId>,
    /// Snapshots of which one was made that no run reported: whoever made it was stopped before he knew that it is
    /// whole.
    unreported: Vec<(SnapshotId, SnapshotId)>,
}

impl MadeBefore {
    fn read(repository: &Repository) -> Result<Self> {
        // Sessions before runs: who reports a snapshot does so before it withdraws.
        let at_work = super::sessions_at_work(repository, None)?;
        let reported = reported(repository)?.unwrap_or_default();
        let (mut done, mut unreported) = (HashSet::new(), Vec::new());
        for (id, snapshot) in all_with_checkpoints(repository)?.snapshots {
            match made_from(&snapshot) {
                Some(original) if reported.contains(&id) => drop(done.insert(original)),
                Some(original) if !at_work.contains(&snapshot.session) => unreported.push((original, id)),
                _ => {}
            }
        }
        Ok(MadeBefore { done, unreported })
    }

    /// What was made of a snapshot and not reported.
    fn unreported(&self, original: &SnapshotId) -> impl Iterator<Item = SnapshotId> {
        self.unreported.iter().filter(move |(of, _)| of == original).map(|(_, made)| *made)
    }
}

/// The snapshot that this one was made from by leaving out what is lost.
pub fn made_from(snapshot: &Snapshot) -> Option<SnapshotId> {
    let id: &[u8; ID_LEN] = snapshot.extras.get(MADE_FROM_TAG)?.try_into().ok()?;
    Some(SnapshotId::from_bytes(*id))
}

/// What became of a harmed snapshot.
enum Remade {
    /// Another holds what is left of it.
    Committed(SnapshotId),
    /// One was made of it before.
    Before,
    /// Nothing is left, or it was no backup: it needs no other.
    Nothing,
    /// It is as it was.
    Refused,
}

fn remake(
    keeper: &mut Keeper<'_>,
    (id, old): (&SnapshotId, &Snapshot),
    before: &MadeBefore,
    listener: &Listener<'_>,
) -> Result<Remade> {
    let name = name_of::<Snapshot>(id);
    if old.state == SnapshotState::Checkpoint {
        listener.tell(Stage::Left, name, "it is what an interrupted backup left: none is made of it");
        return Ok(Remade::Nothing);
    }
    if before.done.contains(id) {
        listener.tell(Stage::Left, name, "a snapshot of what is left of it was made before");
        return Ok(Remade::Before);
    }
    let mended = Mender { keeper, listener, snapshot: id.short(), left_out: 0 }.mend(&old.root)?;
    if mended.root.entries == 0 && old.root.entries > 0 {
        listener.tell(Stage::Left, name, "nothing is left of it");
        return Ok(Remade::Nothing);
    }
    let Some(new) = keeper.commit(without_loss(id, old, &mended)?)? else { return Ok(Remade::Refused) };
    listener.tell(Stage::Done, name_of::<Snapshot>(&new), format!("it holds what is left of {}", id.short()));
    Ok(Remade::Committed(new))
}

/// The snapshot that says of itself that something was left out of it, and of which other.
fn without_loss(id: &SnapshotId, old: &Snapshot, mended: &Mended) -> Result<Snapshot> {
    let too_many = |what: &str| RepoError::Refused(format!("a snapshot with one more {what} than fits"));
    let mut tags = old.tags.to_vec();
    tags.push(Label::truncated(REPAIRED));
    let value = Bytes::new(id.as_bytes().to_vec()).expect("an id fits an extra");
    let others = old.extras.iter().filter(|extra| extra.tag != MADE_FROM_TAG).cloned();
    let extras = others.chain([Extra { tag: MADE_FROM_TAG, value }]).collect();
    let mut summary = old.summary;
    summary.troubles = summary.troubles.saturating_add(mended.left_out);
    Ok(Snapshot {
        state: SnapshotState::Partial,
        tags: Ascending::new(tags).map_err(|_| too_many("tag"))?,
        extras: Extras::new(extras).map_err(|_| too_many("extra"))?,
        root: mended.root.clone(),
        summary,
        program: program(),
        ..old.clone()
    })
}

/// Judges whether what snapshots refer to is there.
struct Judge<'r> {
    repository: &'r Repository,
    usable: Usable,
}

impl Judge<'_> {
    /// The snapshots that do not come back whole; names what is harmed.
    fn harmed(&self, all: &[(SnapshotId, Snapshot)], listener: &Listener<'_>) -> Result<Vec<(SnapshotId, Snapshot)>> {
        let (mut sound, mut harmed) = (HashSet::new(), Vec::new());
        for (id, snapshot) in all {
            listener.looked_at(1)?;
            let (open, label) = (Vec::new(), id.short());
            let mut survey = Survey { judge: self, listener, label, sound, open, harmed: 0 };
            walk(self.repository, &snapshot.root, &mut survey)?;
            sound = survey.sound;
            if survey.harmed > 0 {
                harmed.push((*id, snapshot.clone()));
            }
        }
        Ok(harmed)
    }

    /// Whether a blob lies in a pack that counts, or can be read all the same.
    fn is_there(&self, kind: BlobKind, id: &BlobId) -> Result<()> {
        // The view is free again before it is read: a lost blob makes it look for new segments.
        let counts = self.repository.view().lies_in(id, |pack, len| self.usable.contains(pack, len))?;
        if counts { Ok(()) } else { self.repository.read_blob(kind, id).map(drop) }
    }
}

/// One snapshot, while it is walked.
struct Survey<'s> {
    judge: &'s Judge<'s>,
    listener: &'s Listener<'s>,
    label: String,
    /// Nodes in which and below which all is well.
    sound: HashSet<BlobId>,
    /// For each node that the walk is in, what was met before it.
    open: Vec<u64>,
    harmed: u64,
}

impl Survey<'_> {
    fn harm(&mut self, path: &[u8], error: RepoError) -> Result<()> {
        if !is_loss(&error) {
            return Err(error);
        }
        self.harmed += 1;
        if self.harmed <= NAMED_MAX {
            let object = format!("{}:/{}", self.label, String::from_utf8_lossy(path));
            self.listener.tell(Stage::Found, object, error.to_string());
        }
        Ok(())
    }
}

impl Visit for Survey<'_> {
    fn enter(&mut self, node: &TreeRef) -> Go {
        if self.sound.contains(&node.id) {
            return Go::Past;
        }
        self.open.push(self.harmed);
        Go::Into
    }

    fn entry(&mut self, path: &[u8], entry: &Entry) -> Result<Go> {
        let judge = self.judge;
        match blobs_of_entry(judge.repository, entry, &mut |kind, id| judge.is_there(kind, id)) {
            Ok(()) => {}
            Err(error) => self.harm(path, error)?,
        }
        Ok(Go::Into)
    }

    fn leave(&mut self, node: &TreeRef) {
        if self.open.pop() == Some(self.harmed) {
            self.sound.insert(node.id);
        }
    }

    fn trouble(&mut self, path: &[u8], error: RepoError) -> Result<()> {
        self.harm(path, error)
    }
}
