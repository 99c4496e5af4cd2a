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
    assert!(!requests.is_empty() && requests.len() <= 8, "{requests:#?}");
}

#[test]
fn a_backup_with_nothing_new_is_some_twenty_requests() {
    let (scene, proxy) = with_history();
    scene.run("backup source --as /source").succeeds();
    let requests = proxy.requests();
    let listing_packs = requests.iter().filter(|line| line.contains("prefix=") && line.contains("packs")).count();
    assert!(listing_packs >= 1 && requests.len() - listing_packs <= 22, "{requests:#?}");
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
