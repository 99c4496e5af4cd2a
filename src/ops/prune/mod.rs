//! Prune: gives back the room that no snapshot needs, beside running backups (format-spec, "Prune").
//!
//! A *survey* reads what there is, a *plan* decides what becomes of each pack, and an executor carries it
//! out in the order of the protocol: copy what is needed, condemn, wait for nobody, delete what nobody can
//! still rely on. What someone might rely on is left for a later prune.

mod copies;
mod copy;
mod delete;
mod marks;
mod plan;
mod reach;
mod reports;
mod survey;
mod usage;

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

pub use plan::{Fate, MaxUnused, PackFacts, Plan, Thrift, Total};
pub use usage::PackUse;

use super::progress::WorkCounters;
use super::snapshots::{all_with_checkpoints, stale_checkpoints};
use crate::format::codec::Ascending;
use crate::format::control::{Condemned, Lineage, SessionKind, Signature, Snapshot};
use crate::format::extras::Extras;
use crate::format::limits::CONDEMNED_MAX;
use crate::id::{PackId, SessionId, SnapshotId};
use crate::repo::lease::{Leases, Open, Standing};
use crate::repo::{Replaced, RepoError, Repository, Result, Usable, Who, Writer};
use survey::Survey;

/// What a prune is asked for.
#[derive(Debug, Clone)]
pub struct PruneOptions {
    /// Who runs it.
    pub who: Who,
    /// What is worth doing.
    pub thrift: Thrift,
    /// A session whose lease was not renewed for so long is taken for dead.
    pub patience: Duration,
}

/// Whom a prune talks to while it runs.
pub struct Listener<'a> {
    /// Raised by nodes that are read, and by bytes that are copied.
    pub counters: &'a WorkCounters,
    /// Asked, often, whether to stop.
    pub interrupted: &'a (dyn Fn() -> bool + Sync),
    /// Told the plan before anything is done.
    pub on_plan: &'a (dyn Fn(&Plan) + Sync),
}

impl Listener<'_> {
    fn go_on(&self) -> Result<()> {
        if (self.interrupted)() { Err(RepoError::Interrupted) } else { Ok(()) }
    }
}

/// What a prune did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PruneReport {
    /// What was planned.
    pub plan: Plan,
    /// Snapshots that were looked at, checkpoints among them.
    pub snapshots: u64,
    /// Snapshots that are not whole and were never reported good: their writers were interrupted.
    pub unconfirmed: Vec<SnapshotId>,
    /// Packs and bytes that were condemned now.
    pub condemned: Total,
    /// Packs and bytes that were deleted.
    pub deleted: Total,
    /// Packs that are condemned and wait, because someone may rely on them.
    pub waiting_packs: u64,
    /// Who that is.
    pub waiting_for: Vec<Open>,
    /// Sessions that were taken for dead.
    pub buried: u64,
    /// Index segments that were merged.
    pub replaced: Replaced,
    /// Reports of runs that were removed, because all their snapshots are forgotten.
    pub reports_removed: u64,
    /// Packs that do not hold what the index says of them, as far as that was found out: other copies were kept.
    pub unfounded: BTreeSet<PackId>,
}

/// Says what a prune would do if the snapshots `gone` were gone, and does nothing.
pub fn plan(
    repository: &Repository,
    gone: &HashSet<SnapshotId>,
    options: &PruneOptions,
    listener: &Listener<'_>,
) -> Result<PruneReport> {
    let mut usable = Usable::list(repository.objects())?;
    repository.refresh_index()?;
    let mut leases = Leases::remembered(repository.cache_dir());
    let mut look = || leases.look(repository.objects(), None, options.patience);
    let open = look()?;
    let look_again = &mut || Ok((list_again(repository)?, look()?));
    let survey = Survey::make(repository, gone, &mut usable, &open, options, listener, look_again)?;
    (listener.on_plan)(&survey.plan);
    Ok(PruneReport {
        snapshots: survey.roots.len() as u64,
        unconfirmed: survey.unconfirmed,
        plan: survey.plan,
        ..PruneReport::default()
    })
}

/// Prunes.
///
/// # Errors
///
/// Nothing was deleted if something is damaged, missing or unreadable that a snapshot needs, if another prune is at
/// work ([`RepoError::Conflict`]), or if someone took this prune for dead.
pub fn prune(repository: &Repository, options: &PruneOptions, listener: &Listener<'_>) -> Result<PruneReport> {
    let writer = Writer::begin(repository, SessionKind::Prune, &options.who)?;
    let leases = Leases::remembered(repository.cache_dir());
    let mut prune = Prune { repository, options, listener, writer, leases, report: PruneReport::default() };
    let open = prune.at_work()?;
    refuse_beside_another(&open)?;
    prune.clear_checkpoints(&open)?;
    let survey = prune.survey(&open)?;
    (listener.on_plan)(&survey.plan);
    prune.condemn(&survey)?;
    prune.delete(&survey)?;
    prune.clear_reports()?;
    // Everything that was copied is flushed; dropping the writer withdraws.
    let Prune { mut report, .. } = prune;
    if report.unconfirmed.is_empty() {
        report.unconfirmed = survey.unconfirmed;
    }
    (report.snapshots, report.plan) = (survey.roots.len() as u64, survey.plan);
    Ok(report)
}

