//! A writer that is stopped for longer than its lease.

use std::io::Write;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::house::*;

fn signal(child: &std::process::Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(sent.success(), "kill -{name}");
}

/// Stopped at many moments: it fails and says so, or all that it relies on is there.
#[test]
fn a_backup_that_is_stopped_past_its_lease_fails_loudly_or_is_whole() {
    let house = House::new(None);
    let (mut failed, mut stopped) = (0, 0);
    for round in 0..10u64 {
        // What others forget is what the stopped one relies on.
        let kept = content((10 * round)..(10 * round + 8), 400_000);
        let before = house.note(&house.ends(&mut house.backup("before", &kept), &[0]), &kept).expect("it was saved");
        house.promised.lock().unwrap().remove(&before);
        house.ends(house.keepstone("before").args(["forget", &before]), &[0]);
        let mut changed = kept.clone();
        changed.extend(content((1000 + round)..(1001 + round), 3_000_000));
        let mut child = house.backup("stopped", &changed).spawn().unwrap();
        let began = Instant::now();
        let has_announced =
            || std::fs::read_dir(house.path("repository/sessions")).is_ok_and(|mut dir| dir.next().is_some());
        while !has_announced() && child.try_wait().unwrap().is_none() && began.elapsed() < Duration::from_secs(60) {
            std::thread::yield_now();
        }
        sleep(Duration::from_millis(3 * round));
        if child.try_wait().unwrap().is_none() {
            signal(&child, "STOP");
            stopped += 1;
            // Whoever was looked at before, and did not change, is dead.
            for _ in 0..2 {
                house.ends(
                    house.keepstone("pruner").args(["prune", "--max-unused", "0", "--session-timeout", "0s"]),
                    &[0],
                );
            }
            signal(&child, "CONT");
        }
        let output = ends_by_itself(child);
        match output.status.code() {
            Some(0) => drop(house.note(&output, &changed)),
            Some(11) => failed += 1,
            other => panic!("{other:?}: {}", String::from_utf8_lossy(&output.stderr)),
        }
        house.assert_kept();
        house.ends(house.keepstone("checker").arg("check"), &[0]);
    }
    eprintln!("stopped {stopped} times, failed {failed} times");
    assert!(stopped > 0, "it was never stopped while it was at work");
    house.assert_in_order();
}

/// Whatever it relied on is gone, and a stream cannot be read again.
#[test]
fn a_backup_that_cannot_store_again_what_was_taken_from_it_fails_with_11_and_leaves_no_snapshot() {
    let house = House::new(None);
    let kept = content(0..1, 4_000_000);
    let before = house.note(&house.ends(&mut house.backup("before", &kept), &[0]), &kept).expect("it was saved");
    house.promised.lock().unwrap().remove(&before);
    house.ends(house.keepstone("before").args(["forget", &before]), &[0]);
    let mut backup = house.keepstone("stopped");
    backup.args(["backup", "--json", "--stdin", "--stdin-filename", "stream"]).stdin(Stdio::piped());
    let mut child = backup.spawn().unwrap();
    let mut stream = child.stdin.take().unwrap();
    stream.write_all(&kept["0"]).unwrap();
    // More than waits in queues: when the last of it is on its way, the first was looked up long ago.
    stream.write_all(&content(1..2, 48_000_000)["1"]).unwrap();
    signal(&child, "STOP");
    let there = count(&house.path("repository/packs"));
    // Whoever was looked at before, and did not change, is dead.
    for _ in 0..2 {
        house.ends(house.keepstone("pruner").args(["prune", "--max-unused", "0", "--session-timeout", "0s"]), &[0]);
    }
    assert!(count(&house.path("repository/packs")) < there, "what it relies on is gone");
    signal(&child, "CONT");
    drop(stream);
    let output = ends_by_itself(child);

    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(11), "{said}");
    assert!(said.contains("no snapshot was made") && said.contains("run it again"), "{said}");
    assert_eq!(count(&house.path("repository/snapshots")), 0);
    house.assert_in_order();
}
