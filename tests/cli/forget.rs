//! `forget` as a user drives it: what the table says, what is left, and what is refused.

use std::fs;
use std::process::Command as Process;

use serde_json::Value;

use crate::desk::{Desk, Ran, objects};

/// A desk with a snapshot at noon of each of four days, the newest day with a second one.
fn desk() -> Desk {
    let desk = Desk::new();
    desk.run("init").succeeds();
    for (day, tag) in [("01", "old"), ("02", "nightly"), ("03", "nightly"), ("04", "nightly"), ("04", "late")] {
        let hour = if tag == "late" { 18 } else { 12 };
        desk.run(&format!("backup source --as /source --tag {tag} --time 2026-05-{day}T{hour}:00:00Z")).succeeds();
    }
    desk
}

fn tags_left(desk: &Desk) -> Vec<String> {
    let listed = desk.run("snapshots --json").succeeds().json();
    listed.as_array().unwrap().iter().map(|it| it["tags"][0].as_str().unwrap().to_owned()).collect()
}

fn ids(desk: &Desk) -> Vec<String> {
    let listed = desk.run("snapshots --json").succeeds().json();
    listed.as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_table_says_of_every_snapshot_why_it_stays_or_goes() {
    let desk = desk();
    let policy = "forget -d 2 --keep-tag old";
    let dry = desk.run(&format!("{policy} -n")).succeeds();
    assert_eq!(tags_left(&desk).len(), 5, "a dry run removes nothing");
    let wet = desk.run(policy).succeeds().complains("keep 2 daily, all with tags old");
    assert_eq!(tags_left(&desk), ["old", "nightly", "late"]);

    let whys = |ran: &Ran| -> Vec<String> {
        let lines = ran.stdout.lines().filter(|line| line.contains("2026-05-0"));
        lines.map(|line| line[line.find(" keep ").or(line.find(" remove ")).unwrap()..].trim().to_owned()).collect()
    };
    let expected = [
        "keep    has tags old",
        "remove  no rule keeps it",
        "keep    daily",
        "remove  no rule keeps it",
        "keep    daily",
    ];
    assert_eq!(whys(&wet), expected);
    assert_eq!(whys(&dry), expected);
    dry.says("host desk, path /source: 3 to keep, 2 to remove").says("would remove 2 snapshots and keep 3 snapshots");
    wet.says("removed 2 snapshots, kept 3 snapshots");
    desk.run("check").succeeds();
    desk.run(policy).succeeds().says("removed 0 snapshots");
}

#[test]
fn programs_get_a_document_with_restics_names() {
    let desk = desk();
    let groups = desk.run("forget --json -n --keep-last 1 --keep-yearly 1").succeeds().json();
    let group = &groups[0];
    assert_eq!((groups.as_array().unwrap().len(), &group["host"]), (1, &"desk".into()));
    assert_eq!((&group["paths"], &group["tags"]), (&serde_json::json!(["/source"]), &Value::Null));
    let count = |part: &str| group[part].as_array().unwrap().len();
    assert_eq!((count("keep"), count("remove"), count("reasons")), (1, 4, 1));
    assert_eq!(group["reasons"][0]["matches"], serde_json::json!(["last snapshot", "yearly snapshot"]));
    assert_eq!(group["reasons"][0]["snapshot"]["tags"], serde_json::json!(["late"]));
    let quiet = desk.run("forget -q --keep-last 1").succeeds();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    assert_eq!(tags_left(&desk), ["late"]);
}

#[test]
fn snapshots_that_are_named_go_and_no_others() {
    let desk = desk();
    let ids = ids(&desk);
    desk.run(&format!("forget -n latest {}", &ids[0][..12]))
        .succeeds()
        .says(&format!("would remove snapshot {}", &ids[0][..8]));
    let removed = desk.run(&format!("forget --json latest {}", &ids[0][..12])).succeeds().json();
    assert_eq!((&removed["message_type"], removed["removed"].as_array().unwrap().len()), (&"forgotten".into(), 2));
    assert_eq!(tags_left(&desk), ["nightly", "nightly", "nightly"]);
    desk.run("forget 00000000").ends(1).complains("keepstone snapshots");
    desk.run("forget --tag nightly --unsafe-allow-remove-all").succeeds();
    assert_eq!(tags_left(&desk), Vec::<String>::new());
    desk.run("check").succeeds();
}

#[test]
fn what_is_more_likely_a_mistake_is_refused_and_removes_nothing() {
    let desk = desk();
    desk.run("forget").ends(2).complains("no policy was given");
    desk.run("forget --keep-last 0 --keep-within 0d").ends(2).complains("no policy was given");
    desk.run("forget --unsafe-allow-remove-all").ends(2).complains("--tag");
    desk.run("forget latest --keep-last 1").ends(2).complains("exclude each other");
    desk.run("forget --keep-tag mistyped").ends(1).complains("keeps no snapshot of host desk, path /source");
    desk.run("forget --keep-daily -1").ends(2);
    assert_eq!(tags_left(&desk).len(), 5);
    desk.run("forget --keep-tag mistyped --unsafe-allow-remove-all").succeeds().says("newest complete snapshot");
    assert_eq!(tags_left(&desk), ["late"]);
}

#[test]
fn a_damaged_snapshot_is_named_and_left_alone_until_it_is_named_to_go() {
    let desk = desk();
    let ids = ids(&desk);
    let damaged = desk.repository().join("snapshots").join(&ids[1]);
    fs::remove_file(&damaged).unwrap();
    fs::write(&damaged, "damaged").unwrap();
    // Without the copies of snapshots that the cache holds.
    desk.run("forget --keep-last 1 --no-cache").ends(13).complains(&ids[1][..8]).says("removed 3 snapshots");
    assert!(damaged.exists());
    desk.run(&format!("forget {}", ids[1])).succeeds();
    assert!(!damaged.exists());
    desk.run("check").succeeds();
}

#[test]
fn one_that_cannot_be_removed_is_named_and_exit_3() {
    let desk = desk();
    let command = desk.keepstone();
    let mut strace = Process::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=unlinkat", "-e", "inject=unlinkat:error=EIO:when=1"]);
    strace.arg(command.get_program()).args(["forget", "--keep-last", "1"]);
    strace.current_dir(desk.path("")).env_clear();
    strace.envs(command.get_envs().map(|(name, value)| (name, value.unwrap_or_default())));
    // Injected is the first removal of each thread.
    strace.env("RAYON_NUM_THREADS", "1");
    let ran = Ran::of("forget under strace", strace.output().unwrap()).ends(3);
    ran.complains("could not be removed").says("removed 3 snapshots, kept 1 snapshot; 1 could not be removed");
    assert_eq!(tags_left(&desk).len(), 2);
    desk.run("check").succeeds();
}

#[test]
fn forgetting_and_pruning_in_one_go_gives_back_the_room() {
    let desk = Desk::with_snapshot();
    fs::write(desk.path("source/large.bin"), "small now").unwrap();
    desk.run("backup source --as /source").succeeds();
    let used = || objects(&desk.repository()).values().sum::<u64>();
    let before = used();
    let dry = desk.run("forget --keep-last 1 --prune --max-unused 0 -n").succeeds();
    dry.says("would remove 1 snapshot ").says("remove: nothing in it is needed").says("would free");
    assert_eq!(used(), before);
    let would = desk.run("forget --json --keep-last 1 --prune --max-unused 0 -n").succeeds().objects().pop().unwrap();
    assert_eq!((&would["dry_run"], &would["snapshots"]), (&true.into(), &1.into()));
    assert!(would["packs_to_remove"].as_u64() > Some(0), "{would}");
    let alone = desk.run("prune --json --max-unused 0 -n").succeeds().objects().pop().unwrap();
    assert_eq!(alone["packs_to_remove"], 0, "as long as it is there, all of it is needed");
    desk.run("forget --keep-last 1 --prune --max-unused 0").succeeds().says("removed 1 snapshot, kept 1 snapshot");
    assert!(used() + 200_000 < before, "{} of {before}", used());
    desk.run("check --read-data").succeeds();
    desk.run("restore latest:/source --target restored").succeeds();
}
