//! Parts of a snapshot, and what it does not hold.

use std::fs;

use keepstone::ops::pattern::{Case, Patterns, Selection};
use keepstone::ops::restore::{Deed, RestoreCounters, RestoreOptions};

use super::scene::*;

fn selecting(includes: &[&str], excludes: &[&str]) -> RestoreOptions {
    let parse = |words: &[&str]| vec![Patterns::parse(words.iter().copied(), Case::Sensitive).unwrap()];
    let selection = Selection { includes: parse(includes), excludes: parse(excludes) };
    RestoreOptions { selection, ..RestoreOptions::default() }
}

fn paths(scene: &Scene) -> Vec<String> {
    picture(&scene.at("")).into_iter().map(|(path, _)| path).collect()
}

fn three_by_three() -> Scene {
    let scene = Scene::new();
    for dir in ["a", "b", "c/deep"] {
        for file in ["x.txt", "y.txt", "z.log"] {
            scene.write(&format!("{dir}/{file}"), &noise(file, 1000));
        }
    }
    scene
}

#[test]
fn only_what_is_included_comes_back_and_no_directory_for_nothing() {
    let scene = three_by_three();
    let tree = scene.back_up();
    let told = scene.restore(&tree, &selecting(&["*.log", "/b"], &[]));
    assert!(told.is_clean());
    let RestoreCounters { entries, entries_total, .. } = told.counters;
    assert_eq!((entries.into_inner(), entries_total.into_inner()), (9, 9));
    let expected = ["a", "a/z.log", "b", "b/x.txt", "b/y.txt", "b/z.log", "c", "c/deep", "c/deep/z.log"];
    assert_eq!(paths(&scene), expected);
    fs::remove_dir_all(scene.at("")).unwrap();
    assert!(scene.restore(&tree, &selecting(&["/a/x.txt"], &[])).is_clean());
    assert_eq!(paths(&scene), ["a", "a/x.txt"]);
    // What is only on the way has its metadata, too.
    let before = picture(&scene.source(""));
    assert!(before.contains(&picture(&scene.at(""))[1]));
    assert_eq!(
        fs::metadata(scene.at("a")).unwrap().modified().unwrap(),
        fs::metadata(scene.source("a")).unwrap().modified().unwrap()
    );
}

#[test]
fn what_is_excluded_stays_away() {
    let scene = three_by_three();
    let tree = scene.back_up();
    let told = scene.restore(&tree, &selecting(&[], &["*.txt", "/b"]));
    assert!(told.is_clean());
    assert_eq!(paths(&scene), ["a", "a/z.log", "c", "c/deep", "c/deep/z.log"]);
}

#[test]
fn what_the_snapshot_does_not_hold_is_deleted_in_its_directories_only() {
    let scene = three_by_three();
    let tree = scene.back_up();
    scene.target();
    for stray in ["0", "a/stray/with/more", "a/x", "c/deep/zz", "zz"] {
        fs::create_dir_all(scene.at(stray)).unwrap();
    }
    let told = scene.restore(&tree, &RestoreOptions { delete: true, ..RestoreOptions::default() });
    assert!(told.is_clean());
    assert_eq!(told.done(Deed::Deleted), ["0", "a/stray", "a/x", "c/deep/zz", "zz"]);
    assert_eq!(picture(&scene.source("")), picture(&scene.at("")));
}

#[test]
fn nothing_is_deleted_that_the_selection_does_not_want() {
    let scene = three_by_three();
    let tree = scene.back_up();
    let strays = ["b/stray.txt", "b/stray.log", "stray.log", "d/kept.txt", "d/stray.log"];
    for stray in strays {
        fs::create_dir_all(scene.at(stray).parent().unwrap()).unwrap();
        fs::write(scene.at(stray), b"").unwrap();
    }
    let told = scene.restore(&tree, &RestoreOptions { delete: true, ..selecting(&[], &["*.txt"]) });
    assert!(told.is_clean());
    assert_eq!(told.done(Deed::Deleted), ["b/stray.log", "d/stray.log", "stray.log"]);
    assert!(scene.at("b/stray.txt").exists() && scene.at("d/kept.txt").exists());

    fs::write(scene.at("a/stray.log"), b"").unwrap();
    fs::write(scene.at("b/stray.log"), b"").unwrap();
    let told = scene.restore(&tree, &RestoreOptions { delete: true, ..selecting(&["/a"], &[]) });
    assert_eq!(told.done(Deed::Deleted), ["a/stray.log"]);
    assert!(scene.at("b/stray.log").exists());
}

#[test]
fn a_link_is_restored_by_its_content_when_the_first_name_is_not_wanted() {
    let scene = Scene::new();
    scene.write("a", &noise("shared", 50_000));
    fs::hard_link(scene.source("a"), scene.source("b")).unwrap();
    fs::hard_link(scene.source("a"), scene.source("c")).unwrap();
    let tree = scene.back_up();
    assert!(scene.restore(&tree, &selecting(&[], &["a"])).is_clean());
    assert_eq!(paths(&scene), ["b", "c"]);
    assert_eq!(fs::read(scene.at("c")).unwrap(), noise("shared", 50_000));
}
