//! Repositories that do not hold everything any more, and targets that do not take everything.

use std::fs;
use std::io;
use std::sync::Arc;

use keepstone::component::files::FilesTarget;
use keepstone::format::tree::{Entry, Xattrs};
use keepstone::ops::restore::{Origin, RestoreOptions};
use keepstone::ops::source::Trouble;
use keepstone::ops::target::{DirPath, Names, NewFile, ReadAt, Standing, Target};
use keepstone::repo::RepoError;
use keepstone::storage::{Fault, ObjectName, Store, Verb};

use super::scene::*;

/// Packs by what the store does with them: those that are read only while files are restored.
fn data_packs(scene: &Scene) -> Vec<ObjectName> {
    let repository = scene.open();
    let packs = repository.view().packs();
    let is_data = |name: &ObjectName| {
        // A pack's kind is in its clear prefix, after magic and version.
        let bytes = scene.memory.get(name, 1 << 30).unwrap();
        let id = keepstone::id::PackId::of_stored(&bytes);
        repository.opener(&id, keepstone::format::segment::PackClass::Data).is_ok()
    };
    packs.keys().map(keepstone::repo::pack_name).filter(is_data).collect()
}

fn flip(scene: &Scene, name: &ObjectName, at: usize) {
    let mut bytes = scene.memory.get(name, 1 << 30).unwrap();
    bytes[at] ^= 1;
    scene.memory.set(name, bytes);
}

#[test]
fn a_flipped_byte_harms_only_the_files_that_need_it() {
    let scene = Scene::new();
    for n in 0..40 {
        scene.write(&format!("{n:02}"), &noise(&n.to_string(), 100_000));
    }
    fs::hard_link(scene.source("00"), scene.source("link")).unwrap();
    let tree = scene.back_up();
    let packs = data_packs(&scene);
    assert!(packs.len() > 1);
    flip(&scene, &packs[0], 5000);
    let told = scene.restore(&tree, &RestoreOptions::default());
    let damaged = told.report.damaged_count as usize;
    assert!((1..=2).contains(&damaged), "{:?}", told.troubles);
    assert_eq!((told.report.damaged.len(), told.report.troubles), (damaged, 0));
    let restored = picture(&scene.at(""));
    assert_eq!(restored.len(), 41 - damaged);
    for trouble in &told.report.damaged {
        assert!(!scene.at(&trouble.path).exists());
        assert!(trouble.why.contains("damaged"), "{trouble}");
    }
    for (path, _) in restored {
        assert_eq!(fs::read(scene.at(&path)).unwrap(), fs::read(scene.source(&path)).unwrap());
    }
}

#[test]
fn a_missing_pack_is_named_for_every_file_that_needs_it_and_links_share_its_fate() {
    let scene = Scene::new();
    scene.write("a", &noise("a", 3_000_000));
    fs::hard_link(scene.source("a"), scene.source("b")).unwrap();
    scene.write("c", b"inline");
    let tree = scene.back_up();
    for pack in data_packs(&scene) {
        scene.memory.remove(&pack);
    }
    let told = scene.restore(&tree, &RestoreOptions::default());
    let mut named: Vec<&str> = told.report.damaged.iter().map(|trouble| &trouble.path[..]).collect();
    named.sort();
    assert_eq!(named, ["a", "b"]);
    assert_eq!(picture(&scene.at("")).len(), 1);
}

#[test]
fn another_copy_serves_when_the_first_one_is_damaged() {
    let scene = Scene::new();
    scene.write("file", &noise("file", 1_000_000));
    let tree = scene.back_up();
    let first = data_packs(&scene);
    // The same content under another store of objects, merged: every chunk lies twice.
    let hidden: Vec<_> =
        scene.memory.objects().into_iter().filter(|(name, _)| name.as_str().starts_with("index/")).collect();
    hidden.iter().for_each(|(name, _)| drop(scene.memory.remove(name)));
    let again = scene.back_up();
    hidden.into_iter().for_each(|(name, bytes)| scene.memory.set(&name, bytes));
    assert_eq!(tree, again);
    for pack in first {
        scene.memory.remove(&pack);
    }
    let told = scene.restore(&tree, &RestoreOptions::default());
    assert!(told.is_clean(), "{:?}", told.troubles);
    assert_eq!(picture(&scene.source("")), picture(&scene.at("")));
}

