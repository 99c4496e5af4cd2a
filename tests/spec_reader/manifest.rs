//! The manifests of golden repositories: what must come back, and whether it did.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// What is known of a golden repository.
#[derive(Deserialize)]
pub struct Manifest {
    pub password: String,
    pub snapshots: Vec<Snapshot>,
}

#[derive(Deserialize)]
pub struct Snapshot {
    /// In hex.
    pub id: String,
    pub tags: Vec<String>,
    entries: Vec<Entry>,
}

/// What is absent is not compared: a stream has no mode or time of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    path: Encoded,
    kind: String,
    size: Option<u64>,
    blake3: Option<String>,
    target: Option<Encoded>,
    mode: Option<u32>,
    mtime: Option<(i64, i64)>,
    xattrs: Option<BTreeMap<String, String>>,
    same_as: Option<Encoded>,
}

/// Percent-encoded bytes.
#[derive(Deserialize)]
struct Encoded(String);

impl Encoded {
    fn path(&self) -> PathBuf {
        let mut parts = self.0.split('%');
        let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
        for part in parts {
            bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
            bytes.extend_from_slice(&part.as_bytes()[2..]);
        }
        PathBuf::from(OsString::from_vec(bytes))
    }
}

/// The directory of the golden repositories and their manifests.
pub fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The manifest of a version's golden repository.
pub fn read(version: &str) -> Manifest {
    let text = fs::read(golden().join(format!("{version}.json"))).unwrap();
    let manifest: Manifest = serde_json::from_slice(&text).unwrap();
    assert!(!manifest.snapshots.is_empty() && manifest.snapshots.iter().all(|snapshot| !snapshot.entries.is_empty()));
    manifest
}

impl Snapshot {
    /// Fails if `restored` is not exactly what the snapshot was made of.
    pub fn assert_came_back(&self, restored: &Path) {
        let mut wrong: Vec<String> = self.entries.iter().flat_map(|entry| entry.differences(restored)).collect();
        let mut paths: Vec<PathBuf> = self.entries.iter().map(|entry| entry.path.path()).collect();
        paths.sort();
        let strays = below(restored, Path::new("")).into_iter().filter(|path| paths.binary_search(path).is_err());
        wrong.extend(strays.map(|path| format!("{}: was not in the source", path.display())));
        assert!(wrong.is_empty(), "snapshot {}:\n{}", self.id, wrong.join("\n"));
    }
}

impl Entry {
    fn differences(&self, restored: &Path) -> Vec<String> {
        let path = restored.join(self.path.path());
        let Ok(meta) = fs::symlink_metadata(&path) else {
            return vec![format!("{}: is missing", self.path.0)];
        };
        let mut wrong = Vec::new();
        let mut check = |what: &str, same: bool| {
            if !same {
                wrong.push(format!("{}: another {what}", self.path.0));
            }
        };
        check("kind", kind(&meta) == self.kind);
        check("size", self.size.is_none_or(|size| size == meta.len()));
        check("content", self.blake3.as_ref().is_none_or(|hash| *hash == hash_of(&path)));
        check(
            "target",
            self.target.as_ref().is_none_or(|target| fs::read_link(&path).unwrap_or_default() == target.path()),
        );
        check("mode", self.mode.is_none_or(|mode| mode & mode_bits() == meta.mode() & 0o7777));
        check("mtime", self.mtime.is_none_or(|mtime| mtime == (meta.mtime(), meta.mtime_nsec())));
        check("set of attributes", self.xattrs.as_ref().is_none_or(|xattrs| *xattrs == user_xattrs(&path)));
        let is_same_file = |other: &Encoded| {
            fs::symlink_metadata(restored.join(other.path()))
                .is_ok_and(|other| (other.dev(), other.ino()) == (meta.dev(), meta.ino()))
        };
        check("file than its other name", self.same_as.as_ref().is_none_or(is_same_file));
        wrong
    }
}

/// Set-id bits come back with the owner alone, and only root gives files away.
fn mode_bits() -> u32 {
    if rustix::process::geteuid().is_root() { 0o7777 } else { 0o1777 }
}

fn below(root: &Path, at: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(root.join(at)).unwrap() {
        let entry = entry.unwrap();
        let path = at.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            paths.extend(below(root, &path));
        }
        paths.push(path);
    }
    paths
}

fn kind(meta: &Metadata) -> &'static str {
    use rustix::fs::FileType;
    match FileType::from_raw_mode(meta.mode()) {
        FileType::RegularFile => "file",
        FileType::Directory => "directory",
        FileType::Symlink => "symlink",
        FileType::Fifo => "fifo",
        FileType::Socket => "socket",
        _ => "device",
    }
}

fn hash_of(path: &Path) -> String {
    blake3::hash(&fs::read(path).unwrap()).to_hex().to_string()
}

/// Names, percent-encoded, and values in hex. Others than the user's are the file system's own affair.
fn user_xattrs(path: &Path) -> BTreeMap<String, String> {
    let (mut names, mut value) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let len = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let mut found = BTreeMap::new();
    for name in names[..len].split(|byte| *byte == 0).filter(|name| name.starts_with(b"user.")) {
        let len = rustix::fs::lgetxattr(path, std::ffi::OsStr::from_bytes(name), &mut value[..]).unwrap();
        found.insert(encoded(name), value[..len].iter().map(|byte| format!("{byte:02x}")).collect());
    }
    found
}

fn encoded(name: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-~/".contains(&byte);
    name.iter().map(|&byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
