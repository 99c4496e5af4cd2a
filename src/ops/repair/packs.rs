//! Damaged packs: what can still be read is stored anew, and then they are condemned. Prune deletes them
//! (format-spec, "Order of writes", "Repair").

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::{Listener, NOT_ITS_HASH, Stage, damage, list_usable};
use crate::crypto::PackOpener;
use crate::format::codec::Ascending;
use crate::format::control::{Condemned, Lineage, SessionKind, Signature};
use crate::format::extras::Extras;
use crate::format::limits::CONDEMNED_MAX;
use crate::format::pack::{BlobKind, Placed};
use crate::format::segment::PackClass;
use crate::id::{BlobId, PackId};
use crate::ops::scan::{Scan, indexed_blobs};
use crate::repo::{RepoError, Repository, Result, Who, Writer, pack_name};

/// Packs whose records are collected from the index at a time.
const AT_ONCE: usize = 64;

/// Which packs are repaired, and how.
#[derive(Debug, Clone, Default)]
pub struct PacksOptions {
    /// These, read wholly; all if there are none.
    pub packs: Vec<PackId>,
    /// Read all of every pack, not only its length and its directory.
    pub read_data: bool,
    /// Say what would be done, write nothing.
    pub dry_run: bool,
    /// Who runs it.
    pub who: Who,
}

/// What repairing packs found and did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PacksReport {
    /// Packs that were looked at.
    pub packs: u64,
    /// Those that are damaged, and condemned now.
    pub damaged: u64,
    /// Blobs of them that were stored anew.
    pub blobs_rescued: u64,
    /// Blobs of them that are whole elsewhere.
    pub blobs_elsewhere: u64,
    /// Blobs of them that cannot be read anywhere.
    pub blobs_lost: u64,
    /// Packs that the index lists and that are gone.
    pub missing: u64,
}

impl PacksReport {
    /// Whether anything is lost for now.
    pub fn is_damage_left(&self) -> bool {
        self.blobs_lost > 0 || self.missing > 0
    }
}

/// Repairs packs.
///
/// # Errors
///
/// If the store fails, a pack that is named is not there, or the session was taken for dead.
pub fn packs(repository: &mut Repository, options: &PacksOptions, listener: &Listener<'_>) -> Result<PacksReport> {
    repository.bypass_meta_cache();
    let mut writer = match options.dry_run {
        true => None,
        false => Some(Writer::begin(repository, SessionKind::Maintain, &options.who)?),
    };
    repository.refresh_index()?;
    let usable = list_usable(repository, writer.as_mut().map(Writer::session_mut))?;
    let examine = Examine { repository, options, listener, listed: listed_lengths(repository) };
    let mut report = PacksReport::default();
    let damaged = examine.all(usable.packs(), &mut report)?;
    if damaged.is_empty() {
        return Ok(report);
    }
    tell_plan(&damaged, listener);
    let mut salvage = Salvage::new(repository, listener);
    salvage.lengths = usable.packs().iter().map(|(id, len)| (*id, *len)).collect();
    salvage.listed = examine.listed;
    let condemned = salvage.run(damaged, writer.as_mut())?;
    report.damaged = condemned.len() as u64;
    (report.blobs_rescued, report.blobs_elsewhere) = (salvage.rescued.len() as u64, salvage.elsewhere.len() as u64);
    report.blobs_lost = salvage.lost().count() as u64;
    if let Some(writer) = writer {
        condemn(repository, &writer, &condemned)?;
        for id in &condemned {
            listener.tell(Stage::Done, pack_name(id), "it is condemned; prune deletes it");
        }
    }
    for id in salvage.lost().take(LOST_NAMED) {
        listener.tell(
            Stage::Left,
            format!("blob {id}"),
            "it cannot be read anywhere; check names the files that it harms",
        );
    }
    Ok(report)
}

/// Lost blobs that are named; the rest is counted.
const LOST_NAMED: usize = 1000;

fn tell_plan(damaged: &[PackId], listener: &Listener<'_>) {
    for id in damaged {
        listener.tell(
            Stage::Plan,
            pack_name(id),
            "what can be read of it will be stored anew, and it will be condemned",
        );
    }
}

