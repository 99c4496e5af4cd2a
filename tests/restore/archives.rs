//! Files and directories as one stream.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Read, Write};
use std::os::unix::fs::{MetadataExt, symlink};
use std::sync::Mutex;

use keepstone::format::codec::Bytes;
use keepstone::format::tree::{Entry, EntryKey, Node, TreeRef};
use keepstone::ops::dump::{ArchiveFormat, DumpError, DumpReport, Listener, dump_archive, dump_file};
use keepstone::ops::source::Trouble;
use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat, setxattr};

use super::scene::*;

fn fill(scene: &Scene) {
    scene.write("empty", b"");
    scene.write("short", b"inline");
    scene.write("dir/one", &noise("one", 20_000));
    scene.write("dir/many", &noise("many", 2_000_000));
    scene.write(&format!("dir/{}/{}", "l".repeat(200), "n".repeat(200)), &noise("deep", 100));
    scene.write("dir/größe", b"umlaut");
    symlink("one", scene.source("dir/link")).unwrap();
    symlink("t".repeat(300), scene.source("dir/long link")).unwrap();
    mknodat(CWD, scene.source("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    mknodat(CWD, scene.source("socket"), FileType::Socket, Mode::RUSR, 0).unwrap();
    fs::hard_link(scene.source("dir/one"), scene.source("zz second name")).unwrap();
    setxattr(scene.source("short"), "user.note=%", b"bytes \0\n", XattrFlags::empty()).unwrap();
    let holed = fs::File::create(scene.source("holed")).unwrap();
    holed.set_len(1_000_000).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&holed, b"island", 500_000).unwrap();
    set_mtime(&scene.source("empty"), -5);
}

fn dump(scene: &Scene, tree: &TreeRef, prefix: &[u8], format: ArchiveFormat) -> (Vec<u8>, DumpReport, Vec<String>) {
    let (mut out, troubles) = (Vec::new(), Mutex::new(Vec::new()));
    let listener = Listener {
        on_trouble: &|trouble: &Trouble| troubles.lock().unwrap().push(trouble.to_string()),
        interrupted: &|| false,
    };
    let report = dump_archive(&scene.open(), tree, prefix, format, &mut out, &listener).unwrap();
    (out, report, troubles.into_inner().unwrap())
}

fn find(scene: &Scene, tree: &TreeRef, name: &str) -> Entry {
    let key = EntryKey { name: Bytes::new(name).unwrap(), discriminator: 0 };
    scene.open().find_entry(tree, &key).unwrap().unwrap()
}

#[test]
fn a_tar_archive_unpacks_to_what_was_backed_up() {
    let scene = Scene::new();
    fill(&scene);
    let tree = scene.back_up();
    let (bytes, report, troubles) = dump(&scene, &tree, b"", ArchiveFormat::Tar);
    assert_eq!(troubles, ["socket: a socket, which an archive cannot hold"]);
    assert_eq!((report.troubles, report.damaged_count), (1, 0));
    scene.target();
    // The tool that people will use, with everything that it can restore.
    let mut tar = std::process::Command::new("tar")
        .args(["-xp", "--xattrs", "-C"])
        .arg(scene.at(""))
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    tar.stdin.take().unwrap().write_all(&bytes).unwrap();
    assert!(tar.wait().unwrap().success());
    fs::remove_file(scene.source("socket")).unwrap();
    let (before, after) = (picture(&scene.source("")), picture(&scene.at("")));
    assert!(before.len() == 13);
    assert_eq!(before, after);
    let mut value = [0; 64];
    let len = rustix::fs::getxattr(scene.at("short"), "user.note=%", &mut value[..]).unwrap();
    assert_eq!(&value[..len], b"bytes \0\n");
    assert_eq!(fs::metadata(scene.at("dir/one")).unwrap().nlink(), 2);
}

#[test]
fn a_tar_archive_says_everything_to_a_library_too() {
    let scene = Scene::new();
    fill(&scene);
    let tree = scene.back_up();
    let (bytes, _, _) = dump(&scene, &tree, b"some/where", ArchiveFormat::Tar);
    let mut archive = tar::Archive::new(&bytes[..]);
    let mut found = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        let link = entry.link_name().unwrap().map(|link| link.to_str().unwrap().to_owned());
        found.insert(path, (content, link));
    }
    assert_eq!(found["some/where/dir/many"].0, noise("many", 2_000_000));
    assert_eq!(found["some/where/zz second name"].1.as_deref(), Some("some/where/dir/one"));
    assert_eq!(found["some/where/dir/long link"].1, Some("t".repeat(300)));
    assert!(found.contains_key(&format!("some/where/dir/{}/{}", "l".repeat(200), "n".repeat(200))));
}

