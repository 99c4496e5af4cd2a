//! The index, from the packs' own directories: what is missing is added, what is damaged or wrong replaced
//! (format-spec, "Index segments", "Rebuilding", and "Order of writes", "Repair").

use std::collections::{BTreeMap, BTreeSet, HashSet};

use rayon::prelude::*;

use super::packs::Salvage;
use super::records::clear_the_way;
use super::{Listener, NOT_ITS_HASH, Stage, damage, list_usable, sessions_at_work};
use crate::format::control::SessionKind;
use crate::format::segment::{Segment, WholePack};
use crate::id::{IndexId, PackId, SessionId};
use crate::ops::segments::{PackInSegment, Places, SegmentOutline, outline};
use crate::repo::{PackInside, Relisting, RepoError, Repository, Result, Usable, Who, Writer, name_of, pack_name};

/// How the index is repaired.
#[derive(Debug, Clone, Default)]
pub struct IndexOptions {
    /// Hold every pack's directory against what segments say, not only where something is amiss.
    pub read_all_packs: bool,
    /// Say what would be done, write nothing.
    pub dry_run: bool,
    /// Who runs it.
    pub who: Who,
}

/// What repairing the index found and did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IndexReport {
    /// Packs that no segment listed, and that are listed now.
    pub packs_added: u64,
    /// Packs that were listed otherwise than they are, and are listed now as they are.
    pub packs_corrected: u64,
    /// Packs that were listed, are gone, and are listed no longer.
    pub packs_dropped: u64,
    /// Segments that were removed because they could not be read.
    pub segments_damaged: u64,
    /// Segments that were replaced because of what they said.
    pub segments_wrong: u64,
    /// Segments that were written.
    pub segments_written: u64,
    /// Damaged announcements and condemned records that were removed, and the config if it was written again.
    pub objects_mended: u64,
    /// Packs that are damaged: `repair packs` rescues what they hold.
    pub packs_damaged: u64,
}

impl IndexReport {
    /// Whether anything is left for other repairs.
    pub fn is_damage_left(&self) -> bool {
        self.packs_damaged > 0
    }
}

/// Repairs the index.
///
/// # Errors
///
/// If the store fails, a newer keepstone wrote part of the index, or someone else rewrites the index meanwhile.
pub fn index(repository: &mut Repository, options: &IndexOptions, listener: &Listener<'_>) -> Result<IndexReport> {
    repository.bypass_meta_cache();
    let objects_mended = clear_the_way(repository, &options.who, options.dry_run, listener)?;
    let mut writer = match options.dry_run {
        true => None,
        false => Some(Writer::begin(repository, SessionKind::Maintain, &options.who)?),
    };
    let own = writer.as_ref().map(|writer| writer.session().id());
    // The index before the packs: what a segment lists was there when the segment was put.
    let known = Known::read(repository, listener)?;
    let usable = list_usable(repository, writer.as_mut().map(Writer::session_mut))?;
    let at_work = sessions_at_work(repository, own)?;
    let plan = Plan::make(repository, options, &known, &usable, &at_work, listener)?;
    plan.tell(&known, listener);
    let mut report = IndexReport { objects_mended, ..plan.report(&known) };
    if let Some(mut writer) = writer.filter(|_| !plan.is_empty()) {
        // First what only condemned packs hold: once the damaged segments are gone, nobody knows to look there.
        plan.rescue(repository, &mut writer, &usable, listener)?;
        writer.flush()?;
        report.segments_written = plan.execute(repository, &writer)?;
        listener.tell(Stage::Done, "index", format!("{} segments written", report.segments_written));
    }
    Ok(report)
}

/// What segments say.
#[derive(Default)]
struct Known {
    /// Those that cannot be read, and why.
    damaged: Vec<(IndexId, String)>,
    /// Those that others replace.
    replaced: Vec<IndexId>,
    /// Those that count.
    active: Vec<SegmentOutline>,
    /// The packs that these list.
    packs: BTreeMap<PackId, Listed>,
}

/// What all segments together say of a pack.
#[derive(Clone, Copy)]
struct Listed {
    says: PackInSegment,
    /// Whether two of them say different things.
    contradicted: bool,
}

impl Listed {
    /// Whether the records are all that the pack holds: padding need not be among them.
    fn is_whole(&self) -> bool {
        let (rows, blobs) = (self.says.rows, self.says.record.blobs);
        rows == blobs || rows.checked_add(1) == Some(blobs)
    }
}

