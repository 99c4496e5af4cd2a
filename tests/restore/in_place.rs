//! Restoring over what stands there already.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::sync::atomic::Ordering::Relaxed;

use keepstone::format::content::{Body, Content};
use keepstone::format::tree::Node;
use keepstone::ops::restore::{Deed, Overwrite, RestoreOptions};

use keepstone::repo::walk::Entries;
use keepstone::storage::Verb;

use super::scene::*;

const SIZE: usize = 2_000_000;

#[test]
fn only_the_chunk_that_differs_is_read() {
    let scene = Scene::new();
    scene.write("file", &noise("file", SIZE));
    scene.write("other", &noise("other", SIZE));
    let tree = scene.back_up();
    assert!(scene.restore(&tree, &RestoreOptions::default()).is_clean());
    let standing = fs::OpenOptions::new().write(true).open(scene.at("file")).unwrap();
    standing.write_all_at(b"not what it was", SIZE as u64 / 2).unwrap();

    let before = scene.store.calls().len();
    let told = scene.restore(&tree, &RestoreOptions::default());
    assert!(told.is_clean());
    assert_eq!(fs::read(scene.at("file")).unwrap(), noise("file", SIZE));
    let calls = scene.store.calls().split_off(before);
    let read: u64 = calls.iter().filter(|call| call.verb == Verb::GetRange).map(|call| call.bytes).sum();
    let fetched = told.counters.bytes_fetched.load(Relaxed);
    // The chunk with its tag, and the prefix of its pack.
    assert!((fetched..fetched + 100).contains(&read), "{read} of {fetched}");
    assert!((1..=256 << 10).contains(&fetched), "{fetched}");
    assert_eq!(told.counters.bytes_reused.load(Relaxed), SIZE as u64 - fetched);
    assert_eq!((told.done(Deed::Replaced), told.done(Deed::Unchanged)), (vec!["file"], vec!["other"]));
    assert_eq!(told.counters.bytes.load(Relaxed), tree.bytes);
    assert_eq!(picture(&scene.source("")), picture(&scene.at("")));
}

#[test]
fn what_is_right_already_keeps_its_inode_and_gets_its_metadata_back() {
    let scene = Scene::new();
    scene.write("long", &noise("file", SIZE));
    scene.write("short", b"inline");
    scene.write("empty", b"");
    let tree = scene.back_up();
    scene.restore(&tree, &RestoreOptions::default());
    let names = ["long", "short", "empty"];
    let inodes = || names.map(|name| fs::metadata(scene.at(name)).unwrap().ino());
    let before = inodes();
    for name in names {
        fs::set_permissions(scene.at(name), PermissionsExt::from_mode(0o600)).unwrap();
        set_mtime(&scene.at(name), 99);
    }
    let told = scene.restore(&tree, &RestoreOptions::default());
    assert_eq!((told.done(Deed::Unchanged).len(), inodes()), (3, before));
    assert_eq!(told.counters.bytes_fetched.load(Relaxed), 0);
    assert_eq!(picture(&scene.source("")), picture(&scene.at("")));
}

#[test]
fn longer_and_shorter_files_are_set_right_with_what_they_have() {
    let scene = Scene::new();
    scene.write("longer", &noise("longer", SIZE));
    scene.write("shorter", &noise("shorter", SIZE));
    let tree = scene.back_up();
    scene.restore(&tree, &RestoreOptions::default());
    let open = |name: &str| fs::OpenOptions::new().write(true).open(scene.at(name)).unwrap();
    open("longer").set_len(SIZE as u64 + 5).unwrap();
    open("shorter").set_len(SIZE as u64 - 5).unwrap();
    let told = scene.restore(&tree, &RestoreOptions::default());
    assert!(told.is_clean());
    assert!(told.counters.bytes_fetched.load(Relaxed) <= 256 << 10);
    assert_eq!(picture(&scene.source("")), picture(&scene.at("")));
}

#[test]
fn a_file_of_too_many_chunks_to_be_held_at_once_comes_back_part_by_part() {
    let scene = Scene::with_chunks(256);
    let content = noise("file", 12_000_000);
    scene.write("file", &content);
    let tree = scene.back_up();
    let repository = scene.open();
    let entry = Entries::new(&repository, &tree).next().unwrap().unwrap();
    let Node::File(Content { body: Body::Split(list), .. }) = entry.node else { panic!("its list is split") };
    assert!(list.items > 1 << 15, "{}", list.items);
    let told = scene.restore(&tree, &RestoreOptions::default());
    assert!(told.is_clean(), "{:?}", told.troubles);
    assert!(fs::read(scene.at("file")).unwrap() == content);
    let standing = fs::OpenOptions::new().write(true).open(scene.at("file")).unwrap();
    standing.write_all_at(b"not what it was", 11_000_000).unwrap();
    let told = scene.restore(&tree, &RestoreOptions { verify: true, ..RestoreOptions::default() });
    assert!(told.is_clean(), "{:?}", told.troubles);
    assert!(told.counters.bytes_fetched.load(Relaxed) <= 4096);
    assert_eq!(told.counters.verified.load(Relaxed), 1);
    assert!(fs::read(scene.at("file")).unwrap() == content);
}

