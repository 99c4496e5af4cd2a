//! The repository that is tampered with: two small snapshots in memory, and what is in them.
//!
//! Small chunks and a directory of several hundred names, so that contents and trees of a few kilobytes
//! take every form that the format has.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use keepstone::crypto::{Argon2Profile, Chance};
use keepstone::format::codec::{Ascending, Bytes};
use keepstone::format::keys::Settings;
use keepstone::format::tree::{EntryKey, Time, Xattr, Xattrs};
use keepstone::ops::backup::{BackupOptions, Listener, ParentChoice, Shrink, backup};
use keepstone::ops::progress::BackupCounters;
use keepstone::ops::source::{Description, Extent, Found, Kind, Listing, Reading, Source, Stat, Trouble};
use keepstone::repo::{self, CacheDir, Repository, Who};
use keepstone::storage::{MemoryStore, ObjectName};

pub const PASSPHRASE: &[u8] = b"known to the fuzzer";

/// What a path may hold: what it held in one of the snapshots.
pub type Allowed = BTreeMap<Vec<u8>, BTreeSet<Thing>>;

/// Something that was backed up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Thing {
    /// Its content, and the value of its one attribute.
    File { stretches: Vec<Stretch>, xattr: Option<Vec<u8>> },
    /// What is in it.
    Directory(BTreeMap<Vec<u8>, Thing>),
    /// Where it leads.
    Symlink(Vec<u8>),
}

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stretch {
    Data(Vec<u8>),
    Hole(u64),
}

/// The sample: the objects of a repository, its cache, and what may come out of it.
pub struct Sample {
    pub objects: BTreeMap<ObjectName, Vec<u8>>,
    /// Opened; keys to seal with, and a cache to copy.
    pub repository: Repository,
    pub allowed: Allowed,
}

/// Made once for each process, always from the same chance.
pub static SAMPLE: LazyLock<Sample> = LazyLock::new(make);

fn make() -> Sample {
    let store = MemoryStore::new();
    let settings = Settings { chunker: 1, chunk_min: 64, chunk_avg: 256, chunk_max: 1024, pack_size: 1 << 16 };
    repo::init(&store, PASSPHRASE, "fuzzer", settings, Argon2Profile::Cheap, &Script).expect("init");
    let open = || Repository::open(Box::new(store.clone()), PASSPHRASE, &CacheDir::Temporary, Box::new(Script));
    let mut allowed = Allowed::new();
    for night in 0..2 {
        let tree = Box::leak(Box::new(tree(night)));
        allow(tree, &[], &mut allowed);
        let summary = back_up(&open().expect("open"), tree);
        assert_eq!(summary.troubles, 0, "the sample can be backed up");
    }
    Sample { objects: store.objects(), repository: open().expect("open"), allowed }
}

fn back_up(repository: &Repository, tree: &'static Thing) -> keepstone::format::control::Summary {
    let options = BackupOptions {
        who: Who { host: "host".into(), user: "user".into() },
        component: "files",
        paths: vec![b"/".to_vec()],
        tags: vec!["sample".into()],
        time: None,
        parent: ParentChoice::Newest,
        shrink: Shrink::default(),
        dry_run: false,
        skip_if_unchanged: false,
        threads: 1,
        checkpoint_every: keepstone::ops::backup::CHECKPOINT_EVERY,
    };
    let counters = BackupCounters::default();
    let listener = Listener { on_trouble: &|_| {}, interrupted: &|| false, counters: &counters };
    backup(repository, &InMemory(tree), &options, &listener).expect("a source in memory does not fail").summary
}

fn tree(night: u8) -> Thing {
    let many = (0..600u32).map(|n| (format!("{n:04}").into_bytes(), small(&n.to_le_bytes())));
    let deep = (0..5).fold(small(b"at the bottom"), |below, n| directory([(format!("level {n}").into_bytes(), below)]));
    let with_xattr =
        |len| Thing::File { stretches: vec![Stretch::Data(b"marked".to_vec())], xattr: Some(noise(3, len)) };
    directory([
        (b"empty".to_vec(), small(b"")),
        (b"inline".to_vec(), small(&[b'i', night])),
        (b"one chunk".to_vec(), small(&noise(1, 200))),
        (b"several chunks".to_vec(), small(&noise(10 + night, 1500))),
        (b"split list".to_vec(), small(&noise(20, 16 << 10))),
        (b"compressed".to_vec(), small(&[b'z'; 3000])),
        (
            b"sparse".to_vec(),
            Thing::File {
                stretches: vec![Stretch::Data(noise(30, 300)), Stretch::Hole(8192), Stretch::Data(noise(31, 500))],
                xattr: None,
            },
        ),
        (b"all hole".to_vec(), Thing::File { stretches: vec![Stretch::Hole(65_536)], xattr: None }),
        (b"short xattr".to_vec(), with_xattr(20)),
        (b"long xattr".to_vec(), with_xattr(6000)),
        (b"link".to_vec(), Thing::Symlink(b"../elsewhere".to_vec())),
        (b"many".to_vec(), directory(many)),
        (b"nothing".to_vec(), directory([])),
        (b"deep".to_vec(), deep),
    ])
}

