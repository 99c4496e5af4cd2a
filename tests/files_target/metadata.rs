//! Owners, modes, times, attributes, and what is missing of them.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use keepstone::format::tree::{Device, Entry, Meta, Node, Time, Xattrs};
use keepstone::ops::source::Kind;
use keepstone::ops::target::Target;

use super::scene::*;

#[test]
fn every_kind_comes_back_with_its_metadata() {
    if !is_root() {
        return;
    }
    let scene = Scene::new();
    let device = Device { major: 1, minor: 3 };
    let nodes = [
        ("link", link_to("/nowhere/at all")),
        ("pipe", Node::Fifo),
        ("socket", Node::Socket),
        ("char", Node::CharDevice(device)),
        ("block", Node::BlockDevice(Device { major: 259, minor: 70_000 })),
    ];
    for (name, node) in nodes {
        let entry = owned(entry(name, node), 0o2751, 1234, 2345);
        // Twice: the second replaces the first.
        for _ in 0..2 {
            scene.target.make_node(&scene.top, &entry, &Xattrs::default()).unwrap();
        }
    }
    let file = owned(entry("file", file_of(3)), 0o4751, 1234, 2345);
    write(&scene.target, &scene.top, &file, b"abc");
    scene.dir(&scene.top, "dir");
    let dir = owned(entry("dir", directory()), 0o3771, 1234, 2345);
    scene.target.settle(&scene.top, &dir, &Xattrs::default()).unwrap();

    assert_eq!(listing(&scene.at("")), ["block", "char", "dir", "file", "link", "pipe", "socket"]);
    for name in listing(&scene.at("")) {
        let meta = fs::symlink_metadata(scene.at(&name)).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (1234, 2345), "{name}");
        assert_eq!(mtime(&scene.at(&name)), MTIME, "{name}");
        let expected = match &*name {
            "link" => 0o777,
            "file" => 0o4751,
            "dir" => 0o3771,
            _ => 0o2751,
        };
        assert_eq!(mode(&scene.at(&name)), expected, "{name}");
    }
    assert_eq!(fs::read(scene.at("file")).unwrap(), b"abc");
    assert_eq!(fs::read_link(scene.at("link")).unwrap(), Path::new("/nowhere/at all"));
    assert!(fs::metadata(scene.at("socket")).unwrap().file_type().is_socket());
    let kind = |name: &str| scene.target.inspect(&scene.top, name.as_bytes()).unwrap().unwrap().kind;
    assert_eq!(kind("file"), Kind::File { size: Some(3) });
    assert_eq!(kind("dir"), Kind::Directory);
    assert_eq!(kind("link"), Kind::Symlink);
    assert_eq!(kind("pipe"), Kind::Fifo);
    assert_eq!(kind("char"), Kind::CharDevice(device));
    assert_eq!(kind("block"), Kind::BlockDevice(Device { major: 259, minor: 70_000 }));
    assert_eq!(scene.target.shortcomings(), Vec::<String>::new());
}

#[test]
fn attributes_are_those_of_the_entry_and_no_others() {
    let scene = Scene::new();
    let wanted = xattrs(&[("user.a", b"1"), ("user.empty", b"")]);
    let mut read_only = entry("f", file_of(0));
    read_only.meta.mode = 0o400;
    let file = scene.target.begin(&scene.top, &sized(b"f", 0)).unwrap();
    file.finish(&read_only, &wanted).unwrap();
    assert_eq!(xattr(&scene.at("f"), "user.a").as_deref(), Some(&b"1"[..]));
    rustix::fs::setxattr(scene.at("f"), "user.stray", &[b'x'; 600], rustix::fs::XattrFlags::empty()).unwrap();
    let wanted = xattrs(&[("user.a", b"2")]);
    scene.target.settle(&scene.top, &read_only, &wanted).unwrap();
    assert_eq!(xattr(&scene.at("f"), "user.a").as_deref(), Some(&b"2"[..]));
    assert_eq!(xattr(&scene.at("f"), "user.empty"), None);
    assert_eq!(xattr(&scene.at("f"), "user.stray"), None);
    assert_eq!(mode(&scene.at("f")), 0o400);
    assert_eq!(mtime(&scene.at("f")), MTIME);
    assert_eq!(scene.target.shortcomings(), Vec::<String>::new());
}

