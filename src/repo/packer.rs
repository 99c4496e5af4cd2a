//! The packer: sealed blobs go at random to one of several open packs (format-spec, "Packs").
//!
//! Which blob lies next to which is left to chance, and no pack holds fewer than eight blobs unless the
//! whole run has fewer: from the lengths of packs nobody learns the lengths of chunks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};

use super::error::Result;
use super::metacache::{CacheCopy, MetaCache};
use super::names;
use super::objects::{Durable, Objects};
use crate::crypto::PackSealer;
use crate::format::envelope::{TAG_LEN, padme};
use crate::format::pack::{BlobHeader, BlobKind, Compression, Placed, RECORD_LEN, TRAILER_STORED_LEN, directory_len};
use crate::format::segment::{PackClass, PackRecord, WholePack};
use crate::id::{PackId, SessionId};
use crate::storage::Staged;

/// Packs of one class that are open at a time.
const OPEN_PACKS: usize = 2;
/// A pack begins when it is sure to hold this many blobs.
const LEAST_BLOBS: usize = 8;
/// A pack is closed when it holds this many, so that a segment of a few packs keeps within its limit.
const MOST_BLOBS: usize = 1 << 16;
/// A pack is closed when its padding would be at most this part of it, or when it is a quarter over its
/// target.
const CLOSE_WHEN_WASTE_BELOW: u64 = 256;

/// A pack that is durably stored.
pub struct StoredPack {
    /// Its id.
    pub id: Durable<PackId>,
    /// Its length.
    pub len: u64,
    /// What it holds.
    pub class: PackClass,
    /// Its blobs, padding left out.
    pub blobs: Vec<Placed>,
    /// How many it holds, padding counted.
    pub count: u32,
}

/// Packs blobs of one class.
pub struct Packer<'r> {
    objects: &'r Objects,
    cache: Option<&'r MetaCache>,
    session: SessionId,
    class: PackClass,
    target_len: u64,
    open: [Mutex<OpenPack>; OPEN_PACKS],
    dice: Dice,
}

/// A pack that takes blobs. Until it is sure to hold enough of them, it only keeps them.
#[derive(Default)]
struct OpenPack {
    kept: Vec<(BlobHeader, Vec<u8>)>,
    begun: Option<BegunPack>,
}

/// A pack that takes no more blobs, or is taking them.
pub struct BegunPack {
    sealer: PackSealer,
    hasher: blake3::Hasher,
    staged: Box<dyn Staged>,
    copy: Option<CacheCopy>,
}

impl<'r> Packer<'r> {
    /// Packs blobs of `class` into packs of about `target_len` bytes; metadata is copied to `cache`.
    pub fn new(
        objects: &'r Objects,
        cache: Option<&'r MetaCache>,
        session: SessionId,
        class: PackClass,
        target_len: u64,
    ) -> Self {
        let cache = cache.filter(|_| class == PackClass::Meta);
        let dice = Dice { seed: objects.chance().random(), thrown: AtomicU64::new(0) };
        Packer { objects, cache, session, class, target_len, open: Default::default(), dice }
    }

    /// Packs a blob; gives the pack that it made full, if it did, once that is stored.
    pub fn add(&self, blob: BlobHeader, stored: Vec<u8>) -> Result<Option<StoredPack>> {
        let mut open = self.some_open_pack();
        self.put_in(&mut open, blob, stored)?;
        let full = match &open.begun {
            Some(begun) if begun.is_full(self.target_len) => open.begun.take(),
            _ => None,
        };
        // Others go on while the full pack is synced.
        drop(open);
        full.map(|begun| self.finish(begun)).transpose()
    }

    /// Closes what is open, to be [finished](Self::finish) by the caller: what waits joins a pack that has
    /// begun, or makes up one of its own. Blobs that come later begin other packs.
    pub fn detach(&self) -> Result<Vec<BegunPack>> {
        let (mut waiting, mut begun) = (Vec::new(), Vec::new());
        for open in &self.open {
            let mut open = lock(open);
            waiting.append(&mut open.kept);
            begun.extend(open.begun.take());
        }
        if !waiting.is_empty() {
            let mut last = match begun.pop() {
                Some(last) => last,
                None => self.begin(&waiting[0].0)?,
            };
            for (blob, stored) in waiting {
                last.append(blob, stored)?;
            }
            begun.push(last);
        }
        Ok(begun)
    }

