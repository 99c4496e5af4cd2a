//! Looking at snapshots: chosen, listed, searched, compared, measured.

mod stored;

use std::collections::BTreeMap;

use keepstone::format::control::{Snapshot, SnapshotState};
use keepstone::format::tree::{Node, TreeRef};
use keepstone::id::SnapshotId;
use keepstone::ops::diff::{Change, Totals, diff};
use keepstone::ops::find::{Case, Patterns, find};
use keepstone::ops::list::{Depth, list};
use keepstone::ops::snapshots::{SnapshotFilter, Spot, all, find_path, resolve, split_spec};
use keepstone::ops::{cat, stats};
use keepstone::repo::{Repository, Result, Writer, name_of};
use keepstone::storage::{FaultyStore, Verb};

use stored::{About, Files, commit, entry, files, init, noise, open, put_entries};

fn tree() -> Files {
    files([
        ("etc/hosts", b"localhost".to_vec()),
        ("etc/nginx/nginx.conf", b"server {}".to_vec()),
        ("etc/nginx/sites/default.conf", b"listen 80".to_vec()),
        ("home/me/Notes.TXT", noise(1, 10_000)),
        ("readme", b"hello".to_vec()),
    ])
}

fn at<'a>(secs: i64, host: &'a str, tags: &'a [&'a str]) -> About<'a> {
    About { secs, host, tags, ..About::default() }
}

fn resolved(repository: &Repository, spec: &str, filter: &SnapshotFilter) -> Result<SnapshotId> {
    resolve(repository, spec, filter).map(|(id, _)| id)
}

#[test]
fn snapshots_are_sorted_by_time_and_latest_counts_back() {
    let repository = open(init(0));
    let later = commit(&repository, &tree(), &at(20, "b", &[])).0;
    let first = commit(&repository, &tree(), &at(10, "a", &[])).0;
    let last = commit(&repository, &tree(), &at(30, "a", &[])).0;
    let checkpoint = About { secs: 40, state: SnapshotState::Checkpoint, ..About::default() };
    commit(&repository, &tree(), &checkpoint);

    let ids: Vec<SnapshotId> = all(&repository).unwrap().snapshots.into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, [first, later, last]);

    let any = SnapshotFilter::default();
    assert_eq!(resolved(&repository, "latest", &any).unwrap(), last);
    assert_eq!(resolved(&repository, "latest~1", &any).unwrap(), later);
    assert_eq!(resolved(&repository, "latest~2", &any).unwrap(), first);
    let of_a = SnapshotFilter { hosts: vec!["a".into()], ..any.clone() };
    assert_eq!(resolved(&repository, "latest~1", &of_a).unwrap(), first);
    for spec in ["latest~3", "latest~", "latest~x", "latest~-1", "latestx", "", "xyz", "abc", &"0".repeat(65)] {
        assert!(resolved(&repository, spec, &any).is_err(), "{spec:?}");
    }
}

#[test]
fn filters_are_or_between_tags_and_and_within_one() {
    let repository = open(init(0));
    let both = commit(&repository, &tree(), &at(1, "a", &["daily", "db"])).0;
    let daily = commit(&repository, &tree(), &at(2, "b", &["daily"])).0;
    let none = commit(&repository, &tree(), &at(3, "a", &[])).0;
    let listing = all(&repository).unwrap();
    let matching = |filter: SnapshotFilter| -> Vec<SnapshotId> {
        listing.snapshots.iter().filter(|(_, it)| filter.matches(it)).map(|(id, _)| *id).collect()
    };
    let tags = |arguments: &[&str]| SnapshotFilter {
        tags: arguments.iter().map(|argument| SnapshotFilter::tag_list(argument)).collect(),
        ..SnapshotFilter::default()
    };
    assert_eq!(matching(tags(&["daily,db"])), [both]);
    assert_eq!(matching(tags(&["daily"])), [both, daily]);
    assert_eq!(matching(tags(&["db", "daily"])), [both, daily]);
    assert_eq!(matching(tags(&[""])), [none]);
    assert_eq!(matching(tags(&["", "db"])), [both, none]);
    let paths = |paths: &[&str]| SnapshotFilter {
        paths: paths.iter().map(|path| path.as_bytes().to_vec()).collect(),
        ..SnapshotFilter::default()
    };
    assert_eq!(matching(paths(&["/srv"])).len(), 3);
    assert_eq!(matching(paths(&["/srv", "/home"])).len(), 0);
}

