//! A desk with a repository, and a bucket in this process.

use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use crate::buckets::{Asked, BucketServer, Held, Instead};
use crate::desk::{Desk, Ran};

/// When objects were put, unless a test says otherwise.
pub const THEN: i64 = 1_700_000_000;

/// Keys that other tools fold, swallow or stumble over.
pub const ODD_KEYS: [&str; 18] = [
    "a",
    "a/",
    "a//b",
    "a/b",
    "a-b",
    "/leading",
    "trailing//",
    "x/../y",
    "./dot",
    "..",
    "sp ace+plus%25",
    "ä/ö 😀",
    "e\u{301} and \u{e9}",
    "new\nline\tand tab",
    "q?uery&x=1#fragment",
    "quote'\"<>&amp;",
    "~tilde",
    "\u{10FFFD}",
];

pub struct Scene {
    pub desk: Desk,
    pub bucket: Arc<Held>,
    pub server: BucketServer,
}

impl Scene {
    /// A desk with an empty repository, and an empty bucket.
    pub fn new() -> Self {
        let desk = Desk::new();
        desk.run("init").succeeds();
        let bucket = Arc::new(Held::default());
        let server = BucketServer::start(bucket.clone(), Duration::ZERO);
        Scene { desk, bucket, server }
    }

    /// The same with these objects, whose contents are their keys.
    pub fn holding<K: AsRef<str>>(keys: impl IntoIterator<Item = K>) -> Self {
        let scene = Scene::new();
        keys.into_iter().for_each(|key| scene.bucket.put(key.as_ref(), key.as_ref().as_bytes(), THEN));
        scene
    }

    /// Backs up the bucket; a failed request is not tried for minutes.
    pub fn back_up(&self) -> Ran {
        self.back_up_with("s3://bucket", &[])
    }

    /// Backs up the bucket without trouble, and gives the summary.
    pub fn report(&self) -> serde_json::Value {
        self.back_up_with("s3://bucket", &["--json"]).succeeds().summary()
    }

    /// The same, of another address, with more options.
    pub fn back_up_with(&self, address: &str, words: &[&str]) -> Ran {
        let mut command = self.desk.keepstone();
        let endpoint = format!("endpoint={}", self.server.endpoint());
        command.args(["backup", "-b", &endpoint, "-b", "retries=2", address]).args(words);
        command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "secret");
        Ran::of(address, command.output().unwrap())
    }

    /// Backs up the bucket, gets no answer any more where `hangs` says so, and is interrupted then as from a terminal.
    pub fn interrupt(&self, hangs: impl Fn(&Asked) -> bool + Send + Sync + 'static) {
        let (asked, was_asked) = std::sync::mpsc::channel();
        self.server.fault(move |ask| {
            hangs(ask).then(|| {
                asked.send(()).unwrap();
                Instead::Hang
            })
        });
        let mut command = Command::new(env!("CARGO_BIN_EXE_keepstone"));
        let endpoint = format!("endpoint={}", self.server.endpoint());
        command.args(["backup", "-b", &endpoint, "-b", "timeout=3600", "s3://bucket"]).envs(self.desk.variables());
        command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "secret");
        let child = command.spawn().unwrap();
        was_asked.recv().unwrap();
        assert_eq!(interrupted(child), Some(130));
        self.server.fault(|_| None);
    }

    /// What the newest snapshot holds under this key.
    pub fn dumped(&self, key: &str) -> Vec<u8> {
        let output = self.desk.keepstone().args(["dump", "latest", key]).output().unwrap();
        assert!(output.status.success(), "{key:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// The keys of the newest snapshot, in its order.
    pub fn keys(&self) -> Vec<String> {
        let entries = self.desk.run("ls latest -R --json").succeeds().objects();
        let path = |entry: &serde_json::Value| entry["path"].as_str().map(|path| path[1..].to_owned());
        entries.iter().filter_map(path).collect()
    }
}

/// How a process ends that is interrupted as from a terminal.
pub fn interrupted(mut child: Child) -> Option<i32> {
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    child.wait().unwrap().code()
}
