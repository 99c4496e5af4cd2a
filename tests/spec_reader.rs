//! A reader that was written from format-spec alone reads what keepstone writes: the text is whole.
//!
//! It is a program in Python, tests/spec_reader/reader.py.

#[path = "spec_reader/manifest.rs"]
mod manifest;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use keepstone::format::control::Snapshot;
use keepstone::id::Id;
use keepstone::repo::{Argon2Profile, CacheDir, Repository, SystemChance, default_settings, init};
use keepstone::storage::LocalStore;
use tempfile::TempDir;

#[test]
fn it_takes_and_refuses_the_vectors_as_it_must() {
    let output = reader().arg("vectors").output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
}

#[test]
fn it_restores_the_golden_repository() {
    let place = place();
    let golden = manifest::read("v1");
    let password = password_file(&place, &golden.password);
    for (number, snapshot) in golden.snapshots.iter().enumerate() {
        let target = place.path().join(number.to_string());
        read(&repository("v1"), &password, &["restore", &snapshot.id, target.to_str().unwrap()]);
        snapshot.assert_came_back(&target);
    }
}

#[test]
fn it_finds_the_golden_repository_whole() {
    let place = place();
    let golden = manifest::read("v1");
    let password = password_file(&place, &golden.password);
    read(&repository("v1"), &password, &["verify-packs"]);
    let listed = read(&repository("v1"), &password, &["snapshots"]);
    let listed: Vec<serde_json::Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(listed.len(), golden.snapshots.len());
    for (listed, snapshot) in listed.iter().zip(&golden.snapshots) {
        assert_eq!((&listed["id"], &listed["tags"]), (&snapshot.id.clone().into(), &snapshot.tags.clone().into()));
    }
}

#[test]
fn it_follows_keyrings_through_changes_of_keys() {
    let place = place();
    let path = place.path().join("repository");
    let store = LocalStore::create(&path).unwrap();
    init(&store, b"first", "test", default_settings(), Argon2Profile::Cheap, &SystemChance).unwrap();
    let mut opened = open(store, b"first");
    back_up(&path, "first", "under the first epoch");
    let (keychain, store, chance) = opened.keychain_mut();
    let second = keychain.add(store, b"second", "test", Argon2Profile::Cheap, chance).unwrap();
    let third = keychain.add(store, b"third", "test", Argon2Profile::Cheap, chance).unwrap();
    assert_ne!(second, third);
    keychain.remove(store, &third, chance).unwrap();
    keychain.change_passphrase(store, b"fourth", Argon2Profile::Cheap, chance).unwrap();
    back_up(&path, "second", "under the newest epoch");

    for password in ["second", "fourth"] {
        let file = password_file(&place, password);
        assert_eq!(read(&path, &file, &["snapshots"]).lines().count(), 2);
        read(&path, &file, &["verify-packs"]);
        let target = place.path().join(format!("restored with {password}"));
        read(&path, &file, &["restore", "latest", target.to_str().unwrap()]);
        assert_eq!(fs::read_to_string(target.join("stdin")).unwrap(), "under the newest epoch".repeat(20));
    }
    for password in ["first", "third"] {
        let output = run(&path, &password_file(&place, password), &["snapshots"]);
        assert_eq!(output.status.code(), Some(13), "{password}: {}", told(&output));
    }
}

