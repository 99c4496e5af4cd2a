//! The writer: blobs into packs, packs into segments, and then a snapshot (format-spec, "Order of
//! writes", steps B1 to B9).

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use super::error::{RepoError, Result};
use super::objects::Durable;
use super::packer::{Packer, StoredPack};
use super::session::{Announced, Who};
use super::{Repository, walk};
use crate::format::codec::Ascending;
use crate::format::control::{Lineage, SessionKind, Signature, Snapshot};
use crate::format::extras::Extras;
use crate::format::limits::SEGMENT_PACKS_MAX;
use crate::format::pack::{BlobHeader, BlobKind, Placed};
use crate::format::segment::{BlobRecord, PackClass, PackRecord, Segment, SegmentHeader};
use crate::id::{BlobId, IndexId, PackId, SnapshotId};

/// Blobs that are in packs but in no segment yet; more are written out, so that memory stays bounded
/// and a crash loses little.
const UNINDEXED_MAX: usize = 1 << 17;

/// Bytes of packs that are in no segment yet; more are written out. A process that is killed loses what
/// no segment lists: at most so much is read and stored again.
const UNINDEXED_BYTES_MAX: u64 = 4 << 30;

/// Writes to a repository, under one session.
pub struct Writer<'r> {
    repository: &'r Repository,
    session: Announced,
    data: Packer<'r>,
    meta: Packer<'r>,
    /// Blobs that this writer has taken on, until a segment lists them.
    taken: Mutex<HashSet<BlobId>>,
    stored: Mutex<Unindexed>,
    /// Our own packs, which the session may rely on as well. Nothing else is locked while this is held:
    /// it is asked under the view's lock.
    own: Mutex<HashMap<PackId, u64>>,
    /// Something that was taken on could not be stored: whoever asked for it since was told that it is
    /// known, so nothing that this writer does may be committed.
    failed: AtomicBool,
    added: Added,
}

/// Packs that are durable and that no segment lists yet.
#[derive(Default)]
struct Unindexed {
    packs: Vec<StoredPack>,
    blobs: usize,
    bytes: u64,
    segments: Vec<Durable<IndexId>>,
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

/// Whose task a blob is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// It is there, or someone in this run is at it.
    Known,
    /// The caller's: it must be stored.
    Yours,
}

