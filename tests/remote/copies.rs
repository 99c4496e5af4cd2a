//! A second copy, on a server: interrupted in the middle, and gone on with.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::desk::PASSWORD;
use crate::proxy::Proxy;
use crate::scene::{Scene, noise};
use crate::servers::{Kind, Spot, spot};
use keepstone::ops::copy::{CopyReport, Listener, copy};
use keepstone::ops::progress::WorkCounters;
use keepstone::ops::snapshots::all;
use keepstone::repo::{CacheDir, RepoError, Repository, SystemChance, Who};
use keepstone::storage::{FaultyStore, LocalStore, Store, Verb};

const MIB: u64 = 1 << 20;

/// Two snapshots of some 16 MiB in a directory, and an empty repository on a server that takes after it.
fn scene_at(kind: Kind) -> Scene {
    let scene = Scene::at(spot(kind));
    for file in 0..16 {
        fs::write(scene.desk.path(&format!("source/file-{file}")), noise(file + 1, 1 << 20)).unwrap();
    }
    scene.desk.run("init --pack-size 4M").succeeds();
    scene.desk.run("backup source --as /source").succeeds();
    fs::write(scene.desk.path("source/new"), noise(99, 1 << 20)).unwrap();
    scene.desk.run("backup source --as /source").succeeds();
    let local = scene.desk.repository();
    scene
        .run(&format!("init --pack-size 4M --from-repo {} --from-password-file {}", local.display(), password(&scene)))
        .succeeds();
    scene
}

fn password(scene: &Scene) -> String {
    let file = scene.desk.path("password");
    fs::write(&file, PASSWORD).unwrap();
    file.to_str().unwrap().to_owned()
}

fn open(store: Box<dyn Store>, cache: &std::path::Path) -> Repository {
    Repository::open(store, PASSWORD.as_bytes(), &CacheDir::Kept(cache.to_owned()), Box::new(SystemChance)).unwrap()
}

/// Copies all there is, until it is told to stop. Gives how many bytes of packs it read as well.
fn copied(scene: &Scene, way: &Spot, stop: impl Fn() -> bool + Sync) -> (Result<CopyReport, RepoError>, u64) {
    let counted = FaultyStore::new(LocalStore::open(&scene.desk.repository()).unwrap());
    let from = open(Box::new(counted.clone()), &scene.desk.path("cache"));
    let into = open(Box::new(way.store()), &scene.desk.path("cache"));
    let counters = WorkCounters::new("entries");
    let listener = Listener { counters: &counters, on_failure: &|id, why| panic!("{id}: {why}"), interrupted: &stop };
    let result = copy(&from, &into, &all(&from).unwrap().snapshots, &Who::default(), &listener);
    let reads = counted.calls().into_iter().filter(|call| matches!(call.verb, Verb::Get | Verb::GetRange));
    (result, reads.filter(|call| call.name.starts_with("packs/")).map(|call| call.bytes).sum())
}

fn is_gone_on_with(kind: Kind) {
    let scene = scene_at(kind);
    let proxy = Proxy::to(scene.spot.port);
    let way = scene.spot.through(proxy.port);
    let asked = AtomicU64::new(0);
    let stop = || {
        asked.fetch_add(1, Ordering::Relaxed);
        proxy.has_passed(7 * MIB)
    };

    let (interrupted, read) = copied(&scene, &way, stop);

    assert!(matches!(interrupted, Err(RepoError::Interrupted)), "{kind:?}: {interrupted:?}");
    let sent = proxy.up();
    let (done, read_again) = copied(&scene, &way, || false);
    let done = done.unwrap();
    assert_eq!(done.copied.len() + done.already_there.len(), 2, "{kind:?}");
    assert!(!done.copied.is_empty(), "{kind:?}: it was interrupted too late");
    let (read, sent_again) = (read + read_again, proxy.up() - sent);
    assert!(sent_again < 13 * MIB, "{kind:?}: {sent_again} bytes are sent after {sent}");
    assert!(read < 22 * MIB, "{kind:?}: of 17 MiB {read} bytes are read");

    scene.run("check --read-data").succeeds().says("no damage");
    scene.restores();
    let (again, read) = copied(&scene, &way, || false);
    assert_eq!((again.unwrap().already_there.len(), read), (2, 0), "{kind:?}: nothing is left to do");
}

#[test]
fn a_copy_to_s3_that_was_interrupted_sends_only_what_is_missing() {
    is_gone_on_with(Kind::S3);
}

#[test]
fn a_copy_to_azure_that_was_interrupted_sends_only_what_is_missing() {
    is_gone_on_with(Kind::Azblob);
}

#[test]
fn a_copy_to_google_that_was_interrupted_sends_only_what_is_missing() {
    is_gone_on_with(Kind::Gcs);
}

#[test]
fn a_copy_by_sftp_that_was_interrupted_sends_only_what_is_missing() {
    is_gone_on_with(Kind::Sftp);
}

#[test]
fn a_copy_by_webdav_that_was_interrupted_sends_only_what_is_missing() {
    is_gone_on_with(Kind::Webdav);
}
