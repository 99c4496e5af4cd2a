//! `tag` and `rewrite` as a user drives them.

use std::fs;

use crate::desk::{Desk, tree};

fn snapshots(desk: &Desk) -> Vec<serde_json::Value> {
    desk.run("snapshots --json").succeeds().json().as_array().unwrap().clone()
}

fn tags(desk: &Desk) -> Vec<String> {
    let mut tags: Vec<String> = snapshots(desk).iter().map(|it| it["tags"].to_string()).collect();
    // A rewritten snapshot is of the same time as its original.
    tags.sort();
    tags
}

#[test]
fn tags_are_added_removed_and_set() {
    let desk = Desk::with_snapshot();
    desk.run("backup source --as /source --tag second").succeeds();
    desk.run("tag --tag first --add keep,db --remove first").succeeds().says("is now").says("changed 1 snapshot;");
    assert_eq!(tags(&desk), [r#"["db","keep"]"#, r#"["second"]"#]);
    let changed = desk.run("tag --json --set only latest").succeeds().objects();
    assert_eq!((&changed[0]["message_type"], &changed[1]["changed_snapshots"]), (&"changed".into(), &1.into()));
    assert_eq!(changed[0]["new_snapshot_id"], snapshots(&desk)[1]["id"]);
    desk.run("tag --set only latest").succeeds().says("changed 0 snapshots; nothing to change in 1");
    desk.run("tag -q --set=").succeeds();
    assert_eq!(tags(&desk), ["[]", "[]"]);
    desk.run("tag latest").ends(2);
    desk.run("tag --add x 00000000").ends(1).complains("keepstone snapshots");
    desk.run("check").succeeds();
    desk.run("restore latest:/source --target restored").succeeds();
    assert_eq!(tree(&desk.path("source")), tree(&desk.path("restored")));
}

#[test]
fn paths_are_taken_out_of_history() {
    let desk = Desk::with_snapshot();
    let before = snapshots(&desk);
    let rewrite = "rewrite --exclude /source/large.bin --iexclude HOSTS";
    let dry = desk.run(&format!("{rewrite} -n")).succeeds();
    dry.says("-    /source/etc/hosts\n-    /source/large.bin\n").says("would change 1 snapshot;");
    assert_eq!(snapshots(&desk), before);

    desk.run(rewrite).succeeds().says("with 2 entries (2.8 MiB) less");
    assert_eq!(tags(&desk), [r#"["first","rewrite"]"#, r#"["first"]"#]);
    desk.run(&format!("{rewrite} --forget --tag first")).succeeds().says("changed 1 snapshot; nothing to change in 1");
    let after = snapshots(&desk);
    assert_eq!(after.len(), 2);
    for snapshot in after {
        assert_eq!((&snapshot["summary"]["total_files_processed"], &snapshot["time"]), (&1.into(), &before[0]["time"]));
    }

    desk.run("restore latest:/source --target restored").succeeds();
    fs::remove_file(desk.path("source/large.bin")).unwrap();
    fs::remove_file(desk.path("source/etc/hosts")).unwrap();
    assert_eq!(tree(&desk.path("source")), tree(&desk.path("restored")));
    desk.run("check --read-data").succeeds();
    desk.run("rewrite -e /source --forget").ends(3).complains("nothing would be left of it");
    desk.run("rewrite -e nothing").succeeds().says("changed 0 snapshots; nothing to change in 2");
    desk.run("rewrite --forget").ends(2);
}

#[test]
fn a_damaged_snapshot_is_named_and_the_others_are_replaced() {
    let desk = Desk::with_snapshot();
    desk.run("backup source --as /source --tag second").succeeds();
    let damaged = snapshots(&desk)[0]["id"].as_str().unwrap().to_owned();
    let path = desk.repository().join("snapshots").join(&damaged);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "damaged").unwrap();
    desk.run("tag --add x").ends(13).complains(&damaged[..8]).says("changed 1 snapshot;");
    assert_eq!(fs::read(&path).unwrap(), b"damaged");
}
