//! A directory that is backed up, a repository in memory, and a directory to restore into.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;

use keepstone::component::files::{FilesSource, FilesTarget, Filter};
use keepstone::format::control::SessionKind;
use keepstone::format::keys::Settings;
use keepstone::format::pack::{BlobHeader, BlobKind, Compression};
use keepstone::format::tree::{Entry, TreeRef};
use keepstone::id::BlobId;
use keepstone::ops::backup::{self, BackupOptions, ParentChoice, Shrink, backup};
use keepstone::ops::progress::BackupCounters;
use keepstone::ops::restore::{
    Deed, Listener, Origin, Overwrite, RestoreCounters, RestoreOptions, RestoreReport, restore,
};
use keepstone::ops::source::Trouble;
use keepstone::ops::target::Target;
use keepstone::repo::split::TreeBuilder;
use keepstone::repo::{
    Argon2Profile, CacheDir, RepoError, Repository, SystemChance, Who, Writer, default_settings, init,
};
use keepstone::storage::{FaultyStore, MemoryStore};
use tempfile::TempDir;

pub struct Scene {
    pub memory: MemoryStore,
    pub store: FaultyStore,
    place: TempDir,
}

/// What a restore told.
pub struct Told {
    pub report: RestoreReport,
    pub counters: RestoreCounters,
    pub items: Vec<(Deed, String)>,
    pub troubles: Vec<String>,
}

impl Told {
    pub fn is_clean(&self) -> bool {
        self.troubles.is_empty() && self.report.damaged_count == 0 && !self.report.interrupted
    }

    pub fn done(&self, deed: Deed) -> Vec<&str> {
        let mut paths: Vec<&str> = self.items.iter().filter(|item| item.0 == deed).map(|item| &item.1[..]).collect();
        paths.sort();
        paths
    }
}

impl Scene {
    /// In /var/tmp: extended attributes are kept there. Chunks of about 64 KiB, packs as small as they get.
    pub fn new() -> Scene {
        Scene::with_chunks(64 << 10)
    }

    pub fn with_chunks(chunk_avg: u32) -> Scene {
        let memory = MemoryStore::new();
        let (chunk_min, chunk_max) = (chunk_avg / 4, chunk_avg * 4);
        let settings = Settings { chunk_min, chunk_avg, chunk_max, pack_size: 1 << 16, ..default_settings() };
        init(&memory, b"secret", "test", settings, Argon2Profile::Cheap, &SystemChance).unwrap();
        let place = tempfile::tempdir_in("/var/tmp").unwrap();
        fs::create_dir(place.path().join("source")).unwrap();
        Scene { store: FaultyStore::new(memory.clone()), memory, place }
    }

    pub fn source(&self, path: &str) -> PathBuf {
        self.place.path().join("source").join(path)
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.place.path().join("target").join(path)
    }

    pub fn outside(&self, path: &str) -> PathBuf {
        self.place.path().join(path)
    }

