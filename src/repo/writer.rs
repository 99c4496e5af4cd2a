//! The writer: blobs into packs, packs into segments, and then snapshots (format-spec, "Order of
//! writes", steps B1 to B9).

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use super::error::{RepoError, Result};
use super::objects::Durable;
use super::packer::{Packer, StoredPack};
use super::relist::too_many;
use super::run::{self, Ending};
use super::session::{Announced, Who};
use super::{Location, Repository, walk};
use crate::format::control::{Run, SessionKind, Snapshot};
use crate::format::limits::SEGMENT_PACKS_MAX;
use crate::format::pack::{BlobHeader, BlobKind};
use crate::format::segment::{PackClass, Segment};
use crate::id::{BlobId, IndexId, PackId, SessionId, SnapshotId};

/// Blobs that are in packs but in no segment yet; more are written out, so that memory stays bounded
/// and a crash loses little.
const UNINDEXED_MAX: usize = 1 << 17;

/// Bytes of packs that are in no segment yet; more are written out. A process that is killed loses what
/// no segment lists: at most so much is read and stored again.
const UNINDEXED_BYTES_MAX: u64 = 4 << 30;

/// What is said when a session does not stand any more.
const NO_SNAPSHOT: &str = "no snapshot was made";

/// Writes to a repository, under one session.
pub struct Writer<'r> {
    repository: &'r Repository,
    who: Who,
    kind: SessionKind,
    session: Announced,
    data: Packer<'r>,
    meta: Packer<'r>,
    /// Held for reading by whoever is storing a blob: when it is free for writing, all that was taken on
    /// is in packs.
    at_work: RwLock<()>,
    /// Blobs that this writer has taken on, until a segment lists them.
    taken: Mutex<HashSet<BlobId>>,
    stored: Mutex<Unindexed>,
    /// Our own packs, which the session may rely on as well. Nothing else is locked while this is held:
    /// it is asked under the view's lock.
    own: Mutex<HashMap<PackId, u64>>,
    /// Something that was taken on could not be stored: whoever asked for it since was told that it is
    /// known, so nothing that this writer does may be committed.
    failed: AtomicBool,
    /// Snapshots that are certain to be good, and wait for the run's report.
    committed: Vec<SnapshotId>,
    added: Added,
}

/// Packs that are durable and that no segment lists yet.
#[derive(Default)]
struct Unindexed {
    packs: Vec<StoredPack>,
    blobs: usize,
    bytes: u64,
}

/// What a writer has added so far.
#[derive(Debug, Default)]
pub struct Added {
    /// Blobs.
    pub blobs: AtomicU64,
    /// Their plaintext, in bytes.
    pub bytes: AtomicU64,
    /// What they take in packs, in bytes.
    pub stored: AtomicU64,
}

/// All that was stored before is durable, and listed by durable segments: only [`Writer::flush`] makes one.
pub struct Flushed(());

impl<'r> Writer<'r> {
    /// Announces a session and gets ready to write.
    pub fn begin(repository: &'r Repository, kind: SessionKind, who: &Who) -> Result<Self> {
        repository.may_write()?;
        if kind == SessionKind::Prune {
            // Condemned for nothing, what is stored again would be stored twice.
            repository.objects().may_delete_packs()?;
        }
        let session = Announced::announce(repository.objects_arc(), kind, who)?;
        // After the announcement: what the view says now, later prunes will spare.
        repository.refresh_index()?;
        repository.objects().knows_what_is_valid()?;
        Ok(Writer {
            repository,
            who: who.clone(),
            kind,
            data: packer(repository, session.id(), PackClass::Data),
            meta: packer(repository, session.id(), PackClass::Meta),
            session,
            at_work: RwLock::default(),
            taken: Mutex::default(),
            stored: Mutex::default(),
            own: Mutex::default(),
            failed: AtomicBool::new(false),
            committed: Vec::new(),
            added: Added::default(),
        })
    }

    /// What was added so far.
    pub fn added(&self) -> &Added {
        &self.added
    }

    /// The session that it writes under.
    pub fn session(&self) -> &Announced {
        &self.session
    }

    /// To look again at what the session may rely on.
    pub fn session_mut(&mut self) -> &mut Announced {
        &mut self.session
    }

    /// Whether a blob lies where this session may rely on it, or is on its way there.
    pub fn has(&self, id: &BlobId) -> Result<bool> {
        if lock(&self.taken).contains(id) {
            return Ok(true);
        }
        let look = || self.repository.view().lies_in(id, |pack, len| self.relies_on(pack, len, id));
        match look() {
            // The local view is damaged, not the repository: it is built anew, and says what it should.
            Err(RepoError::Local { .. }) => {
                self.repository.rebuild_index()?;
                look()
            }
            looked => looked,
        }
    }

    /// Whether this writer has put one of these packs itself.
    pub fn has_put(&self, locations: &[Location]) -> bool {
        let own = lock(&self.own);
        locations.iter().any(|location| own.get(&location.pack) == Some(&location.pack_len))
    }

