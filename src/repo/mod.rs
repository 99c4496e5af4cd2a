//! Repositories: naming, packing, indexing, sessions, and the order of writes. Touches the disk.
//!
//! [`Repository`] reads; [`Writer`] writes, under an announced session. What either gives out was
//! checked on the way: names against bytes, bytes against keys, values against the spec.

mod closings;
mod error;
mod forget;
mod index;
mod keychain;
mod keycopies;
mod late;
pub mod lease;
mod metacache;
mod names;
mod objects;
mod packer;
mod packs;
mod pins;
mod reader;
mod relist;
mod replace;
mod run;
mod session;
mod small;
pub mod split;
pub mod walk;
mod world;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub use crate::crypto::Argon2Profile;
pub use error::{Class, RepoError, Result};
pub use forget::Forgetting;
pub use index::{ActiveSegment, IndexView, ListedPack, Location, SyncReport};
pub use keychain::{AtWork, Closed, Keychain};
pub use names::{
    KeyringObject, KeyslotObject, Record, Stored, config as config_name, id_of, of as name_of, pack as pack_name,
};
pub use objects::{Durable, Objects};
pub use packs::PackInside;
pub use reader::noun;
pub use relist::Relisting;
pub use replace::Replaced;
pub use run::Ending;
pub use session::{Announced, Standing, Usable, Who, program};
pub use world::SystemChance;
pub use writer::{Added, Flushed, Writer};

use crate::chunk::ChunkerParams;
use crate::crypto::{Chance, Keyset};
use crate::format::envelope::ObjectKind;
use crate::format::keys::Settings;
use crate::format::segment::Segment;
use crate::id::{IndexId, PackId, RepositoryId};
use crate::storage::{Store, StoreError};
use closings::Closings;
use keycopies::KeyCopies;
use metacache::MetaCache;
use pins::{Pin, PinFile};
use small::SmallCache;

/// Packs are at least this long before they are closed, and at most the second.
const PACK_TARGET: std::ops::RangeInclusive<u64> = (16 << 20)..=(128 << 20);

/// Where a repository keeps what can be thrown away.
#[derive(Debug, Clone)]
pub enum CacheDir {
    /// Below this directory, from one command to the next.
    Kept(PathBuf),
    /// In a directory of this command alone.
    Temporary,
}

impl CacheDir {
    /// The directory, and what removes it in the end.
    fn root(&self) -> Result<(PathBuf, Option<tempfile::TempDir>)> {
        match self {
            CacheDir::Kept(dir) => Ok((dir.clone(), None)),
            CacheDir::Temporary => {
                let dir = tempfile::Builder::new().prefix("keepstone-").tempdir();
                let dir = dir.map_err(|error| RepoError::local("make a temporary cache", error))?;
                Ok((dir.path().to_owned(), Some(dir)))
            }
        }
    }
}

/// Copies of small objects, in the cache directory of a repository.
const SMALL: &str = "small";

/// An opened repository.
pub struct Repository {
    objects: Arc<Objects>,
    keychain: Keychain,
    view: RwLock<IndexView>,
    meta_cache: Option<MetaCache>,
    openers: reader::Openers,
    first_sync: SyncReport,
    rebuilt: AtomicBool,
    cache_dir: PathBuf,
    // Removed, with the cache in it, when the repository is closed.
    _temporary: Option<tempfile::TempDir>,
}

/// Makes a repository in an empty store.
pub fn init(
    store: &dyn Store,
    passphrase: &[u8],
    label: &str,
    settings: Settings,
    profile: Argon2Profile,
    chance: &dyn Chance,
) -> Result<RepositoryId> {
    must_be_vacant(store)?;
    keychain::create(store, passphrase, label, settings, None, profile, chance)
}

/// Makes a repository in an empty store that cuts streams and names blobs as `other` does, so that what is copied
/// from one to the other is stored once (format-spec, "Related repositories").
pub fn init_related(
    store: &dyn Store,
    passphrase: &[u8],
    label: &str,
    pack_size: u64,
    other: &Keychain,
    profile: Argon2Profile,
    chance: &dyn Chance,
) -> Result<RepositoryId> {
    must_be_vacant(store)?;
    let settings = Settings { pack_size, ..other.keyring.settings };
    keychain::create(store, passphrase, label, settings, Some(&other.keyring), profile, chance)
}

/// Refuses a store that holds a repository already.
pub fn must_be_vacant(store: &dyn Store) -> Result<()> {
    match store.len(&names::config()) {
        Ok(_) => Err(RepoError::Occupied { place: store.place() }),
        Err(StoreError::NotFound { .. }) if !keychain::has_keyrings(store)? => Ok(()),
        // Its config was lost, or is not there yet.
        Err(StoreError::NotFound { .. }) => Err(RepoError::Occupied { place: store.place() }),
        Err(error) => Err(error.into()),
    }
}

