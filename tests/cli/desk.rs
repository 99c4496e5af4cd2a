//! A user's desk: a directory to back up, a place for a repository, and a cache of its own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use assert_cmd::Command;
use serde_json::Value;

pub const PASSWORD: &str = "correct horse";

/// Everything that one test works with; gone when it is done.
pub struct Desk {
    directory: tempfile::TempDir,
}

impl Desk {
    /// A desk with some files in `source/`, and no repository yet.
    pub fn new() -> Self {
        let desk = Desk { directory: tempfile::tempdir().unwrap() };
        let source = desk.path("source");
        fs::create_dir_all(source.join("etc/empty")).unwrap();
        fs::write(source.join("etc/hosts"), "127.0.0.1 localhost\n").unwrap();
        fs::set_permissions(source.join("etc/hosts"), fs::Permissions::from_mode(0o640)).unwrap();
        symlink("hosts", source.join("etc/link")).unwrap();
        let large: Vec<u8> = (0..3_000_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        fs::write(source.join("large.bin"), large).unwrap();
        fs::write(source.join("späte Änderung"), "ü").unwrap();
        desk
    }

    /// A desk with a repository, which holds a snapshot of `source/` as `/source`: by its own path the
    /// directories above it would be part of the snapshot, and other tests change those.
    pub fn with_snapshot() -> Self {
        let desk = Desk::new();
        desk.run("init").succeeds();
        desk.run("backup source --as /source --tag first").succeeds();
        desk
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn repository(&self) -> PathBuf {
        self.path("repository")
    }

    /// keepstone in this desk's directory, with nothing of the machine's own environment but `PATH`.
    pub fn keepstone(&self) -> Command {
        let mut command = Command::cargo_bin("keepstone").unwrap();
        command.env_clear().current_dir(self.directory.path()).timeout(Duration::from_secs(120));
        command.envs(self.variables());
        command
    }

    /// The environment of all commands here.
    pub fn variables(&self) -> [(&'static str, OsString); 5] {
        [
            ("PATH", std::env::var_os("PATH").unwrap_or_default()),
            ("KEEPSTONE_REPOSITORY", self.repository().into()),
            ("KEEPSTONE_CACHE_DIR", self.path("cache").into()),
            ("KEEPSTONE_HOST", "desk".into()),
            ("KEEPSTONE_PASSWORD", PASSWORD.into()),
        ]
    }

    /// Runs the words of one line.
    pub fn run(&self, line: &str) -> Ran {
        self.run_with(line, &[])
    }

    /// The same, with other variables.
    pub fn run_with(&self, line: &str, variables: &[(&str, &str)]) -> Ran {
        let mut command = self.keepstone();
        command.args(line.split_whitespace()).envs(variables.iter().copied());
        Ran::of(line, command.output().unwrap())
    }
}

/// How a command ended, and what it said.
pub struct Ran {
    line: String,
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn of(line: &str, output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ran { line: line.into(), code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    pub fn ends(self, code: i32) -> Self {
        let Ran { line, stdout, stderr, .. } = &self;
        assert_eq!(self.code, Some(code), "{line}\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
        self
    }

    pub fn succeeds(self) -> Self {
        self.ends(0)
    }

    pub fn says(self, words: &str) -> Self {
        assert!(self.stdout.contains(words), "{} does not say {words:?}:\n{}", self.line, self.stdout);
        self
    }

    pub fn complains(self, words: &str) -> Self {
        assert!(self.stderr.contains(words), "{} does not complain {words:?}:\n{}", self.line, self.stderr);
        self
    }

    /// The one document on stdout.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{}: {error}:\n{}", self.line, self.stdout))
    }

    /// The objects on stdout, a line each.
    pub fn objects(&self) -> Vec<Value> {
        let parse =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}: {line}", self.line));
        self.stdout.lines().map(parse).collect()
    }

    /// The last object on stdout.
    pub fn summary(&self) -> Value {
        self.objects().pop().unwrap_or_else(|| panic!("{} printed nothing", self.line))
    }
}

/// All that counts of a tree: of each path its kind, mode, and content or target.
pub fn tree(top: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut open = vec![top.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let kind = path.symlink_metadata().unwrap();
            let content = if kind.is_symlink() {
                fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
            } else if kind.is_dir() {
                open.push(path.clone());
                Vec::new()
            } else {
                fs::read(&path).unwrap()
            };
            found.insert(path.strip_prefix(top).unwrap().to_owned(), (kind.mode(), content));
        }
    }
    found
}

/// Names and lengths of all objects of a repository.
pub fn objects(repository: &Path) -> BTreeMap<PathBuf, u64> {
    let lengths = tree(repository).into_iter().map(|(path, (_, content))| (path, content.len() as u64));
    lengths.collect()
}
