//! What a server may answer that is not what was asked for, and what the user hears: one line that says which store,
//! what was tried, and what to do. Exactly one: no library tells its own story.

use crate::scene::Scene;
use crate::servers::{free_port, s3_spot, start_tls};
use keepstone::storage::{ObjectName, Store, StoreError};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A server that gives the answers of a list one after the other, the last of them for ever.
pub struct Canned {
    pub port: u16,
    asked: Arc<AtomicU64>,
    pub heads: Arc<Mutex<Vec<String>>>,
}

impl Canned {
    pub fn answering(answers: Vec<String>) -> Canned {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let canned =
            Canned { port: listener.local_addr().unwrap().port(), asked: Arc::default(), heads: Arc::default() };
        let (asked, heads) = (Arc::clone(&canned.asked), Arc::clone(&canned.heads));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let n = asked.fetch_add(1, Ordering::SeqCst) as usize;
                let head = answer(stream.unwrap(), &answers[n.min(answers.len() - 1)]);
                heads.lock().unwrap().push(head);
            }
        });
        canned
    }

    /// Lines and headers of the last request.
    fn last(&self) -> String {
        // It was answered before its head was kept.
        while self.heads.lock().unwrap().is_empty() {
            std::thread::yield_now();
        }
        self.heads.lock().unwrap().last().unwrap().clone()
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }
}

fn answer(mut stream: TcpStream, answer: &str) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    // Bodies of requests in these tests are short and arrive with the head, or are not waited for.
    let _ = stream.write_all(answer.as_bytes());
    String::from_utf8_lossy(&head).into_owned()
}

pub fn xml(status: &str, headers: &str, code: &str, more: &str) -> String {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>words</Message>{more}</Error>");
    let len = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {len}\r\nConnection: close\r\n\r\n{body}")
}

pub const NOW: &str = "";
const LONG_AGO: &str = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

#[test]
fn each_refusal_is_one_line_that_says_what_to_do() {
    let cases = [
        (xml("404 Not Found", NOW, "NoSuchBucket", ""), "there is no such bucket at 127.0.0.1"),
        (xml("403 Forbidden", NOW, "AccessDenied", ""), "denies access (AccessDenied)"),
        (xml("403 Forbidden", NOW, "InvalidAccessKeyId", ""), "does not know the access key"),
        (xml("403 Forbidden", NOW, "SignatureDoesNotMatch", ""), "the secret key is not the one"),
        (xml("400 Bad Request", NOW, "ExpiredToken", ""), "the credentials have expired"),
        (xml("301 Moved", NOW, "PermanentRedirect", "<Region>eu-west-3</Region>"), "-o region=eu-west-3"),
        (xml("400 Bad Request", NOW, "AuthorizationHeaderMalformed", "<Region>garage</Region>"), "-o region=garage"),
        (xml("403 Forbidden", LONG_AGO, "RequestTimeTooSkewed", ""), "the clock of this machine is"),
    ];
    for (answer, words) in cases {
        let canned = Canned::answering(vec![answer]);
        let scene = Scene::at(s3_spot(canned.port, "repo"));
        let ran = scene.run("snapshots").ends(1).complains(words).complains("cannot get config in s3://bucket/repo");
        assert_eq!(ran.stderr.trim_end().lines().count(), 1, "{}", ran.stderr);
        assert!(!ran.stderr.contains("hush") && !ran.stderr.contains("AKID"), "{}", ran.stderr);
        assert_eq!(canned.asked(), 1, "what will not pass is not tried again: {words}");
    }
}

#[test]
fn an_endpoint_that_is_down_is_said_at_once() {
    let scene = Scene::at(s3_spot(free_port(), "repo"));
    let ran = scene.run("snapshots").ends(1).complains("cannot be reached").complains("does the server run?");
    assert_eq!(ran.stderr.trim_end().lines().count(), 1, "{}", ran.stderr);
}

