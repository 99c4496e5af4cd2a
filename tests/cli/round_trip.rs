//! From `init` to the same files elsewhere, and what can be seen on the way.

use std::fs;

use crate::desk::{Desk, objects, tree};

#[test]
fn what_is_backed_up_comes_back() {
    let desk = Desk::new();
    desk.run("init").succeeds().complains("backup PATH");
    desk.run("backup source --tag nightly,web").succeeds().says("3 new").says("saved");
    desk.run("snapshots").succeeds().says("nightly,web").says("desk").complains("1 snapshot");
    let top = desk.path("source").display().to_string();
    desk.run(&format!("ls latest:{top}")).succeeds().says(&format!("{top}/large.bin\n"));
    desk.run(&format!("ls -l latest:{top}/etc hosts")).succeeds().says("-rw-r-----").says("20 B");
    desk.run(&format!("restore latest:{top} --target restored --verify")).succeeds().says("restored into restored");
    assert_eq!(tree(&desk.path("source")), tree(&desk.path("restored")));
    let dumped = desk.keepstone().args(["dump", &format!("latest:{top}"), "large.bin"]).output().unwrap();
    assert!(dumped.status.success() && dumped.stdout == fs::read(desk.path("source/large.bin")).unwrap());
    desk.run("check --read-data").succeeds().says("no damage found\n");
}

#[test]
fn a_second_backup_stores_what_changed_and_diff_names_it() {
    let desk = Desk::with_snapshot();
    fs::write(desk.path("source/etc/hosts"), "127.0.0.1 localhost desk\n").unwrap();
    fs::remove_file(desk.path("source/etc/link")).unwrap();
    fs::create_dir(desk.path("source/new")).unwrap();
    let summary = desk.run("backup source --as /source --json").succeeds().summary();
    assert_eq!((&summary["files_changed"], &summary["files_unmodified"]), (&1.into(), &2.into()), "{summary}");
    assert!(summary["data_added"].as_u64().unwrap() < 10_000, "{summary}");
    let diff = desk.run("diff latest~1 latest").succeeds();
    assert_eq!(diff.stdout, "M    /source/etc/hosts\n-    /source/etc/link\n+    /source/new/\n");
    assert_eq!(desk.run("diff latest~1:/source/etc latest:/source/etc").succeeds().stdout, "M    /hosts\n-    /link\n");
    desk.run("find hosts").succeeds().says("/etc/hosts");
    let found = desk.run("find HOSTS -i --json").succeeds().objects();
    assert_eq!(found.len(), 2);
    assert_eq!((&found[0]["message_type"], &found[0]["size"]), (&"match".into(), &20.into()), "{}", found[0]);
}

#[test]
fn a_restore_in_place_touches_only_what_differs_and_deletes_only_when_told() {
    let desk = Desk::with_snapshot();
    let before = tree(&desk.path("source"));
    fs::write(desk.path("source/etc/hosts"), "garbled").unwrap();
    fs::write(desk.path("source/stray"), "stray").unwrap();
    let restore = "restore latest:/source --target source";
    desk.run(&format!("{restore} --delete --dry-run"))
        .succeeds()
        .says("would be deleted stray\n")
        .says("would be updated etc/hosts\n")
        .says("nothing was written");
    let summary = desk.run(&format!("{restore} --json")).succeeds().summary();
    assert_eq!((&summary["files_unchanged"], &summary["bytes_fetched"]), (&2.into(), &0.into()), "{summary}");
    assert!(desk.path("source/stray").exists());
    desk.run(&format!("{restore} --delete")).succeeds();
    assert_eq!(tree(&desk.path("source")), before);
}

#[test]
fn a_dry_run_writes_nothing() {
    let desk = Desk::with_snapshot();
    fs::write(desk.path("source/more"), vec![7; 100_000]).unwrap();
    let before = objects(&desk.repository());
    desk.run("backup source --as /source --dry-run").succeeds().says("1 new").says("dry run: nothing was written");
    assert_eq!(objects(&desk.repository()), before);
    desk.run("restore latest --target elsewhere --dry-run").succeeds().says("would be restored");
    assert!(!desk.path("elsewhere").exists());
}

#[test]
fn unchanged_files_need_no_snapshot() {
    let desk = Desk::with_snapshot();
    desk.run("backup source --as /source --skip-if-unchanged").succeeds().says("nothing changed: no snapshot was made");
    assert_eq!(desk.run("snapshots --json").succeeds().json().as_array().unwrap().len(), 1);
    fs::write(desk.path("source/more"), "more").unwrap();
    desk.run("backup source --as /source --skip-if-unchanged").succeeds().says("saved");
}

#[test]
fn a_parent_can_be_named() {
    let desk = Desk::with_snapshot();
    let first = desk.run("snapshots --json").succeeds().json()[0]["id"].as_str().unwrap().to_owned();
    let summary = desk.run(&format!("backup source/etc --parent {} --json", &first[..12])).succeeds().summary();
    assert_eq!(summary["parent"].as_str(), Some(&*first));
    desk.run("backup source --parent 00000000").ends(1).complains("keepstone snapshots");
}
