//! Each kind of store, as a user works with it.

use crate::scene::Scene;
use crate::servers::{KINDS, Kind, spot};
use std::fs;

fn cycle(kind: Kind) {
    let scene = Scene::at(spot(kind));
    scene.run("snapshots").ends(10).complains("there is no repository");
    scene.run("init").succeeds();
    scene.run("init").ends(1).complains("already");
    scene.run("backup source --as /source").succeeds();
    scene.restores();

    fs::write(scene.desk.path("source/new"), "something new").unwrap();
    scene.run("backup source --as /source").succeeds();
    scene.run("check --read-data").succeeds().says("no damage");
    scene.restores();
    assert_eq!(scene.run("snapshots --json").succeeds().json().as_array().unwrap().len(), 2);
    scene.run("ls latest /source --json").succeeds().says("new");
    scene.run("dump latest /source/new").succeeds().says("something new");
    let id = scene.run("key list --json").succeeds().json();
    assert_eq!(id.as_array().unwrap().len(), 1, "{id}");

    fs::remove_file(scene.desk.path("source/large.bin")).unwrap();
    scene.run("backup source --as /source").succeeds();
    scene.run("forget --keep-last 1 --prune").succeeds().says("removed");
    assert_eq!(scene.run("snapshots --json").succeeds().json().as_array().unwrap().len(), 1);
    scene.run("check --read-data").succeeds().says("no damage");
    scene.restores();
}

/// Every command works the same on all of them.
macro_rules! on_every_kind {
    ($($test:ident => $kind:ident,)+) => {
        $(#[test]
        fn $test() {
            cycle(Kind::$kind);
        })+

        #[test]
        fn the_table_holds_every_kind() {
            assert_eq!([$(Kind::$kind),+], KINDS);
        }
    };
}

on_every_kind! {
    backup_restore_check_and_prune_work_in_a_bucket_of_s3 => S3,
    backup_restore_check_and_prune_work_at_a_strict_s3_server => S3Strict,
    backup_restore_check_and_prune_work_in_a_bucket_of_ceph => Ceph,
    backup_restore_check_and_prune_work_in_an_azure_container => Azblob,
    backup_restore_check_and_prune_work_in_a_bucket_of_google => Gcs,
    backup_restore_check_and_prune_work_by_sftp => Sftp,
    backup_restore_check_and_prune_work_by_webdav => Webdav,
}

#[test]
fn an_option_that_a_store_does_not_know_is_a_usage_error() {
    let scene = Scene::at(spot(Kind::S3).with("endpiont", "http://x"));
    scene.run("snapshots").ends(2).complains("no option 'endpiont'");
    scene.desk.run("snapshots -o region=x").ends(2).complains("no option 'region'");
}

#[test]
fn limits_are_kept_and_change_nothing_else() {
    let scene = Scene::at(spot(Kind::S3));
    scene.run("init").succeeds();
    scene.run("backup source --as /source --limit-upload 20000 --limit-download 20000").succeeds();
    scene.restores();
    scene.run("backup source --limit-upload 0").ends(2);
}