    fn relies_on(&self, pack: &PackId, len: u64, id: &BlobId) -> bool {
        self.session.usable().holds(pack, len, id) || lock(&self.own).get(pack) == Some(&len)
    }

    /// Stores the blob `id` if it is not there. Of those who ask while it is not, one is told to `make` it:
    /// its header, and its plaintext as it is to be stored, compressed or not.
    ///
    /// A blob that cannot be made or stored fails the writer: others were told that it is known.
    pub fn save(&self, id: &BlobId, make: impl FnOnce() -> Result<(BlobHeader, Vec<u8>)>) -> Result<()> {
        let _at_work = self.at_work.read().unwrap_or_else(PoisonError::into_inner);
        if self.has(id)? || !lock(&self.taken).insert(*id) {
            return Ok(());
        }
        let saved = make().and_then(|(blob, stored)| self.store(blob, stored));
        if saved.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        saved
    }

    fn store(&self, blob: BlobHeader, stored: Vec<u8>) -> Result<()> {
        self.added.blobs.fetch_add(1, Ordering::Relaxed);
        self.added.bytes.fetch_add(u64::from(blob.plain_len), Ordering::Relaxed);
        self.added.stored.fetch_add(blob.sealed_len(), Ordering::Relaxed);
        let packer = match blob.kind {
            BlobKind::Data => &self.data,
            _ => &self.meta,
        };
        match packer.add(blob, stored)? {
            Some(pack) => self.index(pack),
            None => Ok(()),
        }
    }

    fn index(&self, pack: StoredPack) -> Result<()> {
        let mut stored = lock(&self.stored);
        stored.push(pack);
        let is_much = stored.blobs >= UNINDEXED_MAX || stored.bytes >= UNINDEXED_BYTES_MAX;
        if is_much || stored.packs.len() >= SEGMENT_PACKS_MAX {
            self.write_segment(&mut stored)?;
        }
        Ok(())
    }

    /// Puts a segment of what is durable, and shows it to the local view.
    fn write_segment(&self, stored: &mut Unindexed) -> Result<()> {
        if stored.packs.is_empty() {
            return Ok(());
        }
        let packs = stored.packs.iter().map(StoredPack::listed).collect();
        let segment = Segment::listing(self.session.id(), packs, &[]).map_err(|_| too_many())?;
        let durable: Durable<IndexId> = self.repository.objects().put(&segment)?;
        let ids: Vec<BlobId> = segment.records.iter().map(|record| record.placed.blob.id).collect();
        lock(&self.own).extend(stored.packs.iter().map(|pack| (pack.id.id(), pack.len)));
        self.repository.view_mut().add(vec![(durable.id(), segment)])?;
        stored.packs.clear();
        (stored.blobs, stored.bytes) = (0, 0);
        // The view has them now.
        let mut taken = lock(&self.taken);
        ids.iter().for_each(|id| {
            taken.remove(id);
        });
        Ok(())
    }

    /// Puts everything that was stored so far, packs before the segments that list them (B3, B4). Others may
    /// go on storing meanwhile.
    pub fn flush(&self) -> Result<Flushed> {
        let (data, meta) = {
            // Whoever was storing something has finished when this is ours.
            let _nobody = self.at_work.write().unwrap_or_else(PoisonError::into_inner);
            (self.data.detach()?, self.meta.detach()?)
        };
        let result = self.finish_packs(data, meta);
        if result.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        result?;
        if self.failed.load(Ordering::Relaxed) {
            return Err(RepoError::Refused("something could not be stored; no snapshot was made".into()));
        }
        Ok(Flushed(()))
    }

    fn finish_packs(&self, data: Vec<super::packer::BegunPack>, meta: Vec<super::packer::BegunPack>) -> Result<()> {
        for begun in data {
            let pack = self.data.finish(begun)?;
            lock(&self.stored).push(pack);
        }
        for begun in meta {
            let pack = self.meta.finish(begun)?;
            lock(&self.stored).push(pack);
        }
        self.write_segment(&mut lock(&self.stored))
    }

    /// Commits a snapshot, and gives its id once it is certain that it is good. Several may be committed, one
    /// after the other; none is to be reported before [`finish`](Self::finish).
    pub fn commit(&mut self, snapshot: Snapshot) -> Result<SnapshotId> {
        let id = self.commit_certainly(snapshot)?;
        self.committed.push(id);
        Ok(id)
    }

    fn commit_certainly(&mut self, snapshot: Snapshot) -> Result<SnapshotId> {
        let flushed = self.flush()?;
        // What became of the keys is found out after the put, which is enough.
        if !self.session.is_announced()? {
            return self.commit_anew(&flushed, snapshot);
        }
        let id = self.put_snapshot(&flushed, snapshot.clone())?;
        // If nobody can tell, it counts as gone: a snapshot stays only if it is certain to be good.
        if matches!(self.session.is_there(), Ok(true)) {
            return Ok(id);
        }
        // A prune took this session for dead and may have deleted what the snapshot relies on, or an epoch was closed
        // and what it relies on counts no longer (B8).
        self.keep_if(id, |writer| writer.look_up_again(&snapshot))
    }

