//! What was backed up comes back.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use keepstone::ops::restore::{Origin, RestoreOptions};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::scene::*;

/// A bit of everything.
fn fill(scene: &Scene) {
    scene.write("empty", b"");
    scene.write("short", b"inline");
    scene.write("one chunk", &noise("one", 10_000));
    scene.write("dir/some chunks", &noise("some", 300_000));
    scene.write("dir/many chunks", &noise("many", 3_000_000));
    scene.write("dir/again", &noise("one", 10_000));
    for n in 0..300 {
        scene.write(&format!("small/{n}"), &noise(&n.to_string(), 500 + n));
    }
    fs::create_dir(scene.source("bare")).unwrap();
    symlink("nowhere", scene.source("dir/link")).unwrap();
    mknodat(CWD, scene.source("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    fs::hard_link(scene.source("dir/some chunks"), scene.source("another name")).unwrap();
    fs::hard_link(scene.source("short"), scene.source("dir/short too")).unwrap();
    let deep = scene.source(&["d"; 100].join("/"));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("bottom"), b"deep down").unwrap();
    fs::set_permissions(scene.source("one chunk"), PermissionsExt::from_mode(0o4750)).unwrap();
    for (n, (path, _)) in picture(&scene.source("")).iter().rev().enumerate() {
        set_mtime(&scene.source(path), 1_000_000 + n as i64);
    }
}

#[test]
fn everything_comes_back_as_it_was() {
    let scene = Scene::new();
    fill(&scene);
    let tree = scene.back_up();
    let told = scene.restore(&tree, &RestoreOptions { verify: true, ..RestoreOptions::default() });
    assert!(told.is_clean(), "{:?}", told.troubles);
    let before = picture(&scene.source(""));
    assert!(before.len() > 400);
    assert_eq!(before, picture(&scene.at("")));
    assert_eq!(told.counters.entries.load(Relaxed), tree.entries);
    assert_eq!(told.counters.bytes.load(Relaxed), tree.bytes);
    assert_eq!(told.counters.entries_total.load(Relaxed), tree.entries);
    // All files but those that are links to others.
    assert_eq!(told.counters.verified.load(Relaxed), 6 + 300 + 1);
}

#[test]
fn no_chunk_is_fetched_twice_and_no_pack_is_read_chunk_by_chunk() {
    let scene = Scene::new();
    for n in 0..500 {
        scene.write(&format!("{n}"), &noise(&(n % 250).to_string(), 1000));
    }
    let tree = scene.back_up();
    let repository = scene.open();
    let before = scene.packs_read().len();
    let origin = Origin::Directory(tree);
    let told = restore_from(&repository, &origin, &scene.target(), &RestoreOptions::default(), &|| false).unwrap();
    assert!(told.is_clean());
    assert_eq!(told.counters.bytes_fetched.load(Relaxed), 250_000);
    let reads = scene.packs_read().len() - before;
    assert!(reads < 40, "{reads} reads");
    assert_eq!(picture(&scene.source("")).len(), picture(&scene.at("")).len());
}

#[test]
fn holes_stay_holes_and_runs_of_zeros_become_holes_if_asked_for() {
    let scene = Scene::new();
    let holed = fs::File::create(scene.source("holed")).unwrap();
    holed.set_len(64 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&holed, &noise("island", 100_000), 32 << 20).unwrap();
    let mut zeros = noise("a", 8192);
    zeros.resize(1 << 20, 0);
    zeros.extend(noise("b", 5000));
    scene.write("zeros", &zeros);
    let tree = scene.back_up();

    assert!(scene.restore(&tree, &RestoreOptions::default()).is_clean());
    let blocks = |name: &str| fs::metadata(scene.at(name)).unwrap().blocks() * 512;
    assert!(blocks("holed") < 1 << 20);
    assert!(blocks("zeros") >= 1 << 20);
    assert_eq!(fs::read(scene.at("holed")).unwrap(), fs::read(scene.source("holed")).unwrap());

    fs::remove_file(scene.at("zeros")).unwrap();
    assert!(scene.restore(&tree, &RestoreOptions { sparse: true, ..RestoreOptions::default() }).is_clean());
    assert!(blocks("zeros") < 64 << 10);
    assert_eq!(fs::read(scene.at("zeros")).unwrap(), zeros);
}

#[test]
fn hard_links_come_back_as_links_of_one_file() {
    let scene = Scene::new();
    scene.write("b/first", &noise("shared", 200_000));
    for name in ["a", "z", "b/second"] {
        fs::hard_link(scene.source("b/first"), scene.source(name)).unwrap();
    }
    let tree = scene.back_up();
    assert!(scene.restore(&tree, &RestoreOptions::default()).is_clean());
    let inode = |name: &str| fs::metadata(scene.at(name)).unwrap().ino();
    assert_eq!(fs::metadata(scene.at("z")).unwrap().nlink(), 4);
    assert!(["a", "b/first", "b/second"].iter().all(|name| inode(name) == inode("z")));
    // And again, in place: nothing is written.
    let told = scene.restore(&tree, &RestoreOptions::default());
    assert!(told.is_clean());
    assert_eq!(told.counters.bytes_fetched.load(Relaxed), 0);
    assert_eq!(fs::metadata(scene.at("a")).unwrap().nlink(), 4);
}

#[test]
fn one_file_is_restored_under_its_name_and_beside_it_nothing_is_deleted() {
    let scene = Scene::new();
    scene.write("dir/wanted", &noise("wanted", 100_000));
    let tree = scene.back_up();
    let repository = scene.open();
    let key = |name: &str| keepstone::format::tree::EntryKey {
        name: keepstone::format::codec::Bytes::new(name).unwrap(),
        discriminator: 0,
    };
    let dir = repository.find_entry(&tree, &key("dir")).unwrap().unwrap();
    let keepstone::format::tree::Node::Directory(dir) = dir.node else { panic!("it is a directory") };
    let wanted = repository.find_entry(&dir, &key("wanted")).unwrap().unwrap();
    let target = scene.target();
    fs::write(scene.at("beside"), b"mine").unwrap();
    let options = RestoreOptions { delete: true, ..RestoreOptions::default() };
    let told = scene.try_restore(&Origin::Single(Box::new(wanted)), &target, &options).unwrap();
    assert!(told.is_clean());
    assert_eq!(fs::read(scene.at("wanted")).unwrap(), noise("wanted", 100_000));
    assert_eq!(fs::read(scene.at("beside")).unwrap(), b"mine");
}

#[test]
fn many_windows_and_large_directories_come_back_whole() {
    let scene = Scene::new();
    for n in 0..10_000 {
        scene.write(&format!("{}/{n}", n % 7), n.to_string().as_bytes());
    }
    let tree = scene.back_up();
    let told = scene.restore(&tree, &RestoreOptions::default());
    assert!(told.is_clean());
    assert_eq!(picture(&scene.source("")), picture(&scene.at("")));
}

#[test]
fn an_interrupted_restore_leaves_nothing_half_made() {
    let scene = Scene::new();
    let content = |name: &str| noise(name, if name.len() == 1 { 1_000_000 } else { 3000 });
    for name in (0..200).map(|n| n.to_string()) {
        scene.write(&name, &content(&name));
    }
    let tree = Origin::Directory(scene.back_up());
    let repository = scene.open();
    let restore_until = |limit: u64| {
        let asked = AtomicU64::new(0);
        let interrupted = || asked.fetch_add(1, Relaxed) >= limit;
        let options = RestoreOptions::default();
        let told = restore_from(&repository, &tree, &scene.target(), &options, &interrupted).unwrap();
        let restored = picture(&scene.at(""));
        for (name, _) in &restored {
            assert_eq!(fs::read(scene.at(name)).unwrap(), content(name));
        }
        fs::remove_dir_all(scene.at("")).unwrap();
        (told.report.interrupted, restored.len(), asked.into_inner())
    };
    let (interrupted, restored, asked) = restore_until(u64::MAX);
    assert_eq!((interrupted, restored), (false, 200));
    let cut: Vec<usize> = (0..10)
        .map(|tenth| restore_until(asked * tenth / 10))
        .map(|(cut, restored, _)| {
            assert!(cut);
            restored
        })
        .collect();
    assert!(cut[0] == 0 && (1..200).contains(&cut[9]), "{cut:?}");
}
