//! Making, replacing, linking and removing.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use keepstone::component::files::target::FilesTarget;
use keepstone::format::tree::{Node, Xattrs};
use keepstone::ops::target::Target;

use super::scene::*;

#[test]
fn a_target_that_is_missing_is_made_for_its_owner_only() {
    let scene = Scene::new();
    assert_eq!(mode(&scene.at("")), 0o700);
    assert_eq!(mode(&scene.outside("made")), 0o700);
    assert!(FilesTarget::open_existing(&scene.at("missing")).is_err());
    assert!(FilesTarget::open_existing(&scene.at("")).is_ok());
    scene.target.sync().unwrap();
}

#[test]
fn what_stands_is_inspected_as_it_was_restored() {
    let scene = Scene::new();
    scene.file(&scene.top, "a", b"12345");
    let standing = scene.target.inspect(&scene.top, b"a").unwrap().unwrap();
    assert_eq!((standing.stat.mode, standing.stat.mtime), (0o640, MTIME));
    assert_eq!(standing.stat.inode, fs::metadata(scene.at("a")).unwrap().ino());
    assert_eq!(standing.stat.hard_link, None);
    let opened = scene.target.read_standing(&scene.top, b"a").unwrap();
    let mut buffer = [0; 8];
    assert_eq!(opened.read_at(2, &mut buffer).unwrap(), 3);
    assert_eq!(&buffer[..3], b"345");
}

#[test]
fn reading_a_pipe_that_stands_is_refused_without_waiting() {
    let scene = Scene::new();
    scene.target.make_node(&scene.top, &entry("pipe", Node::Fifo), &Xattrs::default()).unwrap();
    assert!(scene.target.read_standing(&scene.top, b"pipe").is_err());
}

#[test]
fn what_was_not_written_is_a_hole() {
    let scene = Scene::new();
    const SIZE: u64 = 64 << 20;
    for (name, at) in [("end", SIZE - 4096), ("start", 0), ("middle", SIZE / 2)] {
        let file = scene.target.begin(&scene.top, &sized(name.as_bytes(), SIZE)).unwrap();
        file.write_at(at, &[7; 4096]).unwrap();
        file.finish(&entry(name, file_of(SIZE)), &Xattrs::default()).unwrap();
        let meta = fs::metadata(scene.at(name)).unwrap();
        assert_eq!(meta.len(), SIZE);
        assert!(meta.blocks() * 512 < 1 << 20, "{name}: {} blocks", meta.blocks());
        let read = fs::read(scene.at(name)).unwrap();
        assert_eq!(read.iter().filter(|byte| **byte == 7).count(), 4096);
    }
}

#[test]
fn a_file_that_is_not_finished_leaves_nothing() {
    let scene = Scene::new();
    scene.file(&scene.top, "a", b"old");
    let file = scene.target.begin(&scene.top, &sized(b"a", 3)).unwrap();
    file.write_at(0, b"new").unwrap();
    assert_eq!(listing(&scene.at("")).len(), 2);
    assert_eq!(scene.target.names(&scene.top).unwrap().map(Result::unwrap).collect::<Vec<_>>(), [b"a".to_vec()]);
    drop(file);
    assert_eq!(listing(&scene.at("")), ["a"]);
    assert_eq!(fs::read(scene.at("a")).unwrap(), b"old");
}

#[test]
fn files_and_directories_replace_each_other() {
    let scene = Scene::new();
    let a = scene.dir(&scene.top, "a");
    let b = scene.dir(&a, "b");
    scene.file(&b, "c", b"");
    scene.file(&scene.top, "a", b"file");
    assert_eq!(fs::read(scene.at("a")).unwrap(), b"file");
    // The same paths again: what was held open is no more.
    scene.dir(&scene.top, "a");
    scene.dir(&a, "b");
    scene.file(&b, "c", b"again");
    assert_eq!(fs::read(scene.at("a/b/c")).unwrap(), b"again");
    scene.target.make_node(&scene.top, &entry("a", link_to("x")), &Xattrs::default()).unwrap();
    assert!(scene.at("a").is_symlink());
    scene.file(&scene.top, "one", b"one");
    scene.dir(&scene.top, "two");
    scene.target.link(&scene.top, b"two", (&scene.top, b"one")).unwrap();
    assert_eq!(fs::read(scene.at("two")).unwrap(), b"one");
    assert_eq!(listing(&scene.at("")), ["a", "one", "two"]);
}

