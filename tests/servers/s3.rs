//! Servers that speak S3, and users of theirs.

use super::{Server, Spot, beside_python, beside_tests, free_port, http, pairs, python, scratch, script, target};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const KEY: &str = "AKIDtests";
const SECRET: &str = "hush-hush-secret";

/// A place in the bucket of an S3 server on that port.
pub fn s3_spot(port: u16, prefix: &str) -> Spot {
    Spot {
        address: format!("s3://bucket/{prefix}"),
        options: Vec::new(),
        variables: pairs(&[
            ("AWS_ENDPOINT_URL", &format!("http://127.0.0.1:{port}")),
            ("AWS_ACCESS_KEY_ID", KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
        ]),
        port,
    }
}

/// The same place, as someone else.
pub fn with_keys_of(spot: &Spot, key: &str, secret: &str) -> Spot {
    let mut spot = spot.clone();
    spot.variables.retain(|(name, _)| name == "AWS_ENDPOINT_URL");
    spot.variables.extend(pairs(&[("AWS_ACCESS_KEY_ID", key), ("AWS_SECRET_ACCESS_KEY", secret)]));
    spot
}

/// moto; or, in its place, any S3 server on this machine that runs already and has a bucket called `bucket`:
/// `KEEPSTONE_TEST_S3="PORT ACCESS_KEY SECRET_KEY"`. MinIO is tried so.
pub fn moto_spot(prefix: &str) -> Spot {
    static SERVER: OnceLock<Server> = OnceLock::new();
    if let Ok(said) = std::env::var("KEEPSTONE_TEST_S3") {
        let [port, key, secret] = said.split_whitespace().collect::<Vec<_>>()[..] else { panic!("PORT KEY SECRET") };
        let prefix = format!("{}/{prefix}", std::process::id());
        return with_keys_of(&s3_spot(port.parse().unwrap(), &prefix), key, secret);
    }
    let server = SERVER.get_or_init(|| {
        let server = start_s3_on(free_port());
        make_bucket(server.port);
        server
    });
    s3_spot(server.port, prefix)
}

/// A moto of one's own without a bucket. It keeps nothing when it stops.
pub fn start_s3_on(port: u16) -> Server {
    Server::start(port, Command::new(beside_python("moto_server")).args(["-H", "127.0.0.1", "-p", &port.to_string()]))
}

pub fn make_bucket(port: u16) {
    let answer = http(port, "PUT /bucket HTTP/1.1", "");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// A moto of one's own that asks who somebody is and what he may, and a place there: as somebody who may do
/// everything, and as somebody who may do what `policy` says.
pub fn append_only(policy: &str, prefix: &str) -> (Server, Spot, Spot) {
    let port = free_port();
    // So many requests it takes to make a bucket and the two; those that follow must be allowed.
    let mut command = Command::new(python());
    command.arg(beside_tests("moto_policies.py")).args(["-H", "127.0.0.1", "-p", &port.to_string()]);
    let server = Server::start(port, command.env("INITIAL_NO_AUTH_ACTION_COUNT", "7"));
    let made = script("s3_admin.py", &["users", &port.to_string(), policy]);
    let words: Vec<&str> = made.split_whitespace().collect();
    let spot = s3_spot(port, prefix);
    (server, with_keys_of(&spot, words[0], words[1]), with_keys_of(&spot, words[2], words[3]))
}

pub fn strict_spot(prefix: &str) -> Spot {
    static SERVER: OnceLock<Server> = OnceLock::new();
    s3_spot(SERVER.get_or_init(|| start_strict(free_port(), &scratch("s3s"))).port, prefix)
}

/// s3s-fs, which keeps its data in a place.
pub fn start_strict(port: u16, place: &Path) -> Server {
    std::fs::create_dir_all(place.join("bucket")).unwrap();
    let program = std::env::var_os("KEEPSTONE_S3S").map_or_else(|| target().join("s3s/bin/s3s-fs"), PathBuf::from);
    let mut command = Command::new(program);
    command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--access-key", KEY, "--secret-key", SECRET]);
    Server::start(port, command.arg(place))
}

pub fn ceph_spot(prefix: &str) -> Spot {
    static SERVER: OnceLock<Server> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        let (port, monitor) = (free_port(), free_port());
        let mut command = Command::new(beside_tests("ceph.sh"));
        command.arg(scratch("ceph")).args([&port.to_string(), &monitor.to_string(), KEY, SECRET]);
        let server = Server::start(port, &mut command);
        script("s3_admin.py", &["bucket", &port.to_string(), KEY, SECRET]);
        server
    });
    s3_spot(server.port, prefix)
}
