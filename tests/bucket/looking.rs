//! Looking at snapshots of buckets, and restoring them to directories.

use std::fs;

use crate::desk::tree;
use crate::scene::{ODD_KEYS, Scene, THEN};

#[test]
fn a_slash_divides_directories_in_listings() {
    let scene = Scene::holding(["a", "a-b", "a/", "a/b", "a/c/d", "a/c/e", "z"]);
    scene.back_up().succeeds();
    let listed =
        |line: &str| -> Vec<String> { scene.desk.run(line).succeeds().stdout.lines().map(str::to_owned).collect() };
    assert_eq!(listed("ls latest"), ["/a", "/a-b", "/a", "/z"]);
    assert_eq!(listed("ls latest:a/"), ["/a/", "/a/b", "/a/c"]);
    assert_eq!(listed("ls latest a/c"), ["/a/c/d", "/a/c/e"]);
    assert_eq!(listed("ls latest a"), ["/a"]);
    assert_eq!(listed("ls latest -R a/"), ["/a/", "/a/b", "/a/c/d", "/a/c/e"]);
    scene.desk.run("ls latest nothing").ends(1).complains("there is no object nothing");
    let found = scene.desk.run("find d").succeeds().stdout;
    assert!(found.contains("/a/c/d") && found.lines().count() == 1, "{found}");
    assert!(scene.desk.run("find a/**/e").succeeds().stdout.contains("/a/c/e"));
}

#[test]
fn differences_are_told_by_key() {
    let scene = Scene::holding(["a/1", "a/2", "a/3"]);
    scene.back_up().succeeds();
    scene.bucket.remove("a/1");
    scene.bucket.put("a/2", b"another", THEN + 60);
    scene.bucket.put("a//2", b"new", THEN + 60);
    scene.back_up().succeeds();
    let said = scene.desk.run("diff latest~1 latest").succeeds().stdout;
    for line in ["a/1", "a/2", "a//2"] {
        assert!(said.contains(line), "{said}");
    }
    assert!(!said.contains("a/3"), "{said}");
}

#[test]
fn differences_are_told_below_a_prefix() {
    let scene = Scene::holding(["a/1", "a/2", "b/1", "b", "b2"]);
    scene.back_up().succeeds();
    ["a/1", "b/1"].iter().for_each(|key| scene.bucket.remove(key));
    ["a/3", "b/2", "b", "b2"].iter().for_each(|key| scene.bucket.put(key, b"other", THEN + 60));
    scene.back_up().succeeds();
    let said = scene.desk.run("diff latest~1:b/ latest:b/").succeeds();
    assert_eq!(said.stdout, "-    /b/1\n+    /b/2\n");
    assert!(said.stderr.contains("1 new, 1 removed, 0 changed"), "{}", said.stderr);
    scene.desk.run("diff latest~1:a latest:b/").ends(2).complains("not the same part of a bucket");
}

#[test]
fn an_archive_holds_what_is_a_path() {
    let scene = Scene::holding(["a/b", "a/c", "a//d", "../e"]);
    scene.back_up().succeeds();
    let output = scene.desk.keepstone().args(["dump", "latest"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let mut archive = tar::Archive::new(&output.stdout[..]);
    let names = archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().to_str().unwrap().to_owned());
    assert_eq!(names.collect::<Vec<_>>(), ["a/b", "a/c"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("a//d: refused") && said.contains("../e: refused"), "{said}");
}

#[test]
fn what_a_file_system_can_hold_is_restored_and_the_rest_is_named() {
    let scene = Scene::holding(ODD_KEYS.into_iter().chain(["dir/", "dir/x", "empty/"]));
    scene.bucket.put("dir/", b"", THEN);
    scene.bucket.put("empty/", b"", THEN);
    scene.bucket.put(&format!("long/{}", "n".repeat(256)), b"too long a name", THEN);
    scene.back_up().succeeds();

    let ran = scene.desk.run("restore latest --target out").ends(3);

    let unfit = ["a/", "a//b", "a/b", "/leading", "trailing//", "x/../y", "./dot", "..", "long/nnn"];
    for key in unfit {
        assert!(ran.stderr.contains(&format!("warning: {key}")), "{key}: {}", ran.stderr);
    }
    assert_eq!(ran.stderr.matches("no file system can hold it").count(), unfit.len(), "{}", ran.stderr);
    let restored = tree(&scene.desk.path("out"));
    for key in ODD_KEYS.into_iter().chain(["dir/x"]).filter(|key| !unfit.contains(key)) {
        let (_, content) = &restored[std::path::Path::new(key)];
        assert_eq!(content, key.as_bytes(), "{key:?}");
    }
    assert!(!scene.desk.path("y").exists() && !restored.contains_key(std::path::Path::new("long")));
    let modified = fs::metadata(scene.desk.path("out/dir/x")).unwrap().modified().unwrap();
    assert_eq!(modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(), THEN as u64);
    scene.desk.run("restore latest --target out --delete").ends(1).complains("from a bucket, not from a directory");
}

#[test]
fn a_part_of_a_bucket_is_restored_by_the_rest_of_its_keys() {
    let scene = Scene::holding(["docs/a/1.pdf", "docs/a/2.txt", "docs/b/3.pdf", "other/4.pdf"]);
    scene.back_up().succeeds();
    scene.desk.run("restore latest:docs --target out -i *.pdf").succeeds().says("4 entries");
    let names: Vec<_> = tree(&scene.desk.path("out")).into_keys().collect();
    assert_eq!(names, ["a", "a/1.pdf", "b", "b/3.pdf"].map(std::path::PathBuf::from));
    scene.desk.run("restore latest:docs/a/1.pdf --target one").succeeds();
    assert_eq!(fs::read(scene.desk.path("one/1.pdf")).unwrap(), b"docs/a/1.pdf");
}

#[test]
fn snapshots_of_a_bucket_are_chosen_and_rewritten_by_address_and_key() {
    let scene = Scene::holding(["docs/a", "docs/b", "secret/c", "x//secret/d"]);
    scene.back_up().succeeds();
    scene.desk.run("backup source --as /files").succeeds();
    let listed = scene.desk.run("snapshots --path s3://bucket --json").succeeds().json();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    scene.desk.run("rewrite --forget -e secret --path s3://bucket").succeeds();
    let output = scene.desk.run("ls -R latest --path s3://bucket").succeeds();
    assert_eq!(output.stdout, "/docs/a\n/docs/b\n");
    scene.desk.run("forget --keep-last 1 --prune").succeeds();
    scene.desk.run("check --read-data").succeeds();
}