#[test]
fn acls_come_back_with_the_mode_that_goes_with_them() {
    let scene = Scene::new();
    let wanted = xattrs(&[("system.posix_acl_access", &acl(5)), ("system.posix_acl_default", &acl(4))]);
    let mut dir = entry("dir", directory());
    dir.meta.mode = 0o2670;
    let inside = scene.dir(&scene.top, "dir");
    scene.target.settle(&scene.top, &dir, &wanted).unwrap();
    assert_eq!(xattr(&scene.at("dir"), "system.posix_acl_access"), Some(acl(5)));
    assert_eq!(xattr(&scene.at("dir"), "system.posix_acl_default"), Some(acl(4)));
    assert_eq!(mode(&scene.at("dir")), 0o2670);
    // What is made there inherits the default ACL, and must not keep it: it lets user 1000 in.
    scene.file(&inside, "plain", b"");
    scene.target.make_node(&inside, &entry("pipe", Node::Fifo), &Xattrs::default()).unwrap();
    scene.dir(&inside, "sub");
    scene.target.settle(&inside, &entry("sub", directory()), &Xattrs::default()).unwrap();
    for name in ["dir/plain", "dir/pipe", "dir/sub"] {
        assert_eq!(xattr(&scene.at(name), "system.posix_acl_access"), None, "{name}");
        assert_eq!(mode(&scene.at(name)), 0o640, "{name}");
    }
    assert_eq!(xattr(&scene.at("dir/sub"), "system.posix_acl_default"), None);
    let access = xattrs(&[("system.posix_acl_access", &acl(0))]);
    let mut file = entry("file", file_of(0));
    file.meta.mode = 0o670;
    scene.target.begin(&inside, &sized(b"file", 0)).unwrap().finish(&file, &access).unwrap();
    assert_eq!(xattr(&scene.at("dir/file"), "system.posix_acl_access"), Some(acl(0)));
    assert_eq!(mode(&scene.at("dir/file")), 0o670);
    assert_eq!(mtime(&scene.at("dir/file")), MTIME);
}

#[test]
fn a_file_whose_attributes_are_malformed_keeps_its_content_and_gives_nobody_more() {
    let scene = Scene::new();
    let mut file = entry("f", file_of(1));
    file.meta.mode = 0o670;
    let broken = xattrs(&[("system.posix_acl_access", b"\x02\0\0\0nonsense"), ("user.fine", b"1")]);
    let making = scene.target.begin(&scene.top, &sized(b"f", 1)).unwrap();
    making.write_at(0, b"x").unwrap();
    let trouble = making.finish(&file, &broken).unwrap_err();
    assert!(trouble.why.contains("ACL"), "{trouble}");
    assert_eq!(fs::read(scene.at("f")).unwrap(), b"x");
    assert_eq!(mode(&scene.at("f")), 0o600);
    assert_eq!(xattr(&scene.at("f"), "user.fine").as_deref(), Some(&b"1"[..]));
}

