//! What never happens: anything outside the target.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use keepstone::format::tree::{Node, Xattrs};
use keepstone::ops::target::Target;

use super::scene::*;

#[test]
fn names_that_lead_elsewhere_are_refused_everywhere() {
    let scene = Scene::new();
    fs::write(scene.outside("made/precious"), "precious").unwrap();
    let (target, top, none) = (&scene.target, &scene.top, Xattrs::default());
    scene.file(top, "fine", b"");
    for name in ["", ".", "..", "a/b", "/etc", "../precious", "a\0b", "/"] {
        let refused = |attempt: Result<(), keepstone::ops::source::Trouble>| {
            let trouble = attempt.unwrap_err();
            assert!(trouble.why.contains("a name"), "{name:?}: {trouble}");
        };
        let bytes = name.as_bytes();
        for (dir, name) in [(top.clone(), bytes), (top.child(bytes), b"x".as_slice())] {
            refused(target.inspect(&dir, name).map(|_| ()));
            refused(target.make_dir(&dir, name));
            refused(target.begin(&dir, &sized(name, 0)).map(|_| ()));
            refused(target.link(&dir, name, (top, b"fine")));
            refused(target.link(top, b"fine", (&dir, name)));
            refused(target.read_standing(&dir, name).map(|_| ()));
            refused(target.remove(&dir, name));
        }
        refused(target.make_node(top, &entry(name, Node::Fifo), &none));
        refused(target.settle(top, &entry(name, directory()), &none));
        refused(target.names(&top.child(bytes)).map(|_| ()));
    }
    assert_eq!(listing(&scene.at("")), ["fine"]);
    assert_eq!(fs::read(scene.outside("made/precious")).unwrap(), b"precious");
}

#[test]
fn names_that_are_only_odd_come_back() {
    let scene = Scene::new();
    let names: [&[u8]; 6] = [b"new\nline", b"\xff\xfe", b"...", b" ", b"-rf", &[b'x'; 255]];
    for name in names {
        scene.target.make_dir(&scene.top, name).unwrap();
        assert!(scene.at("").join(OsStr::from_bytes(name)).is_dir());
    }
    assert!(scene.target.make_dir(&scene.top, &[b'x'; 256]).is_err());
    assert!(scene.target.make_dir(&scene.top, &[b'x'; 5000]).is_err());
    let found = scene.target.names(&scene.top).unwrap().map(Result::unwrap).collect::<Vec<_>>();
    assert_eq!(found.len(), names.len());
    assert!(names.iter().all(|name| found.contains(&name.to_vec())));
}

#[test]
fn a_link_where_a_directory_should_be_is_replaced_and_never_followed() {
    let scene = Scene::new();
    fs::create_dir(scene.outside("elsewhere")).unwrap();
    symlink(scene.outside("elsewhere"), scene.at("a")).unwrap();
    let a = scene.top.child(b"a");
    assert!(scene.target.begin(&a, &sized(b"x", 0)).is_err());
    assert!(scene.target.make_dir(&a, b"x").is_err());
    assert!(scene.target.remove(&a, b"x").is_err());
    assert!(scene.target.settle(&scene.top, &entry("a", directory()), &Xattrs::default()).is_err());
    scene.dir(&scene.top, "a");
    scene.file(&a, "x", b"inside");
    assert_eq!(fs::read(scene.at("a/x")).unwrap(), b"inside");
    assert!(!scene.at("a").is_symlink());
    assert_eq!(listing(&scene.outside("elsewhere")), Vec::<String>::new());
}

