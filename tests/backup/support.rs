//! A source in memory, a repository in memory, and what a snapshot holds as a map.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex};

use keepstone::crypto::Chance;
use keepstone::format::content::{Content, Item};
use keepstone::format::control::Snapshot;
use keepstone::format::tree::{EntryKey, Name, Node, Time, TreeRef};
use keepstone::id::SnapshotId;
use keepstone::ops::backup::{
    BackupError, BackupOptions, BackupReport, Listener, Outcome, ParentChoice, Shrink, backup,
};
use keepstone::ops::progress::BackupCounters;
use keepstone::ops::source::{Description, Extent, Found, Kind, Listing, OnTrouble, Reading, Source, Stat, Trouble};
use keepstone::repo::walk::{Entries, Items};
use keepstone::repo::{Argon2Profile, CacheDir, Repository, SystemChance, Who, init};
use keepstone::storage::{MemoryStore, Store};

pub const PASSWORD: &[u8] = b"a password";

/// A stretch of a file in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stretch {
    Data(Vec<u8>),
    Hole(u64),
}

impl Stretch {
    fn len(&self) -> u64 {
        match self {
            Stretch::Data(bytes) => bytes.len() as u64,
            Stretch::Hole(len) => *len,
        }
    }
}

/// A file in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub stretches: Vec<Stretch>,
    /// Goes up with each change; becomes the times.
    pub version: i64,
}

impl File {
    pub fn new(bytes: impl Into<Vec<u8>>) -> File {
        File { stretches: vec![Stretch::Data(bytes.into())], version: 1 }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut all = Vec::new();
        for stretch in &self.stretches {
            match stretch {
                Stretch::Data(bytes) => all.extend_from_slice(bytes),
                Stretch::Hole(len) => all.resize(all.len() + *len as usize, 0),
            }
        }
        all
    }
}

/// Told the path of each file that is opened.
pub type OnOpen = Box<dyn Fn(&str) + Sync + Send>;

/// Told the path of a file and where in it reading goes on.
pub type OnRead = Arc<dyn Fn(&str, u64) + Sync + Send>;

/// Files by path; directories are what paths go through.
#[derive(Default)]
pub struct MemorySource {
    pub files: BTreeMap<String, File>,
    /// Paths that cannot be opened.
    pub unreadable: Vec<String>,
    /// Paths whose attributes cannot be read.
    pub undescribed: Vec<String>,
    /// Whether sizes are told.
    pub is_stream: bool,
    pub stops_at_trouble: bool,
    /// Called when a file is opened.
    pub on_open: Option<OnOpen>,
    /// Called before bytes of a file are read.
    pub on_read: Option<OnRead>,
    pub opened: AtomicUsize,
    pub bytes_read: Arc<AtomicU64>,
}

impl MemorySource {
    pub fn of<const N: usize>(files: [(&str, &[u8]); N]) -> Self {
        let files = files.map(|(path, bytes)| (path.to_owned(), File::new(bytes)));
        MemorySource { files: BTreeMap::from(files), ..Default::default() }
    }

    pub fn set(&mut self, path: &str, bytes: impl Into<Vec<u8>>) {
        let version = self.files.get(path).map_or(1, |file| file.version + 1);
        self.files.insert(path.to_owned(), File { version, ..File::new(bytes) });
    }

    pub fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        self.files.iter().map(|(path, file)| (path.clone(), file.bytes())).collect()
    }

    pub fn opened(&self) -> usize {
        self.opened.swap(0, Relaxed)
    }

    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.swap(0, Relaxed)
    }
}

impl Source for MemorySource {
    type Place = String;

    fn root(&self) -> String {
        String::new()
    }