#[test]
fn a_store_that_is_gone_ends_the_restore_and_one_that_stumbles_does_not() {
    let scene = Scene::new();
    for n in 0..50 {
        scene.write(&format!("{n}"), &noise(&n.to_string(), 5000));
    }
    let origin = Origin::Directory(scene.back_up());
    let repository = scene.open();
    let stumbling = scene.store.clone().fault_once(Fault::Fail, |call| call.verb == Verb::GetRange);
    let told = restore_from(&repository, &origin, &scene.target(), &RestoreOptions::default(), &|| false).unwrap();
    assert!(told.is_clean());
    assert_eq!(stumbling.faults(), 1);

    fs::remove_dir_all(scene.at("")).unwrap();
    let _gone = scene.store.clone().fail(|call| call.verb != Verb::Get);
    let result = restore_from(&repository, &origin, &scene.target(), &RestoreOptions::default(), &|| false);
    assert!(matches!(result.err(), Some(RepoError::Store(_))));
}

/// Takes so many bytes, and then the disk is full.
struct SmallDisk(FilesTarget);
struct SmallFile(Box<dyn NewFile>);

impl NewFile for SmallFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match offset {
            0 => self.0.write_at(offset, bytes),
            _ => Err(io::ErrorKind::StorageFull.into()),
        }
    }
    fn finish(self: Box<Self>, entry: &Entry, xattrs: &Xattrs) -> Result<(), Trouble> {
        self.0.finish(entry, xattrs)
    }
}

impl Target for SmallDisk {
    fn inspect(&self, dir: &Arc<DirPath>, name: &[u8]) -> Result<Option<Standing>, Trouble> {
        self.0.inspect(dir, name)
    }
    fn make_dir(&self, dir: &Arc<DirPath>, name: &[u8]) -> Result<(), Trouble> {
        self.0.make_dir(dir, name)
    }
    fn begin(&self, dir: &Arc<DirPath>, entry: &Entry) -> Result<Box<dyn NewFile>, Trouble> {
        Ok(Box::new(SmallFile(self.0.begin(dir, entry)?)))
    }
    fn make_node(&self, dir: &Arc<DirPath>, entry: &Entry, xattrs: &Xattrs) -> Result<(), Trouble> {
        self.0.make_node(dir, entry, xattrs)
    }
    fn link(&self, dir: &Arc<DirPath>, name: &[u8], of: (&Arc<DirPath>, &[u8])) -> Result<(), Trouble> {
        self.0.link(dir, name, of)
    }
    fn read_standing(&self, dir: &Arc<DirPath>, name: &[u8]) -> Result<Box<dyn ReadAt>, Trouble> {
        self.0.read_standing(dir, name)
    }
    fn settle(&self, dir: &Arc<DirPath>, entry: &Entry, xattrs: &Xattrs) -> Result<(), Trouble> {
        self.0.settle(dir, entry, xattrs)
    }
    fn names(&self, dir: &Arc<DirPath>) -> Result<Names<'_>, Trouble> {
        self.0.names(dir)
    }
    fn remove(&self, dir: &Arc<DirPath>, name: &[u8]) -> Result<(), Trouble> {
        self.0.remove(dir, name)
    }
    fn shortcomings(&self) -> Vec<String> {
        self.0.shortcomings()
    }
}

#[test]
fn a_full_disk_is_one_clear_error_and_leaves_no_half_files() {
    let scene = Scene::new();
    for n in 0..300 {
        scene.write(&format!("{n}"), &noise(&n.to_string(), 300_000));
    }
    let tree = scene.back_up();
    let result = scene.try_restore(&Origin::Directory(tree), &SmallDisk(scene.target()), &RestoreOptions::default());
    let error = result.err().unwrap().to_string();
    assert!(error.starts_with("cannot write ") && error.ends_with("the restore was stopped"), "{error}");
    assert!(picture(&scene.at("")).is_empty());
}
