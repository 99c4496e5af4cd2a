//! Deleting condemned packs, once nobody can rely on them any more (format-spec, "Prune", D1 to D11).

use std::collections::{BTreeSet, HashSet};

use super::survey::{Roots, Survey, confirm, keep_those_there, reach, snapshots, sound};
use super::usage::{Needed, Usage, measure};
use super::{Prune, ids};
use crate::format::control::Condemned;
use crate::id::{CondemnedId, PackId, SnapshotId};
use crate::repo::lease::Open;
use crate::repo::{RepoError, Result, pack_name};

/// How often it is looked again because something was moved meanwhile.
const LOOKS: usize = 5;

/// Condemned records, some of which may be carried out.
#[derive(Default)]
struct Verdicts {
    ready: Vec<CondemnedId>,
    doomed: HashSet<PackId>,
    waiting: HashSet<PackId>,
    waiting_for: Vec<Open>,
}

impl Prune<'_> {
    /// Carries out all records that nobody stands in the way of, as if they were one.
    pub(super) fn delete(&mut self, survey: &Survey) -> Result<()> {
        let relied = self.relied_on();
        for look in 1.. {
            match self.try_delete(survey, &relied) {
                // Someone else replaced or removed it since it was listed.
                Err(RepoError::Missing { what }) if look < LOOKS => tracing::debug!("{what} is gone, looking again"),
                ended => return ended,
            }
        }
        Ok(())
    }

    fn try_delete(&mut self, survey: &Survey, relied: &BTreeSet<PackId>) -> Result<()> {
        let records = self.records()?;
        let open = self.at_work()?;
        let verdicts = judge(records, &open);
        self.report.waiting_packs = verdicts.waiting.len() as u64;
        self.report.waiting_for = verdicts.waiting_for;
        if verdicts.doomed.is_empty() && verdicts.ready.is_empty() && !self.repository.has_many_small_segments() {
            return Ok(());
        }
        self.writer.session_mut().look_again()?; // D2, D3
        sound(&self.repository.refresh_index()?)?; // D4
        self.rescue(survey, relied, &verdicts.doomed)?; // D5, D6
        self.writer.session().must_be_there("nothing more was deleted")?; // D7
        let replaced = self.repository.replace_segments(self.writer.session(), &verdicts.doomed, &ids(&open))?; // D8
        self.report.replaced.removed += replaced.removed;
        self.report.replaced.written += replaced.written;
        self.delete_packs(&verdicts.doomed)?; // D9
        for id in &verdicts.ready {
            self.repository.objects().delete::<Condemned>(id)?; // D10
        }
        Ok(())
    }

    fn records(&self) -> Result<Vec<(CondemnedId, Condemned)>> {
        let objects = self.repository.objects();
        let mut records = Vec::new();
        for id in objects.list::<Condemned>()? {
            match objects.get::<Condemned>(&id) {
                Ok(record) => records.push((id, record)),
                // Gone, or someone else's word: it condemns nothing.
                Err(RepoError::Missing { .. } | RepoError::AfterClosing { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(records)
    }

    /// The packs that the survey relies on: usable after all that it chose was left out, or our own.
    fn relied_on(&self) -> BTreeSet<PackId> {
        let session = self.writer.session();
        let counts = |pack: &crate::repo::ListedPack| {
            session.usable().contains(&pack.id, pack.len) || pack.session == session.id()
        };
        self.repository.view().packs().into_values().filter(counts).map(|pack| pack.id).collect()
    }

    /// D5 and D6: marks all snapshots again, and copies out of doomed packs what is needed and nowhere else. What
    /// snapshots reach never changes, so only new ones are walked; and if there are none, and all that was
    /// relied on is still usable, then nothing can be missing that was not copied before.
    fn rescue(&mut self, survey: &Survey, relied: &BTreeSet<PackId>, doomed: &HashSet<PackId>) -> Result<()> {
        let (repository, listener) = (self.repository, self.listener);
        let roots = snapshots(repository)?;
        let is_fresh = |id: &&SnapshotId| !survey.roots.contains_key(*id);
        if !roots.keys().any(|id| is_fresh(&id)) && self.are_all_usable(relied) {
            return Ok(());
        }
        let usable = self.writer.session().usable();
        let fresh = reach(repository, &roots, roots.keys().filter(is_fresh), listener)?;
        let needed = Needed(survey.marks.iter().chain([&fresh.marks]).collect());
        let usage = measure(repository, usable, &needed, listener)?;
        match usage.lost > 0 || fresh.is_holed() {
            true => self.rescue_listed_again(roots, doomed),
            false => self.rescue_stranded(usage, &needed, doomed),
        }
    }

    /// What others committed while we looked lies in packs that were put since, and what they removed need not be
    /// there. All is listed again; only what is still not to be found is lost.
    fn rescue_listed_again(&mut self, mut roots: Roots, doomed: &HashSet<PackId>) -> Result<()> {
        let (repository, listener) = (self.repository, self.listener);
        self.writer.session_mut().look_again()?;
        sound(&repository.refresh_index()?)?;
        let open = self.at_work()?;
        keep_those_there(repository, &mut roots)?;
        let usable = self.writer.session().usable();
        let (walks, unconfirmed) = confirm(repository, usable, &roots, &open, listener)?;
        let needed = Needed(walks.iter().map(|walk| &walk.marks).collect());
        let usage = measure(repository, usable, &needed, listener)?;
        self.report.unconfirmed = unconfirmed;
        self.rescue_stranded(usage, &needed, doomed)
    }

    fn rescue_stranded(&mut self, usage: Usage, needed: &Needed<'_>, doomed: &HashSet<PackId>) -> Result<()> {
        if usage.copied > 0 {
            self.open_what_stays(needed)?;
        }
        let stranded: Vec<PackId> = usage.stranded.into_keys().filter(|pack| doomed.contains(pack)).collect();
        self.copy_out(&stranded, needed)?;
        self.writer.flush().map(drop)
    }

    fn are_all_usable(&self, relied: &BTreeSet<PackId>) -> bool {
        let listed = self.repository.view().packs();
        let usable = self.writer.session().usable();
        relied.iter().all(|id| listed.get(id).is_some_and(|pack| usable.contains(id, pack.len)))
    }

    fn delete_packs(&mut self, doomed: &HashSet<PackId>) -> Result<()> {
        let there: Vec<(PackId, u64)> = {
            let there = self.writer.session().usable().condemned().iter();
            there.filter(|(id, _)| doomed.contains(*id)).map(|(id, len)| (*id, *len)).collect()
        };
        for (id, len) in there {
            self.repository.objects().store().delete(&pack_name(&id))?;
            self.report.deleted.packs += 1;
            self.report.deleted.bytes += len;
        }
        Ok(())
    }
}

/// D1: who stands in the way of which record.
fn judge(records: Vec<(CondemnedId, Condemned)>, open: &[Open]) -> Verdicts {
    let mut verdicts = Verdicts::default();
    let (mut blocks, mut ready) = (HashSet::new(), Vec::new());
    for (id, record) in records {
        let saw = |open: &&Open| open.session.as_ref().is_some_and(|session| session.seen.contains(&id));
        let blockers: Vec<&Open> = open.iter().filter(|open| !saw(open)).collect();
        match blockers.is_empty() {
            true => ready.push((id, record)),
            false => {
                verdicts.waiting.extend(record.packs.iter().copied());
                blocks.extend(blockers.iter().map(|open| open.id));
            }
        }
    }
    // A pack that another record names as well, which must wait, waits; and so does each record that names it: whoever
    // finds a record gone takes it that its packs are.
    for (id, record) in ready {
        verdicts.doomed.extend(record.packs.iter().filter(|pack| !verdicts.waiting.contains(*pack)));
        if record.packs.iter().all(|pack| !verdicts.waiting.contains(pack)) {
            verdicts.ready.push(id);
        }
    }
    verdicts.waiting_for = open.iter().filter(|open| blocks.contains(&open.id)).cloned().collect();
    verdicts
}
