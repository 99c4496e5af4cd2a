//! A repository, or its cache, that was tampered with: it may be refused, never misread.

use std::collections::BTreeMap;
use std::fs;
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Once};

use keepstone::crypto::Sealable;
use keepstone::format::control::Snapshot;
use keepstone::format::segment::Segment;
use keepstone::format::tree::{Entry, Node, TreeRef};
use keepstone::id::IndexId;
use keepstone::repo::walk::Entries;
use keepstone::repo::{CacheDir, RepoError, Repository};
use keepstone::storage::{MemoryStore, ObjectName};

use crate::stored::{PASSPHRASE, SAMPLE, Script, Thing};
use crate::tamper::{Decisions, Naming, alter, tamper};

/// Longer than anything in the sample, in bytes.
const CONTENT_MAX: usize = 1 << 20;

/// Tampers with objects as the first byte says: with their bytes, or, as someone who has the keys, with
/// what index segments say.
pub fn repository(bytes: &[u8]) {
    let mut decisions = Decisions(bytes);
    let mut objects = SAMPLE.objects.clone();
    match decisions.byte() % 2 {
        0 => tamper(&mut objects, &mut decisions, rename),
        _ => forge_segments(&mut objects, &mut decisions),
    }
    let dir = fresh_directory();
    let _ = read_everything(objects, &CacheDir::Kept(dir.path().to_owned()));
}

/// Tampers with the files of a cache.
pub fn cache(bytes: &[u8]) {
    let mut files = CACHE.clone();
    TOLERATE_REDB.call_once(tolerate_redb);
    tamper(&mut files, &mut Decisions(bytes), |_, _, _| {});
    let dir = fresh_directory();
    for (path, bytes) in &files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().expect("a file is in a directory")).expect("a temporary directory");
        fs::write(path, bytes).expect("a temporary file");
    }
    let read = read_everything(SAMPLE.objects.clone(), &CacheDir::Kept(dir.path().to_owned()));
    // Pins are no cache: that they name another repository, or a newer keyring, is a reason to refuse.
    let mut pins = CACHE.iter().filter(|(path, _)| path.starts_with("pins"));
    if pins.all(|(path, bytes)| files.get(path) == Some(bytes)) {
        read.expect("a damaged cache is rebuilt, never an error");
    }
}

static TOLERATE_REDB: Once = Once::new();

/// The fuzzer ends at every panic. redb's are expected where its file was damaged, and to be contained: one
/// that is not still ends the fuzzer when it gets there.
fn tolerate_redb() {
    let end = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !panic.location().is_some_and(|location| location.file().contains("/redb-")) {
            end(panic);
        }
    }));
}

/// Files of the sample's cache, by their paths in it.
static CACHE: LazyLock<BTreeMap<PathBuf, Vec<u8>>> = LazyLock::new(|| {
    let dir = fresh_directory();
    read_everything(SAMPLE.objects.clone(), &CacheDir::Kept(dir.path().to_owned())).expect("the sample is whole");
    let mut files = BTreeMap::new();
    gather(dir.path(), dir.path(), &mut files);
    files
});

fn gather(root: &Path, dir: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(dir).expect("a temporary directory").map(|entry| entry.expect("an entry").path()) {
        match entry.is_dir() {
            true => gather(root, &entry, files),
            false => {
                let path = entry.strip_prefix(root).expect("found below it").to_owned();
                files.insert(path, fs::read(&entry).expect("a temporary file"));
            }
        }
    }
}

/// In memory if it can be: a cache is written for every input.
fn fresh_directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a temporary directory")
}

fn rename(objects: &mut BTreeMap<ObjectName, Vec<u8>>, name: &ObjectName, naming: Naming) {
    let hex = |bytes: &[u8]| IndexId::of_stored(bytes).to_hex();
    let parts: Vec<&str> = name.as_str().split('/').collect();
    let renamed = match (naming, &parts[..]) {
        (Naming::Renamed, [dir, _]) => format!("{dir}/{}", hex(&objects[name])),
        (Naming::Renamed, ["packs", _, _]) => {
            let hex = hex(&objects[name]);
            format!("packs/{}/{hex}", &hex[..2])
        }
        _ => return,
    };
    let bytes = objects.remove(name).expect("it was just put there");
    objects.insert(ObjectName::new(&renamed).expect("hex in a known directory"), bytes);
}

