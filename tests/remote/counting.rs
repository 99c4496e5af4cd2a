//! How many requests things take, and how much they fetch. Counted on the wire.

use crate::proxy::Proxy;
use crate::scene::{Scene, noise};
use crate::servers::{Kind, spot};
use std::fs;

/// A repository with some history, and a proxy that counts what is asked of it.
fn with_history() -> (Scene, Proxy) {
    let direct = spot(Kind::S3);
    let proxy = Proxy::to(direct.port);
    let scene = Scene::at(direct.through(proxy.port));
    scene.run("init").succeeds();
    for day in 0..12 {
        fs::write(scene.desk.path("source/today"), format!("day {day}")).unwrap();
        scene.run("backup source --as /source").succeeds();
    }
    proxy.reset();
    (scene, proxy)
}

#[test]
fn opening_with_a_warm_cache_is_a_handful_of_requests_whatever_the_history() {
    let (scene, proxy) = with_history();
    scene.run("snapshots").succeeds();
    let requests = proxy.requests();
    assert!(!requests.is_empty() && requests.len() <= 6, "{requests:#?}");
}

#[test]
fn a_backup_with_nothing_new_is_less_than_twenty_requests() {
    let (scene, proxy) = with_history();
    scene.run("backup source --as /source").succeeds();
    let requests = proxy.requests();
    let listing_packs = requests.iter().filter(|line| line.contains("prefix=") && line.contains("packs")).count();
    assert!(listing_packs >= 1 && requests.len() - listing_packs <= 18, "{requests:#?}");
    assert_eq!(twice(&requests), ["condemned", "index", "keyring"], "{requests:#?}");
}

/// What is listed twice: condemned records before and after the announcement (A1, A4), the index when it is opened
/// and after the announcement (A6), keyrings when they are read and after the announcement (A2).
fn twice(requests: &[String]) -> Vec<String> {
    let mut listed: Vec<String> = requests.iter().filter_map(|line| listing(line)).collect();
    listed.sort_unstable();
    listed.chunk_by(|a, b| a == b).filter(|same| same.len() > 1).map(|same| same[0].clone()).collect()
}

/// The directory that a request lists.
fn listing(line: &str) -> Option<String> {
    let (_, prefix) = line.split_once("prefix=")?;
    let prefix = prefix.split(['&', ' ']).next()?.replace("%2F", "/");
    Some(prefix.trim_end_matches('/').rsplit('/').next()?.to_owned())
}

#[test]
fn looking_at_what_is_there_with_a_warm_cache_costs_no_more_than_opening() {
    let (scene, proxy) = with_history();
    for line in ["snapshots", "ls latest", "ls latest~7 /source", "find today"] {
        proxy.reset();
        scene.run(line).succeeds();
        let requests = proxy.requests();
        assert!(!requests.is_empty() && requests.len() <= 6, "{line}: {requests:#?}");
    }
}

#[test]
fn one_file_of_many_costs_little_more_than_itself() {
    let direct = spot(Kind::S3);
    let proxy = Proxy::to(direct.port);
    let scene = Scene::at(direct.through(proxy.port));
    for file in 0..40 {
        fs::write(scene.desk.path(&format!("source/file-{file}")), noise(file + 1, 1 << 20)).unwrap();
    }
    scene.run("init").succeeds();
    scene.run("backup source --as /source").succeeds();
    proxy.reset();
    let target = scene.desk.path("out");
    scene.run(&format!("restore latest --include /source/file-7 --target {}", target.display())).succeeds();
    assert_eq!(fs::read(target.join("source/file-7")).unwrap(), noise(8, 1 << 20));
    // The file, windows at both ends of its pieces, and what opening takes.
    assert!(proxy.down() < 5 << 20, "{} bytes", proxy.down());
    assert!(proxy.requests().len() <= 24, "{:#?}", proxy.requests());
}
