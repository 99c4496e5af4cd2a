//! Files as a source, against a real file system: /var/tmp, since tmpfs may not know user attributes.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use keepstone::component::files::filter::{Tag, read_patterns};
use keepstone::component::files::source::Place;
use keepstone::component::files::{FilesSource, Filter, raise_open_files_limit};
use keepstone::format::tree::Device;
use keepstone::ops::pattern::{Case, Patterns};
use keepstone::ops::source::{Extent, Found, Kind, Source, Trouble};
use rustix::fs::{CWD, FileType, Mode, OFlags, XattrFlags, lsetxattr, mkdirat, mknodat, openat};
use tempfile::TempDir;

fn scratch() -> TempDir {
    tempfile::tempdir_in("/var/tmp").unwrap()
}

fn write(root: &TempDir, path: &str, content: &str) {
    let path = root.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn source(paths: &[&Path], filter: Filter) -> FilesSource {
    let paths: Vec<PathBuf> = paths.iter().map(|path| path.to_path_buf()).collect();
    FilesSource::new(&paths, None, filter).unwrap()
}

/// A source that has the directory for its top.
fn top(root: &TempDir, filter: Filter) -> FilesSource {
    FilesSource::new(&[root.path().to_owned()], Some(Path::new("/")), filter).unwrap()
}

/// Everything by path, and all troubles.
struct Walked {
    found: BTreeMap<String, Found<Place>>,
    troubles: Vec<Trouble>,
}

impl Walked {
    fn paths(&self) -> Vec<&str> {
        self.found.keys().map(String::as_str).collect()
    }
}

fn walk(source: &FilesSource) -> Walked {
    let mut walked = Walked { found: BTreeMap::new(), troubles: Vec::new() };
    let mut todo = vec![(String::new(), source.root())];
    while let Some((path, place)) = todo.pop() {
        let listing = match source.list(&place) {
            Ok(listing) => listing,
            Err(trouble) => {
                walked.troubles.push(trouble);
                continue;
            }
        };
        let mut last = None;
        for item in listing {
            match item {
                Err(trouble) => walked.troubles.push(trouble),
                Ok(found) => {
                    assert!(last < Some(found.key.clone()), "names do not ascend");
                    last = Some(found.key.clone());
                    let path = format!("{path}/{}", String::from_utf8_lossy(&found.key.name));
                    if found.kind == Kind::Directory {
                        todo.push((path.clone(), found.place.clone()));
                    }
                    walked.found.insert(path, found);
                }
            }
        }
    }
    walked
}

/// The paths that a filter lets through.
fn left(root: &TempDir, filter: Filter) -> Vec<String> {
    let walked = walk(&top(root, filter));
    assert!(walked.troubles.is_empty(), "{:?}", walked.troubles);
    walked.found.into_keys().collect()
}

type Extents = Vec<(Extent, Vec<u8>)>;

fn read(source: &FilesSource, found: &Found<Place>, meanwhile: impl FnOnce()) -> (Extents, Result<(), String>) {
    let mut reading = source.open(found).unwrap();
    let mut meanwhile = Some(meanwhile);
    let mut extents = Vec::new();
    while let Some(extent) = reading.next_extent().unwrap() {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
        // Within a hole there is nothing to read.
        loop {
            match reading.read(&mut buffer).unwrap() {
                0 => break,
                got => bytes.extend_from_slice(&buffer[..got]),
            }
            if let Some(meanwhile) = meanwhile.take() {
                meanwhile();
            }
        }
        extents.push((extent, bytes));
    }
    (extents, reading.finish())
}

#[test]
fn every_kind_of_file_is_found_as_it_is() {
    let root = scratch();
    let at = |name: &str| root.path().join(name);
    write(&root, "dir/file", "12345");
    fs::hard_link(at("dir/file"), at("second name")).unwrap();
    symlink("dir/nowhere", at("link")).unwrap();
    std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    mknodat(CWD, at("fifo"), FileType::Fifo, Mode::from_raw_mode(0o640), 0).unwrap();
    let privileged = rustix::process::geteuid().is_root();
    if privileged {
        let device = rustix::fs::makedev(1, 3);
        mknodat(CWD, at("char"), FileType::CharacterDevice, Mode::from_raw_mode(0o600), device).unwrap();
        mknodat(CWD, at("block"), FileType::BlockDevice, Mode::from_raw_mode(0o600), device).unwrap();
    }
    fs::write(root.path().join(OsStr::from_bytes(b"\xff\xfe")), "").unwrap();

    let source = top(&root, Filter::default());
    let walked = walk(&source);

    let kind = |path: &str| walked.found[path].kind;
    assert!(walked.troubles.is_empty(), "{:?}", walked.troubles);
    assert_eq!(kind("/dir/file"), Kind::File { size: Some(5) });
    assert_eq!(kind("/link"), Kind::Symlink);
    assert_eq!(kind("/socket"), Kind::Socket);
    assert_eq!(kind("/fifo"), Kind::Fifo);
    if privileged {
        assert_eq!(kind("/char"), Kind::CharDevice(Device { major: 1, minor: 3 }));
        assert_eq!(kind("/block"), Kind::BlockDevice(Device { major: 1, minor: 3 }));
    }
    assert!(walked.found.values().any(|found| &found.key.name[..] == b"\xff\xfe"));

    let (file, second) = (&walked.found["/dir/file"], &walked.found["/second name"]);
    let meta = fs::metadata(at("dir/file")).unwrap();
    assert_eq!(file.stat.mode, meta.mode() & 0o7777);
    assert_eq!((file.stat.mtime.secs, file.stat.mtime.nanos as i64), (meta.mtime(), meta.mtime_nsec()));
    assert_eq!((file.stat.ctime.secs, file.stat.inode), (meta.ctime(), meta.ino()));
    assert_eq!(file.stat.hard_link, second.stat.hard_link);
    assert!(file.stat.hard_link.is_some() && walked.found["/dir"].stat.hard_link.is_none());

    let link = source.describe(&walked.found["/link"]).unwrap();
    assert_eq!(link.target, b"dir/nowhere");
    if privileged {
        assert_eq!((&link.user[..], &link.group[..]), ("root", "root"));
    }
    for found in walked.found.values() {
        source.describe(found).unwrap();
    }
}

#[test]
fn attributes_and_acls_come_with_every_kind() {
    let root = scratch();
    write(&root, "dir/file", "");
    symlink("dir", root.path().join("link")).unwrap();
    // Version 2; owner rw-, user 1 r--, group r--, mask r--, others ---.
    let acl: Vec<u8> = [[2, 0, 0, 0].to_vec()]
        .into_iter()
        .chain(
            [(1, 6, u32::MAX), (2, 4, 1), (4, 4, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)]
                .map(|(tag, rights, id)| [&[tag, 0, rights, 0][..], &id.to_le_bytes()].concat()),
        )
        .flatten()
        .collect();
    let set =
        |path: &str, name: &str, value: &[u8]| lsetxattr(root.path().join(path), name, value, XattrFlags::empty());
    set("dir/file", "user.comment", b"kept \0 whole").unwrap();
    set("dir/file", "user.empty", b"").unwrap();
    set("dir/file", "system.posix_acl_access", &acl).unwrap();
    set("dir", "user.comment", b"of a directory").unwrap();
    let privileged = set("link", "trusted.link", b"of a link").is_ok();

    let source = top(&root, Filter::default());
    let walked = walk(&source);
    let xattrs = |path: &str| -> Vec<(String, Vec<u8>)> {
        let xattrs = source.describe(&walked.found[path]).unwrap().xattrs;
        let pair = |xattr: &keepstone::format::tree::Xattr| {
            (String::from_utf8_lossy(&xattr.name).into(), xattr.value.to_vec())
        };
        xattrs.0.iter().map(pair).filter(|(name, _): &(String, _)| name != "security.selinux").collect()
    };
    let own = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
    let file = [own("system.posix_acl_access", &acl), own("user.comment", b"kept \0 whole"), own("user.empty", b"")];
    assert_eq!(xattrs("/dir/file"), file);
    assert_eq!(xattrs("/dir"), [own("user.comment", b"of a directory")]);
    if privileged {
        assert_eq!(xattrs("/link"), [own("trusted.link", b"of a link")]);
    }
}

#[test]
fn given_paths_stand_where_they_lie() {
    let root = scratch();
    for path in ["home/al/docs/a", "home/al/music/b", "home/al/docs/sub/c", "etc/hosts", "etc/other"] {
        write(&root, path, "");
    }
    let at = |path: &str| root.path().join(path);
    let given = [at("home/al/docs"), at("etc/hosts"), at("home/al/docs/sub"), at("etc/../etc/hosts"), at("gone/x")];
    let source = source(&given.each_ref().map(PathBuf::as_path), Filter::default());
    let walked = walk(&source);

    let prefix = root.path().to_str().unwrap();
    let below: Vec<&str> = walked.paths().into_iter().filter_map(|path| path.strip_prefix(prefix)).collect();
    let expected = [
        "",
        "/etc",
        "/etc/hosts",
        "/home",
        "/home/al",
        "/home/al/docs",
        "/home/al/docs/a",
        "/home/al/docs/sub",
        "/home/al/docs/sub/c",
    ];
    assert_eq!(below, expected);
    assert_eq!(walked.found["/var"].stat.inode, fs::metadata("/var").unwrap().ino());
    assert_eq!(source.paths().len(), 4);
    assert_eq!((source.missing().len(), walked.troubles.len(), source.is_empty()), (1, 1, false));
    assert!(
        walked.troubles[0].to_string().contains("gone/x: cannot be backed up: No such file"),
        "{}",
        walked.troubles[0]
    );
    for found in walked.found.values() {
        source.describe(found).unwrap();
    }
}

#[test]
fn nothing_is_left_when_every_path_is_missing() {
    let source = source(&[Path::new("/no/such/thing"), Path::new("")], Filter::default());
    assert!(source.is_empty());
    assert_eq!(source.missing().len(), 2);
    assert_eq!(walk(&source).found.len(), 0);
}

#[test]
fn a_single_path_can_stand_elsewhere() {
    let root = scratch();
    write(&root, "snap-17/data/file", "x");
    let one = |path: &str, place: &str| {
        FilesSource::new(&[root.path().join(path)], Some(Path::new(place)), Filter::default())
    };
    let moved = one("snap-17/data", "/srv/./data").unwrap();
    assert_eq!(walk(&moved).paths(), ["/srv", "/srv/data", "/srv/data/file"]);
    assert_eq!(moved.paths(), [Path::new("/srv/data")]);
    assert_eq!(walk(&one("snap-17/data/file", "renamed").unwrap()).paths(), ["/renamed"]);
    assert_eq!(walk(&one("snap-17", "/").unwrap()).paths(), ["/data", "/data/file"]);
    assert!(one("snap-17/data/file", "/").is_err());
    assert!(one("snap-17", "../up").is_err());
    assert!(FilesSource::new(&[root.path().into(), "/etc".into()], Some(Path::new("/x")), Filter::default()).is_err());
}

#[test]
fn a_given_link_is_a_link_and_the_way_to_a_path_may_lead_through_one() {
    let root = scratch();
    write(&root, "real/file", "x");
    symlink("real", root.path().join("way")).unwrap();
    let path = |name: &str| root.path().join(name);
    let source = source(&[&path("way"), &path("way/file")], Filter::default());
    let walked = walk(&source);
    let prefix = root.path().to_str().unwrap();
    assert_eq!(walked.found[&format!("{prefix}/way")].kind, Kind::Symlink);

    let through = self::source(&[&path("way/file")], Filter::default());
    let walked = walk(&through);
    assert_eq!(walked.found[&format!("{prefix}/way")].kind, Kind::Directory);
    let (extents, _) = read(&through, &walked.found[&format!("{prefix}/way/file")], || ());
    assert_eq!(extents, [(Extent::Data(Some(1)), b"x".to_vec())]);
}

/// Directories one in another, and a file in the last.
fn dig(root: &TempDir, name: &str, levels: usize) {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut here = openat(CWD, root.path(), flags, Mode::empty()).unwrap();
    for _ in 0..levels {
        mkdirat(&here, name, Mode::from_raw_mode(0o755)).unwrap();
        here = openat(&here, name, flags, Mode::empty()).unwrap();
    }
    let file = openat(&here, "bottom", OFlags::CREATE | OFlags::WRONLY, Mode::from_raw_mode(0o644)).unwrap();
    fs::File::from(file).write_all(b"deep").unwrap();
}

#[test]
fn paths_may_be_longer_than_the_system_takes_in_one_call() {
    raise_open_files_limit().unwrap();
    let root = scratch();
    dig(&root, &"n".repeat(200), 300);
    let source = top(&root, Filter { excludes: vec![patterns(&["/nothing/like/this"])], ..Filter::default() });
    let walked = walk(&source);
    assert!(walked.troubles.is_empty(), "{}", walked.troubles[0]);
    let (path, found) = walked.found.iter().next_back().unwrap();
    assert_eq!((walked.found.len(), path.len()), (301, 300 * 201 + "/bottom".len()));
    source.describe(found).unwrap();
    assert_eq!(read(&source, found, || ()).0, [(Extent::Data(Some(4)), b"deep".to_vec())]);

    let given = root.path().join(&path[1..]);
    let source = self::source(&[&given], Filter::default());
    let walked = walk(&source);
    assert!(walked.troubles.is_empty(), "{}", walked.troubles[0]);
    assert!(walked.found.contains_key(given.to_str().unwrap()));
    for found in walked.found.values() {
        source.describe(found).unwrap();
    }
}

#[test]
fn holes_are_told_from_data() {
    let root = scratch();
    let mut file = fs::File::create(root.path().join("sparse")).unwrap();
    file.seek(SeekFrom::Start(1 << 20)).unwrap();
    file.write_all(&[7; 4096]).unwrap();
    file.set_len(3 << 20).unwrap();
    drop(file);
    write(&root, "empty", "");
    let source = top(&root, Filter::default());
    let walked = walk(&source);
    let (extents, finished) = read(&source, &walked.found["/sparse"], || ());
    let after = (3 << 20) - (1 << 20) - 4096;
    let expected =
        [(Extent::Hole(1 << 20), vec![]), (Extent::Data(Some(4096)), vec![7; 4096]), (Extent::Hole(after), vec![])];
    assert!(extents == expected, "{:?}", extents.iter().map(|(extent, _)| extent).collect::<Vec<_>>());
    finished.unwrap();
    assert_eq!(read(&source, &walked.found["/empty"], || ()), (vec![], Ok(())));
}

#[test]
fn a_file_that_changes_while_it_is_read_is_told() {
    let root = scratch();
    let path = root.path().join("log");
    let source = top(&root, Filter::default());
    let fresh = |len: usize| {
        fs::write(&path, vec![b'x'; len]).unwrap();
        walk(&source).found["/log"].clone()
    };
    let append = || fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"more").unwrap();

    let (extents, finished) = read(&source, &fresh(10_000), append);
    assert_eq!(finished, Err("grew from 10000 to 10004 bytes while it was read".to_owned()));
    assert_eq!(extents[0].0, Extent::Data(Some(10_000)));
    assert_eq!(extents[1], (Extent::Data(Some(4)), b"more".to_vec()));

    let cut = || fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(5).unwrap();
    let (extents, finished) = read(&source, &fresh(10_000), cut);
    assert_eq!(finished, Err("shrank from 10000 to 5 bytes while it was read".to_owned()));
    assert_eq!((extents.len(), extents[0].1.len()), (1, 4096));

    let found = fresh(10);
    fs::File::options().write(true).open(&path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(read(&source, &found, || ()).1, Err("was changed while it was read".to_owned()));

    let found = fresh(10);
    let trouble = |found| source.open(found).err().unwrap().why;
    fs::rename(&path, root.path().join("log.1")).unwrap();
    assert_eq!(trouble(&found), "vanished before it was read");
    symlink("log.1", &path).unwrap();
    assert_eq!(trouble(&found), "became a symbolic link before it was read");
    fs::remove_file(&path).unwrap();
    mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    assert_eq!(trouble(&found), "is no regular file any more");
    fs::remove_file(&path).unwrap();
    fs::write(&path, "another one").unwrap();
    assert_eq!(trouble(&found), "was replaced by another file before it was read");
}

#[test]
fn what_vanishes_while_it_is_listed_is_told_and_the_rest_goes_on() {
    let root = scratch();
    for name in ["a", "b", "c/d"] {
        write(&root, name, "");
    }
    let source = top(&root, Filter::default());
    let mut listing = source.list(&source.root()).unwrap();
    listing.next().unwrap().unwrap();
    fs::remove_file(root.path().join("b")).unwrap();
    let trouble = listing.next().unwrap().unwrap_err();
    assert_eq!(trouble.path, root.path().join("b").to_str().unwrap());
    assert_eq!(trouble.why, "vanished while its directory was listed");
    let directory = listing.next().unwrap().unwrap();
    fs::remove_dir_all(root.path().join("c")).unwrap();
    assert_eq!(source.list(&directory.place).err().unwrap().why, "vanished before it was listed");
    assert!(listing.next().is_none());
}

fn patterns(words: &[&str]) -> Patterns {
    Patterns::parse(words, Case::Sensitive).unwrap()
}

#[test]
fn excludes_hide_what_they_match_and_all_below() {
    let root = scratch();
    for path in ["repos/repo1/target/x", "repos/repo1/src/main.go", "repos/deep/p/target/y", "repos/bin/Tool.C"] {
        write(&root, path, "");
    }
    fs::write(root.path().join("excludes"), "# go files\n\n  *.go  \r\nexcludes\n").unwrap();
    let anchored = format!("{}/repos/**/target", root.path().display());
    let filter = Filter {
        excludes: vec![
            patterns(&[&anchored]),
            Patterns::parse(read_patterns(&root.path().join("excludes")).unwrap(), Case::Sensitive).unwrap(),
            Patterns::parse(["*.c"], Case::Insensitive).unwrap(),
        ],
        ..Filter::default()
    };
    let expected = ["/repos", "/repos/bin", "/repos/deep", "/repos/deep/p", "/repos/repo1", "/repos/repo1/src"];
    assert_eq!(left(&root, filter), expected);
}

#[test]
fn a_given_path_is_taken_whatever_is_excluded() {
    let root = scratch();
    for path in ["work/keep/a", "work/drop/b", "work/drop/wanted/c"] {
        write(&root, path, "");
    }
    let at = |path: &str| root.path().join(path);
    let filter = Filter { excludes: vec![patterns(&["drop", "work.txt", "b"])], ..Filter::default() };
    let walked = walk(&source(&[&at("work"), &at("work/drop/wanted")], filter));
    let prefix = at("work").display().to_string();
    let below: Vec<&str> = walked.paths().into_iter().filter_map(|path| path.strip_prefix(&prefix)).collect();
    // Restic has it so, too: the given path is there, and what is in it is filtered.
    assert_eq!(below, ["", "/drop", "/drop/wanted", "/keep", "/keep/a"]);
}

#[test]
fn marked_directories_keep_nothing_but_their_mark() {
    let root = scratch();
    let signature = "Signature: 8a477f597d28d172789f06886806bc55\n# by a tool";
    let files = [("cache/CACHEDIR.TAG", signature), ("cache/x/y", ""), ("fake/CACHEDIR.TAG", "no"), ("fake/x", "")];
    let tagged = [
        ("no/.nobackup", ""),
        ("no/x", ""),
        ("head/.mark", "skip me"),
        ("head/x", ""),
        ("not/.mark", ""),
        ("not/x", ""),
    ];
    files.iter().chain(&tagged).for_each(|(path, content)| write(&root, path, content));
    let tags = vec![Tag::cache(), Tag::parse(b".nobackup").unwrap(), Tag::parse(b".mark:skip").unwrap()];
    let expected = [
        "/cache",
        "/cache/CACHEDIR.TAG",
        "/fake",
        "/fake/CACHEDIR.TAG",
        "/fake/x",
        "/head",
        "/head/.mark",
        "/no",
        "/no/.nobackup",
        "/not",
        "/not/.mark",
        "/not/x",
    ];
    assert_eq!(left(&root, Filter { tags, ..Filter::default() }), expected);
    assert_eq!((Tag::parse(b""), Tag::parse(b":x"), Tag::parse(b"a/b")), (None, None, None));
}

#[test]
fn large_files_are_left_out_and_directories_are_not() {
    let root = scratch();
    write(&root, "dir/small", "12345");
    write(&root, "dir/large", "123456");
    assert_eq!(left(&root, Filter { larger_than: Some(5), ..Filter::default() }), ["/dir", "/dir/small"]);
}

#[test]
fn ignore_files_hold_below_them_and_the_nearest_decides() {
    let root = scratch();
    let rules = [(".gitignore", "*.log\r\n/build/\n# x\nout\n!keep.log"), ("sub/.gitignore", "!*.log\nsecret")];
    rules.iter().for_each(|(path, content)| write(&root, path, content));
    for path in ["a.log", "keep.log", "build/x", "sub/build/y", "sub/b.log", "sub/secret", "sub/deep/c.log", "out/z"] {
        write(&root, path, "");
    }
    let filter = Filter { ignore_files: vec![b".gitignore".to_vec()], ..Filter::default() };
    let expected = [
        "/.gitignore",
        "/keep.log",
        "/sub",
        "/sub/.gitignore",
        "/sub/b.log",
        "/sub/build",
        "/sub/build/y",
        "/sub/deep",
        "/sub/deep/c.log",
    ];
    assert_eq!(left(&root, filter.clone()), expected);
    fs::remove_file(root.path().join(".gitignore")).unwrap();
    symlink("/etc/passwd", root.path().join(".gitignore")).unwrap();
    let walked = walk(&top(&root, filter));
    assert_eq!((walked.troubles.len(), walked.found.contains_key("/a.log")), (1, true), "{:?}", walked.troubles);
}

#[test]
fn other_file_systems_are_kept_as_empty_directories() {
    let filter = || Filter { one_file_system: true, excludes: vec![patterns(&["/dev/shm/*"])], ..Filter::default() };
    let walked = walk_two_levels(&source(&[Path::new("/")], filter()));
    assert!(
        walked.contains(&"/proc".to_owned()) && !walked.iter().any(|path| path.starts_with("/proc/")),
        "{walked:?}"
    );
    let walked = walk_two_levels(&source(&[Path::new("/"), Path::new("/proc/self/fd")], filter()));
    let below: Vec<&String> = walked.iter().filter(|path| path.starts_with("/proc/")).collect();
    assert_eq!(below, ["/proc/self"]);
}

fn walk_two_levels(source: &FilesSource) -> Vec<String> {
    let names = |place: &Place| -> Vec<Found<Place>> { source.list(place).unwrap().filter_map(Result::ok).collect() };
    let mut paths = Vec::new();
    for found in names(&source.root()) {
        let path = format!("/{}", String::from_utf8_lossy(&found.key.name));
        if found.kind == Kind::Directory {
            let below = names(&found.place).into_iter();
            paths.extend(below.map(|below| format!("{path}/{}", String::from_utf8_lossy(&below.key.name))));
        }
        paths.push(path);
    }
    paths
}
