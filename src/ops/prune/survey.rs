//! The survey: everything that a plan is made of, read in the order of the protocol (format-spec, "Prune", P2
//! and P3).

use std::collections::{BTreeMap, BTreeSet, HashSet};

use rayon::prelude::*;

use super::marks::Marks;
use super::plan::{PackFacts, Plan};
use super::reach::{Reach, noun_of_nodes};
use super::usage::{Needed, Usage, measure};
use super::{Listener, PruneOptions, ids};
use crate::format::control::Snapshot;
use crate::format::tree::TreeRef;
use crate::id::{PackId, SessionId, SnapshotId};
use crate::ops::snapshots::reported;
use crate::repo::lease::Open;
use crate::repo::{RepoError, Repository, Result, SyncReport, Usable};

/// Snapshots by id: their trees and who committed them.
pub(super) type Roots = BTreeMap<SnapshotId, (TreeRef, SessionId)>;

/// Lists records, packs and index anew, and then the sessions that are at work.
pub(super) type LookAgain<'a> = dyn FnMut() -> Result<(Usable, Vec<Open>)> + 'a;

/// What there is, what of it is needed, and what is to be done.
pub(super) struct Survey {
    pub roots: Roots,
    pub marks: Vec<Marks>,
    pub unconfirmed: Vec<SnapshotId>,
    /// Condemned packs in which something lies that is needed and nowhere else.
    pub stranded: BTreeSet<PackId>,
    /// Whether something that is needed has several copies.
    pub has_copies: bool,
    pub plan: Plan,
}

impl Survey {
    /// Packs and index have just been listed, then `open` sessions. The snapshots `gone` are passed over.
    pub fn make(
        repository: &Repository,
        gone: &HashSet<SnapshotId>,
        usable: &mut Usable,
        open: &[Open],
        options: &PruneOptions,
        listener: &Listener<'_>,
        look_again: &mut LookAgain<'_>,
    ) -> Result<Survey> {
        let mut roots = snapshots(repository)?;
        roots.retain(|id, _| !gone.contains(id));
        let mut marks = vec![reach(repository, &roots, roots.keys(), listener)?];
        sound(&repository.refresh_index()?)?;
        let mut usage = measure_all(repository, usable, &marks, listener)?;
        let mut unconfirmed = Vec::new();
        let mut listed_late = HashSet::new();
        if usage.lost > 0 || marks[0].is_holed() {
            // Something may have been moved, or finished, while we looked.
            let (again, at_work) = look_again()?;
            listed_late.extend(again.packs().keys().filter(|id| !usable.packs().contains_key(*id)).copied());
            usable.replace_by(again);
            keep_those_there(repository, &mut roots)?;
            (marks, unconfirmed) = confirm(repository, usable, &roots, &at_work, listener)?;
            usage = measure_all(repository, usable, &marks, listener)?;
        }
        let mut facts = facts(repository, usable, &usage, open, options, listener)?;
        // Packs are listed before sessions and snapshots: those that were put after that are left alone.
        listed_late.iter().filter_map(|id| facts.remove(id)).for_each(drop);
        let stranded_blobs = usage.stranded.values().sum();
        let plan = Plan::make(&facts, stranded_blobs, &options.thrift);
        let marks = marks.into_iter().map(|walk| walk.marks).collect();
        let (stranded, has_copies) = (usage.stranded.into_keys().collect(), usage.copied > 0);
        Ok(Survey { roots, marks, unconfirmed, stranded, has_copies, plan })
    }

    /// What is needed.
    pub fn needed(&self) -> Needed<'_> {
        Needed(self.marks.iter().collect())
    }
}

/// What a walk over some snapshots marked, and what it could not read.
pub(super) struct Walked {
    pub marks: Marks,
    lost: u64,
    first_lost: Option<RepoError>,
}

impl Walked {
    /// Whether some nodes could not be read.
    pub fn is_holed(&self) -> bool {
        self.lost > 0
    }

    /// An error if some nodes could not be read.
    fn whole(self) -> Result<Marks> {
        match self.first_lost {
            Some(error) => Err(damaged(&noun_of_nodes(self.lost), &error.to_string())),
            None => Ok(self.marks),
        }
    }
}

/// All snapshots. One that cannot be read may need anything: then nothing is deleted.
pub(super) fn snapshots(repository: &Repository) -> Result<Roots> {
    let objects = repository.objects();
    let get = |id: SnapshotId| match objects.get::<Snapshot>(&id) {
        Ok(snapshot) => Some(Ok((id, (snapshot.root, snapshot.session)))),
        // Forgotten meanwhile, or nobody's: nothing is kept for it.
        Err(RepoError::Missing { .. } | RepoError::AfterClosing { .. }) => None,
        Err(error) => Some(Err(error)),
    };
    objects.list::<Snapshot>()?.into_par_iter().filter_map(get).collect()
}

/// Forgets those that were removed meanwhile.
pub(super) fn keep_those_there(repository: &Repository, roots: &mut Roots) -> Result<()> {
    let there: HashSet<SnapshotId> = repository.objects().list::<Snapshot>()?.into_iter().collect();
    roots.retain(|id, _| there.contains(id));
    Ok(())
}