/// A prune at work.
struct Prune<'r> {
    repository: &'r Repository,
    options: &'r PruneOptions,
    listener: &'r Listener<'r>,
    writer: Writer<'r>,
    leases: Leases,
    report: PruneReport,
}

impl Prune<'_> {
    /// The sessions of others that have not ended. Those that are known to be gone are taken for dead.
    fn at_work(&mut self) -> Result<Vec<Open>> {
        let own = self.writer.session().id();
        let (open, buried) = bury(self.repository, &mut self.leases, &own, self.options.patience)?;
        self.report.buried += buried;
        Ok(open)
    }

    /// Removes checkpoints that no backup will go on from, but those of backups that are at work.
    fn clear_checkpoints(&self, open: &[Open]) -> Result<()> {
        let objects = self.repository.objects();
        let at_work = ids(open);
        let mut listing = all_with_checkpoints(self.repository)?;
        listing.snapshots.retain(|(_, snapshot)| !at_work.contains(&snapshot.session));
        for id in stale_checkpoints(&listing, objects.chance().now()) {
            objects.delete::<Snapshot>(&id)?;
        }
        Ok(())
    }

    fn survey(&mut self, open: &[Open]) -> Result<Survey> {
        let Prune { repository, options, listener, writer, leases, report } = self;
        let own = writer.session().id();
        let look_again = &mut || {
            let usable = list_again(repository)?;
            let (open, buried) = bury(repository, leases, &own, options.patience)?;
            report.buried += buried;
            Ok((usable, open))
        };
        let usable = writer.session_mut().usable_mut();
        Survey::make(repository, &HashSet::new(), usable, open, options, listener, look_again)
    }

    /// P4 to P7.
    fn condemn(&mut self, survey: &Survey) -> Result<()> {
        let chosen: Vec<PackId> = survey.plan.fates.keys().copied().collect();
        self.writer.session_mut().usable_mut().distrust(&chosen);
        let to_copy = survey.plan.packs(Fate::Rewrite).chain(survey.stranded.iter().copied());
        let needed = survey.needed();
        if survey.has_copies {
            self.open_what_stays(&needed)?;
        }
        self.copy_out(&to_copy.collect::<Vec<_>>(), &needed)?;
        self.writer.flush()?;
        self.writer.session().must_be_there("nothing more was done")?; // P6
        for packs in chosen.chunks(CONDEMNED_MAX) {
            self.repository.objects().put(&Condemned {
                session: self.writer.session().id(),
                lineage: Lineage::default(),
                packs: Ascending::new(packs.to_vec()).expect("a chunk is as long as a record can be"),
                signature: Signature::default(),
                extras: Extras::default(),
            })?;
        }
        let there = self.writer.session().usable().condemned();
        for id in &chosen {
            self.report.condemned.packs += 1;
            self.report.condemned.bytes += there.get(id).copied().unwrap_or(0);
        }
        Ok(())
    }
}

/// The sessions of others that are at work, and how many were taken for dead.
fn bury(repository: &Repository, leases: &mut Leases, own: &SessionId, patience: Duration) -> Result<(Vec<Open>, u64)> {
    let objects = repository.objects();
    let mut open = leases.open_sessions(objects, own, patience)?;
    let mut buried = 0;
    for dead in open.extract_if(.., |open| open.standing != Standing::AtWork) {
        tracing::info!("session {} is taken for dead: {:?}", dead.id.short(), dead.standing);
        crate::repo::lease::remove(objects, &dead.id)?;
        buried += 1;
    }
    Ok((open, buried))
}

fn list_again(repository: &Repository) -> Result<Usable> {
    let usable = Usable::list(repository.objects())?;
    survey::sound(&repository.refresh_index()?)?;
    Ok(usable)
}

fn refuse_beside_another(open: &[Open]) -> Result<()> {
    let is_prune = |open: &&Open| open.session.as_ref().is_some_and(|session| session.kind == SessionKind::Prune);
    let Some(other) = open.iter().find(is_prune) else { return Ok(()) };
    Err(RepoError::Conflict(format!(
        "another prune is at work: {}; if it was killed elsewhere, one that runs later will see that",
        whose(other)
    )))
}

/// A session, as people would name it.
pub fn whose(open: &Open) -> String {
    match &open.session {
        Some(session) => {
            let what = match session.kind {
                SessionKind::Backup => "a backup",
                SessionKind::Prune => "a prune",
                SessionKind::Read => "a restore or check",
                SessionKind::Maintain => "a copy or repair",
            };
            format!("{what} on {:?}, process {}", &*session.host, session.process)
        }
        None => format!("session {}, which cannot be read", open.id.short()),
    }
}

/// The ids of the sessions that are at work.
fn ids(open: &[Open]) -> HashSet<crate::id::SessionId> {
    open.iter().map(|open| open.id).collect()
}