/// What new repositories are made with.
pub fn default_settings() -> Settings {
    let params = ChunkerParams::default();
    let (chunk_min, chunk_avg, chunk_max) = (params.min(), params.avg(), params.max());
    Settings { chunker: u32::from(crate::chunk::CHUNKER_ID), chunk_min, chunk_avg, chunk_max, pack_size: 0 }
}

impl Repository {
    /// Opens the repository in `store`, and brings the local view of its index up to date.
    pub fn open(store: Box<dyn Store>, passphrase: &[u8], cache: &CacheDir, chance: Box<dyn Chance>) -> Result<Self> {
        let (root, temporary) = cache.root()?;
        let pins = PinFile::new(&root.join("pins"), &store.place());
        let mut keychain = unlock(&*store, passphrase, &root, pins.repository())?;
        let repository = keychain.keyring.repository;
        let pin = Pin { repository, generation: keychain.keyring.generation, keyring: keychain.id };
        make_private(&root)?;
        keychain.outdated = pins.check(&pin, &keychain.branch)?;
        let cache_dir = root.join(repository.to_hex());
        let keys = Keyset::new(&keychain.keyring);
        let (view, first_sync) = IndexView::open(&cache_dir.join("index"), keys.current())?;
        let meta_cache = Some(MetaCache::open(&cache_dir.join("meta"))?);
        let small = SmallCache::open(&cache_dir.join(SMALL))?;
        let (closings, watch) = (Arc::new(Closings::of(&keychain.keyring)).into(), keychain.watch());
        let seen = Mutex::default();
        let objects = Arc::new(Objects { store, repository, keys, chance, closings, watch, small, seen });
        let mut opened = Repository {
            objects,
            keychain,
            view: RwLock::new(view),
            meta_cache,
            openers: reader::Openers::default(),
            first_sync,
            rebuilt: AtomicBool::new(false),
            cache_dir,
            _temporary: temporary,
        };
        let synced = opened.refresh_index()?;
        opened.first_sync.applied = synced.applied;
        opened.first_sync.vanished = synced.vanished;
        opened.first_sync.damaged = synced.damaged;
        opened.first_sync.late = synced.late;
        for (_, why) in &opened.first_sync.damaged {
            tracing::warn!("{why}; what it lists is not known");
        }
        opened.forget_unknown_metadata()?;
        Ok(opened)
    }

    /// What bringing the local view up to date found when the repository was opened.
    pub fn first_sync(&self) -> &SyncReport {
        &self.first_sync
    }

    /// Which repository this is.
    pub fn id(&self) -> RepositoryId {
        self.objects.repository
    }

    /// Announces that someone reads: deletions wait while what this gives is kept. Where nothing can be
    /// written, deletions do not wait, and what is read is looked for again where they moved it.
    pub fn hold_back_deletions(&self, who: &Who) -> Option<Announced> {
        let announced = self.may_write().and_then(|()| Announced::reader(&self.objects, who));
        announced.inspect_err(|error| tracing::debug!("deletions are not held back: {error}")).ok()
    }