impl<'r> Writer<'r> {
    /// Announces a session and gets ready to write.
    pub fn begin(repository: &'r Repository, kind: SessionKind, who: &Who) -> Result<Self> {
        repository.may_write()?;
        let session = Announced::announce(repository.objects_arc(), kind, who)?;
        // After the announcement: what the view says now, later prunes will spare.
        repository.refresh_index()?;
        let packer = |class| {
            let target_len = repository.pack_target_len();
            Packer::new(repository.objects(), repository.meta_cache(), session.id(), class, target_len)
        };
        let (data, meta) = (packer(PackClass::Data), packer(PackClass::Meta));
        Ok(Writer {
            repository,
            session,
            data,
            meta,
            taken: Mutex::default(),
            stored: Mutex::default(),
            own: Mutex::default(),
            failed: AtomicBool::new(false),
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

    /// Whether a blob lies where this session may rely on it, or is on its way there.
    pub fn has(&self, id: &BlobId) -> Result<bool> {
        if lock(&self.taken).contains(id) {
            return Ok(true);
        }
        let look = || self.repository.view().lies_in(id, |pack, len| self.relies_on(pack, len));
        match look() {
            // The local view is damaged, not the repository: it is built anew, and says what it should.
            Err(RepoError::Local { .. }) => {
                self.repository.rebuild_index()?;
                look()
            }
            looked => looked,
        }
    }

    fn relies_on(&self, pack: &PackId, len: u64) -> bool {
        self.session.usable().contains(pack, len) || lock(&self.own).get(pack) == Some(&len)
    }

    /// Asks who has to store a blob. Of those who ask while it is not there, one is told to.
    pub fn claim(&self, id: &BlobId) -> Result<Claim> {
        if self.has(id)? {
            return Ok(Claim::Known);
        }
        match lock(&self.taken).insert(*id) {
            true => Ok(Claim::Yours),
            false => Ok(Claim::Known),
        }
    }

    /// Says that a blob that [`claim`](Self::claim) gave to the caller will not be stored.
    pub fn give_up(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Stores a blob that [`claim`](Self::claim) gave to the caller; `stored` is its compressed plaintext.
    pub fn store(&self, blob: BlobHeader, stored: Vec<u8>) -> Result<()> {
        let result = self.try_store(blob, stored);
        if result.is_err() {
            self.give_up();
        }
        result
    }

    fn try_store(&self, blob: BlobHeader, stored: Vec<u8>) -> Result<()> {
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
        let segment = segment_of(&self.session, &stored.packs);
        let durable = self.repository.objects().put(&segment)?;
        let ids: Vec<BlobId> = segment.records.iter().map(|record| record.placed.blob.id).collect();
        lock(&self.own).extend(stored.packs.iter().map(|pack| (pack.id.id(), pack.len)));
        self.repository.view_mut().add(vec![(durable.id(), segment)])?;
        stored.segments.push(durable);
        stored.packs.clear();
        (stored.blobs, stored.bytes) = (0, 0);
        // The view has them now.
        let mut taken = lock(&self.taken);
        ids.iter().for_each(|id| {
            taken.remove(id);
        });
        Ok(())
    }

    /// Puts everything that a snapshot may refer to. Nothing can be stored after it.
    fn finish_packs(self) -> Result<Written<'r>> {
        if self.failed.load(Ordering::Relaxed) {
            return Err(RepoError::Refused("something could not be stored; no snapshot was made".into()));
        }
        let Writer { repository, session, data, meta, stored, .. } = self;
        let mut stored = stored.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        for pack in data.finish_all()?.into_iter().chain(meta.finish_all()?) {
            stored.push(pack);
        }
        if !stored.packs.is_empty() {
            let segment = segment_of(&session, &stored.packs);
            let durable = repository.objects().put(&segment)?;
            repository.view_mut().add(vec![(durable.id(), segment)])?;
            stored.segments.push(durable);
        }
        Ok(Written { repository, session, segments: stored.segments })
    }

    /// Commits a snapshot, and gives its id once it is certain that it is good.
    pub fn commit(self, who: &Who, snapshot: impl FnOnce(&Announced) -> Snapshot) -> Result<SnapshotId> {
        let written = self.finish_packs()?;
        let mut snapshot = snapshot(&written.session);
        if !written.session.is_there()? {
            return written.begin_anew(who, &mut snapshot);
        }
        let put = written.put_snapshot(&snapshot)?;
        // If nobody can tell, it counts as gone: a snapshot stays only if it is certain to be good.
        if matches!(written.session.is_there(), Ok(true)) {
            return Ok(put.id());
        }
        // A prune took this session for dead and may have deleted what the snapshot relies on (B8).
        match written.look_up_again(who, &snapshot) {
            Ok(()) => Ok(put.id()),
            Err(error) => {
                written.repository.objects().delete::<Snapshot>(&put.id())?;
                Err(error)
            }
        }
    }

    /// Ends without a snapshot: what was stored stays, and later runs find it.
    pub fn finish(self) -> Result<()> {
        self.finish_packs().map(|_| ())
    }
}

impl Unindexed {
    fn push(&mut self, pack: StoredPack) {
        self.blobs += pack.blobs.len();
        self.bytes += pack.len;
        self.packs.push(pack);
    }
}

/// Everything is durable that a snapshot may refer to: packs, and the segments that list them.
struct Written<'r> {
    repository: &'r Repository,
    session: Announced,
    segments: Vec<Durable<IndexId>>,
}

impl Written<'_> {
    /// Only what holds durable segments can put a snapshot.
    fn put_snapshot(&self, snapshot: &Snapshot) -> Result<Durable<SnapshotId>> {
        tracing::debug!("{} segments are durable", self.segments.len());
        self.repository.objects().put(snapshot)
    }

    /// The announcement is gone before the snapshot was put (B5): a new session looks everything up.
    fn begin_anew(&self, who: &Who, snapshot: &mut Snapshot) -> Result<SnapshotId> {
        let session = self.all_there(who, snapshot)?;
        snapshot.session = session.id();
        let put = self.put_snapshot(snapshot)?;
        if session.is_there()? {
            return Ok(put.id());
        }
        self.repository.objects().delete::<Snapshot>(&put.id())?;
        Err(taken_for_dead())
    }

    fn look_up_again(&self, who: &Who, snapshot: &Snapshot) -> Result<()> {
        let session = self.all_there(who, snapshot)?;
        if session.is_there()? { Ok(()) } else { Err(taken_for_dead()) }
    }

    /// A new session under which every blob that the snapshot reaches may be relied on.
    fn all_there(&self, who: &Who, snapshot: &Snapshot) -> Result<Announced> {
        let session = Announced::announce(self.repository.objects_arc(), SessionKind::Backup, who)?;
        self.repository.refresh_index()?;
        walk::every_blob(self.repository, &snapshot.root, &mut |_, id| {
            let usable = self.repository.view().lies_in(id, |pack, len| session.usable().contains(pack, len))?;
            if usable { Ok(()) } else { Err(taken_for_dead()) }
        })?;
        Ok(session)
    }
}

fn taken_for_dead() -> RepoError {
    RepoError::Conflict(
        "this run was paused so long that a prune took it for dead and removed what it relied on; no snapshot was made, run it again".into(),
    )
}

fn segment_of(session: &Announced, packs: &[StoredPack]) -> Segment {
    let mut ids: Vec<PackId> = packs.iter().map(|pack| pack.id.id()).collect();
    ids.sort_unstable();
    let number = |id: &PackId| ids.binary_search(id).map_or(u32::MAX, |at| at as u32);
    let records = packs.iter().flat_map(|pack| {
        let pack_number = number(&pack.id.id());
        pack.blobs.iter().map(move |placed: &Placed| BlobRecord { placed: *placed, pack: pack_number })
    });
    let records = records.collect();
    let packs = packs.iter().map(|pack| PackRecord {
        id: pack.id.id(),
        len: pack.len,
        class: pack.class,
        blobs: pack.count,
        retain_until: 0,
    });
    let header = SegmentHeader {
        session: session.id(),
        lineage: Lineage::default(),
        replaces: Ascending::default(),
        packs: Ascending::new(packs.collect()).expect("a segment is written before it lists too many packs"),
        blobs: 0,
        signature: Signature::default(),
        extras: Extras::default(),
    };
    Segment::new(header, records)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