    pub fn write(&self, path: &str, content: &[u8]) {
        let path = self.source(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn open(&self) -> Repository {
        Repository::open(Box::new(self.store.clone()), b"secret", &CacheDir::Temporary, Box::new(SystemChance)).unwrap()
    }

    /// Backs the source up; its tree.
    pub fn back_up(&self) -> TreeRef {
        let source = FilesSource::new(&[self.source("")], Some(Path::new("/")), Filter::default()).unwrap();
        let options = BackupOptions {
            who: Who::default(),
            component: "files",
            paths: vec![b"/source".to_vec()],
            tags: Vec::new(),
            time: None,
            parent: ParentChoice::Nothing,
            shrink: Shrink::default(),
            dry_run: false,
            skip_if_unchanged: false,
            threads: 2,
            checkpoint_every: keepstone::ops::backup::CHECKPOINT_EVERY,
        };
        let listener = backup::Listener {
            on_trouble: &|trouble| panic!("{trouble}"),
            interrupted: &|| false,
            counters: &BackupCounters::default(),
        };
        backup(&self.open(), &source, &options, &listener).unwrap().root
    }

    pub fn target(&self) -> FilesTarget {
        FilesTarget::open(&self.place.path().join("target")).unwrap()
    }

    pub fn restore(&self, tree: &TreeRef, options: &RestoreOptions) -> Told {
        self.try_restore(&Origin::Directory(tree.clone()), &self.target(), options).unwrap()
    }

    pub fn try_restore(&self, from: &Origin, target: &dyn Target, options: &RestoreOptions) -> Result<Told, RepoError> {
        restore_from(&self.open(), from, target, options, &|| false)
    }

    /// Writes a tree of entries as they are given.
    pub fn tree(&self, entries: &[Entry]) -> TreeRef {
        let repository = self.open();
        let writer = Writer::begin(&repository, SessionKind::Backup, &Who::default()).unwrap();
        let keys = repository.objects().keys();
        let mut save = |kind, plain: Vec<u8>| {
            let id = keys.namer().name(kind, &plain);
            writer.save(&id, || Ok((uncompressed(id, kind, plain.len()), plain)))?;
            Ok(id)
        };
        let mut builder = TreeBuilder::default();
        for entry in entries {
            builder.push(keys, entry, &mut save).unwrap();
        }
        let tree = builder.finish(keys, &mut save).unwrap();
        writer.flush().unwrap();
        tree
    }

    /// The packs that were read from so far, one name for each reading.
    pub fn packs_read(&self) -> Vec<String> {
        let calls = self.store.calls();
        calls.into_iter().filter(|call| call.name.starts_with("packs/")).map(|call| call.name).collect()
    }
}

fn uncompressed(id: BlobId, kind: BlobKind, len: usize) -> BlobHeader {
    let len = len.try_into().unwrap();
    BlobHeader { id, kind, compression: Compression::None, stored_len: len, plain_len: len }
}

pub fn restore_from(
    repository: &Repository,
    from: &Origin,
    target: &dyn Target,
    options: &RestoreOptions,
    interrupted: &(dyn Fn() -> bool + Sync),
) -> Result<Told, RepoError> {
    let (items, troubles) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let counters = RestoreCounters::default();
    let listener = Listener {
        counters: &counters,
        on_item: Some(&|deed, path: &str| items.lock().unwrap().push((deed, path.to_owned()))),
        on_trouble: &|trouble: &Trouble| troubles.lock().unwrap().push(trouble.to_string()),
        interrupted,
    };
    let report = restore(repository, from, target, options, &listener)?;
    let (items, troubles) = (items.into_inner().unwrap(), troubles.into_inner().unwrap());
    assert_eq!(counters.troubles.load(Relaxed), troubles.len() as u64);
    Ok(Told { report, counters, items, troubles })
}

pub fn how(overwrite: Overwrite) -> RestoreOptions {
    RestoreOptions { overwrite, ..RestoreOptions::default() }
}

/// Bytes that neither repeat nor shrink.
pub fn noise(seed: &str, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Everything in a directory: path, and what makes it what it is.
pub fn picture(root: &Path) -> Vec<(String, String)> {
    let mut picture = Vec::new();
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let kind = meta.file_type();
            let content = match () {
                () if kind.is_file() => blake3::hash(&fs::read(&path).unwrap()).to_hex().to_string(),
                () if kind.is_symlink() => format!("-> {}", fs::read_link(&path).unwrap().display()),
                () => format!("{kind:?}"),
            };
            let mode = meta.permissions().mode();
            let (mtime, nanos, links) = (meta.mtime(), meta.mtime_nsec(), meta.nlink());
            let says = format!("{content} {mode:o} {}:{} {mtime}.{nanos} {links}", meta.uid(), meta.gid());
            picture.push((path.strip_prefix(root).unwrap().display().to_string(), says));
            if kind.is_dir() {
                todo.push(path);
            }
        }
    }
    picture.sort();
    picture
}

pub fn set_mtime(path: &Path, secs: i64) {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
    let time = Timespec { tv_sec: secs, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}
