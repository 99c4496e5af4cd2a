//! Output for programs, the environment, and the cache.

use std::fs;

use crate::desk::Desk;

#[test]
fn with_json_every_command_prints_json() {
    let desk = Desk::new();
    assert_eq!(desk.run("init --json").succeeds().json()["message_type"], "initialized");
    let backup = desk.run("backup --json source --tag a").succeeds().summary();
    assert_eq!((&backup["message_type"], &backup["total_files_processed"]), (&"summary".into(), &3.into()));
    let id = backup["snapshot_id"].as_str().unwrap().to_owned();

    let snapshot = &desk.run("snapshots --json --tag a --host desk").succeeds().json()[0];
    assert_eq!((snapshot["id"].as_str(), &snapshot["hostname"]), (Some(&*id), &"desk".into()));
    assert_eq!(desk.run("snapshots --json --tag b").succeeds().json(), serde_json::json!([]));
    assert_eq!(desk.run("snapshots --json --latest 1").succeeds().json().as_array().unwrap().len(), 1);

    let nodes = desk.run("ls --json -R latest").succeeds().objects();
    assert_eq!(nodes[0]["message_type"], "snapshot");
    let link = nodes.iter().find(|node| node["name"] == "link").unwrap();
    assert_eq!((&link["type"], &link["linktarget"]), (&"symlink".into(), &"hosts".into()), "{link}");

    let documents = [
        ("diff --json latest latest", "statistics"),
        ("stats --json", "stats"),
        ("stats --json --mode raw-data", "stats"),
        ("check --json", "summary"),
        ("restore --json latest --target restored", "summary"),
        ("fingerprint --json", "fingerprint"),
        ("version --json", "version"),
    ];
    for (line, message_type) in documents {
        assert_eq!(desk.run(line).succeeds().summary()["message_type"], message_type, "{line}");
    }
    for line in ["cat config", "cat keyring", "cat snapshot latest", "cat tree latest", "key list", "cache list"] {
        desk.run(&format!("{line} --json")).succeeds().json();
    }
}

#[test]
fn quiet_leaves_only_results() {
    let desk = Desk::new();
    for line in ["init -q", "backup -q source", "restore -q latest --target restored"] {
        let ran = desk.run(line).succeeds();
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""), "{line}");
    }
    let ran = desk.run("check -q").succeeds();
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("no damage found\n", ""));
}

#[test]
fn a_bad_variable_stops_a_backup_before_it_begins() {
    let desk = Desk::new();
    for (name, value) in [
        ("KEEPSTONE_COMPRESSION", "zip"),
        ("KEEPSTONE_PACK_SIZE", "1"),
        ("KEEPSTONE_PROGRESS_FPS", "fast"),
        ("KEEPSTONE_LOG", "loud"),
    ] {
        desk.run_with("backup --init source", &[(name, value)]).ends(2).complains(name);
    }
    assert!(!desk.repository().exists());
}

#[test]
fn a_fingerprint_changes_with_the_repository_and_not_without() {
    let desk = Desk::with_snapshot();
    let first = desk.run("fingerprint").succeeds().stdout;
    assert_eq!(first.lines().count(), 3);
    desk.run("backup source --as /source --skip-if-unchanged").succeeds();
    assert_eq!(desk.run("fingerprint --no-cache").succeeds().stdout, first);
    desk.run("backup source").succeeds();
    assert_ne!(desk.run("fingerprint").succeeds().stdout, first);
}

#[test]
fn a_cache_can_go_at_any_time() {
    let desk = Desk::with_snapshot();
    let listed = desk.run("cache list --json").succeeds().json();
    let cache = listed[0]["path"].as_str().unwrap().to_owned();
    desk.run("cache prune-old --max-age 1").succeeds().complains("nothing to remove");
    assert!(fs::exists(&cache).unwrap());
    desk.run_with("cache clear", &[("KEEPSTONE_REPOSITORY", "")]).succeeds().says(&cache);
    assert!(!fs::exists(&cache).unwrap());
    let pins = || fs::read_dir(desk.path("cache/pins")).unwrap().count();
    assert_eq!(pins(), 1, "what this machine has seen of a place outlives the cache");
    desk.run("snapshots").succeeds().says("first");
    desk.run("cache clear").succeeds();
    assert_eq!(pins(), 0);
    desk.run("snapshots").succeeds().says("first");
}