#[test]
fn a_prefix_is_enough_unless_it_means_several() {
    let repository = open(init(0));
    let (id, root) = commit(&repository, &tree(), &at(1, "a", &[]));
    let any = SnapshotFilter::default();
    let hex = id.to_hex();
    for digits in [4, 8, 63, 64] {
        assert_eq!(resolved(&repository, &hex[..digits], &any).unwrap(), id);
    }
    assert_eq!(resolved(&repository, &hex[..8].to_uppercase(), &any).unwrap(), id);

    // The store may show any names: two that begin alike.
    let alike = SnapshotId::from_hex(&format!("{}{}", &hex[..12], "0".repeat(52))).unwrap();
    repository.objects().store().put(&name_of::<Snapshot>(&alike), b"another").unwrap();
    let error = resolved(&repository, &hex[..6], &any).unwrap_err().to_string();
    assert!(error.contains(&hex[..10]) && error.contains("ambiguous"), "{error}");
    assert_eq!(resolved(&repository, &hex[..14], &any).unwrap(), id);

    let listing = all(&repository).unwrap();
    assert_eq!((listing.snapshots.len(), listing.troubles.len()), (1, 1));
    assert_eq!(listing.troubles[0].0, alike);
    assert_eq!(listing.snapshots[0].1.root, root);
    assert_eq!(resolved(&repository, "latest", &any).unwrap(), id);
}

#[test]
fn a_path_is_found_and_its_first_missing_part_is_named() {
    let repository = open(init(0));
    let (_, root) = commit(&repository, &tree(), &About::default());
    assert_eq!(find_path(&repository, &root, b"/").unwrap(), Spot::Root(root.clone()));
    for path in ["etc/nginx/nginx.conf", "/etc//nginx/./nginx.conf/"] {
        let Spot::Entry(entry) = find_path(&repository, &root, path.as_bytes()).unwrap() else { panic!("{path}") };
        assert_eq!(&entry.key.name[..], b"nginx.conf");
    }
    let error = |path: &str| find_path(&repository, &root, path.as_bytes()).unwrap_err().to_string();
    assert_eq!(error("etc/apache/httpd.conf"), "there is no etc/apache in the snapshot");
    assert_eq!(error("readme/x"), "readme is no directory");
    assert_eq!(split_spec("latest~1:/etc:x"), ("latest~1", Some("/etc:x")));
    assert_eq!(split_spec("abcd"), ("abcd", None));
}

fn listed(repository: &Repository, id: &SnapshotId, path: &str, depth: Depth) -> Vec<String> {
    let mut paths = Vec::new();
    let snapshot = repository.objects().get::<Snapshot>(id).unwrap();
    list(repository, &snapshot, path.as_bytes(), depth, &mut |path, _| {
        paths.push(String::from_utf8(path.to_vec()).unwrap());
        Ok(())
    })
    .unwrap();
    paths
}

#[test]
fn a_listing_shows_a_directory_or_all_below_it() {
    let repository = open(init(0));
    let (id, root) = commit(&repository, &tree(), &About::default());
    assert_eq!(listed(&repository, &id, "", Depth::Shallow), ["etc", "home", "readme"]);
    assert_eq!(listed(&repository, &id, "/etc/nginx", Depth::Shallow), ["etc/nginx/nginx.conf", "etc/nginx/sites"]);
    let below = ["etc/nginx/nginx.conf", "etc/nginx/sites", "etc/nginx/sites/default.conf"];
    assert_eq!(listed(&repository, &id, "etc/nginx/", Depth::Recursive), below);
    assert_eq!(listed(&repository, &id, "readme", Depth::Recursive), ["readme"]);
    assert_eq!(listed(&repository, &id, "", Depth::Recursive).len() as u64, root.entries);
}

