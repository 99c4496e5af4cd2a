//! Buckets given back, to moto and to Ceph's RGW, which boto3 fills and looks at.

use serde_json::Value;

use crate::desk::{Desk, Ran};
use crate::scene::interrupted;
use crate::servers::{Kind, Spot, s3_client, spot};

struct Scene {
    desk: Desk,
    source: Spot,
    target: Spot,
}

impl Scene {
    /// A desk with a snapshot of a bucket that boto3 has filled, and an empty place beside it.
    fn at(kind: Kind) -> Self {
        let (desk, source, target) = (Desk::new(), spot(kind), spot(kind));
        desk.run("init").succeeds();
        s3_client(&source, "fill");
        let scene = Scene { desk, source, target };
        scene.run(&["backup", &scene.source.address.clone()]).succeeds();
        scene
    }

    fn run(&self, words: &[&str]) -> Ran {
        let mut command = self.desk.keepstone();
        command.args(words).envs(self.source.variables.iter().map(|(name, value)| (name, value)));
        Ran::of(&words.join(" "), command.output().unwrap())
    }

    /// The snapshot's objects, without the prefix that they were found below.
    fn restore(&self, words: &[&str]) -> Ran {
        let prefix = self.source.address.rsplit_once("bucket/").unwrap().1;
        let from = format!("latest:{prefix}");
        self.run(&[&["restore", &*from, "--target", &*self.target.address], words].concat())
    }

    /// Uploads in parts that were begun and not ended at the target.
    fn uploads(&self) -> Value {
        serde_json::from_str(&s3_client(&self.target, "uploads")).unwrap()
    }

    /// Keys, contents, headers, metadata and tags.
    fn described(&self, spot: &Spot) -> Value {
        serde_json::from_str(&s3_client(spot, "describe")).unwrap()
    }
}

fn comes_back(kind: Kind) {
    let scene = Scene::at(kind);
    scene.restore(&[]).succeeds();
    let (before, after) = (scene.described(&scene.source), scene.described(&scene.target));
    assert!(before.as_object().unwrap().len() > 20);
    assert_eq!(before, after);

    let again = scene.restore(&["--json"]).succeeds().summary();
    assert_eq!((&again["files_restored"], &again["bytes_fetched"]), (&0.into(), &0.into()));
    scene.restore(&["--verify"]).succeeds();
}

fn is_made_right(kind: Kind) {
    let scene = Scene::at(kind);
    scene.restore(&[]).succeeds();
    s3_client(&scene.target, "spoil");
    let (before, spoilt) = (scene.described(&scene.source), scene.described(&scene.target));
    assert_ne!(before, spoilt);

    scene
        .restore(&["--delete", "--dry-run"])
        .succeeds()
        .says("would be deleted stray")
        .says("would be updated changed");
    assert_eq!(scene.described(&scene.target), spoilt);

    scene.restore(&["--overwrite", "never"]).succeeds();
    scene.restore(&[]).succeeds();
    let mut with_stray = scene.described(&scene.target);
    assert!(with_stray.as_object_mut().unwrap().remove("stray").is_some());
    assert_eq!(with_stray, before);

    scene.restore(&["--delete"]).succeeds().says("deleted:   1");
    assert_eq!(scene.described(&scene.target), before);
}

#[test]
fn every_object_comes_back_with_all_that_is_said_of_it() {
    comes_back(Kind::S3);
}

#[test]
fn every_object_comes_back_to_ceph() {
    comes_back(Kind::Ceph);
}

#[test]
fn what_is_not_right_is_made_right_and_what_is_too_much_goes_only_if_asked() {
    is_made_right(Kind::S3);
}

#[test]
fn what_is_not_right_in_ceph_is_made_right() {
    is_made_right(Kind::Ceph);
}

#[test]
fn an_interrupted_restore_leaves_no_parts_behind() {
    let scene = Scene::at(Kind::S3);
    std::fs::write(scene.desk.path("source/large"), vec![7; 64 << 20]).unwrap();
    scene.run(&["backup", "source/large"]).succeeds();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_keepstone"));
    command.args(["restore", "latest", "--target", &scene.target.address, "--limit-upload", "4000"]);
    command.envs(scene.desk.variables());
    command.envs(scene.source.variables.iter().map(|(name, value)| (name, value)));
    let child = command.spawn().unwrap();
    let begun = std::time::Instant::now();
    while scene.uploads().as_array().unwrap().is_empty() {
        assert!(begun.elapsed().as_secs() < 60, "no upload was begun");
    }

    assert_eq!(interrupted(child), Some(130));

    assert_eq!(scene.uploads(), serde_json::json!([]));
}

#[test]
fn only_what_is_wanted_is_given_back() {
    let scene = Scene::at(Kind::S3);
    scene.restore(&["-i", "docs", "-e", "*7.txt"]).succeeds();
    let there = scene.described(&scene.target);
    let keys: Vec<&String> = there.as_object().unwrap().keys().collect();
    assert!(!keys.is_empty() && keys.iter().all(|key| key.starts_with("docs/") && !key.ends_with("7.txt")), "{keys:?}");
}

#[test]
fn files_are_given_to_a_bucket_as_objects() {
    let scene = Scene::at(Kind::S3);
    std::fs::write(scene.desk.path("source/large"), vec![7; 30 << 20]).unwrap();
    scene.run(&["backup", "source", "--as", "/files"]).succeeds();
    let ran = scene.run(&["restore", "latest:/files", "--target", &scene.target.address]).ends(3);
    assert!(ran.stderr.contains("a bucket holds no links"), "{}", ran.stderr);
    let there = scene.described(&scene.target);
    let keys: Vec<&String> = there.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["etc/hosts", "large", "large.bin", "späte Änderung"]);
    assert_eq!(there["large"]["size"], 30 << 20);
}

#[test]
fn a_target_that_is_not_there_is_one_clear_line() {
    let scene = Scene::at(Kind::S3);
    let ran = scene.run(&["restore", "latest", "--target", "s3://no-such-bucket"]).ends(1);
    assert!(ran.stderr.contains("no such bucket") && ran.stderr.lines().count() <= 2, "{}", ran.stderr);
}
