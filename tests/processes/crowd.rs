//! A crowd of processes, some of which are killed.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::house::*;

/// So long, unless the environment says for how many seconds.
const SECS: u64 = 25;
const SECONDS: &str = "KEEPSTONE_TEST_CROWD_SECS";
const SEED: &str = "KEEPSTONE_TEST_SEED";

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Starts a process, and kills it after a while or waits until it ends. The code, or nothing if it was killed.
fn live_or_die(command: &mut Command, numbers: &mut Numbers) -> Option<std::process::Output> {
    let mut child = command.spawn().unwrap();
    if numbers.below(10) < 4 {
        std::thread::sleep(Duration::from_micros(numbers.below(700_000)));
        // It may have ended by now, which is as good.
        child.kill().unwrap();
    }
    Some(ends_by_itself(child)).filter(|output| output.status.code().is_some())
}

/// One of the crowd, until the time is over. Says how many of its processes ended, and how many were killed.
fn worker(house: &House, name: &str, seed: u64, until: Instant) -> (u64, u64) {
    let (mut numbers, mut ended, mut killed) = (Numbers(seed), 0, 0);
    while Instant::now() < until {
        let deed = numbers.below(100);
        let mut forgotten = None;
        let kept = content((0..12).map(|_| numbers.below(40)), 200_000);
        let mut command = match deed {
            0..40 => house.backup(name, &kept),
            40..64 => {
                let mut prune = house.keepstone(name);
                prune.args(["prune", "--max-unused", "0", "--session-timeout", ["0s", "1s", "20m"][deed as usize % 3]]);
                prune
            }
            // A few snapshots at a time are enough to look after.
            64..80 => {
                forgotten = house.give_up_one(numbers.below(1 << 30));
                let Some(id) = &forgotten else { continue };
                let mut forget = house.keepstone(name);
                forget.args(["forget", id]);
                forget
            }
            80..90 => {
                let mut check = house.keepstone(name);
                check.arg("check");
                check
            }
            _ => {
                let target = house.path(&format!("target-{name}"));
                let _ = std::fs::remove_dir_all(&target);
                let mut restore = house.keepstone(name);
                restore.args(["restore", "latest", "--target"]).arg(target);
                restore
            }
        };
        let Some(output) = live_or_die(&mut command, &mut numbers) else {
            killed += 1;
            continue;
        };
        ended += 1;
        if deed < 40 {
            house.note(&output, &kept);
        }
        let code = output.status.code();
        let said = String::from_utf8_lossy(&output.stderr);
        // What is restored may be forgotten meanwhile, and there may be nothing to restore.
        let may_fail = deed >= 90 || forgotten.is_some();
        let is_documented = matches!(code, Some(0 | 3 | 11)) || may_fail && code == Some(1);
        assert!(is_documented, "seed {seed}: {command:?} {code:?}\n{said}");
    }
    (ended, killed)
}

#[test]
fn a_crowd_whose_members_are_killed_loses_nothing_and_nobody_waits() {
    let house = House::new(None);
    let seed = number(SEED).unwrap_or(1);
    let until = Instant::now() + Duration::from_secs(number(SECONDS).unwrap_or(SECS));
    let work = |at: u64| worker(&house, &format!("host{at}"), seed * 100 + at, until);
    let counts: Vec<(u64, u64)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4).map(|at| scope.spawn(move || work(at))).collect();
        workers.into_iter().map(|worker| worker.join().expect("a member of the crowd panicked")).collect()
    });
    let (ended, killed) = counts.iter().fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
    eprintln!("{ended} processes ended, {killed} were killed, with {SEED}={seed}");
    assert!(ended > 0 && killed > 0 && !house.promised.lock().unwrap().is_empty());
    house.assert_in_order();
}
