//! Streams: what a command prints, or what comes from standard input.

use crate::desk::{Desk, Ran};

#[test]
fn a_stream_comes_back_as_it_came() {
    let desk = Desk::new();
    let mut backup = desk.keepstone();
    backup.args(["backup", "--init", "--stdin", "--stdin-filename", "app.sql"]).write_stdin("create table;\n");
    Ran::of("backup --stdin", backup.output().unwrap()).succeeds().says("saved");
    let dumped = desk.run("dump latest app.sql").succeeds();
    assert_eq!(dumped.stdout, "create table;\n");
    desk.run("backup --stdin-from-command -- printf %s%s one two").succeeds().says("saved");
    assert_eq!(desk.run("dump latest stdin").succeeds().stdout, "onetwo");
}

#[test]
fn a_command_that_fails_leaves_no_snapshot() {
    let desk = Desk::new();
    desk.run("init").succeeds();
    desk.run("backup --stdin-from-command -- false").ends(1).complains("no snapshot was made");
    let mut backup = desk.keepstone();
    backup.args(["backup", "--stdin-from-command", "--", "sh", "-c", "echo half; echo disk on fire >&2; exit 7"]);
    Ran::of("backup", backup.output().unwrap()).ends(1).complains("disk on fire").complains("7");
    assert_eq!(desk.run("snapshots --json").succeeds().stdout, "[]\n");
}