fn found(repository: &Repository, snapshots: &[(SnapshotId, TreeRef)], patterns: &[&str], case: Case) -> Vec<String> {
    let patterns = Patterns::new(patterns, case).unwrap();
    let mut paths = Vec::new();
    let of = snapshots.iter().map(|(id, root)| (id, root));
    let troubles = find(repository, of, &patterns, &mut |id, path, _| {
        let number = snapshots.iter().position(|(snapshot, _)| snapshot == id).unwrap();
        paths.push(format!("{number}:{}", String::from_utf8_lossy(path)));
        Ok(())
    });
    assert!(troubles.unwrap().is_empty());
    paths
}

#[test]
fn names_and_paths_are_found_in_every_snapshot() {
    let repository = open(init(0));
    let mut changed = tree();
    changed.insert("home/me/new.conf".into(), b"x".to_vec());
    // The same directory stands at two places.
    changed.insert("backup/nginx/nginx.conf".into(), b"server {}".to_vec());
    changed.insert("backup/nginx/sites/default.conf".into(), b"listen 80".to_vec());
    let snapshots = [&tree(), &changed, &tree()].map(|files| commit(&repository, files, &About::default()));
    let find = |patterns: &[&str]| found(&repository, &snapshots, patterns, Case::Sensitive);

    assert_eq!(find(&["hosts"]), ["0:etc/hosts", "1:etc/hosts", "2:etc/hosts"]);
    assert_eq!(find(&["new.*"]), ["1:home/me/new.conf"]);
    assert_eq!(find(&["default.conf"]).len(), 4);
    assert_eq!(find(&["/etc/**/default.conf"]).len(), 3);
    assert_eq!(find(&["/backup/**"]).len(), 4);
    assert_eq!(find(&["/etc/*"]).len(), 6);
    assert_eq!(find(&["*.txt"]).len(), 0);
    assert_eq!(found(&repository, &snapshots, &["*.txt"], Case::Insensitive).len(), 3);
    assert_eq!(find(&["hosts", "/home/me/new.conf"]).len(), 4);
    assert!(Patterns::new(&["[a"], Case::Sensitive).is_err());
}

#[test]
fn a_second_search_of_the_same_tree_reads_nothing() {
    let store = FaultyStore::new(init(0));
    let mut repository = open(store.clone());
    let snapshots = [1, 2].map(|secs| commit(&repository, &tree(), &at(secs, "a", &[])));
    repository.bypass_meta_cache();
    let reads = |of: &[(SnapshotId, TreeRef)]| {
        let before = store.count(Verb::GetRange);
        found(&repository, of, &["nothing"], Case::Sensitive);
        store.count(Verb::GetRange) - before
    };
    reads(&snapshots[..1]);
    assert_eq!(reads(&snapshots[..1]), reads(&snapshots));
}

/// Differences by path, as diff tells them.
fn differences(repository: &Repository, before: &TreeRef, after: &TreeRef) -> (BTreeMap<String, Change>, Totals) {
    let mut changes = BTreeMap::new();
    let totals = diff(repository, before, after, b"", &mut |difference| {
        let path = String::from_utf8_lossy(difference.path).into_owned();
        assert_eq!(difference.before.is_none(), difference.change == Change::Added);
        assert_eq!(difference.after.is_none(), difference.change == Change::Removed);
        assert_eq!(changes.insert(path, difference.change), None);
        Ok(())
    });
    (changes, totals.unwrap())
}