#[test]
fn it_refuses_what_appears_under_a_closed_epoch() {
    let place = place();
    let path = place.path().join("repository");
    let store = LocalStore::create(&path).unwrap();
    init(&store, b"first", "test", default_settings(), Argon2Profile::Cheap, &SystemChance).unwrap();
    back_up(&path, "first", "of the first epoch");
    let holder = open(LocalStore::open(&path).unwrap(), b"first");
    let mut opened = open(store, b"first");
    let (keychain, store, chance) = opened.keychain_mut();
    keychain.rotate(store, chance).unwrap();
    assert_eq!(opened.close_epochs(false).unwrap().epochs, [1]);
    let file = password_file(&place, "first");
    assert_eq!(read(&path, &file, &["snapshots"]).lines().count(), 1);
    read(&path, &file, &["verify-packs"]);

    let snapshot = objects_below(&path.join("snapshots")).remove(0);
    let id = Id::from_hex(snapshot.file_name().unwrap().to_str().unwrap()).unwrap();
    let planted = holder.objects().put(&holder.objects().get::<Snapshot>(&id).unwrap()).unwrap().id();

    let output = run(&path, &file, &["snapshots"]);
    assert_eq!(output.status.code(), Some(13));
    assert!(told(&output).contains(&planted.to_hex()), "{}", told(&output));
    let target = place.path().join("restored");
    let output = run(&path, &file, &["restore", "latest", target.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(13), "said, and the other one restored: {}", told(&output));
    assert_eq!(fs::read_to_string(target.join("stdin")).unwrap(), "of the first epoch".repeat(20));
}

#[test]
fn it_is_not_led_back_by_a_slot_that_was_replaced() {
    let place = place();
    let path = place.path().join("repository");
    let store = LocalStore::create(&path).unwrap();
    init(&store, b"same", "test", default_settings(), Argon2Profile::Cheap, &SystemChance).unwrap();
    let replaced = objects_below(&path.join("keys")).remove(0);
    let slot = fs::read(&replaced).unwrap();
    let mut opened = open(store, b"same");
    let (keychain, store, chance) = opened.keychain_mut();
    keychain.change_passphrase(store, b"same", Argon2Profile::Cheap, chance).unwrap();
    back_up(&path, "same", "under the newest epoch");
    fs::write(&replaced, slot).unwrap();
    let file = password_file(&place, "same");
    assert_eq!(read(&path, &file, &["snapshots"]).lines().count(), 1);
    read(&path, &file, &["verify-packs"]);
}

#[test]
fn it_refuses_what_was_altered() {
    let place = place();
    let path = place.path().join("repository");
    let store = LocalStore::create(&path).unwrap();
    init(&store, b"first", "test", default_settings(), Argon2Profile::Cheap, &SystemChance).unwrap();
    back_up(&path, "first", "what is altered below");
    let file = password_file(&place, "first");
    read(&path, &file, &["verify-packs"]);
    let objects = objects_below(&path);
    assert_eq!(objects.len(), 8, "config, a slot, a keyring, two packs, a segment, a snapshot and a run: {objects:?}");
    for object in objects {
        let whole = fs::read(&object).unwrap();
        let mut altered = whole.clone();
        altered[whole.len() / 2] ^= 1;
        fs::write(&object, altered).unwrap();
        let output = run(&path, &file, &["verify-packs"]);
        assert!(matches!(output.status.code(), Some(13 | 14)), "{}: {}", object.display(), told(&output));
        fs::write(&object, whole).unwrap();
    }
}

/// On the file system of the build: extended attributes are kept there.
fn place() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn repository(version: &str) -> PathBuf {
    manifest::golden().join(version)
}

fn open(store: LocalStore, passphrase: &[u8]) -> Repository {
    Repository::open(Box::new(store), passphrase, &CacheDir::Temporary, Box::new(SystemChance)).unwrap()
}

fn back_up(repository: &Path, password: &str, text: &str) {
    assert_cmd::cargo::cargo_bin_cmd!("keepstone")
        .args(["--no-cache", "backup", "--stdin"])
        .env("KEEPSTONE_REPOSITORY", repository)
        .env("KEEPSTONE_PASSWORD", password)
        .write_stdin(text.repeat(20))
        .assert()
        .success();
}

fn password_file(place: &TempDir, password: &str) -> PathBuf {
    let file = place.path().join("password");
    fs::write(&file, format!("{password}\n")).unwrap();
    file
}

fn objects_below(dir: &Path) -> Vec<PathBuf> {
    let (dirs, mut files): (Vec<_>, Vec<_>) =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).partition(|path| path.is_dir());
    files.extend(dirs.iter().flat_map(|dir| objects_below(dir)));
    files
}

/// The reader, in a Python that has its packages. Without them there is nothing to say, and the test fails.
fn reader() -> Command {
    let python = env::var_os("KEEPSTONE_PYTHON").unwrap_or("python3".into());
    let has = Command::new(&python).args(["-c", "import argon2, blake3, cryptography, zstandard"]).output();
    assert!(
        has.is_ok_and(|output| output.status.success()),
        "{} lacks the packages of tests/spec_reader/requirements.txt: run tests/run, which installs them, \
         or set KEEPSTONE_PYTHON to a Python that has them",
        python.display()
    );
    let mut command = Command::new(python);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/spec_reader/reader.py"));
    command
}

fn run(repository: &Path, password_file: &Path, arguments: &[&str]) -> Output {
    reader().arg(repository).arg(password_file).args(arguments).output().unwrap()
}

/// What the reader prints, when it has nothing to complain of.
fn read(repository: &Path, password_file: &Path, arguments: &[&str]) -> String {
    let output = run(repository, password_file, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", told(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn told(output: &Output) -> String {
    format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr))
}
