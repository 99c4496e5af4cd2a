//! A second repository, and copies of snapshots in it.

use std::fs;

use crate::desk::{Desk, PASSWORD, objects};

const FROM: [(&str, &str); 2] = [("KEEPSTONE_FROM_REPOSITORY", "repository"), ("KEEPSTONE_FROM_PASSWORD", PASSWORD)];

#[test]
fn snapshots_are_copied_into_a_repository_that_takes_after_the_first() {
    let desk = Desk::with_snapshot();
    desk.run_with("-r second init --from", &FROM).succeeds();

    desk.run_with("-r second copy", &FROM).succeeds().says("copied snapshot").says("1 snapshots copied");

    let again = desk.run_with("-r second copy --json", &FROM).succeeds().json();
    assert_eq!((again["copied"].as_array().unwrap().len(), again["already_there"].as_array().unwrap().len()), (0, 1));
    desk.run("-r second check --read-data").succeeds();
    desk.run("-r second restore latest:/source --target restored").succeeds();
    assert_eq!(fs::read(desk.path("restored/large.bin")).unwrap(), fs::read(desk.path("source/large.bin")).unwrap());
    // The target's own backup of the same finds all content there.
    let packs = || objects(&desk.path("second")).into_keys().filter(|name| name.starts_with("packs")).count();
    let before = packs();
    desk.run("-r second backup source --as /source --force").succeeds();
    assert_eq!(packs(), before);
}

#[test]
fn an_independent_repository_is_copied_into_as_well_and_that_is_said() {
    let desk = Desk::with_snapshot();
    desk.run("-r second init").succeeds();
    fs::write(desk.path("password"), PASSWORD).unwrap();

    desk.run("-r second copy --from-repo repository --from-password-file password --tag first")
        .succeeds()
        .complains("does not carry over");

    desk.run("-r second check --read-data").succeeds();
    desk.run("-r second snapshots").succeeds().says("first");
}

#[test]
fn what_is_wrong_with_the_other_repository_is_said() {
    let desk = Desk::with_snapshot();
    desk.run("-r second init").succeeds();
    desk.run("-r second copy").ends(2).complains("--from-repo");
    desk.run("-r third init --from").ends(2).complains("--from-repo");
    let wrong = [FROM[0], ("KEEPSTONE_FROM_PASSWORD", "wrong")];
    desk.run_with("-r second copy", &wrong).ends(12);
    desk.run_with("-r second copy", &[("KEEPSTONE_FROM_REPOSITORY", "nowhere"), FROM[1]]).ends(10);
    desk.run_with("copy", &FROM).ends(1).complains("same repository");
    assert!(!desk.path("third").exists());
}

#[test]
fn a_damaged_snapshot_is_named_and_is_exit_13() {
    let desk = Desk::with_snapshot();
    desk.run("-r second init").succeeds();
    let stored = objects(&desk.repository()).into_keys().filter(|name| name.starts_with("packs"));
    let packs: Vec<_> = stored.map(|name| desk.repository().join(name)).filter(|path| path.is_file()).collect();
    assert!(!packs.is_empty());
    for pack in packs {
        let mut bytes = fs::read(&pack).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&pack, bytes).unwrap();
    }
    fs::remove_dir_all(desk.path("cache")).unwrap();

    desk.run_with("-r second copy", &FROM).ends(13).complains("not copied");

    desk.run("-r second snapshots").succeeds();
    desk.run("-r second check").succeeds();
}