#[test]
fn a_link_planted_while_restoring_is_not_followed() {
    let scene = Scene::new();
    fs::create_dir(scene.outside("elsewhere")).unwrap();
    let a = scene.dir(&scene.top, "a");
    let deep = scene.dir(&a, "deep");
    scene.file(&deep, "before", b"");
    let half = scene.target.begin(&deep, &sized(b"half", 4)).unwrap();
    fs::rename(scene.at("a"), scene.at("moved")).unwrap();
    symlink(scene.outside("elsewhere"), scene.at("a")).unwrap();
    fs::create_dir(scene.outside("elsewhere/deep")).unwrap();

    half.write_at(0, b"half").unwrap();
    half.finish(&entry("half", file_of(4)), &Xattrs::default()).unwrap();
    // What is held open stays what it was; what is opened anew does not go through the link.
    scene.file(&deep, "after", b"");
    let again = scene.top.child(b"a").child(b"deep");
    assert!(scene.target.begin(&again, &sized(b"anew", 0)).is_err());
    assert_eq!(listing(&scene.outside("elsewhere")), ["deep"]);
    assert_eq!(listing(&scene.outside("elsewhere/deep")), Vec::<String>::new());
    assert_eq!(listing(&scene.at("moved/deep")), ["after", "before", "half"]);
}

#[test]
fn a_link_at_the_name_itself_is_replaced_and_what_it_leads_to_is_left_alone() {
    let scene = Scene::new();
    let precious = scene.outside("precious");
    fs::write(&precious, "precious").unwrap();
    fs::set_permissions(&precious, fs::Permissions::from_mode(0o604)).unwrap();
    symlink(&precious, scene.at("a")).unwrap();
    assert!(scene.target.settle(&scene.top, &entry("a", file_of(8)), &Xattrs::default()).is_err());
    let link = entry("a", link_to("x"));
    scene.target.settle(&scene.top, &link, &Xattrs::default()).unwrap();
    assert_eq!(mtime(&scene.at("a")), MTIME);
    assert_ne!(mtime(&precious), MTIME);
    scene.file(&scene.top, "a", b"new");
    assert_eq!(fs::read(scene.at("a")).unwrap(), b"new");
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
    assert_eq!(mode(&precious), 0o604);
}

#[test]
fn removing_follows_no_link_and_spares_what_is_beside() {
    let scene = Scene::new();
    fs::create_dir(scene.outside("elsewhere")).unwrap();
    fs::write(scene.outside("elsewhere/precious"), "precious").unwrap();
    let a = scene.dir(&scene.top, "a");
    for n in 0..20 {
        let sub = scene.dir(&a, &format!("sub{n}"));
        scene.file(&sub, "f", b"");
        symlink(scene.outside("elsewhere"), scene.at(&format!("a/sub{n}/link"))).unwrap();
    }
    symlink(scene.outside("elsewhere"), scene.at("b")).unwrap();
    scene.file(&scene.top, "c", b"");
    scene.target.remove(&scene.top, b"a").unwrap();
    scene.target.remove(&scene.top, b"b").unwrap();
    scene.target.remove(&scene.top, b"missing").unwrap();
    assert_eq!(listing(&scene.at("")), ["c"]);
    assert_eq!(listing(&scene.outside("elsewhere")), ["precious"]);
}

#[test]
fn another_mount_is_not_emptied() {
    let scene = Scene::new();
    let mounted = scene.at("a/mounted");
    fs::create_dir_all(&mounted).unwrap();
    fs::create_dir(scene.outside("elsewhere")).unwrap();
    fs::write(scene.outside("elsewhere/precious"), "").unwrap();
    let bind = Command::new("mount").arg("--bind").arg(scene.outside("elsewhere")).arg(&mounted).output();
    if !bind.is_ok_and(|output| output.status.success()) {
        return;
    }
    let removed = scene.target.remove(&scene.top, b"a");
    let still_there = mounted.join("precious").exists();
    assert!(Command::new("umount").arg(&mounted).status().unwrap().success());
    assert!(removed.unwrap_err().why.contains("mounted"));
    assert!(still_there);
    scene.target.remove(&scene.top, b"a").unwrap();
}

#[test]
fn nothing_stands_in_what_is_no_directory() {
    let scene = Scene::new();
    symlink("/etc", scene.at("link")).unwrap();
    scene.file(&scene.top, "file", b"");
    for name in ["missing", "link", "file"] {
        let below = scene.top.child(name.as_bytes());
        assert_eq!(scene.target.inspect(&below, b"passwd").unwrap(), None, "{name}");
        assert!(scene.target.read_standing(&below, b"passwd").is_err(), "{name}");
        assert!(scene.target.names(&below).is_err(), "{name}");
    }
    assert!(scene.target.read_standing(&scene.top, b"link").is_err());
}
