//! A disk that begins to fail while something is written to it: the kernel says so at a sync. Mounts file systems that lie on
//! a block device whose writes can be made to fail: run it as root.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::disks::{run, with_garbage};
use crate::house::*;

/// A file system on a device that fails when it is told to.
struct Failing {
    directory: tempfile::TempDir,
    kind: &'static str,
    /// nbdkit, and nbdfuse, which shows what it serves as a file.
    helpers: Vec<Child>,
    device: String,
}

impl Failing {
    fn new(kind: &'static str) -> Failing {
        let directory = tempfile::Builder::new().prefix("failing-").tempdir_in(memory()).unwrap();
        let mut failing = Failing { directory, kind, helpers: Vec::new(), device: String::new() };
        fs::File::create(failing.path("image")).unwrap().set_len(400 << 20).unwrap();
        fs::write(failing.path("disk"), "").unwrap();
        fs::create_dir(failing.mount_point()).unwrap();
        let (image, socket, disk) = (failing.word("image"), failing.word("socket"), failing.word("disk"));
        let fails = format!("error-pwrite-file={}", failing.word("fails"));
        failing.help(
            &[
                "nbdkit",
                "-f",
                "-U",
                &socket,
                "--filter=error",
                "file",
                &image,
                "error-pwrite=EIO",
                "error-pwrite-rate=100%",
            ],
            Some(&fails),
        );
        failing.wait_for("the server", &|failing| failing.path("socket").exists());
        failing.help(&["nbdfuse", &disk, "--unix", &socket], None);
        failing.wait_for("the device", &|failing| fs::metadata(failing.path("disk")).is_ok_and(|disk| disk.len() > 0));
        failing.device = run(&["losetup", "-f", "--show", &disk]);
        let quiet = if kind == "ext4" { "-qF" } else { "-qf" };
        run(&[&format!("mkfs.{kind}"), quiet, &failing.device]);
        failing.mount();
        failing
    }

    fn help(&mut self, words: &[&str], last: Option<&str>) {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(last).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.helpers.push(command.spawn().unwrap_or_else(|error| panic!("{}: {error}", words[0])));
    }

    fn wait_for(&self, what: &str, is_there: &dyn Fn(&Failing) -> bool) {
        let began = Instant::now();
        while !is_there(self) {
            assert!(began.elapsed() < Duration::from_secs(60), "{what} does not come");
            sleep(Duration::from_millis(10));
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn word(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn mount_point(&self) -> PathBuf {
        self.path("mounted")
    }

    fn mount(&self) {
        run(&["mount", "-t", self.kind, &self.device, self.mount_point().to_str().unwrap()]);
    }

    /// From here on every write fails.
    fn fail(&self) {
        fs::write(self.path("fails"), "").unwrap();
    }

    /// The disk is put in order, and what is on it is mounted again.
    fn mend(&self) {
        fs::remove_file(self.path("fails")).unwrap();
        run(&["umount", self.mount_point().to_str().unwrap()]);
        self.mount();
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.path("fails"));
        let _ = Command::new("umount").arg("-l").arg(self.mount_point()).output();
        if !self.device.is_empty() {
            let _ = Command::new("losetup").args(["-d", &self.device]).output();
        }
        let _ = Command::new("umount").arg("-l").arg(self.path("disk")).output();
        for helper in self.helpers.iter_mut().rev() {
            let _ = helper.kill();
            let _ = helper.wait();
        }
    }
}

/// It says which call failed, and why.
fn assert_says_why(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    let why = ["Input/output error", "Read-only file system"];
    assert!(why.iter().any(|why| said.contains(why)) && said.contains("repository"), "{said}");
}

/// The first half is there before the disk fails, the second is not: nothing can be synced any more.
fn backup_meets_it(house: &House, disk: &Failing) {
    let mut backup = house.keepstone("host");
    backup.args(["backup", "--json", "--stdin", "--stdin-filename", "stream"]).stdin(Stdio::piped());
    let mut child = backup.spawn().unwrap();
    let mut stream = child.stdin.take().unwrap();
    let bytes = &content(77..78, 60_000_000)["77"];
    stream.write_all(&bytes[..30_000_000]).unwrap();
    disk.fail();
    // It may have ended by then.
    let _ = stream.write_all(&bytes[30_000_000..]);
    drop(stream);
    let output = ends_by_itself(child);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert_says_why(&output);
}

/// At whichever of its steps: from the first pack that it writes, or from when it has condemned others. Says whether it
/// had not ended by then.
fn prune_meets_it(house: &House, disk: &Failing, step: &str) -> bool {
    let seen = || count(&disk.mount_point().join("repository").join(step));
    let before = seen();
    let mut child = house.keepstone("host").args(["prune", "--max-unused", "0"]).spawn().unwrap();
    while seen() == before && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    disk.fail();
    let output = ends_by_itself(child);
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 1)), "{code:?} {}", String::from_utf8_lossy(&output.stderr));
    if code == Some(1) {
        assert_says_why(&output);
    }
    code == Some(1)
}

fn disk_fails(kind: &'static str) {
    let disk = Failing::new(kind);
    let house = House::new(Some(&disk.mount_point().join("repository")));
    with_garbage(&house, 0);
    backup_meets_it(&house, &disk);
    disk.mend();
    house.assert_kept();
    house.assert_in_order();
    let steps = ["packs", "condemned", "packs", "index"];
    let mut failed = 0;
    for (round, step) in (1..).zip(steps) {
        with_garbage(&house, round);
        failed += u64::from(prune_meets_it(&house, &disk, step));
        disk.mend();
        house.assert_kept();
    }
    eprintln!("{failed} of {} prunes failed", steps.len());
    house.assert_in_order();
}

#[test]
fn a_disk_that_begins_to_fail_costs_nothing_that_was_reported_on_ext4() {
    disk_fails("ext4");
}

#[test]
fn a_disk_that_begins_to_fail_costs_nothing_that_was_reported_on_xfs() {
    disk_fails("xfs");
}
