//! What goes wrong has its exit code, and says what to do.

use std::fs;

use serde_json::Value;

use crate::desk::{Desk, objects};

#[test]
fn a_wrong_password_is_exit_12() {
    let desk = Desk::with_snapshot();
    desk.run_with("snapshots", &[("KEEPSTONE_PASSWORD", "wrong")]).ends(12).complains("wrong password");
    let ran = desk.run_with("snapshots --json", &[("KEEPSTONE_PASSWORD", "wrong")]).ends(12);
    let error: Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!((&error["message_type"], &error["code"]), (&"exit_error".into(), &12.into()));
    assert_eq!(ran.stdout, "");
}

#[test]
fn no_repository_is_exit_10_and_init_makes_one() {
    let desk = Desk::new();
    for line in ["snapshots", "backup source", "restore latest --target x", "check", "key list", "fingerprint"] {
        desk.run(line).ends(10).complains("keepstone init");
    }
    assert!(!desk.repository().exists());
    desk.run("backup source --init").succeeds().says("saved");
    let before = objects(&desk.repository());
    desk.run("init").ends(1).complains("already holds a repository");
    assert_eq!(objects(&desk.repository()), before);
}

#[test]
fn a_missing_source_beside_a_good_one_is_exit_3() {
    let desk = Desk::new();
    let ran = desk.run("backup source missing --init").ends(3).says("saved").complains("missing");
    assert!(ran.stdout.contains("one item"), "{}", ran.stdout);
    let quiet = desk.run("backup -q source missing").ends(3).complains("missing");
    assert_eq!(quiet.stdout, "");
    desk.run("backup missing").ends(3).complains("no snapshot was made");
    let snapshots = desk.run("snapshots --json").succeeds().json();
    assert_eq!(snapshots.as_array().unwrap().len(), 2);
    assert_eq!(snapshots[0]["state"], "partial");
}

#[test]
fn what_is_not_there_is_exit_1_with_a_way_to_what_is() {
    let desk = Desk::with_snapshot();
    for line in ["ls 00000000", "restore latest~7 --target x", "diff latest~1 latest", "dump 00000000 /x"] {
        desk.run(line).ends(1).complains("keepstone snapshots");
    }
    for line in ["ls latest:/nowhere", "restore latest:/nowhere --target x", "dump latest /nowhere"] {
        desk.run(line).ends(1).complains("nowhere").complains("keepstone ls");
    }
    desk.run("key remove 00000000").ends(1).complains("keepstone key list");
    fs::write(desk.path("file"), "x").unwrap();
    desk.run("restore latest --target file/below").ends(1).complains("file/below");
    assert!(!desk.path("x").exists());
}

#[test]
fn damage_is_exit_13_and_named() {
    let desk = Desk::with_snapshot();
    let packs = objects(&desk.repository());
    let (largest, _) = packs.iter().filter(|(path, _)| path.starts_with("packs")).max_by_key(|(_, len)| **len).unwrap();
    let path = desk.repository().join(largest);
    let mut bytes = fs::read(&path).unwrap();
    for byte in bytes.iter_mut().skip(1000).step_by(10_000) {
        *byte ^= 1;
    }
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();

    let pack = path.file_name().unwrap().to_str().unwrap();
    desk.run("check --read-data").ends(13).says(pack).says("large.bin").says("1 harmed snapshot");
    let found = desk.run("check --read-data --json").ends(13).objects();
    let (summary, findings) = found.split_last().unwrap();
    assert_eq!((&summary["message_type"], &summary["outcome"]), (&"summary".into(), &"damage".into()));
    let findings: Vec<&Value> = findings.iter().filter(|found| found["message_type"] == "error").collect();
    assert!(findings.iter().any(|found| found["path"].as_str().is_some_and(|path| path.ends_with("/large.bin"))));

    desk.run("restore latest --target restored").ends(13).complains("large.bin");
    let restored = desk.path("restored/source");
    assert_eq!(fs::read(restored.join("etc/hosts")).unwrap(), fs::read(desk.path("source/etc/hosts")).unwrap());
    assert!(!restored.join("large.bin").exists(), "a file appears whole or not at all");
    desk.run("dump latest /source/large.bin").ends(13).complains("keepstone check");
}