/// The lengths that segments say packs have; mostly one for each.
fn listed_lengths(repository: &Repository) -> BTreeMap<PackId, BTreeSet<u64>> {
    let mut listed: BTreeMap<PackId, BTreeSet<u64>> = BTreeMap::new();
    for pack in repository.view().segments().flat_map(|segment| segment.packs) {
        listed.entry(pack.id).or_default().insert(pack.len);
    }
    listed
}

/// Finds damaged packs.
struct Examine<'a> {
    repository: &'a Repository,
    options: &'a PacksOptions,
    listener: &'a Listener<'a>,
    listed: BTreeMap<PackId, BTreeSet<u64>>,
}

impl Examine<'_> {
    /// The damaged ones of those that were asked for.
    fn all(&self, stored: &HashMap<PackId, u64>, report: &mut PacksReport) -> Result<Vec<PackId>> {
        let chosen: BTreeSet<PackId> = match self.options.packs.is_empty() {
            true => stored.keys().copied().collect(),
            false => self.options.packs.iter().copied().collect(),
        };
        let mut damaged = Vec::new();
        for id in &chosen {
            let Some(len) = stored.get(id) else {
                return Err(RepoError::Refused(format!("{} is not there, or is condemned already", pack_name(id))));
            };
            self.listener.looked_at(1)?;
            report.packs += 1;
            match self.one(id, *len)? {
                Some(why) => {
                    self.listener.tell(Stage::Found, pack_name(id), why);
                    damaged.push(*id);
                }
                None if !self.options.packs.is_empty() => self.listener.tell(Stage::Left, pack_name(id), "it is sound"),
                None => {}
            }
        }
        for id in self.listed.keys().filter(|id| self.options.packs.is_empty() && self.is_gone(id, stored)) {
            report.missing += 1;
            self.listener.tell(Stage::Left, pack_name(id), "it is missing; repair index takes it out of the index");
        }
        Ok(damaged)
    }

    fn is_gone(&self, id: &PackId, stored: &HashMap<PackId, u64>) -> bool {
        !stored.contains_key(id) && self.repository.objects().store().len(&pack_name(id)).is_err()
    }

    /// What is wrong with a pack.
    fn one(&self, id: &PackId, len: u64) -> Result<Option<String>> {
        let as_listed = self.listed.get(id).is_none_or(|lengths| lengths.contains(&len));
        let inside = match self.repository.look_into_pack(id, len) {
            Ok(inside) => inside,
            Err(RepoError::Missing { .. }) => return Ok(None),
            Err(error) => return damage(error).map(Some),
        };
        if as_listed && !self.options.read_data && self.options.packs.is_empty() {
            return Ok(None);
        }
        let opener = self.repository.opener(id, inside.class)?;
        let mut first_bad = None;
        let on_bytes = &mut |bytes| self.listener.read(bytes);
        let on_blob = &mut |_: &Placed, stored: Result<Vec<u8>>| {
            if let Err(error) = stored {
                first_bad.get_or_insert(damage(error)?);
            }
            Ok(())
        };
        let scan = Scan { repository: self.repository, pack: id, opener: &opener, on_bytes, on_blob };
        match scan.run(len, &inside.directory.blobs) {
            Ok(hash) if PackId::from_bytes(hash) != *id => Ok(Some(NOT_ITS_HASH.into())),
            Ok(_) => Ok(first_bad),
            Err(RepoError::Missing { .. }) => Ok(None),
            Err(error) => damage(error).map(Some),
        }
    }
}

/// Stores anew what packs still hold.
pub(super) struct Salvage<'a> {
    repository: &'a Repository,
    listener: &'a Listener<'a>,
    /// The packs' lengths in the store.
    lengths: BTreeMap<PackId, u64>,
    listed: BTreeMap<PackId, BTreeSet<u64>>,
    rescued: HashSet<BlobId>,
    /// Blobs that are whole in another pack, and that pack.
    elsewhere: HashMap<BlobId, PackId>,
    unreadable: BTreeSet<BlobId>,
}