#[test]
fn every_kind_of_difference_is_told() {
    let repository = open(init(0));
    let before = tree();
    let mut after = tree();
    after.insert("etc/hosts".into(), b"localhost 2".to_vec());
    after.remove("etc/nginx/sites/default.conf");
    after.insert("new/deep/file".into(), b"12345".to_vec());
    after.remove("readme");
    after.insert("readme/now-a-dir".into(), b"1".to_vec());
    let before = commit(&repository, &before, &About::default()).1;
    let after = commit(&repository, &after, &About::default()).1;

    let (changes, totals) = differences(&repository, &before, &after);
    let expected = [
        ("etc/hosts", Change::Modified),
        ("etc/nginx/sites", Change::Removed),
        ("etc/nginx/sites/default.conf", Change::Removed),
        ("new", Change::Added),
        ("new/deep", Change::Added),
        ("new/deep/file", Change::Added),
        ("readme", Change::Type),
        ("readme/now-a-dir", Change::Added),
    ];
    assert_eq!(changes, expected.map(|(path, change)| (path.to_owned(), change)).into());
    assert_eq!((totals.added.files, totals.added.dirs, totals.added.bytes), (2, 3, 5 + 1 + 11));
    assert_eq!((totals.removed.files, totals.removed.dirs, totals.removed.bytes), (2, 1, 9 + 5 + 9));
    assert_eq!((totals.modified, totals.types, totals.metadata), (1, 1, 0));

    assert!(differences(&repository, &before, &before).0.is_empty());
    let (back, _) = differences(&repository, &after, &before);
    assert_eq!(back.len(), changes.len());
}

fn flat(repository: &Repository, names: impl IntoIterator<Item = (u32, u32)>) -> TreeRef {
    let writer =
        Writer::begin(repository, keepstone::format::control::SessionKind::Backup, &Default::default()).unwrap();
    let entries = names.into_iter().map(|(number, mode)| {
        let target = keepstone::format::codec::Bytes::new(b"target".to_vec()).unwrap();
        let mut entry = entry(format!("object-{number:08}").as_bytes(), Node::Symlink(target));
        entry.meta.mode = mode;
        entry
    });
    let root = put_entries(repository, &writer, entries);
    stored::commit_root(writer, root.clone(), &About::default());
    root
}

#[test]
fn one_change_in_a_hundred_thousand_costs_a_few_nodes() {
    let store = FaultyStore::new(init(0));
    let mut repository = open(store.clone());
    let before = flat(&repository, (0..100_000).map(|number| (number, 0o644)));
    let changed = flat(&repository, (0..100_000).map(|number| (number, if number == 54_321 { 0o600 } else { 0o644 })));
    let removed = flat(&repository, (0..100_000).filter(|number| *number != 54_321).map(|number| (number, 0o644)));
    let added = flat(&repository, (0..=100_000).map(|number| (number, 0o644)));
    repository.bypass_meta_cache();
    for (after, change) in [(&changed, Change::Metadata), (&removed, Change::Removed), (&added, Change::Added)] {
        let reads_before = store.count(Verb::GetRange);
        let (changes, _) = differences(&repository, &before, after);
        let reads = store.count(Verb::GetRange) - reads_before;
        assert_eq!(changes.values().collect::<Vec<_>>(), [&change]);
        assert!(reads <= 24, "{change:?} took {reads} reads");
    }
}