#[test]
fn numbers_that_no_system_has_are_refused_or_counted() {
    let scene = Scene::new();
    let big = Device { major: u32::MAX, minor: u32::MAX };
    for node in [Node::CharDevice(big), Node::BlockDevice(big)] {
        assert!(scene.target.make_node(&scene.top, &entry("d", node), &Xattrs::default()).is_err());
    }
    let file = owned(entry("f", file_of(0)), 0o6755, u32::MAX, u32::MAX);
    write(&scene.target, &scene.top, &file, b"");
    assert_eq!(mode(&scene.at("f")), 0o755);
    let mut early = entry("early", file_of(0));
    early.meta.mtime = Time { secs: i64::MIN, nanos: u32::MAX };
    write(&scene.target, &scene.top, &early, b"");
    let mut before = entry("before", file_of(0));
    before.meta.mtime = Time { secs: -5, nanos: 999_999_999 };
    write(&scene.target, &scene.top, &before, b"");
    assert_eq!(mtime(&scene.at("before")), before.meta.mtime);
    let expected = "owner and group were not restored for 1 entry: not supported here; it has no set-id bits (f)";
    assert_eq!(scene.target.shortcomings(), [expected]);
    assert!(scene.target.make_node(&scene.top, &entry("l", link_to("a\0b")), &Xattrs::default()).is_err());
    assert!(scene.target.make_node(&scene.top, &entry("l", link_to("")), &Xattrs::default()).is_err());
    assert_eq!(listing(&scene.at("")), ["before", "early", "f"]);
}

#[test]
fn without_privileges_the_rest_is_restored_and_what_is_missing_is_counted() {
    if !is_root() {
        return unprivileged();
    }
    let place = tempfile::tempdir_in("/var/tmp").unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let test = place.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &test).unwrap();
    let name = "metadata::without_privileges_the_rest_is_restored_and_what_is_missing_is_counted";
    let child = Command::new(&test).args(["--exact", name]).uid(NOBODY).gid(NOBODY).current_dir("/").output().unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
}

fn unprivileged() {
    let scene = Scene::new();
    for n in 0..5 {
        let file = owned(entry(&format!("f{n}"), file_of(0)), 0o6755, 0, 0);
        let making = scene.target.begin(&scene.top, &sized(&file.key.name, 0)).unwrap();
        let wanted = xattrs(&[("trusted.x", b"1"), ("security.y", b"1"), ("user.z", b"1")]);
        making.finish(&file, &wanted).unwrap();
        assert_eq!(mode(&scene.at(&format!("f{n}"))), 0o755);
        assert_eq!(xattr(&scene.at(&format!("f{n}")), "user.z").as_deref(), Some(&b"1"[..]));
    }
    let null = entry("null", Node::CharDevice(Device { major: 1, minor: 3 }));
    scene.target.make_node(&scene.top, &null, &Xattrs::default()).unwrap();
    let expected = [
        "1 device was not made: not permitted (null)",
        "owner and group were not restored for 5 entries: not permitted; they have no set-id bits (f0, f1, f2, …)",
        "extended attributes or ACLs were not restored for 5 entries: not permitted (f0, f1, f2, …)",
    ];
    assert_eq!(scene.target.shortcomings(), expected);

    // A read-only tree of one's own is restored over, and removed.
    let locked = scene.dir(&scene.top, "locked");
    let below = scene.dir(&locked, "below");
    scene.file(&below, "f", b"");
    let secret = Entry { meta: Meta { mode: 0, ..entry("f", file_of(0)).meta }, ..entry("f", file_of(0)) };
    scene.target.settle(&below, &secret, &xattrs(&[("user.a", b"1")])).unwrap();
    scene.target.settle(&below, &secret, &xattrs(&[("user.b", b"1")])).unwrap();
    assert_eq!(mode(&scene.at("locked/below/f")), 0);
    scene.target.settle(&locked, &owned_by_me("below", 0), &Xattrs::default()).unwrap();
    scene.target.settle(&scene.top, &owned_by_me("locked", 0o500), &Xattrs::default()).unwrap();
    assert!(scene.target.make_dir(&locked, b"new").is_err());
    scene.target.make_dir(&scene.top, b"locked").unwrap();
    scene.target.make_dir(&locked, b"below").unwrap();
    scene.file(&below, "g", b"");
    scene.target.settle(&locked, &owned_by_me("below", 0), &Xattrs::default()).unwrap();
    scene.target.settle(&scene.top, &owned_by_me("locked", 0o500), &Xattrs::default()).unwrap();
    scene.target.remove(&scene.top, b"locked").unwrap();
    assert!(!scene.at("locked").exists());
}
