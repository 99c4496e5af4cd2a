//! What is read of a bucket, and what is not.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::buckets::{Asked, Instead};
use crate::scene::{ODD_KEYS, Scene, THEN};

fn noise(seed: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

#[test]
fn keys_of_all_kinds_come_back_in_order() {
    let longest = "k".repeat(1024);
    let scene = Scene::holding(ODD_KEYS.into_iter().chain([&*longest]));
    scene.back_up().succeeds();

    let mut expected: Vec<String> = ODD_KEYS.iter().map(|key| (*key).to_owned()).chain([longest]).collect();
    expected.sort();
    assert_eq!(scene.keys(), expected);
    for key in &expected {
        assert_eq!(scene.dumped(key), key.as_bytes(), "{key:?}");
    }
    scene.desk.run("check --read-data").succeeds();
}

#[test]
fn nothing_is_asked_of_objects_that_are_known() {
    let scene = Scene::holding((0..2500).map(|number| format!("documents/{number:05}")));
    let report = scene.report();
    assert_eq!((&report["files_new"], &report["troubles"]), (&2500.into(), &0.into()));
    assert_eq!(scene.server.take_counts(), (3, 2500, 0));

    let report = scene.report();
    assert_eq!((&report["files_unmodified"], &report["bytes_read"]), (&2500.into(), &0.into()));
    assert_eq!(scene.server.take_counts(), (3, 0, 0));

    scene.bucket.put("documents/00042", b"another", THEN + 60);
    scene.bucket.remove("documents/00043");
    scene.bucket.put("documents/zzz", b"new", THEN + 60);
    let report = scene.report();
    let counts = ["files_new", "files_changed", "files_unmodified"].map(|field| report[field].as_u64().unwrap());
    assert_eq!(counts, [1, 1, 2498]);
    assert_eq!(scene.server.take_counts(), (3, 2, 0));
    assert_eq!(scene.dumped("documents/00042"), b"another");
}

#[test]
fn what_was_only_put_again_is_not_read_again() {
    let scene = Scene::holding([] as [&str; 0]);
    let content = noise(1, 3 << 20);
    scene.bucket.put("large", &content, THEN);
    scene.back_up().succeeds();
    scene.server.take_counts();

    scene.bucket.put("large", &content, THEN + 60);
    let report = scene.report();

    assert_eq!(report["bytes_read"], 0);
    assert_eq!(scene.server.take_counts(), (1, 0, 1));
    assert_eq!(scene.dumped("large"), content);
    scene.back_up().succeeds();
    assert_eq!(scene.server.take_counts(), (1, 0, 0));
}

#[test]
fn long_listings_are_cut_where_the_parent_shows_how() {
    let scene = Scene::holding((0..30_000).map(|number| format!("{number:05}")));
    scene.back_up().succeeds();
    let (lists, ..) = scene.server.take_counts();
    assert_eq!(lists, 31);

    // Where the marks were, and around them, objects come and go.
    (0..30_000).step_by(7).for_each(|number| scene.bucket.remove(&format!("{number:05}")));
    (0..3000).for_each(|number| scene.bucket.put(&format!("{:05}x", number * 10), b"new", THEN));
    let at_once = std::sync::Arc::new(AtomicU32::new(0));
    let seen = at_once.clone();
    scene.server.fault(move |asked| {
        seen.fetch_add(u32::from(asked.query.contains("start-after")), Relaxed);
        None
    });
    let report = scene.report();

    assert!(at_once.load(Relaxed) >= 4, "{at_once:?}");
    assert_eq!((&report["files_new"], &report["files_unmodified"]), (&3000.into(), &(30_000 - 4286).into()));
    let keys = scene.keys();
    assert!(keys.is_sorted() && keys.len() == 30_000 - 4286 + 3000, "{}", keys.len());
}

#[test]
fn large_objects_come_whole_in_parts() {
    let scene = Scene::holding([] as [&str; 0]);
    for (seed, len) in [(1, 1 << 20), (2, (1 << 20) + 1), (3, 4 << 20), (4, (9 << 20) + 5), (5, 0)] {
        scene.bucket.put(&format!("of {len}"), &noise(seed, len), THEN);
    }
    scene.back_up().succeeds();
    for (seed, len) in [(1, 1 << 20), (2, (1 << 20) + 1), (3, 4 << 20), (4, (9 << 20) + 5), (5, 0)] {
        assert!(scene.dumped(&format!("of {len}")) == noise(seed, len), "{len}");
    }
}

#[test]
fn an_object_that_is_replaced_before_it_is_read_is_read_as_it_is_then() {
    let scene = Scene::holding(["a", "b", "c"]);
    scene.bucket.put("large", &noise(1, 6 << 20), THEN);
    let (bucket, asked_before) = (scene.bucket.clone(), AtomicU32::new(0));
    scene.server.fault(move |asked| {
        if asked.key == "b" && asked_before.fetch_add(1, Relaxed) == 0 {
            bucket.put("b", b"another, and longer", THEN + 60);
        }
        if asked.key == "large" && asked.method == "HEAD" {
            bucket.put("large", &noise(2, 7 << 20), THEN + 60);
        }
        None
    });

    scene.back_up().succeeds();

    assert_eq!(scene.dumped("b"), b"another, and longer");
    assert!(scene.dumped("large") == noise(2, 7 << 20));
    scene.server.take_counts();
    scene.back_up().succeeds();
    assert_eq!(scene.server.take_counts().1, 0);
}

#[test]
fn an_object_that_is_replaced_while_it_is_read_is_read_anew() {
    let scene = Scene::holding(["a"]);
    scene.bucket.put("large", &noise(1, 40 << 20), THEN);
    let (bucket, parts) = (scene.bucket.clone(), AtomicU32::new(0));
    scene.server.fault(move |asked| {
        if asked.key == "large" && asked.method == "GET" && parts.fetch_add(1, Relaxed) == 6 {
            bucket.put("large", &noise(2, 30 << 20), THEN + 60);
        }
        None
    });

    let report = scene.report();

    assert_eq!((&report["troubles"], &report["total_bytes_processed"]), (&0.into(), &((30 << 20) + 1).into()));
    assert!(scene.dumped("large") == noise(2, 30 << 20));
    scene.server.take_counts();
    scene.back_up().succeeds();
    assert_eq!(scene.server.take_counts(), (1, 0, 0));
    scene.desk.run("check --read-data").succeeds();
}

#[test]
fn an_object_that_never_rests_is_named_and_no_mixture_is_kept() {
    let scene = Scene::holding(["a"]);
    scene.bucket.put("large", &noise(1, 20 << 20), THEN);
    let (bucket, parts) = (scene.bucket.clone(), AtomicU32::new(0));
    scene.server.fault(move |asked| {
        if asked.key == "large" && asked.method == "GET" {
            let part = parts.fetch_add(1, Relaxed);
            bucket.put("large", &noise(part as u8, 20 << 20), THEN + i64::from(part));
        }
        None
    });

    scene.back_up().ends(3).complains("large: cannot read it: was replaced while it was read");

    assert_eq!(scene.keys(), ["a"]);
    scene.server.fault(|_| None);
    scene.back_up().succeeds();
}

/// A backup that is interrupted in the midst of a large object.
fn interrupted_in_the_midst(also: impl Fn(&Scene) -> Option<Also>) -> Scene {
    let scene = Scene::holding(["a"]);
    scene.bucket.put("large", &noise(1, 40 << 20), THEN);
    let (also, parts) = (also(&scene), AtomicU32::new(0));
    scene.interrupt(move |asked| {
        also.iter().for_each(|also| also(asked));
        asked.key == "large" && asked.method == "GET" && parts.fetch_add(1, Relaxed) >= 8
    });
    scene
}

type Also = Box<dyn Fn(&Asked) + Send + Sync>;

/// Puts another object there when it is asked what the large one is.
fn exchanged(scene: &Scene) -> Option<Also> {
    let bucket = scene.bucket.clone();
    Some(Box::new(move |asked| {
        if asked.key == "large" && asked.method == "HEAD" {
            bucket.put("large", &noise(2, 40 << 20), THEN + 60);
        }
    }))
}

#[test]
fn a_large_object_is_gone_on_with_where_an_interrupted_backup_stopped() {
    let scene = interrupted_in_the_midst(|_| None);
    let read = scene.report()["bytes_read"].as_u64().unwrap();
    assert!(read < 40 << 20, "{read}");
    assert!(scene.dumped("large") == noise(1, 40 << 20));
}

/// Its beginning would be taken for that of the one that was listed.
#[test]
fn what_was_read_of_a_replaced_object_is_not_gone_on_with_when_the_old_one_is_back() {
    let scene = interrupted_in_the_midst(exchanged);
    scene.bucket.put("large", &noise(1, 40 << 20), THEN + 120);
    scene.back_up().succeeds();
    assert!(scene.dumped("large") == noise(1, 40 << 20));
}

#[test]
fn an_object_that_is_replaced_before_it_is_gone_on_with_is_read_from_its_beginning() {
    let scene = interrupted_in_the_midst(|_| None);
    let exchange = exchanged(&scene).unwrap();
    scene.server.fault(move |asked| {
        exchange(asked);
        None
    });
    scene.back_up().succeeds();
    assert!(scene.dumped("large") == noise(2, 40 << 20));
}

#[test]
fn a_prefix_takes_itself_and_what_is_below_it() {
    let scene = Scene::holding(["p", "p/", "p/a", "p/b/c", "p2", "pa", "o", "q"]);
    scene.back_up_with("s3://bucket/p", &[]).succeeds();
    assert_eq!(scene.keys(), ["p", "p/", "p/a", "p/b/c"]);
    scene.back_up_with("s3://bucket/p/b/", &[]).succeeds();
    assert_eq!(scene.keys(), ["p/b/c"]);

    let ran = scene.back_up_with("s3://bucket/nowhere", &[]).ends(1);
    assert!(ran.stderr.contains("none whose key begins with nowhere/"), "{}", ran.stderr);
}

#[test]
fn keys_are_left_out_by_patterns_and_sizes() {
    let scene = Scene::holding(["docs/a.pdf", "docs/a.tmp", "tmp/b", "c.tmp/d"]);
    scene.bucket.put("docs/large", &noise(1, 5000), THEN);
    scene.back_up_with("s3://bucket", &["-e", "*.tmp", "-e", "/tmp", "--exclude-larger-than", "4K"]).succeeds();
    assert_eq!(scene.keys(), ["docs/a.pdf"]);
}

#[test]
fn a_server_that_is_slow_down_or_cuts_answers_is_asked_again() {
    let scene = Scene::holding((0..40).map(|number| format!("{number:02}")));
    let asked_before = AtomicU32::new(0);
    scene.server.fault(move |asked| match asked_before.fetch_add(1, Relaxed) % 10 {
        3 => Some(Instead::Refuse(503, "SlowDown")),
        7 if !asked.key.is_empty() => Some(Instead::Cut),
        _ => None,
    });
    scene.back_up().succeeds();
    assert_eq!(scene.keys().len(), 40);
    scene.desk.run("check --read-data").succeeds();
}
