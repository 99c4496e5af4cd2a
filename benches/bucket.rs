//! A bucket of millions of small objects, invented by a server in this process, and what a nightly backup of it takes
//! beside a bare listing and bare downloads by the same client:
//!
//! ```text
//! cargo bench --bench bucket -- [--objects 10000000] [--size 1000] [--page-ms 20] [--work /dev/shm/bucket-bench]
//! cargo bench --bench bucket -- --objects 1 --size 53687091200
//! cargo bench --bench bucket -- --endpoint http://127.0.0.1:9000 --bucket documents
//! ```
//!
//! Each step is a process of its own, whose memory is its own. A page of a listing takes the server `--page-ms`
//! milliseconds: stores need 20 to 200. With `--endpoint` the bucket is one that is there, with the keys in `AWS_ACCESS_KEY_ID` and
//! `AWS_SECRET_ACCESS_KEY`.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use keepstone::component::bucket::{BucketAddress, BucketSource, CONNECTIONS, Client, KeyFilter};
use keepstone::ops::source::{Found, Source};
use keepstone::storage::Limits;
use keepstone::storage::remote::{Address, Options};

#[path = "../tests/servers/buckets.rs"]
mod buckets;

use buckets::{BucketServer, Invented};

struct Plan {
    objects: u64,
    size: u64,
    page_ms: u64,
    work: PathBuf,
    /// A server that is there, and the name of a bucket on it.
    there: Option<(String, String)>,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["bare-listing", endpoint, bucket] => println!("{} objects", bare(endpoint, bucket, false)),
        ["bare-download", endpoint, bucket] => println!("{} objects", bare(endpoint, bucket, true)),
        _ => run(&plan(&words)),
    }
}

fn plan(words: &[String]) -> Plan {
    let value = |flag: &str| words.iter().position(|word| word == flag).map(|at| words[at + 1].clone());
    let number = |flag: &str, usual: u64| value(flag).map_or(usual, |value| value.parse().expect("a number"));
    Plan {
        objects: number("--objects", 10_000_000),
        size: number("--size", 1000),
        page_ms: number("--page-ms", 20),
        there: value("--endpoint").map(|endpoint| (endpoint, value("--bucket").expect("--bucket NAME"))),
        work: value("--work").map_or_else(|| std::env::temp_dir().join("bucket-bench"), PathBuf::from),
    }
}

fn run(plan: &Plan) {
    let bucket = Arc::new(Invented { count: plan.objects, night: AtomicU64::new(0), size: plan.size });
    let server = BucketServer::start(bucket.clone(), Duration::from_millis(plan.page_ms));
    let (endpoint, name) = plan.there.clone().unwrap_or_else(|| (server.endpoint(), "bucket".to_owned()));
    match &plan.there {
        None => println!("{} objects of {} bytes, {} ms a page", plan.objects, plan.size, plan.page_ms),
        Some(_) => println!("{name} at {endpoint}"),
    }
    println!("{:28} {:>9} {:>9} {:>8} {:>9}", "", "wall s", "peak MiB", "lists", "gets");
    let _ = std::fs::remove_dir_all(&plan.work);
    std::fs::create_dir_all(&plan.work).expect("a work directory");
    let bare = |what: &str| {
        let mut command = Command::new(std::env::current_exe().expect("a path of its own"));
        command.args([what, &endpoint, &name]);
        command
    };
    let keepstone = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keepstone"));
        command.args(["-q", "-r"]).arg(plan.work.join("repository")).args(words);
        command.env("KEEPSTONE_PASSWORD", "bench").env("XDG_CACHE_HOME", plan.work.join("cache"));
        command.env("AWS_ACCESS_KEY_ID", key("AWS_ACCESS_KEY_ID"));
        command.env("AWS_SECRET_ACCESS_KEY", key("AWS_SECRET_ACCESS_KEY"));
        command
    };
    let (option, address) = (format!("endpoint={endpoint}"), format!("s3://{name}"));
    let backup = ["backup", "-b", &*option, &*address];
    measure("init", &server, keepstone(&["init"]));
    measure("bare download", &server, bare("bare-download"));
    measure("first backup", &server, keepstone(&backup));
    measure("bare listing", &server, bare("bare-listing"));
    measure("unchanged", &server, keepstone(&backup));
    if plan.there.is_none() {
        bucket.night.store(1, Relaxed);
        measure("one in a thousand changed", &server, keepstone(&backup));
    }
    measure("check", &server, keepstone(&["check"]));
    std::fs::remove_dir_all(&plan.work).expect("to clear away");
}

/// A key from the environment; the invented bucket takes any.
fn key(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| "any".to_owned())
}

/// Runs a command, and prints what it took.
fn measure(name: &str, server: &BucketServer, mut command: Command) {
    server.take_counts();
    let begun = Instant::now();
    let mut child = command.stdout(Stdio::null()).spawn().expect("to start it");
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kib = 0;
    let exit = loop {
        // Goes up only: the last look before the end is the peak.
        let seen = std::fs::read_to_string(&status).unwrap_or_default();
        let line = seen.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak_kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(peak_kib);
        match child.try_wait().expect("to wait for it") {
            Some(exit) => break exit,
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let (wall, (lists, gets, heads)) = (begun.elapsed().as_secs_f64(), server.take_counts());
    println!("{name:28} {wall:9.2} {:9.0} {lists:8} {:9}", f64::from(peak_kib) / 1024.0, gets + heads);
    assert!(exit.success(), "{name}: {exit}");
}

/// Lists everything, and reads it if that is wanted, with nothing else done.
fn bare(endpoint: &str, bucket: &str, reads: bool) -> u64 {
    let source = BucketSource::new(client(endpoint, bucket), KeyFilter::default());
    let listing = source.list(&source.root()).unwrap_or_else(|trouble| panic!("{trouble}"));
    let (sender, receiver) = crossbeam_channel::bounded::<Found<_>>(CONNECTIONS * 2);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (source, receiver) = (&source, receiver.clone());
            scope.spawn(move || {
                let mut buffer = vec![0; 1 << 16];
                for found in receiver {
                    let mut reading = source.open(&found).unwrap_or_else(|trouble| panic!("{trouble}"));
                    while reading.read(&mut buffer).expect("to read it") > 0 {}
                }
            });
        }
        let mut count = 0;
        for found in listing {
            let found = found.unwrap_or_else(|trouble| panic!("{trouble}"));
            count += 1;
            if reads {
                source.expect(&found);
                sender.send(found).expect("readers");
            }
        }
        drop(sender);
        count
    })
}

static NEVER: AtomicBool = AtomicBool::new(false);

fn client(endpoint: &str, bucket: &str) -> Client {
    let address = BucketAddress::parse(&format!("s3://{bucket}")).expect("a bucket").expect("a bucket");
    let options = Options::new(&Address::new("s3", bucket).expect("an address"), [("endpoint", endpoint)]);
    let options = Options { connections: CONNECTIONS, ..options.expect("options") };
    let variables = |name: &str| ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].contains(&name).then(|| key(name));
    Client::connect(address, &options, &variables, &Limits::default(), &NEVER).expect("a client")
}
