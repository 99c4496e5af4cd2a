//! Real processes, really interrupted: how they end, what they say, and what the next one need not do again.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::desk::Desk;

/// Long enough for any of these to end, and no measure of how long they should take.
const LONG: Duration = Duration::from_secs(60);

fn start(desk: &Desk, line: &[&str]) -> Child {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("keepstone"));
    command.args(line).env_clear().current_dir(desk.path(".")).envs(desk.variables());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(child.id() as i32).unwrap(), signal).unwrap();
}

fn wait(child: &mut Child) -> ExitStatus {
    let begun = Instant::now();
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return status,
            None if begun.elapsed() > LONG => {
                child.kill().unwrap();
                panic!("it does not end");
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Waits until something is so.
fn until(mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LONG, "it does not come to that");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn has_objects(desk: &Desk, dir: &str) -> bool {
    fs::read_dir(desk.repository().join(dir)).is_ok_and(|mut entries| entries.next().is_some())
}

/// Bytes that neither compress nor repeat.
fn noise(path: &Path, len: u64) {
    let mut reader = blake3::Hasher::new().update(b"noise").finalize_xof();
    let mut file = fs::File::create(path).unwrap();
    let mut buffer = vec![0; 1 << 20];
    for _ in 0..len >> 20 {
        reader.fill(&mut buffer);
        file.write_all(&buffer).unwrap();
    }
}

#[test]
fn an_interrupted_backup_ends_with_130_and_the_next_one_goes_on() {
    let desk = Desk::new();
    desk.run("init --pack-size 4MiB").succeeds();
    let len = 200 << 20;
    noise(&desk.path("source/noise"), len);
    let mut child = start(&desk, &["backup", "source", "--as", "/source"]);
    until(|| has_objects(&desk, "packs"));

    signal(&child, Signal::INT);
    let status = wait(&mut child);

    let mut words = String::new();
    child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
    assert_eq!(status.code(), Some(130), "{words}");
    assert!(words.contains("no snapshot was made") && words.contains("are kept"), "{words}");
    assert_eq!(desk.run("snapshots --json").succeeds().stdout, "[]\n");
    desk.run("check").succeeds();

    let summary = desk.run("backup source --as /source --json").succeeds().summary();
    let read = summary["bytes_read"].as_u64().unwrap();
    assert!(read < len, "{read} bytes were read again");
    desk.run("restore latest:/source --target restored").succeeds();
    assert!(fs::read(desk.path("source/noise")).unwrap() == fs::read(desk.path("restored/noise")).unwrap());
    desk.run("check --read-data").succeeds();
    assert_eq!(fs::read_dir(desk.repository().join("snapshots")).unwrap().count(), 1, "the checkpoint is gone");
}

#[test]
fn a_killed_backup_harms_nothing() {
    let desk = Desk::new();
    desk.run("init --pack-size 4MiB").succeeds();
    noise(&desk.path("source/noise"), 100 << 20);
    let mut child = start(&desk, &["backup", "source", "--as", "/source"]);
    until(|| has_objects(&desk, "packs"));

    signal(&child, Signal::KILL);
    wait(&mut child);

    assert_eq!(desk.run("snapshots --json").succeeds().stdout, "[]\n");
    desk.run("backup source --as /source").succeeds();
    desk.run("restore latest:/source --target restored").succeeds();
    assert!(fs::read(desk.path("source/noise")).unwrap() == fs::read(desk.path("restored/noise")).unwrap());
    desk.run("check --read-data").succeeds();
}

#[test]
fn a_backup_of_a_silent_stream_ends_when_it_is_asked_to() {
    for of in ["stdin", "command"] {
        let desk = Desk::new();
        desk.run("init").succeeds();
        let line: &[&str] = match of {
            "stdin" => &["backup", "--stdin", "--stdin-filename", "dump"],
            _ => &["backup", "--stdin-from-command", "--", "sleep", "1000"],
        };
        let mut child = start(&desk, line);
        // It holds its standard input open and says nothing.
        let stdin = child.stdin.take();
        until(|| has_objects(&desk, "sessions"));

        signal(&child, Signal::TERM);

        assert_eq!(wait(&mut child).code(), Some(130), "{of}");
        drop(stdin);
        assert!(!has_objects(&desk, "sessions"), "{of}: its announcement is withdrawn");
    }
}

#[test]
fn a_dump_ends_with_130_when_it_is_interrupted() {
    let desk = Desk::new();
    noise(&desk.path("source/noise"), 64 << 20);
    desk.run("init").succeeds();
    desk.run("backup source --as /source").succeeds();
    let mut child = start(&desk, &["dump", "latest", "/source/noise"]);
    let mut stdout = child.stdout.take().unwrap();
    // It has begun, and cannot end before somebody reads on.
    stdout.read_exact(&mut [0; 1]).unwrap();

    signal(&child, Signal::INT);
    std::io::copy(&mut stdout, &mut std::io::sink()).unwrap();

    assert_eq!(wait(&mut child).code(), Some(130));
}