    /// Commits a snapshot while others go on storing; `None` if the session was taken for dead, which the last
    /// commit will deal with.
    pub fn checkpoint(&self, snapshot: Snapshot) -> Result<Option<SnapshotId>> {
        let flushed = self.flush()?;
        if !self.session.is_announced()? {
            return Ok(None);
        }
        let id = self.put_snapshot(&flushed, snapshot)?;
        if matches!(self.session.is_there(), Ok(true)) {
            return Ok(Some(id));
        }
        self.repository.objects().delete::<Snapshot>(&id)?;
        Ok(None)
    }

    /// Only after everything was flushed can a snapshot be put.
    fn put_snapshot(&self, _flushed: &Flushed, mut snapshot: Snapshot) -> Result<SnapshotId> {
        snapshot.session = self.session.id();
        Ok(self.repository.objects().put(&snapshot)?.id())
    }

    /// The announcement is gone before the snapshot was put (B5): a new session looks everything up.
    fn commit_anew(&mut self, flushed: &Flushed, snapshot: Snapshot) -> Result<SnapshotId> {
        self.look_up_again(&snapshot)?;
        let id = self.put_snapshot(flushed, snapshot)?;
        self.keep_if(id, |writer| writer.session.must_be_there(NO_SNAPSHOT))
    }

    /// The snapshot if `certain`; otherwise it is deleted.
    fn keep_if(&mut self, id: SnapshotId, certain: impl FnOnce(&mut Self) -> Result<()>) -> Result<SnapshotId> {
        match certain(self) {
            Ok(()) => Ok(id),
            Err(error) => {
                self.repository.objects().delete::<Snapshot>(&id)?;
                Err(error)
            }
        }
    }

    /// Announces a new session, under which every blob that the snapshot reaches may be relied on.
    fn look_up_again(&mut self, snapshot: &Snapshot) -> Result<()> {
        let session = Announced::announce(self.repository.objects_arc(), self.kind, &self.who)?;
        self.repository.refresh_index()?;
        self.repository.objects().knows_what_is_valid()?;
        walk::every_blob(self.repository, &snapshot.root, &mut |_, id| {
            let usable = self.repository.view().lies_in(id, |pack, len| session.usable().contains(pack, len))?;
            if usable { Ok(()) } else { Err(relied_on_what_is_gone()) }
        })?;
        session.must_be_there(NO_SNAPSHOT)?;
        // What the old session put is in the listing of the new one, or is gone.
        lock(&self.own).clear();
        self.data = packer(self.repository, session.id(), PackClass::Data);
        self.meta = packer(self.repository, session.id(), PackClass::Meta);
        self.session = session;
        Ok(())
    }

    /// Ends: what was stored stays, and later runs find it. If snapshots were committed, the run's report is
    /// put, and then they may be reported to people.
    ///
    /// A report that cannot be put is a warning, and `false`: the snapshots are good all the same. All that is lost
    /// is that `check` would notice if one vanished, and that a prune which found a hole in one would call it
    /// unconfirmed; so what they take the place of should stay.
    pub fn finish(self, ending: &Ending) -> Result<bool> {
        let flushed = self.flush();
        // What was committed before is good, whatever became of what came after it.
        let reported = self.report(ending);
        flushed?;
        if let Err(error) = &reported {
            tracing::warn!("the snapshots are good, but the report of this run could not be stored: {error}");
        }
        Ok(reported.is_ok())
    }

    fn report(&self, ending: &Ending) -> Result<()> {
        let objects = self.repository.objects();
        let put = run::put(objects, self.session.id(), &self.who.host, &self.committed, ending)?;
        if put.is_empty() {
            return Ok(());
        }
        // While no epoch began, ours is not closed. After that it waits for whoever is announced; of one who was taken
        // for dead the report may have come too late, and then it says nothing.
        match objects.no_epoch_began() {
            Err(error) if !matches!(self.session.is_announced(), Ok(true)) => {
                put.iter().try_for_each(|id| objects.delete::<Run>(id))?;
                Err(error)
            }
            _ => Ok(()),
        }
    }
}

impl Unindexed {
    fn push(&mut self, pack: StoredPack) {
        self.blobs += pack.blobs.len();
        self.bytes += pack.len;
        self.packs.push(pack);
    }
}

fn packer(repository: &Repository, session: SessionId, class: PackClass) -> Packer<'_> {
    let target_len = repository.pack_target_len();
    Packer::new(repository.objects(), repository.meta_cache(), session, class, target_len)
}

fn relied_on_what_is_gone() -> RepoError {
    RepoError::Conflict(
        "this run was paused so long that a prune took it for dead, or keys were changed, and what it relied on is gone; no snapshot was made, run it again".into(),
    )
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