#[test]
fn every_mode_of_overwriting_does_what_it_says() {
    // Snapshot: modified at 1000. What stands: other bytes of the same length.
    let restored = |overwrite: Overwrite, standing_mtime: i64| {
        let scene = Scene::new();
        scene.write("file", &noise("ours", 5000));
        set_mtime(&scene.source("file"), 1000);
        let tree = scene.back_up();
        scene.target();
        fs::write(scene.at("file"), noise("theirs", 5000)).unwrap();
        set_mtime(&scene.at("file"), standing_mtime);
        let told = scene.restore(&tree, &how(overwrite));
        assert!(told.is_clean());
        let ours = fs::read(scene.at("file")).unwrap() == noise("ours", 5000);
        assert_eq!(ours, told.items.contains(&(Deed::Replaced, "file".into())));
        ours
    };
    let mut cases = 0;
    for (overwrite, older, same, newer) in [
        (Overwrite::Always, true, true, true),
        (Overwrite::IfChanged, true, false, true),
        (Overwrite::IfNewer, true, false, false),
        (Overwrite::Never, false, false, false),
    ] {
        for (mtime, expected) in [(999, older), (1000, same), (1001, newer)] {
            assert_eq!(restored(overwrite, mtime), expected, "{overwrite:?}, standing {mtime}");
            cases += 1;
        }
    }
    assert_eq!(cases, 12);
}

#[test]
fn anything_gives_way_to_anything_else_unless_it_may_not() {
    let lay_out = |scene: &Scene| {
        scene.target();
        fs::create_dir_all(scene.at("file/with/things")).unwrap();
        fs::write(scene.at("dir"), b"a file").unwrap();
        fs::create_dir(scene.at("link")).unwrap();
        symlink("/etc/hostname", scene.at("through")).unwrap();
    };
    let scene = Scene::new();
    scene.write("file", b"content");
    scene.write("dir/below", b"content");
    symlink("file", scene.source("link")).unwrap();
    scene.write("through", &noise("not through the link", 5000));
    let tree = scene.back_up();
    lay_out(&scene);
    let told = scene.restore(&tree, &how(Overwrite::Never));
    assert_eq!(told.done(Deed::Kept), ["dir", "file", "link", "through"]);
    assert!(told.is_clean() && scene.at("file/with/things").is_dir());
    let told = scene.restore(&tree, &RestoreOptions::default());
    assert!(told.is_clean(), "{:?}", told.troubles);
    assert_eq!(picture(&scene.source("")), picture(&scene.at("")));
}

#[test]
fn a_file_with_a_name_outside_the_target_is_replaced_rather_than_changed() {
    let scene = Scene::new();
    scene.write("file", &noise("file", 5000));
    let tree = scene.back_up();
    scene.target();
    fs::write(scene.outside("precious"), noise("file", 5000)).unwrap();
    fs::set_permissions(scene.outside("precious"), PermissionsExt::from_mode(0o600)).unwrap();
    set_mtime(&scene.outside("precious"), 5);
    for overwrite in [Overwrite::Always, Overwrite::IfChanged] {
        let _ = fs::remove_file(scene.at("file"));
        fs::hard_link(scene.outside("precious"), scene.at("file")).unwrap();
        let told = scene.restore(&tree, &how(overwrite));
        assert!(told.is_clean());
        assert_eq!(told.counters.bytes_fetched.load(Relaxed), 0);
        let precious = fs::metadata(scene.outside("precious")).unwrap();
        assert_eq!((precious.mtime(), precious.mode() & 0o777, precious.nlink()), (5, 0o600, 1));
    }
}

#[test]
fn a_dry_run_says_what_a_restore_does_and_changes_nothing() {
    let scene = Scene::new();
    scene.write("changed", &noise("new", SIZE));
    scene.write("same", &noise("same", SIZE));
    scene.write("missing/below", &noise("missing", 5000));
    scene.write("short", b"inline");
    let tree = scene.back_up();
    scene.target();
    fs::write(scene.at("changed"), noise("old", SIZE)).unwrap();
    fs::write(scene.at("same"), noise("same", SIZE)).unwrap();
    fs::write(scene.at("stray"), b"").unwrap();
    let before = picture(&scene.at(""));
    let options = RestoreOptions { delete: true, ..RestoreOptions::default() };
    let mut would = scene.restore(&tree, &RestoreOptions { dry_run: true, ..options.clone() });
    assert_eq!(picture(&scene.at("")), before);
    let mut did = scene.restore(&tree, &options);
    let by_path = |a: &(Deed, String), b: &(Deed, String)| a.1.cmp(&b.1);
    would.items.sort_by(by_path);
    did.items.sort_by(by_path);
    assert_eq!(would.items, did.items);
    assert_eq!(would.items.len(), 6);
}

#[test]
fn verifying_finds_a_file_that_was_changed_behind_our_back() {
    let scene = Scene::new();
    scene.write("a", &noise("a", 5000));
    scene.write("b", &noise("b", 5000));
    set_mtime(&scene.source("a"), 1000);
    let tree = scene.back_up();
    scene.target();
    // Taken for unchanged, by its size and time.
    fs::write(scene.at("a"), noise("x", 5000)).unwrap();
    set_mtime(&scene.at("a"), 1000);
    let told = scene.restore(&tree, &RestoreOptions { verify: true, ..how(Overwrite::IfChanged) });
    assert_eq!(told.troubles, ["a: verifying it: its content is not what the snapshot holds"]);
    assert_eq!((told.report.troubles, told.counters.verified.load(Relaxed)), (1, 1));
}