    fn list<'a>(&'a self, directory: &String) -> Result<Listing<'a, String>, Trouble> {
        let mut found: BTreeMap<String, (bool, i64)> = BTreeMap::new();
        for (path, file) in &self.files {
            let Some(rest) = path.strip_prefix(directory.as_str()) else { continue };
            let (name, is_dir) = rest.split_once('/').map_or((rest, false), |(name, _)| (name, true));
            found.insert(name.to_owned(), (is_dir, file.version));
        }
        let directory = directory.clone();
        Ok(Box::new(found.into_iter().map(move |(name, (is_dir, version))| {
            let path = format!("{directory}{name}");
            let time = Time { secs: if is_dir { 1 } else { version }, nanos: 0 };
            let size = self.files.get(&path).filter(|_| !self.is_stream).map(|file| file.bytes().len() as u64);
            Ok(Found {
                key: EntryKey { name: Name::new(name).unwrap(), discriminator: 0 },
                kind: if is_dir { Kind::Directory } else { Kind::File { size } },
                stat: Stat { mode: 0o644, mtime: time, ctime: time, inode: 7, ..Stat::default() },
                place: if is_dir { format!("{path}/") } else { path },
            })
        })))
    }

    fn describe(&self, found: &Found<String>) -> Result<Description, Trouble> {
        if self.undescribed.contains(&found.place) {
            return Err(Trouble { path: found.place.clone(), why: "its attributes cannot be read".into() });
        }
        Ok(Description { user: "al".into(), ..Description::default() })
    }

    fn open(&self, found: &Found<String>) -> Result<Box<dyn Reading + Send>, Trouble> {
        self.opened.fetch_add(1, Relaxed);
        if let Some(on_open) = &self.on_open {
            on_open(&found.place);
        }
        if self.unreadable.contains(&found.place) {
            return Err(Trouble { path: found.place.clone(), why: "cannot be opened".into() });
        }
        let file = self.files[&found.place].clone();
        Ok(Box::new(MemoryReading {
            path: found.place.clone(),
            rest: file.stretches.clone().into(),
            file,
            position: 0,
            current: io::Cursor::default(),
            can_begin_anywhere: !self.is_stream,
            on_read: self.on_read.clone(),
            bytes_read: Arc::clone(&self.bytes_read),
        }))
    }

    fn on_trouble(&self) -> OnTrouble {
        if self.stops_at_trouble { OnTrouble::Stop } else { OnTrouble::GoOn }
    }
}

struct MemoryReading {
    path: String,
    file: File,
    rest: VecDeque<Stretch>,
    position: u64,
    current: io::Cursor<Vec<u8>>,
    can_begin_anywhere: bool,
    on_read: Option<OnRead>,
    bytes_read: Arc<AtomicU64>,
}

impl Reading for MemoryReading {
    fn begin_at(&mut self, offset: u64) -> io::Result<bool> {
        if !self.can_begin_anywhere || offset > self.file.bytes().len() as u64 {
            return Ok(false);
        }
        let mut left = offset;
        self.rest.clear();
        for stretch in &self.file.stretches {
            let skipped = left.min(stretch.len());
            left -= skipped;
            match stretch {
                _ if skipped == stretch.len() => {}
                Stretch::Data(bytes) => self.rest.push_back(Stretch::Data(bytes[skipped as usize..].to_vec())),
                Stretch::Hole(len) => self.rest.push_back(Stretch::Hole(len - skipped)),
            }
        }
        self.position = offset;
        Ok(true)
    }

    fn next_extent(&mut self) -> io::Result<Option<Extent>> {
        Ok(self.rest.pop_front().map(|stretch| match stretch {
            Stretch::Hole(len) => {
                self.position += len;
                Extent::Hole(len)
            }
            Stretch::Data(bytes) => {
                let len = bytes.len() as u64;
                self.current = io::Cursor::new(bytes);
                Extent::Data(Some(len))
            }
        }))
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(on_read) = &self.on_read {
            on_read(&self.path, self.position);
        }
        // As from a disk: not all at once.
        let room = buffer.len().min(8192);
        let got = io::Read::read(&mut self.current, &mut buffer[..room])?;
        self.position += got as u64;
        self.bytes_read.fetch_add(got as u64, Relaxed);
        Ok(got)
    }

    fn finish(self: Box<Self>) -> Result<(), String> {
        Ok(())
    }
}

/// A clock that stands still after all files were made, so that no file looks freshly changed.
#[derive(Debug)]
pub struct StandingClock;

impl Chance for StandingClock {
    fn random(&self) -> [u8; 32] {
        SystemChance.random()
    }
    fn now(&self) -> Time {
        Time { secs: 1_000_000, nanos: 0 }
    }
}

/// Makes a repository with chunks small enough for tests.
pub fn make(store: &dyn Store) {
    let mut settings = keepstone::repo::default_settings();
    (settings.chunk_min, settings.chunk_avg, settings.chunk_max) = (256, 1024, 4096);
    settings.pack_size = 1 << 16;
    init(store, PASSWORD, "al", settings, Argon2Profile::Cheap, &SystemChance).unwrap();
}

