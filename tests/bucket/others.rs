//! Containers of Azure's (Azurite) and buckets of Google's (fake-gcs-server) as sources.

use crate::desk::{Desk, Ran};
use crate::servers::{Kind, put_blobs, spot};

const KEYS: [&str; 7] = ["a", "a/", "a//b", "a/b", "sp ace+plus%25", "ä/ö 😀", "q?uery&x=1"];

fn comes_back(kind: Kind) {
    let (desk, spot) = (Desk::new(), spot(kind));
    desk.run("init").succeeds();
    put_blobs(&spot);
    let prefix = spot.address.rsplit_once('/').unwrap().1.to_owned();
    let back_up = || {
        let mut command = desk.keepstone();
        command
            .args(["backup", "--json", &spot.address])
            .envs(spot.variables.iter().map(|(name, value)| (name, value)));
        for (key, value) in &spot.options {
            command.arg("-b").arg(format!("{key}={value}"));
        }
        Ran::of("backup", command.output().unwrap()).succeeds().summary()
    };
    let report = back_up();
    assert_eq!((&report["files_new"], &report["troubles"]), (&8.into(), &0.into()));
    for key in KEYS {
        let output = desk.keepstone().args(["dump", "latest", &format!("{prefix}/{key}")]).output().unwrap();
        assert_eq!(output.stdout, key.as_bytes(), "{key}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let output = desk.keepstone().args(["dump", "latest", &format!("{prefix}/large")]).output().unwrap();
    let large: Vec<u8> = (0..=255).cycle().take(256 * (9 << 12)).collect();
    assert!(output.stdout == large);

    let report = back_up();
    assert_eq!((&report["files_unmodified"], &report["bytes_read"]), (&8.into(), &0.into()));
    put_blobs(&spot);
    let report = back_up();
    assert_eq!((&report["files_new"], &report["troubles"]), (&0.into(), &0.into()));
    desk.run("check --read-data").succeeds();
}

#[test]
fn a_container_of_azure_is_backed_up() {
    comes_back(Kind::Azblob);
}

#[test]
fn a_bucket_of_google_is_backed_up() {
    comes_back(Kind::Gcs);
}

#[test]
fn only_buckets_of_s3_are_restored_to() {
    let (desk, spot) = (Desk::with_snapshot(), spot(Kind::Gcs));
    let mut command = desk.keepstone();
    command.args(["restore", "latest", "--target", &spot.address]);
    command.envs(spot.variables.iter().map(|(name, value)| (name, value)));
    Ran::of("restore", command.output().unwrap()).ends(1).complains("only buckets of S3-compatible stores can");
}