fn directory(things: impl IntoIterator<Item = (Vec<u8>, Thing)>) -> Thing {
    Thing::Directory(things.into_iter().collect())
}

fn small(content: &[u8]) -> Thing {
    Thing::File { stretches: vec![Stretch::Data(content.to_vec())], xattr: None }
}

/// Bytes that do not compress, other ones for each seed.
fn noise(seed: u8, len: usize) -> Vec<u8> {
    let mut state = u64::from(seed) + 1;
    let mut step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[4]
    };
    (0..len).map(|_| step()).collect()
}

fn allow(thing: &Thing, path: &[u8], allowed: &mut Allowed) {
    let Thing::Directory(things) = thing else { return };
    for (name, thing) in things {
        let path = [path, b"/", name].concat();
        allow(thing, &path, allowed);
        allowed.entry(path).or_default().insert(thing.clone());
    }
}

impl Thing {
    /// All bytes of a file, holes as zeros.
    pub fn content(&self) -> Option<Vec<u8>> {
        let Thing::File { stretches, .. } = self else { return None };
        let mut content = Vec::new();
        for stretch in stretches {
            match stretch {
                Stretch::Data(bytes) => content.extend_from_slice(bytes),
                Stretch::Hole(len) => content.resize(content.len() + *len as usize, 0),
            }
        }
        Some(content)
    }

    /// A file's attributes.
    pub fn xattrs(&self) -> Xattrs {
        let Thing::File { xattr: Some(value), .. } = self else { return Xattrs::default() };
        let name = Bytes::new(*b"user.sample").expect("a short name");
        let xattr = Xattr { name, value: Bytes::new(value.clone()).expect("a short value") };
        Xattrs(Ascending::new(vec![xattr]).expect("one attribute"))
    }
}

/// A tree of things as a source.
struct InMemory(&'static Thing);

impl Source for InMemory {
    type Place = &'static Thing;

    fn root(&self) -> Self::Place {
        self.0
    }

    fn list<'a>(&'a self, directory: &Self::Place) -> Result<Listing<'a, Self::Place>, Trouble> {
        let Thing::Directory(things) = *directory else { panic!("only directories are listed") };
        Ok(Box::new(things.iter().map(|(name, thing)| Ok(found(name, thing)))))
    }

    fn describe(&self, found: &Found<Self::Place>) -> Result<Description, Trouble> {
        let target = match found.place {
            Thing::Symlink(target) => target.clone(),
            _ => Vec::new(),
        };
        Ok(Description { xattrs: found.place.xattrs(), target, ..Description::default() })
    }

    fn open(&self, found: &Found<Self::Place>) -> Result<Box<dyn Reading + Send>, Trouble> {
        let Thing::File { stretches, .. } = found.place else { panic!("only files are opened") };
        Ok(Box::new(InStretches { ahead: stretches.iter(), data: &[] }))
    }
}

fn found(name: &[u8], thing: &'static Thing) -> Found<&'static Thing> {
    let kind = match thing {
        Thing::File { .. } => Kind::File { size: thing.content().map(|content| content.len() as u64) },
        Thing::Directory(_) => Kind::Directory,
        Thing::Symlink(_) => Kind::Symlink,
    };
    // Nothing is taken over from the night before without a look: only what is equal is found again.
    let ctime = Script.now();
    let key = EntryKey { name: Bytes::new(name).expect("a short name"), discriminator: 0 };
    Found { key, kind, stat: Stat { mode: 0o644, ctime, ..Stat::default() }, place: thing }
}

struct InStretches {
    ahead: std::slice::Iter<'static, Stretch>,
    data: &'static [u8],
}

impl Reading for InStretches {
    fn next_extent(&mut self) -> io::Result<Option<Extent>> {
        Ok(self.ahead.next().map(|stretch| match stretch {
            Stretch::Hole(len) => Extent::Hole(*len),
            Stretch::Data(bytes) => {
                self.data = bytes;
                Extent::Data(Some(bytes.len() as u64))
            }
        }))
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut self.data, buffer)
    }

    fn finish(self: Box<Self>) -> Result<(), String> {
        Ok(())
    }
}

/// Chance and time that are the same in every run, so that an input that was kept means the same again.
#[derive(Debug)]
pub struct Script;

impl Chance for Script {
    fn random(&self) -> [u8; 32] {
        static DRAWN: AtomicU64 = AtomicU64::new(0);
        let drawn = DRAWN.fetch_add(1, Ordering::Relaxed);
        keepstone::id::PackId::of_stored(&drawn.to_le_bytes()).as_bytes().to_owned()
    }

    fn now(&self) -> Time {
        Time { secs: 1_800_000_000, nanos: 0 }
    }
}