impl Known {
    fn read(repository: &Repository, listener: &Listener<'_>) -> Result<Self> {
        let mut known = Known::default();
        let mut outlines = Vec::new();
        for id in repository.objects().list::<Segment>()? {
            listener.looked_at(1)?;
            match outline(repository, &id) {
                Ok(outline) => outlines.push(outline),
                // Replaced since it was listed.
                Err(RepoError::Missing { .. }) => {}
                Err(error) => known.damaged.push((id, damage(error)?)),
            }
        }
        let replaced: BTreeSet<IndexId> =
            outlines.iter().flat_map(|outline| outline.replaces.iter().copied()).collect();
        let (passed_over, active): (Vec<_>, Vec<_>) =
            outlines.into_iter().partition(|outline| replaced.contains(&outline.id));
        known.replaced = passed_over.iter().map(|outline| outline.id).collect();
        for says in active.iter().flat_map(|outline| &outline.packs) {
            let listed = known.packs.entry(says.record.id).or_insert(Listed { says: *says, contradicted: false });
            let (a, b) = (&listed.says, says);
            let same =
                (a.record.len, a.record.class, a.rows, a.places) == (b.record.len, b.record.class, b.rows, b.places);
            listed.contradicted |= !same;
        }
        known.active = active;
        Ok(known)
    }
}

/// What is to become of what segments say of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// It stays.
    Keep,
    /// It stays, though the pack is damaged.
    Damaged(String),
    /// The pack is gone.
    Drop,
    /// The pack's own directory says otherwise.
    Correct,
    /// It is not listed, and is from now on.
    Add,
    /// It is not listed; its writer is at work and will list it.
    AtWork,
}

/// What will be done.
struct Plan {
    verdicts: BTreeMap<PackId, Verdict>,
    /// Active segments that are replaced for what they say.
    wrong: Vec<IndexId>,
    /// All that goes: damaged, wrong, and replaced before.
    replaces: Vec<IndexId>,
    /// Condemned packs that no segment lists, though a damaged one may have.
    forlorn: Vec<PackId>,
}

impl Plan {
    fn make(
        repository: &Repository,
        options: &IndexOptions,
        known: &Known,
        usable: &Usable,
        at_work: &HashSet<SessionId>,
        listener: &Listener<'_>,
    ) -> Result<Self> {
        let judge = Judge { repository, options, known, usable, at_work, listener };
        let unlisted = usable.packs().keys().filter(|id| !known.packs.contains_key(*id));
        let all: Vec<PackId> = known.packs.keys().chain(unlisted).copied().collect();
        let verdicts: BTreeMap<PackId, Verdict> =
            all.into_par_iter().map(|id| Ok((id, judge.verdict(&id)?))).collect::<Result<_>>()?;
        let is_wrong = |outline: &&SegmentOutline| {
            let goes =
                |pack: &PackInSegment| matches!(verdicts.get(&pack.record.id), Some(Verdict::Drop | Verdict::Correct));
            // A writer that is at work goes by its own segments.
            !at_work.contains(&outline.session) && outline.packs.iter().any(goes)
        };
        let wrong: Vec<IndexId> = known.active.iter().filter(is_wrong).map(|outline| outline.id).collect();
        let mut replaces: Vec<IndexId> = known.damaged.iter().map(|(id, _)| *id).chain(wrong.iter().copied()).collect();
        if !replaces.is_empty() {
            replaces.extend(&known.replaced);
        }
        let forlorn = match known.damaged.is_empty() {
            true => Vec::new(),
            false => usable.condemned().keys().filter(|id| !known.packs.contains_key(*id)).copied().collect(),
        };
        Ok(Plan { verdicts, wrong, replaces, forlorn })
    }

    fn with(&self, wanted: &Verdict) -> impl Iterator<Item = &PackId> {
        self.verdicts.iter().filter(move |(_, verdict)| *verdict == wanted).map(|(id, _)| id)
    }

    fn is_empty(&self) -> bool {
        self.replaces.is_empty() && self.with(&Verdict::Add).next().is_none()
    }

    fn report(&self, known: &Known) -> IndexReport {
        let count = |verdict| self.with(&verdict).count() as u64;
        let is_damaged = |verdict: &&Verdict| matches!(verdict, Verdict::Damaged(_));
        IndexReport {
            packs_added: count(Verdict::Add),
            packs_corrected: count(Verdict::Correct),
            packs_dropped: count(Verdict::Drop),
            segments_damaged: known.damaged.len() as u64,
            segments_wrong: self.wrong.len() as u64,
            segments_written: 0,
            objects_mended: 0,
            packs_damaged: self.verdicts.values().filter(is_damaged).count() as u64,
        }
    }

    fn tell(&self, known: &Known, listener: &Listener<'_>) {
        for (id, why) in &known.damaged {
            listener.tell(Stage::Found, name_of::<Segment>(id), why);
        }
        for (id, verdict) in &self.verdicts {
            let (stage, what) = match verdict {
                Verdict::Keep => continue,
                Verdict::Damaged(why) => (Stage::Left, format!("{why}; repair packs rescues what it holds")),
                Verdict::Drop => (Stage::Plan, "it is gone, and will be listed no longer".into()),
                Verdict::Correct => (Stage::Plan, "it will be listed as its own directory says".into()),
                Verdict::Add => (Stage::Plan, "no segment lists it, and one will".into()),
                Verdict::AtWork => (Stage::Left, "a session that is at work wrote it, and will list it".into()),
            };
            listener.tell(stage, pack_name(id), what);
        }
        for (id, _) in &known.damaged {
            listener.tell(Stage::Plan, name_of::<Segment>(id), "it will be replaced by what the packs themselves say");
        }
        for id in &self.wrong {
            listener.tell(Stage::Plan, name_of::<Segment>(id), "it will be replaced by one that lists what is there");
        }
    }