pub fn open(store: impl Store + 'static, cache: &Path) -> Repository {
    try_open(store, cache).unwrap()
}

pub fn try_open(store: impl Store + 'static, cache: &Path) -> keepstone::repo::Result<Repository> {
    Repository::open(Box::new(store), PASSWORD, &CacheDir::Kept(cache.to_owned()), Box::new(StandingClock))
}

/// As another machine sees it, which has no cache yet.
pub fn fresh(store: &MemoryStore) -> Repository {
    Repository::open(Box::new(store.clone()), PASSWORD, &CacheDir::Temporary, Box::new(StandingClock)).unwrap()
}

/// A snapshot holds exactly what was backed up.
#[track_caller]
pub fn assert_holds(repository: &Repository, id: &SnapshotId, source: &MemorySource) {
    let (held, given) = (files_of(repository, id), source.contents());
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&held), names(&given));
    for (name, bytes) in &given {
        assert!(held[name] == *bytes, "{name} has other bytes");
    }
}

pub fn options() -> BackupOptions {
    BackupOptions {
        who: Who { host: "host".into(), user: "al".into() },
        component: "files",
        paths: vec![b"/".to_vec()],
        tags: Vec::new(),
        time: None,
        parent: ParentChoice::Newest,
        shrink: Shrink::default(),
        dry_run: false,
        skip_if_unchanged: false,
        threads: 2,
        checkpoint_every: keepstone::ops::backup::CHECKPOINT_EVERY,
    }
}

pub fn back_up_with(
    repository: &Repository,
    source: &MemorySource,
    options: &BackupOptions,
) -> (Result<BackupReport, BackupError>, Vec<String>) {
    let troubles = Mutex::new(Vec::new());
    let listener = Listener {
        on_trouble: &|trouble| troubles.lock().unwrap().push(trouble.to_string()),
        interrupted: &|| false,
        counters: &BackupCounters::default(),
    };
    let report = backup(repository, source, options, &listener);
    (report, troubles.into_inner().unwrap())
}

/// A backup that is asked to stop when `stop` is raised.
pub fn back_up_until(
    repository: &Repository,
    source: &MemorySource,
    options: &BackupOptions,
    stop: &AtomicBool,
) -> Result<BackupReport, BackupError> {
    let listener = Listener {
        on_trouble: &|trouble| panic!("{trouble}"),
        interrupted: &|| stop.load(Relaxed),
        counters: &BackupCounters::default(),
    };
    backup(repository, source, options, &listener)
}

pub fn back_up(repository: &Repository, source: &MemorySource) -> BackupReport {
    let (report, troubles) = back_up_with(repository, source, &options());
    assert_eq!(troubles, Vec::<String>::new());
    report.unwrap()
}

pub fn saved(report: &BackupReport) -> SnapshotId {
    match report.outcome {
        Outcome::Saved(id) => id,
        other => panic!("{other:?}"),
    }
}

/// All files of a snapshot with their bytes.
pub fn files_of(repository: &Repository, id: &SnapshotId) -> BTreeMap<String, Vec<u8>> {
    let snapshot = repository.objects().get::<Snapshot>(id).unwrap();
    let mut files = BTreeMap::new();
    collect(repository, &snapshot.root, "", &mut files);
    files
}

fn collect(repository: &Repository, tree: &TreeRef, above: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in Entries::new(repository, tree) {
        let entry = entry.unwrap();
        let path = format!("{above}{}", String::from_utf8(entry.key.name.to_vec()).unwrap());
        match &entry.node {
            Node::Directory(tree) => collect(repository, tree, &format!("{path}/"), files),
            Node::File(content) => drop(files.insert(path, bytes_of(repository, content))),
            other => panic!("{other:?}"),
        }
    }
}

pub fn bytes_of(repository: &Repository, content: &Content) -> Vec<u8> {
    repository.read_content(content, usize::MAX).unwrap()
}

pub fn items_of(repository: &Repository, content: &Content) -> Vec<Item> {
    Items::new(repository, content).collect::<Result<_, _>>().unwrap()
}

/// Bytes that do not compress and differ for each seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}