/// Alters what segments say and seals them again.
fn forge_segments(objects: &mut BTreeMap<ObjectName, Vec<u8>>, decisions: &mut Decisions<'_>) {
    let keys = SAMPLE.repository.objects();
    for id in keys.list::<Segment>().expect("the sample is whole") {
        let mut bytes = Segment::encode(&keys.get::<Segment>(&id).expect("the sample is whole"));
        for _ in 0..=decisions.byte() % 4 {
            alter(&mut bytes, decisions);
        }
        let Ok(forged) = Segment::decode(&bytes) else { continue };
        let sealed = keys.object_keys().seal(&forged, &Script);
        objects.remove(&keepstone::repo::name_of::<Segment>(&id));
        let id = IndexId::of_stored(sealed.as_stored());
        objects.insert(keepstone::repo::name_of::<Segment>(&id), sealed.as_stored().to_vec());
    }
}

/// Reads all that can be read, and holds it against what was backed up: whatever comes out was. Tells the
/// first reason why not everything came out, if there is one.
fn read_everything(objects: BTreeMap<ObjectName, Vec<u8>>, cache: &CacheDir) -> Result<(), RepoError> {
    let store = MemoryStore::holding(objects);
    let repository = Repository::open(Box::new(store), PASSPHRASE, cache, Box::new(Script))?;
    let snapshots = repository.objects().list::<Snapshot>()?;
    let mut refused = if snapshots.len() == 2 { Ok(()) } else { Err(missing("a snapshot")) };
    for id in snapshots {
        let read = repository.objects().get::<Snapshot>(&id).and_then(|it| read_tree(&repository, &it.root));
        refused = refused.and(read);
    }
    refused
}

fn missing(what: &str) -> RepoError {
    RepoError::Missing { what: what.to_owned() }
}

/// Reads all of a tree that can be read.
fn read_tree(repository: &Repository, root: &TreeRef) -> Result<(), RepoError> {
    let mut refused = Ok(());
    let mut open = vec![(Vec::new(), root.clone())];
    while let Some((path, tree)) = open.pop() {
        for entry in Entries::new(repository, &tree) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    refused = refused.and(Err(error));
                    break;
                }
            };
            let path = [&path[..], b"/", &entry.key.name[..]].concat();
            refused = refused.and(read_entry(repository, &path, &entry));
            if let Node::Directory(tree) = &entry.node {
                open.push((path, tree.clone()));
            }
        }
    }
    refused
}

/// Reads all of an entry but what is below it. What comes out was backed up at this path, or we panic.
fn read_entry(repository: &Repository, path: &[u8], entry: &Entry) -> Result<(), RepoError> {
    let shown = String::from_utf8_lossy(path);
    let allowed = SAMPLE.allowed.get(path).unwrap_or_else(|| panic!("{shown} was never backed up"));
    let was = |is: &dyn Fn(&Thing) -> bool, what: &str| {
        assert!(allowed.iter().any(is), "{shown} never had this {what}");
    };
    match &entry.node {
        Node::Directory(_) => was(&|thing| matches!(thing, Thing::Directory(_)), "kind"),
        Node::Symlink(target) => was(&|thing| *thing == Thing::Symlink(target.to_vec()), "target"),
        Node::File(content) => {
            let content = repository.read_content(content, CONTENT_MAX)?;
            was(&|thing| thing.content().as_deref() == Some(&content[..]), "content");
        }
        _ => panic!("{shown} was never a device, pipe or socket"),
    }
    let xattrs = repository.xattrs(entry)?;
    was(&|thing| thing.xattrs() == xattrs, "attributes");
    Ok(())
}