impl<'a> Salvage<'a> {
    pub(super) fn new(repository: &'a Repository, listener: &'a Listener<'a>) -> Self {
        let (lengths, listed) = (BTreeMap::new(), BTreeMap::new());
        let (rescued, elsewhere, unreadable) = (HashSet::new(), HashMap::new(), BTreeSet::new());
        Salvage { repository, listener, lengths, listed, rescued, elsewhere, unreadable }
    }

    fn lost(&self) -> impl Iterator<Item = &BlobId> {
        self.unreadable.iter().filter(|id| !self.rescued.contains(id) && !self.elsewhere.contains_key(id))
    }

    /// Salvages these packs, and those that turn out to be damaged on the way. Gives all of them; what was
    /// salvaged is durable.
    fn run(&mut self, mut open: Vec<PackId>, mut writer: Option<&mut Writer<'_>>) -> Result<BTreeSet<PackId>> {
        let mut damaged: BTreeSet<PackId> = open.iter().copied().collect();
        if let Some(writer) = writer.as_deref_mut() {
            writer.session_mut().usable_mut().distrust(&damaged);
        }
        while !open.is_empty() {
            let batch = open.split_off(open.len().saturating_sub(AT_ONCE));
            let indexed = indexed_blobs(self.repository, &batch)?;
            for id in &batch {
                self.listener.looked_at(1)?;
                let blobs = indexed.get(id).map(Vec::as_slice).unwrap_or_default();
                let also = self.one(id, blobs, &damaged, writer.as_deref_mut())?;
                // What was found in them is not elsewhere any more: it is to be rescued out of them.
                self.elsewhere.retain(|_, pack| !also.contains(pack));
                open.extend(also.iter().filter(|id| damaged.insert(**id)));
            }
        }
        if let Some(writer) = writer {
            writer.flush()?;
        }
        Ok(damaged)
    }

    /// Stores anew all that is not usable elsewhere of a pack that is no longer listed.
    pub(super) fn rescue_all(&mut self, id: &PackId, len: u64, writer: &mut Writer<'_>) -> Result<()> {
        self.lengths.insert(*id, len);
        self.one(id, &[], &BTreeSet::from([*id]), Some(writer)).map(drop)
    }

    /// Salvages one pack. Gives packs that turn out to be damaged as well.
    fn one(
        &mut self,
        id: &PackId,
        indexed: &[Placed],
        damaged: &BTreeSet<PackId>,
        mut writer: Option<&mut Writer<'_>>,
    ) -> Result<BTreeSet<PackId>> {
        let stored_len = self.lengths.get(id).copied().unwrap_or(0);
        let mut also = BTreeSet::new();
        let Some(opener) = self.open(id, indexed)? else {
            self.unreadable.extend(indexed.iter().map(|placed| placed.blob.id));
            return Ok(also);
        };
        let own = self.directory(id, stored_len, &opener)?;
        let listed: HashSet<&Placed> = own.iter().collect();
        let by_index: Vec<Placed> = indexed.iter().filter(|placed| !listed.contains(placed)).copied().collect();
        for blobs in [own, by_index].iter().filter(|blobs| !blobs.is_empty()) {
            let (repository, listener) = (self.repository, self.listener);
            let on_bytes = &mut |bytes| listener.read(bytes);
            let on_blob = &mut |placed: &Placed, stored: Result<Vec<u8>>| match placed.blob.kind {
                BlobKind::Padding => Ok(()),
                _ => self.take(placed, stored, damaged, &mut also, writer.as_deref_mut()),
            };
            let len = stored_len.min(blobs.iter().map(Placed::end).max().unwrap_or(0));
            let scanned = Scan { repository, pack: id, opener: &opener, on_bytes, on_blob }.run(len, blobs);
            scanned.map(drop).or_else(|error| damage(error).map(drop))?;
        }
        Ok(also)
    }