    /// Its objects.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    fn objects_arc(&self) -> &Arc<Objects> {
        &self.objects
    }

    /// Who can open it, and how it is written.
    pub fn keychain(&self) -> &Keychain {
        &self.keychain
    }

    /// To change who can open it.
    pub fn keychain_mut(&mut self) -> (&mut Keychain, &dyn Store, &dyn Chance) {
        (&mut self.keychain, self.objects.store(), self.objects.chance())
    }

    /// Closes the epochs before the current one under which nobody is at work any more, see
    /// [`Keychain::close`]. Sessions that are known to have ended are taken for dead first.
    pub fn close_epochs(&mut self, again: bool) -> Result<Closed> {
        let mut leases = lease::Leases::remembered(&self.cache_dir);
        for open in leases.look(&self.objects, None, lease::PATIENCE)? {
            if open.standing != lease::Standing::AtWork {
                lease::remove(&self.objects, &open.id)?;
            }
        }
        let mut closed = self.keychain.close(self.objects.store(), again, self.objects.chance())?;
        closed.listed_anew = self.list_what_came_late()?;
        Ok(closed)
    }

    /// Where the local view and the copies of metadata are.
    pub fn cache_dir(&self) -> &Path {
        &self.cache_dir
    }

    fn may_write(&self) -> Result<()> {
        self.keychain.may_write()
    }

    /// How content is cut, by the repository's settings.
    pub fn chunker_params(&self) -> Result<ChunkerParams> {
        let Settings { chunker, chunk_min, chunk_avg, chunk_max, .. } = self.keychain.keyring.settings;
        let newer = |why: String| RepoError::NeedsNewer { object: "the repository's settings".into(), why };
        if chunker != u32::from(crate::chunk::CHUNKER_ID) {
            return Err(newer(format!("chunker {chunker} is unknown")));
        }
        ChunkerParams::new(chunk_min, chunk_avg, chunk_max).map_err(|error| newer(error.to_string()))
    }

    /// The length at which packs are closed: the settings', or growing with the square root of what is
    /// stored, so that neither packs nor what one of them costs to rewrite get out of hand.
    fn pack_target_len(&self) -> u64 {
        match self.keychain.keyring.settings.pack_size {
            0 => {
                let stored: u64 = self.view().packs().values().map(|pack| pack.len).sum();
                (stored.isqrt() * 64).clamp(*PACK_TARGET.start(), *PACK_TARGET.end())
            }
            size => size.clamp(1 << 16, *PACK_TARGET.end()),
        }
    }

    /// Lists the segments again and brings the view up to date. A view that cannot be, is built anew.
    pub fn refresh_index(&self) -> Result<SyncReport> {
        let synced = self.sync_view(&|_| ());
        match synced {
            Err(RepoError::Local { attempted, why }) => {
                tracing::warn!("cannot {attempted}: {why}; the local index is built anew");
                self.rebuild_index()
            }
            synced => synced,
        }
    }

    /// Builds the view anew from the segments.
    pub fn rebuild_index(&self) -> Result<SyncReport> {
        self.sync_view(&IndexView::clear)
    }

    /// The same if it was not done yet, and whether it was now: one rebuilding is enough to tell damage of
    /// the view from damage of the store.
    fn rebuild_index_once(&self) -> Result<bool> {
        if self.rebuilt.swap(true, Ordering::Relaxed) {
            return Ok(false);
        }
        tracing::warn!("something seems to be lost; the local index is built anew, to be sure");
        self.rebuild_index().map(|_| true)
    }

    fn sync_view(&self, before: &dyn Fn(&mut IndexView)) -> Result<SyncReport> {
        // Listed under the lock: an older listing must not undo what a newer one, or our own writer, applied.
        let mut view = self.view_mut();
        let listed: Vec<IndexId> = self.objects.list::<Segment>()?;
        before(&mut view);
        view.sync(&listed, &Segments(&self.objects))
    }

    /// The index, to look things up.
    pub fn view(&self) -> RwLockReadGuard<'_, IndexView> {
        self.view.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn view_mut(&self) -> RwLockWriteGuard<'_, IndexView> {
        self.view.write().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn meta_cache(&self) -> Option<&MetaCache> {
        self.meta_cache.as_ref()
    }

    fn openers(&self) -> &reader::Openers {
        &self.openers
    }

    fn forget_unknown_metadata(&self) -> Result<()> {
        let Some(cache) = &self.meta_cache else { return Ok(()) };
        let known = self.view().packs();
        cache.retain(|pack| known.contains_key(pack))
    }

    /// Reads metadata from the store from here on, never from the cache: for whoever checks the store.
    pub fn bypass_meta_cache(&mut self) {
        self.meta_cache = None;
        self.openers = reader::Openers::default();
    }
}

/// The segments of a repository, as its keys show them.
struct Segments<'o>(&'o Objects);

impl index::Source for Segments<'_> {
    fn get(&self, id: &IndexId) -> Result<(Segment, u32)> {
        self.0.get_with_epoch::<Segment>(id)
    }

    fn counts(&self, id: &IndexId, epoch: u32) -> Result<bool> {
        self.0.counts(ObjectKind::Index, epoch, &id.of_any())
    }

    fn has_pack(&self, pack: &PackId) -> bool {
        self.0.store().len(&names::pack(pack)).is_ok()
    }
}

/// Opens the keyring, from copies of a repository that was `known` here before.
fn unlock(store: &dyn Store, passphrase: &[u8], root: &Path, known: Option<RepositoryId>) -> Result<Keychain> {
    let copies = known.and_then(|id| SmallCache::open(&root.join(id.to_hex()).join(SMALL)).ok());
    let Some(copies) = copies else { return Keychain::unlock(store, passphrase) };
    let copies = KeyCopies::new(store, copies);
    let keychain = Keychain::unlock(&copies, passphrase)?;
    copies.tidy();
    Ok(keychain)
}

/// Remembers a repository that was just made.
pub fn pin_new(cache: &CacheDir, place: &str, keychain: &Keychain) -> Result<()> {
    let CacheDir::Kept(root) = cache else { return Ok(()) };
    let keyring = &keychain.keyring;
    let pin = Pin { repository: keyring.repository, generation: keyring.generation, keyring: keychain.id };
    make_private(root)?;
    PinFile::new(&root.join("pins"), place).write(&pin)
}

/// Makes a directory that only its owner can look into.
fn make_private(dir: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| RepoError::local(format!("create the cache directory {}", dir.display()), error))
}