#[test]
fn differences_of_split_directories_are_those_of_their_entries() {
    let repository = open(init(0));
    // Numbers drawn from one seed: a tree of thousands, and others made from it by many changes.
    let dice = noise(42, 4096);
    let base: BTreeMap<u32, u32> = (0..6_000).map(|number| (number * 3, 0o644)).collect();
    let base_root = flat(&repository, base.clone());
    for round in 0..8 {
        let mut other = base.clone();
        let dice = &dice[round * 512..][..512];
        for pair in dice.chunks(4).take([1, 3, 20, 128][round % 4]) {
            let number = u32::from(pair[0]) << 6 | u32::from(pair[1]) >> 2;
            match pair[2] % 3 {
                0 => drop(other.remove(&(number / 3 * 3))),
                1 => drop(other.insert(number, 0o600)),
                _ => other.retain(|at, _| !(number..number + u32::from(pair[3])).contains(at)),
            }
        }
        let root = flat(&repository, other.clone());
        let (changes, totals) = differences(&repository, &base_root, &root);
        let mut expected = BTreeMap::new();
        for number in base.keys().chain(other.keys()) {
            let change = match (base.get(number), other.get(number)) {
                (Some(old), Some(new)) if old == new => continue,
                (Some(_), Some(_)) => Change::Metadata,
                (Some(_), None) => Change::Removed,
                _ => Change::Added,
            };
            expected.insert(format!("object-{number:08}"), change);
        }
        assert_eq!(changes, expected, "round {round}");
        assert_eq!(
            totals.removed.others,
            expected.values().filter(|change| **change == Change::Removed).count() as u64
        );
    }
}

#[test]
fn statistics_count_what_is_shared_once() {
    let repository = open(init(0));
    let (_, one) = commit(&repository, &tree(), &About::default());
    let mut more = tree();
    more.insert("extra".into(), noise(5, 8_192));
    let (_, two) = commit(&repository, &more, &About::default());

    let restored = stats::restore_size([&one, &two]);
    assert_eq!((restored.entries, restored.bytes), (one.entries + two.entries, one.bytes + two.bytes));
    let raw = stats::raw_data(&repository, [&one, &two]).unwrap();
    assert_eq!((raw.data.blobs, raw.data.plain, raw.missing), (5, 10_000 + 8_192, 0));
    assert!(raw.data.stored > raw.data.plain && raw.metadata.blobs >= 6);
    assert_eq!(stats::raw_data(&repository, [&two, &one, &two]).unwrap(), raw);
    let totals = stats::repository(&repository).unwrap();
    assert_eq!((totals.data.blobs, totals.data.plain), (raw.data.blobs, raw.data.plain));
    assert!(totals.packs >= 2 && totals.bytes > totals.data.stored);
    assert!(totals.compression_ratio() < 1.0);
}

#[test]
fn objects_are_shown_without_a_secret() {
    let repository = open(init(0));
    let (id, root) = commit(&repository, &tree(), &About::default());
    let snapshot = cat::snapshot(&repository, &id).unwrap();
    assert_eq!(snapshot["root"]["id"], root.id.to_hex());
    assert_eq!(snapshot["time"], "1970-01-01T00:16:40Z");
    let tree = cat::blob(&repository, &root.id).unwrap();
    assert_eq!(tree["entries"][0]["name"], "etc");
    let index = repository.objects().list::<keepstone::format::segment::Segment>().unwrap()[0];
    let index = cat::index(&repository, &index).unwrap();
    let pack = index["packs"][0]["id"].as_str().unwrap();
    let id = cat::pack_by_prefix(&repository, &pack[..10]).unwrap();
    let directory = cat::pack(&repository, &id).unwrap();
    assert!(directory["blobs"].as_array().unwrap().len() as u64 >= index["packs"][0]["listed"].as_u64().unwrap());

    let shown = [cat::keyring(&repository), cat::config(&repository)].map(|value| value.to_string()).concat();
    let keyring = &repository.keychain().keyring;
    let epoch = &keyring.epochs[0];
    let keys = [
        &keyring.next_auth,
        &keyring.identity,
        &keyring.chunking,
        &epoch.data,
        &epoch.metadata,
        &epoch.index,
        &epoch.control,
    ];
    for key in keys {
        let hex: String = key.0.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!shown.contains(&hex) && !shown.contains(&format!("{:?}", key.0)));
    }
    assert!(shown.contains("first"));
}
