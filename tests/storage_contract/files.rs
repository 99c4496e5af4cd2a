//! Touches the disk. What only a store of files promises.

use super::*;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn fresh() -> (tempfile::TempDir, LocalStore) {
    let place = tempfile::tempdir().unwrap();
    let store = LocalStore::create(&place.path().join("made/for/it")).unwrap();
    (place, store)
}

fn temporaries(store: &LocalStore) -> usize {
    fs::read_dir(Path::new(&store.place()).join("tmp")).unwrap().count()
}

#[test]
fn files_and_directories_are_for_their_owner_only() {
    let (_place, store) = fresh();
    let root = store.place();
    let mut staged = store.stage().unwrap();
    staged.write(b"bytes").unwrap();
    let temporary = fs::read_dir(Path::new(&root).join("tmp")).unwrap().next();
    assert_eq!(mode(&temporary.unwrap().unwrap().path()), 0o600);
    staged.commit(&name("packs/ab/ab01")).unwrap();

    for dir in ["", "packs", "packs/ab", "tmp"] {
        assert_eq!(mode(&Path::new(&root).join(dir)), 0o700, "{dir:?}");
    }
    assert_eq!(mode(&Path::new(&root).join("packs/ab/ab01")), 0o600);
}

/// The umask belongs to the process, so it is another process that has a strange one.
#[test]
fn modes_do_not_depend_on_the_umask() {
    const PLACE: &str = "KEEPSTONE_TEST_STORE_PLACE";
    if let Some(place) = std::env::var_os(PLACE) {
        let store = LocalStore::create(&Path::new(&place).join("store")).unwrap();
        return store.put(&name("packs/ab/ab01"), b"bytes").unwrap();
    }
    for umask in ["000", "277", "777"] {
        let place = tempfile::tempdir().unwrap();
        let test = "files::modes_do_not_depend_on_the_umask";
        let status = Command::new("sh")
            .args(["-c", "umask \"$1\"; exec \"$2\" --exact \"$3\"", "sh", umask])
            .arg(std::env::current_exe().unwrap())
            .arg(test)
            .env(PLACE, place.path())
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        let store = place.path().join("store");
        for dir in ["", "packs", "packs/ab", "tmp"] {
            assert_eq!(mode(&store.join(dir)), 0o700, "umask {umask}, {dir:?}");
        }
        assert_eq!(mode(&store.join("packs/ab/ab01")), 0o600, "umask {umask}");
    }
}

#[test]
fn a_store_is_created_only_where_nothing_is() {
    let place = tempfile::tempdir().unwrap();
    LocalStore::create(place.path()).unwrap();
    fs::write(place.path().join("letter.txt"), "dear …").unwrap();
    let refused = LocalStore::create(place.path());
    assert!(matches!(refused, Err(StoreError::Occupied { .. })), "{refused:?}");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
}

#[test]
fn a_store_is_opened_only_where_a_directory_is() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("file"), "").unwrap();
    for absent in ["absent", "file", "file/below"] {
        let refused = LocalStore::open(&place.path().join(absent));
        assert!(matches!(refused, Err(StoreError::NoPlace { .. })), "{refused:?}");
    }
    let refused = LocalStore::create(&place.path().join("file"));
    assert!(matches!(refused, Err(StoreError::NoPlace { .. })), "{refused:?}");
}

#[test]
fn what_one_opening_puts_another_finds() {
    let (_place, store) = fresh();
    store.put(&name("packs/ab/ab01"), b"bytes").unwrap();
    let again = LocalStore::open(Path::new(&store.place())).unwrap();
    assert_eq!(again.get(&name("packs/ab/ab01"), 100).unwrap(), b"bytes");
}

#[test]
fn what_another_process_deletes_or_replaces_is_not_read_from_an_open_file() {
    let (_place, store) = fresh();
    let other = LocalStore::open(Path::new(&store.place())).unwrap();
    store.put(&name("a/b"), b"first").unwrap();
    assert_eq!(store.get_range(&name("a/b"), 0, 5).unwrap(), b"first");
    other.put(&name("a/b"), b"again").unwrap();
    assert_eq!(store.get_range(&name("a/b"), 0, 5).unwrap(), b"again");
    other.delete(&name("a/b")).unwrap();
    assert_not_found(store.get_range(&name("a/b"), 0, 5));
}

#[test]
fn neither_success_nor_failure_leaves_a_temporary() {
    let (_place, store) = fresh();
    store.put(&name("a/b"), b"bytes").unwrap();
    store.stage().unwrap().commit(&name("a/c")).unwrap();
    drop(store.stage().unwrap());
    store.put(&name("a/b/c"), b"below an object").unwrap_err();
    store.put(&name("a"), b"over a directory").unwrap_err();
    assert_eq!(temporaries(&store), 0);
    assert_eq!(names(&store, ""), ["a/b", "a/c"]);
}

#[test]
fn what_is_no_object_is_passed_over_by_listings() {
    let (_place, store) = fresh();
    let root = Path::new(&store.place()).to_owned();
    store.put(&name("packs/ab01"), b"bytes").unwrap();
    let _staged = store.stage().unwrap();
    for dir in ["lost+found", ".snapshots", "packs/empty"] {
        fs::create_dir(root.join(dir)).unwrap();
    }
    for file in ["packs/UPPER", "packs/.hidden", ".snapshots/ab01", "packs/two words"] {
        fs::write(root.join(file), "foreign").unwrap();
    }
    symlink("ab01", root.join("packs/link")).unwrap();
    symlink("packs", root.join("packs-link")).unwrap();
    assert_eq!(names(&store, ""), ["packs/ab01"]);
}

