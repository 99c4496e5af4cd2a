//! What cannot be listed or read is named and counted, and never left out in silence.

use crate::buckets::Instead;
use crate::scene::{Scene, THEN};

#[test]
fn an_object_that_is_refused_or_gone_is_named_and_the_rest_is_kept() {
    let scene = Scene::holding(["a", "b", "c", "d"]);
    let bucket = scene.bucket.clone();
    scene.server.fault(move |asked| match &*asked.key {
        "b" => Some(Instead::Refuse(403, "AccessDenied")),
        "c" => {
            bucket.remove("c");
            None
        }
        _ => None,
    });

    let ran = scene.back_up().ends(3).complains("b: ").complains("denies access (AccessDenied)");
    ran.complains("c: vanished before it was read").says("2 items could not be backed up");

    assert_eq!(scene.keys(), ["a", "d"]);
    let snapshots = scene.desk.run("snapshots --json").succeeds().json();
    assert_eq!(snapshots[0]["state"], "partial", "{snapshots}");
}

#[test]
fn a_listing_that_breaks_off_is_a_partial_snapshot_and_the_next_one_is_whole() {
    let scene = Scene::holding((0..2500).map(|number| format!("{number:05}")));
    scene.server.fault(|asked| {
        let is_second = asked.query.contains("continuation-token=00999");
        is_second.then_some(Instead::Refuse(403, "AccessDenied"))
    });
    scene.back_up().ends(3).complains("s3://bucket: cannot be listed: ");
    assert_eq!(scene.keys().len(), 1000);

    scene.server.fault(|_| None);
    scene.server.take_counts();
    scene.back_up().succeeds();
    assert_eq!(scene.keys().len(), 2500);
    // What the partial one has is not read again.
    assert_eq!(scene.server.take_counts().1, 1500);
}

#[test]
fn a_bucket_that_cannot_be_listed_at_all_is_one_clear_line_and_no_snapshot() {
    let scene = Scene::holding(["a"]);
    let cases = [
        (404, "NoSuchBucket", "no such bucket"),
        (403, "AccessDenied", "denies access (AccessDenied)"),
        (403, "InvalidAccessKeyId", "does not know the access key"),
        (403, "SignatureDoesNotMatch", "the secret key is not the one"),
        (400, "ExpiredToken", "have expired"),
    ];
    for (status, code, words) in cases {
        scene.server.fault(move |_| Some(Instead::Refuse(status, code)));
        let ran = scene.back_up().ends(1).complains(words);
        let line = ran.stderr.trim_end();
        assert!(!line.contains("secret\"") && line.lines().count() == 1, "{line}");
    }
    let stopped = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("endpoint=http://{}", listener.local_addr().unwrap())
    };
    scene.back_up_with("s3://bucket", &["-b", &stopped]).ends(1).complains("cannot be reached");
    assert_eq!(scene.desk.run("snapshots --json").succeeds().json().as_array().unwrap().len(), 0);
}

#[test]
fn a_store_that_knows_no_ranges_is_said_to_be_such() {
    let scene = Scene::holding(["a"]);
    scene.bucket.put("large", &vec![1; 9 << 20], THEN);
    scene.server.forget_ranges();
    scene.back_up().ends(3).complains("large: cannot read it: the store answered 200");
    assert_eq!(scene.keys(), ["a"]);
}

#[test]
fn a_bucket_goes_with_nothing_else_and_not_into_itself() {
    let scene = Scene::holding(["a"]);
    scene.back_up_with("s3://bucket", &["source"]).ends(2).complains("together with something else");
    scene.back_up_with("s3://bucket", &["--one-file-system"]).ends(2).complains("means nothing for a bucket");
    scene.back_up_with("s3://bu cket", &[]).ends(2).complains("names no bucket");
    scene.back_up_with("s3://bucket", &["-b", "endpiont=x"]).ends(2).complains("endpiont");

    let within = ["s3://bucket", "s3://bucket/backup", "s3://bucket/backup/packs"];
    for address in within {
        let ran = {
            let mut command = scene.desk.keepstone();
            let endpoint = scene.server.endpoint();
            command.args(["backup", address, "-r", "s3://bucket/backup"]).env("AWS_ENDPOINT_URL", endpoint);
            command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "secret");
            crate::desk::Ran::of(address, command.output().unwrap())
        };
        ran.ends(2).complains("is where the repository is");
    }
}

#[test]
fn an_interrupted_backup_does_not_wait_for_a_server_that_hangs() {
    let scene = Scene::holding(["a", "b"]);
    scene.interrupt(|ask| ask.key == "b");
    scene.back_up().succeeds();
}

#[test]
fn half_an_object_is_not_taken_for_a_shorter_one() {
    let scene = Scene::holding(["a", "some content"]);
    scene.server.fault(|asked| (asked.key == "some content").then_some(Instead::Half));
    scene.back_up().ends(3).complains("some content: the store gave 6 of its 12 bytes");
    assert_eq!(scene.keys(), ["a"]);
}

#[test]
fn keys_of_the_repository_are_not_used_for_a_bucket_that_has_variables_of_its_own() {
    let scene = Scene::holding(["a"]);
    let mut command = scene.desk.keepstone();
    command.args(["backup", "s3://bucket"]).env("KEEPSTONE_BUCKET_AWS_ENDPOINT_URL", scene.server.endpoint());
    command.env("AWS_ACCESS_KEY_ID", "of-the-repository").env("AWS_SECRET_ACCESS_KEY", "secret");
    let ran = crate::desk::Ran::of("backup", command.output().unwrap()).ends(1);
    ran.complains("no credentials were found");
    assert_eq!(scene.server.take_counts(), (0, 0, 0));
}
