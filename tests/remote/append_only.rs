//! Credentials that may list, read and add, by the very policy that the README gives.

use std::collections::BTreeSet;
use std::fs;

use crate::scene::Scene;
use crate::servers::{Kind, Spot, append_only, spot, with_token};
use keepstone::storage::Store;

/// The policy in the README, for the place of a test.
fn policy() -> String {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let blocks = readme.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let policies: Vec<&str> = blocks.filter(|block| block.contains("s3:PutObject")).collect();
    assert_eq!(policies.len(), 1, "the README gives one policy");
    policies[0].replace("backups/app", "bucket/app").replace(":::backups", ":::bucket")
}

fn objects(spot: &Spot) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut add = |listed: keepstone::storage::Listed| {
        names.insert(listed.name.to_string());
        Ok(())
    };
    spot.store().list("", &mut add).unwrap();
    names
}

fn sessions(spot: &Spot) -> Vec<String> {
    objects(spot).into_iter().filter(|name| name.starts_with("sessions/")).collect()
}

/// What a host does every night, and what it may not do; then the owner clears up.
fn adds_and_does_not_destroy(owner: &Spot, host: Spot, takes: &str) {
    let scene = Scene::at(host);
    scene.run("init").succeeds();
    scene.run("backup source --as /source").succeeds();
    fs::write(scene.desk.path("source/new"), "something new").unwrap();
    let ran = scene.run("backup source --as /source").succeeds();
    assert!(!ran.stderr.contains("could not"), "{}", ran.stderr);
    scene.run("check --read-data").succeeds().says("no damage");
    scene.restores();
    let before = objects(owner);

    for line in ["forget --keep-last 1", "forget latest", "forget --keep-last 1 --prune", "prune"] {
        let ran = scene.run(line).ends(1).complains("may not delete").complains(takes);
        let said = ran.stderr.lines().filter(|line| line.starts_with("keepstone: ")).count();
        assert_eq!((said, ran.stderr.matches("denies access").count()), (1, 1), "{line}: {}", ran.stderr);
    }

    assert_eq!(objects(owner), before, "nothing was changed");
    assert!(sessions(owner).iter().any(|name| name.ends_with(".done")), "{before:?}");
    scene.run_at(owner, "forget --keep-last 1 --prune").succeeds();
    assert_eq!(sessions(owner), Vec::<String>::new());
    scene.run("check --read-data").succeeds().says("no damage");
    scene.run("backup source --as /source").succeeds();
    scene.restores();
}

#[test]
fn whoever_may_only_add_to_s3_backs_up_restores_and_checks_and_is_told_what_the_rest_takes() {
    let (_server, owner, host) = append_only(&policy(), "app");
    adds_and_does_not_destroy(&owner, host, "this takes s3:DeleteObject");
}

/// Here not even a lease can be replaced.
#[test]
fn whoever_may_only_add_to_azure_backs_up_restores_and_checks_and_is_told_what_the_rest_takes() {
    let owner = spot(Kind::Azblob);
    let host = with_token(&owner, "rcl");
    adds_and_does_not_destroy(&owner, host, "this takes delete (d)");
}

#[test]
fn whoever_may_only_read_restores_and_is_told_what_a_backup_takes() {
    let reading = policy().replace("\"s3:PutObject\", ", "");
    let (_server, owner, host) = append_only(&reading, "app");
    let scene = Scene::at(owner);
    scene.run("init").succeeds();
    scene.run("backup source --as /source").succeeds();
    scene.restores_from(&host);
    let ran = scene.run_at(&host, "backup source --as /source").ends(1).complains("this takes s3:PutObject");
    assert_eq!(ran.stderr.trim_end().lines().count(), 1, "{}", ran.stderr);
    scene.run_at(&host, "check --read-data").succeeds();
}