#[test]
fn a_server_without_tls_is_no_server_with_it() {
    let canned = Canned::answering(vec![xml("403 Forbidden", NOW, "AccessDenied", "")]);
    let scene = Scene::at(s3_spot(canned.port, "repo").with("endpoint", &format!("https://127.0.0.1:{}", canned.port)));
    scene.run("snapshots").ends(1).complains("cannot be reached");
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused_until_somebody_does() {
    let (scene, port) = (Scene::at(s3_spot(0, "repo")), free_port());
    let (certificate, key) = (scene.desk.path("certificate.pem"), scene.desk.path("key.pem"));
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output();
    assert!(made.unwrap().status.success());
    let _server = start_tls(port, &certificate, &key);
    let spot = s3_spot(port, "repo").with("endpoint", &format!("https://127.0.0.1:{port}"));
    scene.run_at(&spot, "snapshots").ends(1).complains("is not to be trusted").complains("-o ca=FILE");
    scene.run_at(&spot.with("ca", certificate.to_str().unwrap()), "snapshots").ends(10);
}

#[test]
fn credentials_that_are_missing_are_said_to_be() {
    let mut spot = s3_spot(free_port(), "repo");
    spot.variables.retain(|(name, _)| name == "AWS_ENDPOINT_URL");
    Scene::at(spot.clone()).run("snapshots").ends(1).complains("no credentials");
    spot.variables.push(("AWS_ACCESS_KEY_ID".into(), "AKID".into()));
    Scene::at(spot).run("snapshots").ends(1).complains("AWS_SECRET_ACCESS_KEY is not");
}

#[test]
fn credentials_come_from_the_files_of_the_aws_tools_by_profile() {
    let denied = || Canned::answering(vec![xml("403 Forbidden", NOW, "AccessDenied", "")]);
    let files = "[default]\naws_access_key_id = AKIDdefault\naws_secret_access_key = one\n\n\
                 [backup]\naws_access_key_id = AKIDbackup\naws_secret_access_key = two\n";
    // By the environment, by an option, and by nothing at all.
    for (variable, option, key) in
        [(Some("backup"), None, "AKIDbackup"), (None, Some("backup"), "AKIDbackup"), (None, None, "AKIDdefault")]
    {
        let canned = denied();
        let mut spot = s3_spot(canned.port, "repo");
        spot.variables.retain(|(name, _)| name == "AWS_ENDPOINT_URL");
        let scene = Scene::at(spot);
        let file = scene.desk.path("credentials");
        fs::write(&file, files).unwrap();
        let mut spot = scene.spot.clone();
        spot.variables.push(("AWS_SHARED_CREDENTIALS_FILE".into(), file.to_str().unwrap().into()));
        spot.variables.extend(variable.map(|profile| ("AWS_PROFILE".to_owned(), profile.to_owned())));
        spot.options.extend(option.map(|profile: &str| ("profile".to_owned(), profile.to_owned())));
        scene.run_at(&spot, "snapshots").ends(1).complains("denies access");
        assert!(canned.last().contains(&format!("Credential={key}/")), "{}", canned.last());
    }
}

#[test]
fn keys_in_the_environment_beside_a_profile_that_is_asked_for_are_not_silently_taken() {
    let scene = Scene::at(s3_spot(free_port(), "repo").with("profile", "backup"));
    scene.run("snapshots").ends(1).complains("AWS_ACCESS_KEY_ID").complains("unset them");
}

#[test]
fn a_profile_that_is_not_there_is_no_other_one() {
    let canned = Canned::answering(vec![xml("403 Forbidden", NOW, "AccessDenied", "")]);
    let mut spot = s3_spot(canned.port, "repo").with("profile", "backpu");
    spot.variables.retain(|(name, _)| name == "AWS_ENDPOINT_URL");
    let scene = Scene::at(spot);
    let file = scene.desk.path("credentials");
    fs::write(&file, "[default]\naws_access_key_id = AKIDdefault\naws_secret_access_key = one\n").unwrap();
    let mut spot = scene.spot.clone();
    spot.variables.push(("AWS_SHARED_CREDENTIALS_FILE".into(), file.to_str().unwrap().into()));
    scene.run_at(&spot, "snapshots").ends(1).complains("credentials");
    assert_eq!(canned.asked(), 0);
}

/// The way to a name that nobody resolves is a proxy, which sees the host that is asked for.
#[test]
fn the_bucket_stands_in_the_path_or_if_wished_in_the_name_of_the_host() {
    for (virtual_host, line) in
        [("no", "GET http://s3.example/bucket/repo/config "), ("yes", "GET http://bucket.s3.example/repo/config ")]
    {
        let canned = Canned::answering(vec![xml("403 Forbidden", NOW, "AccessDenied", "")]);
        let mut spot = s3_spot(canned.port, "repo").with("virtual-host", virtual_host);
        spot.variables[0].1 = "http://s3.example".into();
        spot.variables.push(("http_proxy".into(), format!("http://127.0.0.1:{}", canned.port)));
        Scene::at(spot).run("snapshots").ends(1).complains("denies access");
        assert!(canned.last().starts_with(line), "{}", canned.last());
    }
}

#[test]
fn what_may_pass_is_tried_again_until_it_has_passed() {
    let slow = xml("503 Slow Down", NOW, "SlowDown", "");
    let broken = xml("500 Internal Server Error", NOW, "InternalError", "");
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nby".to_owned();
    let rest = "HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\nContent-Range: bytes 2-4/5\r\nConnection: close\r\n\r\ntes";
    let canned = Canned::answering(vec![slow, broken, String::new(), cut, rest.to_owned()]);
    let store = s3_spot(canned.port, "repo").store();
    assert_eq!(store.get(&ObjectName::new("a").unwrap(), 100).unwrap(), b"bytes");
    assert!(canned.asked() >= 5, "{}", canned.asked());
}

#[test]
fn a_server_that_begins_again_where_it_should_go_on_is_not_believed() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nby".to_owned();
    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nbytes".to_owned();
    let canned = Canned::answering(vec![cut, whole]);
    let store = s3_spot(canned.port, "repo").store();
    let error = store.get(&ObjectName::new("a").unwrap(), 100).unwrap_err().to_string();
    assert!(error.contains("parts of objects"), "{error}");
}

#[test]
fn what_does_not_pass_is_given_up_and_said() {
    let canned = Canned::answering(vec![xml("503 Slow Down", NOW, "SlowDown", "")]);
    let store = s3_spot(canned.port, "repo").with("retries", "2").store();
    let error = store.get(&ObjectName::new("a").unwrap(), 100).unwrap_err().to_string();
    assert!(error.contains("is overloaded (SlowDown); it was tried several times"), "{error}");
    assert_eq!(canned.asked(), 3);
}

#[test]
fn a_put_that_may_happen_only_once_is_sent_once() {
    let canned = Canned::answering(vec![xml("503 Slow Down", NOW, "SlowDown", "")]);
    let store = s3_spot(canned.port, "repo").store();
    let refused = store.put_once(&ObjectName::new("sessions/1").unwrap(), b"here I am");
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    assert_eq!(canned.asked(), 1);
}

#[test]
fn an_object_that_is_too_long_is_not_taken() {
    let canned = Canned::answering(vec![
        "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\nConnection: close\r\n\r\n".to_owned(),
    ]);
    let store = s3_spot(canned.port, "repo").store();
    let refused = store.get(&ObjectName::new("a").unwrap(), 100);
    assert!(matches!(refused, Err(StoreError::TooLong { len: 1_000_000_000_000, .. })), "{refused:?}");
}
