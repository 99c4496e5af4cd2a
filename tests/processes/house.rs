//! A repository, what is backed up into it, and the processes that do it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Files by name.
pub type Content = BTreeMap<String, Vec<u8>>;

/// A place with a repository, and what was promised of it.
pub struct House {
    directory: tempfile::TempDir,
    repository: PathBuf,
    /// Snapshots that were reported good, and what was backed up.
    pub promised: Mutex<BTreeMap<String, Content>>,
}

impl House {
    /// With a new repository at `repository`, or in the house itself.
    pub fn new(repository: Option<&Path>) -> House {
        let directory = tempfile::Builder::new().prefix("house-").tempdir_in(memory()).unwrap();
        let repository = repository.map_or_else(|| directory.path().join("repository"), Path::to_owned);
        let house = House { directory, repository, promised: Mutex::default() };
        assert_eq!(house.ends(&mut house.keepstone("init"), &[0]).status.code(), Some(0));
        house
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// keepstone, by whom: each machine has a cache of its own.
    pub fn keepstone(&self, machine: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keepstone"));
        self.equip(&mut command, machine);
        let words: Vec<&str> = if machine == "init" { vec!["init"] } else { vec![] };
        command.args(words);
        command
    }

    /// Sets what keepstone takes from its environment.
    pub fn equip(&self, command: &mut Command, machine: &str) {
        command
            .env_clear()
            .current_dir(self.directory.path())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("KEEPSTONE_REPOSITORY", &self.repository).env("KEEPSTONE_PASSWORD", "a password");
        command.env("KEEPSTONE_CACHE_DIR", self.path(&format!("cache-{machine}"))).env("KEEPSTONE_HOST", machine);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    }

    /// Runs it to its end, which is one of these.
    #[track_caller]
    pub fn ends(&self, command: &mut Command, codes: &[i32]) -> Output {
        let output = command.output().unwrap();
        let is_one = output.status.code().is_some_and(|code| codes.contains(&code));
        assert!(is_one, "{command:?} {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
        output
    }

    /// Makes the source of a machine so, and gives the command that backs it up.
    pub fn backup(&self, machine: &str, content: &Content) -> Command {
        let source = self.path(&format!("source-{machine}"));
        let _ = fs::remove_dir_all(&source);
        fs::create_dir_all(&source).unwrap();
        content.iter().for_each(|(name, bytes)| fs::write(source.join(name), bytes).unwrap());
        let mut command = self.keepstone(machine);
        command.args(["backup", "--json", "--as", "/source"]).arg(source);
        command
    }

    /// Notes the snapshot that a backup reported, if it did.
    pub fn note(&self, output: &Output, content: &Content) -> Option<String> {
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        let values = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut ids = values.filter_map(|value| Some(value.get("snapshot_id")?.as_str()?.to_owned()));
        let id = ids.next().filter(|_| output.status.code() == Some(0))?;
        self.promised.lock().unwrap().insert(id.clone(), content.clone());
        Some(id)
    }

    /// Takes back the promise of one snapshot, and says which.
    pub fn give_up_one(&self, which: u64) -> Option<String> {
        let mut promised = self.promised.lock().unwrap();
        let id = promised.keys().nth(which as usize % promised.len().max(1)).cloned()?;
        promised.remove(&id);
        Some(id)
    }

    /// Every snapshot that was promised comes back, byte for byte.
    pub fn assert_kept(&self) {
        for (id, content) in self.promised.lock().unwrap().iter() {
            let target = self.path("restored");
            let _ = fs::remove_dir_all(&target);
            self.ends(self.keepstone("reader").args(["restore", id, "--target"]).arg(&target), &[0]);
            let read = |name: &String| fs::read(target.join("source").join(name)).ok();
            for (name, bytes) in content {
                assert!(read(name).as_ref() == Some(bytes), "{name} of {id} is not what it was");
            }
        }
    }

    /// Prunes until nobody is left who was killed elsewhere, and checks everything.
    pub fn assert_in_order(&self) {
        self.assert_kept();
        for _ in 0..3 {
            self.ends(
                self.keepstone("pruner").args(["prune", "--max-unused", "0", "--session-timeout", "0s"]),
                &[0, 11],
            );
        }
        self.ends(self.keepstone("pruner").args(["prune", "--max-unused", "0", "--session-timeout", "0s"]), &[0]);
        self.assert_kept();
        self.ends(self.keepstone("checker").args(["check", "--read-data"]), &[0]);
        let left = |dir: &str| fs::read_dir(self.repository.join(dir)).map_or(0, Iterator::count);
        assert_eq!((left("sessions"), left("condemned")), (0, 0));
    }
}

/// Where files cost no disk, if there is such a place.
pub fn memory() -> PathBuf {
    Some(PathBuf::from("/dev/shm")).filter(|path| path.is_dir()).unwrap_or_else(std::env::temp_dir)
}

/// Waits for a process; one that does not end waits for somebody, and nobody waits here.
pub fn ends_by_itself(mut child: Child) -> Output {
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < Duration::from_secs(300), "a process hangs");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.wait_with_output().unwrap()
}

/// Files with bytes of their own: `seed` says which, and each is the same wherever it has the same number.
pub fn content(numbers: impl Iterator<Item = u64>, len: usize) -> Content {
    let bytes = |number: u64| {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    };
    numbers.map(|number| (format!("{number}"), bytes(number))).collect()
}

/// How many files are in a directory and below.
pub fn count(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    entries.iter().map(|entry| if entry.path().is_dir() { count(&entry.path()) } else { 1 }).sum()
}

/// Numbers from a seed.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
