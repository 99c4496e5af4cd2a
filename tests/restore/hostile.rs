//! Snapshots that were made to do harm.

use std::fs;

use keepstone::format::codec::Bytes;
use keepstone::format::content::{Body, Content};
use keepstone::format::extras::Extras;
use keepstone::format::tree::{Entry, EntryKey, Meta, Node};
use keepstone::ops::restore::RestoreOptions;

use super::scene::*;

fn entry(name: &[u8], node: Node) -> Entry {
    let key = EntryKey { name: Bytes::new(name).unwrap(), discriminator: 0 };
    Entry { key, node, meta: Meta { mode: 0o755, ..Meta::default() }, extras: Extras::default() }
}

fn file(name: &[u8]) -> Entry {
    let body = Body::Inline(Bytes::new(b"evil".to_vec()).unwrap());
    entry(name, Node::File(Content { size: 4, body }))
}

fn link(name: &[u8], target: &[u8]) -> Entry {
    entry(name, Node::Symlink(Bytes::new(target).unwrap()))
}

#[test]
fn no_name_leads_out_of_the_target() {
    let scene = Scene::new();
    let inner = scene.tree(&[file(b".."), file(b"../../escaped"), file(b"good")]);
    let tree = scene.tree(&[
        file(b"."),
        entry(b"..", Node::Directory(inner.clone())),
        file(b"../escaped"),
        file(b"/var/tmp/keepstone-escaped"),
        file(b"a/b"),
        entry(b"dir", Node::Directory(inner)),
        file(b"nul\0"),
    ]);
    let told = scene.restore(&tree, &RestoreOptions::default());
    assert_eq!(told.troubles.len(), 8, "{:?}", told.troubles);
    assert!(told.troubles.iter().all(|trouble| trouble.contains("refused")), "{:?}", told.troubles);
    let paths: Vec<_> = picture(&scene.at("")).into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["dir", "dir/good"]);
    let around: Vec<_> = fs::read_dir(scene.outside("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(around.len(), 2, "{around:?}");
}

#[test]
fn links_in_the_way_are_not_followed() {
    let scene = Scene::new();
    let below = scene.tree(&[file(b"file")]);
    let tree = scene.tree(&[entry(b"dir", Node::Directory(below)), file(b"victim"), link(b"way", b"..")]);
    fs::create_dir(scene.outside("elsewhere")).unwrap();
    fs::write(scene.outside("precious"), b"precious").unwrap();
    scene.target();
    std::os::unix::fs::symlink(scene.outside("elsewhere"), scene.at("dir")).unwrap();
    std::os::unix::fs::symlink(scene.outside("precious"), scene.at("victim")).unwrap();
    let told = scene.restore(&tree, &RestoreOptions { delete: true, ..RestoreOptions::default() });
    assert!(told.is_clean(), "{:?}", told.troubles);
    assert_eq!(fs::read(scene.outside("precious")).unwrap(), b"precious");
    assert!(fs::read_dir(scene.outside("elsewhere")).unwrap().next().is_none());
    assert_eq!(fs::read(scene.at("victim")).unwrap(), b"evil");
}

#[test]
fn another_version_of_a_name_is_refused_and_named() {
    let scene = Scene::new();
    let mut second = file(b"name");
    second.key.discriminator = 1;
    let tree = scene.tree(&[file(b"name"), second]);
    let told = scene.restore(&tree, &RestoreOptions::default());
    assert_eq!(told.troubles, ["name: refused: another version of the same name"]);
    assert_eq!(fs::read(scene.at("name")).unwrap(), b"evil");
}
