//! Passwords: where they come from, and who can open the repository.

use std::fs;

use crate::desk::{Desk, PASSWORD};

#[test]
fn a_password_comes_from_a_file_a_command_or_the_environment() {
    let desk = Desk::new();
    desk.run("init").succeeds();
    fs::write(desk.path("password"), format!("{PASSWORD}\n")).unwrap();
    let unset = ("KEEPSTONE_PASSWORD", "");
    desk.run_with("snapshots --password-file password", &[unset]).succeeds();
    desk.run_with("snapshots", &[unset, ("KEEPSTONE_PASSWORD_FILE", "password")]).succeeds();
    desk.run_with("snapshots", &[unset, ("KEEPSTONE_PASSWORD_COMMAND", "cat password")]).succeeds();
    let mut command = desk.keepstone();
    command.args(["snapshots", "--password-command", "cat password"]).env_remove("KEEPSTONE_PASSWORD");
    assert!(command.output().unwrap().status.success());
    desk.run_with("snapshots --password-file missing", &[unset]).ends(1).complains("missing");
    desk.run_with("snapshots", &[unset]).ends(1).complains("--password-file");
}

#[test]
fn keys_come_and_go_and_passwords_with_them() {
    let desk = Desk::with_snapshot();
    fs::write(desk.path("second"), "second password").unwrap();
    fs::write(desk.path("third"), "third password").unwrap();
    desk.run("key add --label colleague --new-password-file second").succeeds().says("(colleague)");
    let keys = desk.run("key list --json --password-file second").succeeds().json();
    let keys = keys.as_array().unwrap();
    assert_eq!(keys.len(), 2);
    let current: Vec<_> = keys.iter().filter(|key| key["current"] == true).map(|key| &key["label"]).collect();
    assert_eq!(current, ["colleague"]);
    let first = keys.iter().find(|key| key["current"] == false).unwrap()["id"].as_str().unwrap().to_owned();

    desk.run(&format!("key remove {first}")).ends(1).complains("cannot remove itself");
    desk.run(&format!("key remove --password-file second {}", &first[..10])).succeeds().complains("can still read");
    desk.run("snapshots").ends(12);

    desk.run("key passwd --password-file second --new-password-file third").succeeds();
    desk.run("snapshots --password-file second").ends(12);
    desk.run("snapshots --password-file third").succeeds().says("first");
    desk.run("key list --password-file third").succeeds().says("*").says("colleague");
}

#[test]
fn keys_are_rotated_and_the_epochs_before_are_closed() {
    let desk = Desk::with_snapshot();
    desk.run("key rotate").succeeds().says("epoch 2 begins").complains("Closed epoch 1");
    let rotated = desk.run("key rotate --json").succeeds().json();
    assert_eq!((&rotated["epoch"], &rotated["closed"]), (&3.into(), &serde_json::json!([2])));
    desk.run("key close").succeeds().says("no epoch to close");
    desk.run("backup source --as /source").succeeds();
    desk.run("snapshots").succeeds().says("first");
    desk.run("check --read-data").succeeds();
}