/// Marks what these snapshots reach.
pub(super) fn reach<'i>(
    repository: &Repository,
    roots: &Roots,
    of: impl Iterator<Item = &'i SnapshotId>,
    listener: &Listener<'_>,
) -> Result<Walked> {
    let mut reach = Reach::new(repository, listener);
    for (root, _) in of.filter_map(|id| roots.get(id)) {
        reach.walk(root)?;
    }
    let (marks, lost, first_lost) = reach.finish()?;
    Ok(Walked { marks, lost, first_lost })
}

fn measure_all(repository: &Repository, usable: &Usable, walks: &[Walked], listener: &Listener<'_>) -> Result<Usage> {
    measure(repository, usable, &Needed(walks.iter().map(|walk| &walk.marks).collect()), listener)
}

/// A damaged segment hides where things lie: then nothing is deleted.
pub(super) fn sound(synced: &SyncReport) -> Result<()> {
    match synced.damaged.first() {
        None => Ok(()),
        Some((id, why)) => Err(RepoError::Damaged {
            object: format!("index/{id}"),
            why: format!("{why}; nothing was deleted: run keepstone repair index first"),
        }),
    }
}

/// Something is lost, on a second look too. Of a snapshot that was reported good that is damage; one that never was,
/// and whose writer is gone, is told of and keeps what is left of it.
pub(super) fn confirm(
    repository: &Repository,
    usable: &Usable,
    roots: &Roots,
    open: &[Open],
    listener: &Listener<'_>,
) -> Result<(Vec<Walked>, Vec<SnapshotId>)> {
    let (reported, at_work) = (reported(repository)?, ids(open));
    let is_good = |id: &&SnapshotId| {
        let may_become_good = roots.get(id).is_some_and(|(_, session)| at_work.contains(session));
        may_become_good || reported.as_ref().is_none_or(|reported| reported.contains(*id))
    };
    let good = reach(repository, roots, roots.keys().filter(is_good), listener)?.whole()?;
    let usage = measure(repository, usable, &Needed(vec![&good]), listener)?;
    if usage.lost > 0 {
        let example = usage.lost_example.map_or_else(String::new, |id| format!(", blob {id} among them"));
        let why = format!("{} blobs that snapshots need are in no pack that is there{example}", usage.lost);
        return Err(damaged("the repository", &why));
    }
    let others: Vec<SnapshotId> = roots.keys().filter(|id| !is_good(id)).copied().collect();
    let mut walks = vec![Walked { marks: good, lost: 0, first_lost: None }];
    let mut unconfirmed = Vec::new();
    for id in &others {
        let walk = reach(repository, roots, [*id].iter(), listener)?;
        let usage = measure(repository, usable, &Needed(vec![&walk.marks]), listener)?;
        if walk.is_holed() || usage.lost > 0 {
            unconfirmed.push(*id);
        }
        walks.push(walk);
    }
    Ok((walks, unconfirmed))
}

fn damaged(object: &str, why: &str) -> RepoError {
    let why = format!("{why}; nothing was deleted: see what is harmed with keepstone check, and repair it first");
    RepoError::Damaged { object: object.to_owned(), why }
}

/// What the plan has to know of every pack that is not condemned.
fn facts(
    repository: &Repository,
    usable: &Usable,
    usage: &Usage,
    open: &[Open],
    options: &PruneOptions,
    listener: &Listener<'_>,
) -> Result<BTreeMap<PackId, PackFacts>> {
    let at_work = ids(open);
    let mut facts = BTreeMap::new();
    for (id, listed) in repository.view().packs() {
        let stored = usable.packs().get(&id).copied();
        if stored.is_none() && usable.condemned().contains_key(&id) {
            continue;
        }
        let is_being_written = at_work.contains(&listed.session);
        let used = Some(usage.packs.get(&id).copied().unwrap_or_default());
        let session = Some(listed.session);
        facts.insert(id, PackFacts { stored, used, session, is_being_written, is_of_old_epoch: false });
    }
    for (id, len) in usable.packs().iter().filter(|(id, _)| !facts.contains_key(*id)).collect::<Vec<_>>() {
        listener.go_on()?;
        let session = match repository.look_into_pack(id, *len) {
            Ok(inside) => Some(inside.directory.session),
            Err(RepoError::Damaged { .. } | RepoError::Missing { .. }) => None,
            Err(error) => return Err(error),
        };
        let is_being_written = session.is_some_and(|session| at_work.contains(&session));
        let (stored, used, is_of_old_epoch) = (Some(*len), None, false);
        facts.insert(*id, PackFacts { stored, used, session, is_being_written, is_of_old_epoch });
    }
    absent(repository, &mut facts)?;
    if options.thrift.reseal {
        find_old_epochs(repository, &mut facts, listener)?;
    }
    Ok(facts)
}

/// A pack that is listed and was not there may have been put since the packs were listed.
fn absent(repository: &Repository, facts: &mut BTreeMap<PackId, PackFacts>) -> Result<()> {
    for (id, pack) in facts.iter_mut().filter(|(_, pack)| pack.stored.is_none()) {
        match repository.objects().store().len(&crate::repo::pack_name(id)) {
            Ok(_) => pack.is_being_written = true,
            Err(crate::storage::StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn find_old_epochs(
    repository: &Repository,
    facts: &mut BTreeMap<PackId, PackFacts>,
    listener: &Listener<'_>,
) -> Result<()> {
    let current = repository.objects().keys().current();
    for (id, pack) in facts.iter_mut().filter(|(_, pack)| pack.stored.is_some()) {
        listener.go_on()?;
        pack.is_of_old_epoch = repository.pack_prefix(id)?.epoch != current;
    }
    Ok(())
}