#[test]
fn links_are_names_of_one_file() {
    let scene = Scene::new();
    let a = scene.dir(&scene.top, "a");
    scene.file(&a, "one", b"one");
    scene.file(&scene.top, "other", b"other");
    // Twice: the second finds that it is so already.
    for _ in 0..2 {
        scene.target.link(&scene.top, b"two", (&a, b"one")).unwrap();
        scene.target.link(&scene.top, b"other", (&a, b"one")).unwrap();
    }
    let ino = |name: &str| fs::metadata(scene.at(name)).unwrap().ino();
    assert_eq!((ino("two"), ino("other")), (ino("a/one"), ino("a/one")));
    let standing = scene.target.inspect(&scene.top, b"two").unwrap().unwrap();
    assert_eq!(standing.stat.hard_link.unwrap().inode, ino("two"));
    // A link to a link is a name of the link, not of what it leads to.
    symlink("/etc/passwd", scene.at("sym")).unwrap();
    scene.target.link(&scene.top, b"three", (&scene.top, b"sym")).unwrap();
    assert!(scene.at("three").is_symlink());
    assert!(scene.target.link(&scene.top, b"four", (&scene.top, b"a")).is_err());
    assert_eq!(listing(&scene.at("")), ["a", "other", "sym", "three", "two"]);
}

#[test]
fn three_thousand_levels_are_made_settled_and_removed() {
    let scene = Scene::new();
    let mut way = vec![scene.top.clone()];
    for level in 0..3000 {
        way.push(scene.dir(&way[level], "deep"));
    }
    scene.file(&way[3000], "bottom", b"deep");
    for dir in way[..3000].iter().rev() {
        scene.target.settle(dir, &owned_by_me("deep", 0o750), &Xattrs::default()).unwrap();
    }
    // With nothing held open: another target on the same place.
    let anew = FilesTarget::open_existing(&scene.at("")).unwrap();
    let opened = anew.read_standing(&way[3000], b"bottom").unwrap();
    let mut buffer = [0; 9];
    assert_eq!(opened.read_at(0, &mut buffer).unwrap(), 4);
    assert_eq!(anew.inspect(&way[1234], b"deep").unwrap().unwrap().stat.mode, 0o750);
    scene.target.remove(&scene.top, b"deep").unwrap();
    assert_eq!(listing(&scene.at("")), Vec::<String>::new());
}

#[test]
fn many_threads_restore_into_one_target() {
    let scene = Scene::new();
    let dirs: Vec<_> = (0..100).map(|n| scene.dir(&scene.top, &format!("d{n}"))).collect();
    std::thread::scope(|scope| {
        for thread in 0..12 {
            let (scene, dirs) = (&scene, &dirs);
            scope.spawn(move || {
                for (n, dir) in dirs.iter().enumerate() {
                    scene.file(dir, &format!("f{thread}"), format!("{n}").as_bytes());
                    // Makes all threads open their directories anew.
                    scene.dir(dir, &format!("gone{thread}"));
                    scene.target.remove(dir, format!("gone{thread}").as_bytes()).unwrap();
                }
            });
        }
    });
    for n in 0..100 {
        assert_eq!(listing(&scene.at(&format!("d{n}"))).len(), 12);
        assert_eq!(fs::read_to_string(scene.at(&format!("d{n}/f7"))).unwrap(), n.to_string());
    }
}