#[test]
fn a_zip_archive_holds_files_directories_and_symlinks() {
    let scene = Scene::new();
    fill(&scene);
    let tree = scene.back_up();
    let (bytes, report, troubles) = dump(&scene, &tree, b"", ArchiveFormat::Zip);
    assert_eq!(report.troubles, 2, "{troubles:?}");
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    for (name, content) in [
        ("dir/many", noise("many", 2_000_000)),
        ("dir/one", noise("one", 20_000)),
        ("zz second name", noise("one", 20_000)),
        ("empty", Vec::new()),
        ("dir/größe", b"umlaut".to_vec()),
        ("dir/link", b"one".to_vec()),
        ("holed", fs::read(scene.source("holed")).unwrap()),
    ] {
        let mut read = Vec::new();
        archive.by_name(name).unwrap().read_to_end(&mut read).unwrap();
        assert!(read == content, "{name}");
    }
    assert!(archive.by_name("dir/").unwrap().is_dir());
    assert!(archive.by_name("dir/link").unwrap().is_symlink());
}

#[test]
fn one_file_is_its_bytes_and_nothing_else() {
    let scene = Scene::new();
    fill(&scene);
    let tree = scene.back_up();
    let Node::Directory(dir) = find(&scene, &tree, "dir").node else { panic!("it is a directory") };
    let listener = Listener { on_trouble: &|trouble| panic!("{trouble}"), interrupted: &|| false };
    for (tree, name, path) in [(&dir, "many", "dir/many"), (&tree, "holed", "holed"), (&tree, "short", "short")] {
        let Node::File(content) = find(&scene, tree, name).node else { panic!("it is a file") };
        let mut out = Vec::new();
        dump_file(&scene.open(), &content, &mut out, &listener).unwrap();
        assert!(out == fs::read(scene.source(path)).unwrap(), "{path}");
    }
}

#[test]
fn damage_leaves_the_archive_whole_and_is_named() {
    let scene = Scene::new();
    scene.write("a", &noise("a", 5000));
    scene.write("b", &noise("b", 3_000_000));
    scene.write("c", b"inline");
    let tree = scene.back_up();
    let Node::File(content) = find(&scene, &tree, "b").node else { panic!("it is a file") };
    let repository = scene.open();
    let chunks: Vec<_> = keepstone::repo::walk::Items::new(&repository, &content).map(Result::unwrap).collect();
    let keepstone::format::content::Item::Data { id, .. } = chunks[chunks.len() / 2] else { panic!("it is data") };
    let location = repository.view().locate(&id).unwrap()[0];
    let name = keepstone::repo::pack_name(&location.pack);
    let mut bytes = scene.memory.objects().remove(&name).unwrap();
    bytes[location.placed.offset as usize] ^= 1;
    scene.memory.set(&name, bytes);

    let (bytes, report, troubles) = dump(&scene, &tree, b"", ArchiveFormat::Tar);
    assert_eq!((report.damaged_count, &report.damaged[0].path[..]), (1, "b"), "{troubles:?}");
    assert!(troubles[0].contains("zeros stand for what is missing"));
    let mut archive = tar::Archive::new(&bytes[..]);
    let read = |mut entry: tar::Entry<&[u8]>| {
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        content
    };
    let contents: Vec<_> = archive.entries().unwrap().map(|entry| read(entry.unwrap())).collect();
    assert_eq!((contents[0].len(), contents[1].len(), &contents[2][..]), (5000, 3_000_000, &b"inline"[..]));
    assert_ne!(contents[1], noise("b", 3_000_000));

    let listener = Listener { on_trouble: &|trouble| panic!("{trouble}"), interrupted: &|| false };
    let mut out = Vec::new();
    let result = dump_file(&scene.open(), &content, &mut out, &listener);
    assert!(matches!(result, Err(DumpError::Repository(_))));
    assert!(out.len() < 3_000_000 && noise("b", 3_000_000).starts_with(&out));
}

#[test]
fn a_reader_that_goes_away_ends_the_dump_at_once() {
    struct Closed(usize);
    impl Write for Closed {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(1).ok_or(std::io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let scene = Scene::new();
    for n in 0..100 {
        scene.write(&format!("{n:02}"), &noise(&n.to_string(), 100_000));
    }
    let tree = scene.back_up();
    let listener = Listener { on_trouble: &|trouble| panic!("{trouble}"), interrupted: &|| false };
    for format in [ArchiveFormat::Tar, ArchiveFormat::Zip] {
        let result = dump_archive(&scene.open(), &tree, b"", format, &mut Closed(20), &listener);
        assert!(matches!(result, Err(DumpError::Output(_))));
    }
}

#[test]
fn a_hostile_name_is_not_passed_on_to_whoever_unpacks() {
    let scene = Scene::new();
    scene.write("evil", b"evil");
    let tree = scene.back_up();
    let named = |name: &[u8]| {
        let mut entry = find(&scene, &tree, "evil");
        entry.key.name = Bytes::new(name).unwrap();
        entry
    };
    let mut dir = named(b"..");
    dir.node = Node::Directory(tree.clone());
    let tree = scene.tree(&[dir, named(b"../x"), named(b"/etc/x"), named(b"good")]);
    for format in [ArchiveFormat::Tar, ArchiveFormat::Zip] {
        let (bytes, report, _) = dump(&scene, &tree, b"", format);
        assert_eq!(report.troubles, 3);
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("good") && !text.contains("..") && !text.contains("/etc"));
    }
}
