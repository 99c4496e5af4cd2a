//! Disks whose power is cut, that are full, that fail, or that may not be written to. Mounts file systems: run it as root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::house::*;

/// A file system in a file, mounted.
struct Disk {
    directory: tempfile::TempDir,
    kind: &'static str,
}

/// Runs a command that succeeds, and gives what it says.
pub fn run(words: &[&str]) -> String {
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Disk {
    fn new(kind: &'static str) -> Disk {
        let directory = tempfile::Builder::new().prefix("disk-").tempdir_in(memory()).unwrap();
        let disk = Disk { directory, kind };
        let image = disk.image();
        fs::File::create(&image).unwrap().set_len(400 << 20).unwrap();
        fs::create_dir(disk.mount_point()).unwrap();
        let quiet = if kind == "ext4" { "-qF" } else { "-qf" };
        run(&[&format!("mkfs.{kind}"), quiet, &image]);
        disk.mount();
        disk
    }

    fn image(&self) -> String {
        self.directory.path().join("image").to_str().unwrap().to_owned()
    }

    fn mount_point(&self) -> PathBuf {
        self.directory.path().join("mounted")
    }

    fn mount(&self) {
        run(&["mount", "-t", self.kind, "-o", "loop", &self.image(), self.mount_point().to_str().unwrap()]);
    }

    fn unmount(&self) {
        run(&["umount", self.mount_point().to_str().unwrap()]);
    }

    /// What was not synced is lost.
    fn cut_power(&self) {
        run(&["xfs_io", "-x", "-c", "shutdown", self.mount_point().to_str().unwrap()]);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.mount_point()).output();
    }
}

/// A small file system in memory.
struct Small(tempfile::TempDir);

impl Small {
    fn new(mib: u64) -> Small {
        let small = Small(tempfile::Builder::new().prefix("small-").tempdir_in(memory()).unwrap());
        run(&["mount", "-t", "tmpfs", "-o", &format!("size={mib}m"), "none", small.path().to_str().unwrap()]);
        small
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).output();
    }
}

/// Backs up something, forgets half of it, and leaves a prune something to do.
pub fn with_garbage(house: &House, round: u64) {
    let numbers = || (100 * round)..(100 * round + 12);
    let (all, half) = (content(numbers(), 300_000), content(numbers().filter(|number| number % 2 == 0), 300_000));
    for (kept, is_kept) in [(all, false), (half, true)] {
        let id = house.note(&house.ends(&mut house.backup("host", &kept), &[0]), &kept).expect("it was saved");
        if !is_kept {
            house.promised.lock().unwrap().remove(&id);
            house.ends(house.keepstone("host").args(["forget", &id]), &[0]);
        }
    }
}

fn power_is_cut(kind: &'static str) {
    let disk = Disk::new(kind);
    let house = House::new(Some(&disk.mount_point().join("repository")));
    for round in 0..6u64 {
        with_garbage(&house, round);
        let kept = content((100 * round + 6)..(100 * round + 30), 300_000);
        let mut command = match round % 2 {
            0 => house.backup("host", &kept),
            _ => house.keepstone("host"),
        };
        if round % 2 == 1 {
            command.args(["prune", "--max-unused", "0"]);
        }
        let child = command.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(250 + 70 * round));
        disk.cut_power();
        let output = ends_by_itself(child);
        if round % 2 == 0 {
            house.note(&output, &kept);
        }
        disk.unmount();
        disk.mount();
        house.assert_in_order();
    }
}

#[test]
fn what_was_reported_before_the_power_was_cut_is_there_on_ext4() {
    power_is_cut("ext4");
}

#[test]
fn what_was_reported_before_the_power_was_cut_is_there_on_xfs() {
    power_is_cut("xfs");
}

#[test]
fn a_full_disk_ends_what_writes_and_harms_nothing() {
    let small = Small::new(12);
    let house = House::new(Some(&small.path().join("repository")));
    with_garbage(&house, 0);
    let large = content(1000..1040, 300_000);
    let output = house.backup("host", &large).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    house.assert_kept();
    // Room that is taken up by something else leaves a prune none to rewrite into: it says so, and harms nothing.
    let ballast = small.path().join("ballast");
    let filled = fs::write(&ballast, vec![1; 32 << 20]);
    assert!(filled.is_err());
    let output = house.keepstone("host").args(["prune", "--max-unused", "0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    house.assert_kept();
    fs::remove_file(ballast).unwrap();
    house.assert_in_order();
}

/// Each of the first calls of one kind fails, by the kernel's word.
#[test]
fn a_disk_that_fails_to_write_or_to_sync_ends_what_writes_and_harms_nothing() {
    let house = House::new(None);
    with_garbage(&house, 0);
    let (mut failed, mut round) = (0, 0);
    for call in [
        "fsync:error=EIO",
        "fdatasync:error=EIO",
        "write:error=EIO",
        "pwrite64:error=ENOSPC",
        "renameat2:error=EIO",
        "unlinkat:error=EIO",
    ] {
        for (when, deed) in [(1, "backup"), (3, "prune"), (6, "backup"), (2, "prune")] {
            round += 1;
            let kept = content((500 * round)..(500 * round + 3), 100_000);
            let plain = match deed {
                "backup" => house.backup("host", &kept),
                _ => house.keepstone("host"),
            };
            let mut traced = Command::new("strace");
            house.equip(&mut traced, "host");
            traced.args(["-f", "-qq", "-o", "/dev/null"]);
            traced.args(["-e", &format!("inject={call}:when={when}+")]);
            traced.arg(plain.get_program()).args(plain.get_args());
            if deed == "prune" {
                traced.args(["prune", "--max-unused", "0"]);
            }
            let output = traced.output().unwrap();
            let code = output.status.code();
            assert!(
                matches!(code, Some(0 | 1 | 3 | 11)),
                "{traced:?} {code:?} {}",
                String::from_utf8_lossy(&output.stderr)
            );
            failed += u64::from(code != Some(0));
            if deed == "backup" {
                house.note(&output, &kept);
            }
            house.assert_kept();
        }
    }
    eprintln!("{failed} of {round} commands failed");
    house.assert_in_order();
}

#[test]
fn a_store_that_is_read_only_can_be_read_and_is_not_written_to() {
    let disk = Disk::new("ext4");
    let house = House::new(Some(&disk.mount_point().join("repository")));
    with_garbage(&house, 0);
    run(&["mount", "-o", "remount,ro", disk.mount_point().to_str().unwrap()]);
    house.assert_kept();
    house.ends(house.keepstone("checker").args(["check", "--read-data"]), &[0]);
    house.ends(&mut house.backup("host", &content(0..3, 1000)), &[1]);
    house.ends(house.keepstone("host").args(["prune"]), &[1]);
    run(&["mount", "-o", "remount,rw", disk.mount_point().to_str().unwrap()]);
    house.assert_in_order();
}