    /// Puts the new segments, and then removes the old ones. Says how many were written.
    fn execute(&self, repository: &Repository, writer: &Writer<'_>) -> Result<u64> {
        let mut relisting = Relisting::new(repository, writer.session());
        let mut taken = HashSet::new();
        for id in &self.wrong {
            let segment = repository.objects().get::<Segment>(id).map_err(|error| rewritten(id, error))?;
            for pack in segment.into_packs() {
                let keep = matches!(self.verdicts.get(&pack.record.id), Some(Verdict::Keep | Verdict::Damaged(_)));
                if keep && taken.insert(pack.record.id) {
                    relisting.add(pack)?;
                }
            }
        }
        for id in self.with(&Verdict::Add).chain(self.with(&Verdict::Correct)) {
            // It opened a moment ago.
            let len = repository.objects().store().len(&pack_name(id))?;
            let inside = repository.look_into_pack(id, len)?;
            relisting.add(WholePack::described(*id, len, inside))?;
        }
        relisting.finish(&self.replaces)
    }

    /// Copies out of condemned packs what nothing lists any more: some snapshot may need it.
    fn rescue(
        &self,
        repository: &Repository,
        writer: &mut Writer<'_>,
        usable: &Usable,
        listener: &Listener<'_>,
    ) -> Result<()> {
        let mut salvage = Salvage::new(repository, listener);
        for id in &self.forlorn {
            if let Some(len) = usable.condemned().get(id) {
                salvage.rescue_all(id, *len, writer)?;
            }
        }
        Ok(())
    }
}

fn rewritten(id: &IndexId, error: RepoError) -> RepoError {
    match error {
        RepoError::Missing { .. } => {
            let name = name_of::<Segment>(id);
            RepoError::Conflict(format!("someone else replaced {name} meanwhile; nothing was replaced, run it again"))
        }
        other => other,
    }
}

/// Judges packs.
struct Judge<'a> {
    repository: &'a Repository,
    options: &'a IndexOptions,
    known: &'a Known,
    usable: &'a Usable,
    at_work: &'a HashSet<SessionId>,
    listener: &'a Listener<'a>,
}

impl Judge<'_> {
    fn verdict(&self, id: &PackId) -> Result<Verdict> {
        self.listener.looked_at(1)?;
        match (self.known.packs.get(id), self.usable.packs().get(id)) {
            // What is condemned and there goes when prune lets it go: until then someone may need it.
            (Some(_), None) if self.usable.condemned().contains_key(id) => Ok(Verdict::Keep),
            (Some(_), None) => Ok(Verdict::Drop),
            (Some(listed), Some(len)) => self.listed(id, listed, *len),
            (None, Some(len)) => self.unlisted(id, *len),
            (None, None) => Ok(Verdict::Keep),
        }
    }

    fn listed(&self, id: &PackId, listed: &Listed, len: u64) -> Result<Verdict> {
        let says = &listed.says;
        let as_it_seems = says.record.len == len && listed.is_whole() && !listed.contradicted;
        if as_it_seems && !self.options.read_all_packs {
            return Ok(Verdict::Keep);
        }
        let inside = match self.repository.look_into_pack(id, len) {
            Ok(inside) => inside,
            // It went since it was listed.
            Err(RepoError::Missing { .. }) => return Ok(Verdict::Keep),
            Err(error) => return damage(error).map(Verdict::Damaged),
        };
        let whole = WholePack::described(*id, len, inside);
        let same = says.record.class == whole.record.class
            && says.record.blobs == whole.record.blobs
            && says.places == Places::of(&whole.blobs);
        if same && as_it_seems {
            return Ok(Verdict::Keep);
        }
        // Another pack in its place opens as well as any: who is right, the pack's name says.
        match self.repository.pack_is_intact(id, len)? {
            true => Ok(Verdict::Correct),
            false => Ok(Verdict::Damaged(NOT_ITS_HASH.into())),
        }
    }

    fn is_of_closed_epoch(&self, inside: &PackInside) -> bool {
        self.repository.objects().is_closed(inside.epoch)
    }

    fn unlisted(&self, id: &PackId, len: u64) -> Result<Verdict> {
        match self.repository.look_into_pack(id, len) {
            // What a damaged segment listed may be of a writer that is at work: to list it twice harms nothing.
            Ok(inside) if self.known.damaged.is_empty() && self.at_work.contains(&inside.directory.session) => {
                Ok(Verdict::AtWork)
            }
            // Whoever once had the keys of a closed epoch can make a directory that promises what is not there.
            Ok(inside) if self.is_of_closed_epoch(&inside) && !self.repository.holds_what_it_lists(id, &inside)? => Ok(
                Verdict::Damaged("it is of a closed epoch, and not every blob in it is what its directory says".into()),
            ),
            Ok(_) => Ok(Verdict::Add),
            Err(RepoError::Missing { .. }) => Ok(Verdict::Keep),
            Err(error) => damage(error).map(Verdict::Damaged),
        }
    }
}