#[test]
fn links_are_not_followed_out_of_the_store() {
    let (place, store) = fresh();
    let root = Path::new(&store.place()).to_owned();
    let outside = place.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("ab01"), "secret").unwrap();
    symlink(&outside, root.join("packs")).unwrap();
    symlink(outside.join("ab01"), root.join("config")).unwrap();

    for object in ["packs/ab01", "config"] {
        for result in [store.get(&name(object), 100), store.get_range(&name(object), 0, 1)] {
            assert!(matches!(result, Err(StoreError::Unavailable { .. })), "{result:?}");
        }
        store.len(&name(object)).unwrap_err();
    }
    store.put(&name("packs/ab02"), b"bytes").unwrap_err();
    store.delete(&name("packs/ab01")).unwrap_err();
    // An empty listing would say that all packs are lost.
    store.list("packs", &mut |_| Ok(())).unwrap_err();
    // What stands at an object's own name is replaced, not written through.
    store.put(&name("config"), b"bytes").unwrap();

    assert_eq!(store.get(&name("config"), 100).unwrap(), b"bytes");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(fs::read(outside.join("ab01")).unwrap(), b"secret");
}

#[test]
fn what_is_no_regular_file_is_an_error_and_hangs_nobody() {
    let (_place, store) = fresh();
    let root = Path::new(&store.place()).to_owned();
    fs::create_dir(root.join("directory")).unwrap();
    let made = Command::new("mkfifo").arg(root.join("pipe")).status();
    assert!(made.unwrap().success());
    for object in ["directory", "pipe"] {
        for result in [store.get(&name(object), 100), store.get_range(&name(object), 0, 1)] {
            assert!(matches!(result, Err(StoreError::Unavailable { .. })), "{result:?}");
        }
        store.len(&name(object)).unwrap_err();
    }
    assert_eq!(names(&store, ""), [""; 0]);
}

#[test]
fn a_message_names_verb_object_place_and_reason() {
    let (_place, store) = fresh();
    store.put(&name("config"), b"bytes").unwrap();
    let error = store.put(&name("config/below"), b"bytes").unwrap_err();
    let expected = format!("cannot put config/below in {}: Not a directory", store.place());
    assert!(error.to_string().starts_with(&expected), "{error}");
}

/// A file system of one MiB. Mounting needs root, and so do the tests that use it.
struct Small(tempfile::TempDir);

impl Small {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        mount(&["-t", "tmpfs", "-o", "size=1m", "none"], place.path());
        Self(place)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[track_caller]
fn mount(how: &[&str], place: &Path) {
    let mounted = Command::new("mount").args(how).arg(place).status();
    assert!(mounted.unwrap().success(), "this test mounts a tmpfs, and needs root for it");
}

#[test]
fn a_full_medium_fails_a_put_and_harms_nothing_else_needs_root() {
    let small = Small::new();
    let store = LocalStore::create(&small.0.path().join("store")).unwrap();
    store.put(&name("a/b"), b"here before").unwrap();

    let full = store.put(&name("a/b"), &pattern(2 << 20));
    assert!(matches!(full, Err(StoreError::Full { .. })), "{full:?}");
    let mut staged = store.stage().unwrap();
    let full = staged.write(&pattern(2 << 20));
    assert!(matches!(full, Err(StoreError::Full { .. })), "{full:?}");
    staged.write(b"more").unwrap_err();
    staged.commit(&name("a/b")).unwrap_err();

    assert_eq!(temporaries(&store), 0);
    assert_eq!(store.get(&name("a/b"), 100).unwrap(), b"here before");
    store.put(&name("a/c"), &pattern(500_000)).unwrap();
}

#[test]
fn a_deleted_object_gives_its_room_back_though_it_was_read_needs_root() {
    let small = Small::new();
    let store = LocalStore::create(&small.0.path().join("store")).unwrap();
    for pack in ["packs/1", "packs/2", "packs/3"] {
        store.put(&name(pack), &pattern(700_000)).unwrap();
        store.get_range(&name(pack), 0, 100).unwrap();
        store.delete(&name(pack)).unwrap();
    }
}

#[test]
fn a_read_only_medium_denies_changes_and_serves_reads_needs_root() {
    let small = Small::new();
    let store = LocalStore::create(&small.0.path().join("store")).unwrap();
    store.put(&name("a/b"), b"bytes").unwrap();
    drop(store);
    mount(&["-o", "remount,ro"], small.0.path());

    let store = LocalStore::open(&small.0.path().join("store")).unwrap();
    for denied in [store.put(&name("a/c"), b"bytes"), store.stage().map(drop), store.delete(&name("a/b"))] {
        assert!(matches!(denied, Err(StoreError::Denied { .. })), "{denied:?}");
    }
    assert_eq!(store.get(&name("a/b"), 100).unwrap(), b"bytes");
    assert_eq!(names(&store, ""), ["a/b"]);
}