    /// The cipher of a pack, whichever kind it is; `None` if its beginning is lost, and with it everything.
    fn open(&self, id: &PackId, indexed: &[Placed]) -> Result<Option<Arc<PackOpener>>> {
        let is_meta = indexed.first().is_some_and(|placed| placed.blob.kind != BlobKind::Data);
        let classes = if is_meta { [PackClass::Meta, PackClass::Data] } else { [PackClass::Data, PackClass::Meta] };
        for class in classes {
            match self.repository.opener(id, class) {
                Ok(opener) => return Ok(Some(opener)),
                Err(RepoError::Missing { .. } | RepoError::NeedsNewer { .. }) => return Ok(None),
                Err(error) => drop(damage(error)?),
            }
        }
        Ok(None)
    }

    /// The blobs by the pack's own directory, at the end that it has or should have; none if it is lost.
    fn directory(&self, id: &PackId, stored_len: u64, opener: &PackOpener) -> Result<Vec<Placed>> {
        let listed = self.listed.get(id).into_iter().flatten().copied();
        for len in std::iter::once(stored_len).chain(listed.filter(|len| *len <= stored_len)) {
            match self.repository.pack_directory(id, len, opener) {
                Ok(directory) => return Ok(directory.blobs),
                Err(RepoError::Missing { .. } | RepoError::NeedsNewer { .. }) => return Ok(Vec::new()),
                Err(error) => drop(damage(error)?),
            }
        }
        Ok(Vec::new())
    }

    fn take(
        &mut self,
        placed: &Placed,
        stored: Result<Vec<u8>>,
        damaged: &BTreeSet<PackId>,
        also: &mut BTreeSet<PackId>,
        writer: Option<&mut Writer<'_>>,
    ) -> Result<()> {
        let id = placed.blob.id;
        if self.rescued.contains(&id) || self.elsewhere.contains_key(&id) {
            return Ok(());
        }
        if let Some(pack) = self.whole_elsewhere(placed, damaged, also)? {
            self.elsewhere.insert(id, pack);
            return Ok(());
        }
        match stored {
            Ok(stored) => {
                if let Some(writer) = writer {
                    // What is bad elsewhere must not count as there.
                    writer.session_mut().usable_mut().distrust(&*also);
                    writer.save(&id, || Ok((placed.blob, stored)))?;
                }
                self.rescued.insert(id);
            }
            Err(error) => {
                damage(error)?;
                self.unreadable.insert(id);
            }
        }
        Ok(())
    }

    /// Another pack that holds the blob, if that copy can be read. Packs whose copies cannot are damaged too.
    fn whole_elsewhere(
        &self,
        placed: &Placed,
        damaged: &BTreeSet<PackId>,
        also: &mut BTreeSet<PackId>,
    ) -> Result<Option<PackId>> {
        let mut locations = self.repository.view().locate(&placed.blob.id)?;
        locations.retain(|location| {
            let is_trusted = self.lengths.get(&location.pack) == Some(&location.pack_len);
            is_trusted && location.placed.blob.kind == placed.blob.kind && !damaged.contains(&location.pack)
        });
        for location in locations.iter().filter(|location| !also.contains(&location.pack)).collect::<Vec<_>>() {
            match self.repository.read_stored(location) {
                Ok(_) => return Ok(Some(location.pack)),
                Err(RepoError::Missing { .. }) => {}
                Err(error) => {
                    let why = damage(error)?;
                    self.listener.tell(Stage::Found, pack_name(&location.pack), why);
                    also.insert(location.pack);
                }
            }
        }
        Ok(None)
    }
}

/// Condemns packs, once what was salvaged of them is durable and listed.
fn condemn(repository: &Repository, writer: &Writer<'_>, packs: &BTreeSet<PackId>) -> Result<()> {
    writer.session().must_be_there("nothing was condemned")?;
    let packs: Vec<PackId> = packs.iter().copied().collect();
    for packs in packs.chunks(CONDEMNED_MAX) {
        let condemned = Condemned {
            session: writer.session().id(),
            lineage: Lineage::default(),
            packs: Ascending::new(packs.to_vec()).expect("chunks are as long as a record takes"),
            signature: Signature::default(),
            extras: Extras::default(),
        };
        repository.objects().put(&condemned)?;
    }
    Ok(())
}