    /// A pack drawn by lot; if another thread is at it, the next.
    fn some_open_pack(&self) -> MutexGuard<'_, OpenPack> {
        let first = self.dice.throw(OPEN_PACKS);
        for at in 0..OPEN_PACKS {
            match self.open[(first + at) % OPEN_PACKS].try_lock() {
                Ok(open) => return open,
                Err(TryLockError::Poisoned(open)) => return open.into_inner(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        lock(&self.open[first])
    }

    fn put_in(&self, open: &mut OpenPack, blob: BlobHeader, stored: Vec<u8>) -> Result<()> {
        if let Some(begun) = &mut open.begun {
            return begun.append(blob, stored);
        }
        open.kept.push((blob, stored));
        if open.kept.len() < LEAST_BLOBS {
            return Ok(());
        }
        let mut begun = self.begin(&open.kept[0].0)?;
        for (blob, stored) in open.kept.drain(..) {
            begun.append(blob, stored)?;
        }
        open.begun = Some(begun);
        Ok(())
    }

    fn begin(&self, first: &BlobHeader) -> Result<BegunPack> {
        let context = [&self.session.as_bytes()[..], first.id.as_bytes()].concat();
        let kind = self.class.object_kind();
        let sealer = PackSealer::new(&self.objects.object_keys(), kind, &context, self.objects.chance());
        let prefix = sealer.prefix();
        let staged = self.objects.store().stage()?;
        let copy = self.cache.and_then(MetaCache::begin_copy);
        let mut begun = BegunPack { sealer, hasher: blake3::Hasher::new(), staged, copy };
        begun.write(&prefix)?;
        Ok(begun)
    }

    /// Stores a pack durably.
    pub fn finish(&self, mut begun: BegunPack) -> Result<StoredPack> {
        if let Some(padding_len) = begun.padding_len() {
            let plain = vec![0; padding_len as usize];
            let id = self.objects.keys().namer().name(BlobKind::Padding, &plain);
            let (stored_len, plain_len) = (padding_len, padding_len);
            let compression = Compression::None;
            begun.append(BlobHeader { id, kind: BlobKind::Padding, compression, stored_len, plain_len }, plain)?;
        }
        let BegunPack { sealer, mut hasher, mut staged, copy } = begun;
        let offset = sealer.offset();
        let (end, mut blobs) = sealer.finish(self.session);
        hasher.update(&end);
        staged.write(&end)?;
        let id = PackId::from_bytes(*hasher.finalize().as_bytes());
        staged.commit(&names::pack(&id))?;
        if let Some(copy) = copy {
            copy.finish(&id, &end);
        }
        let count = u32::try_from(blobs.len()).unwrap_or(u32::MAX);
        blobs.retain(|placed| placed.blob.kind != BlobKind::Padding);
        Ok(StoredPack { id: Durable::after_put(id), len: offset + end.len() as u64, class: self.class, blobs, count })
    }
}

impl BegunPack {
    fn append(&mut self, blob: BlobHeader, mut stored: Vec<u8>) -> Result<()> {
        self.sealer.seal(blob, &mut stored);
        self.write(&stored)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        if self.copy.as_mut().is_some_and(|copy| !copy.write(bytes)) {
            self.copy = None;
        }
        Ok(self.staged.write(bytes)?)
    }

    /// How long the pack would be if it were closed without padding.
    fn len_if_closed(&self) -> u64 {
        let directory = directory_len(self.sealer.blobs().len()) + TAG_LEN;
        self.sealer.offset() + (directory + TRAILER_STORED_LEN) as u64
    }

    /// The plaintext length of the padding that makes the pack's length say little; `None` if it does.
    fn padding_len(&self) -> Option<u32> {
        let len = self.len_if_closed();
        if padme(len) == len {
            return None;
        }
        let with_empty_padding = len + (RECORD_LEN + TAG_LEN) as u64;
        u32::try_from(padme(with_empty_padding) - with_empty_padding).ok()
    }

    fn is_full(&self, target_len: u64) -> bool {
        let len = self.len_if_closed();
        let waste = padme(len) - len;
        if self.sealer.blobs().len() >= MOST_BLOBS {
            return true;
        }
        len >= target_len && (waste < len / CLOSE_WHEN_WASTE_BELOW || len >= target_len + target_len / 4)
    }
}

fn lock(open: &Mutex<OpenPack>) -> MutexGuard<'_, OpenPack> {
    open.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Numbers that nobody can foresee, from one seed.
struct Dice {
    seed: [u8; 32],
    thrown: AtomicU64,
}

impl Dice {
    fn throw(&self, sides: usize) -> usize {
        let count = self.thrown.fetch_add(1, Ordering::Relaxed);
        let hash = blake3::keyed_hash(&self.seed, &count.to_le_bytes());
        usize::from(hash.as_bytes()[0]) % sides
    }
}

impl StoredPack {
    /// As a segment lists it.
    pub fn listed(&self) -> WholePack {
        let StoredPack { id, len, class, blobs, count } = self;
        let record = PackRecord { id: id.id(), len: *len, class: *class, blobs: *count, retain_until: 0 };
        WholePack { record, blobs: blobs.clone() }
    }
}
