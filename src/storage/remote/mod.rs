//! Touches the world. Stores behind a network: S3 and its kind, Azure Blob, Google Cloud Storage, SFTP and WebDAV,
//! through opendal.
//!
//! The rest of keepstone is threads; this module keeps small runtimes of its own to itself (`tasks`). What the kinds of
//! stores do differently is said in one place each: `connect` knows how to reach them, `Publish` how an object
//! comes to be there whole or not at all, `trouble` what their answers mean.

mod address;
mod again;
mod connect;
mod options;
mod renamed;
mod spool;
mod ssh;
mod tasks;
mod transport;
mod tree;
mod trouble;

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::TryStreamExt;
use opendal::{Buffer, EntryMode, Error, ErrorKind, Metadata, Operator};
use tokio::sync::Semaphore;

use super::limit::Limits;
use super::name::check_directory;
use super::{Listed, ObjectName, Result, Staged, Store, StoreError, look_and_put};
pub use address::{Address, BadAddress, Bucket, Host};
use again::closed;
pub(crate) use again::wait;
pub use connect::BadSetup;
use connect::Clients;
pub(crate) use connect::{AzblobSetup, GcsSetup, S3Keys, S3Setup, authorities, azblob_setup, gcs_setup, s3_setup};
pub use options::{BadOption, KnownHosts, Options, Secret, Variables};
use spool::{Source, Spool};
use tasks::Tasks;
pub(crate) use transport::{Outflow, Pulse, no_answer};
use trouble::store_error;
pub(crate) use trouble::{Refusal, Trouble};

/// What uploads may hold in memory together, in KiB.
const UPLOAD_BUDGET_KIB: u32 = 64 << 10;

/// A store behind a network. Clones share one client.
#[derive(Clone)]
pub struct RemoteStore(Arc<Shared>);

struct Shared {
    address: Address,
    clients: Clients,
    publish: Publish,
    /// How often what may pass is tried again.
    retries: usize,
    /// A transfer in which nothing has moved for so long is cut.
    patience: Duration,
    /// Requests at a time.
    turns: Semaphore,
    uploads: Semaphore,
    /// Directories that are known to be there.
    ensured: tokio::sync::Mutex<HashSet<String>>,
    /// Dropped after all that uses it.
    runtime: Tasks,
}

/// How an object comes to be there whole or not at all.
enum Publish {
    /// The store shows nothing of a put before all of it has arrived.
    Whole,
    /// The same, in a directory that has to be made first.
    WholeInDirectory,
    /// It is written under a temporary name, synced, and then given its own.
    Renamed(Box<ssh::Syncer>),
}

type Opendal<T> = std::result::Result<T, Error>;

impl RemoteStore {
    /// The store at `address`. Nothing is sent before it is used.
    pub fn connect(
        address: Address,
        options: &Options,
        variables: &dyn Variables,
        limits: &Limits,
    ) -> std::result::Result<Self, BadSetup> {
        let runtime = match &address {
            Address::Sftp(_) => Tasks::own(),
            _ => Tasks::shared(),
        };
        let runtime = runtime.map_err(|error| BadSetup(format!("cannot start network threads: {error}")))?;
        let clients = connect::clients(&address, options, variables, limits)?;
        let publish = match &address {
            Address::Sftp(host) => Publish::Renamed(Box::new(ssh::Syncer::new(host, options))),
            Address::Webdav { .. } => Publish::WholeInDirectory,
            Address::S3(_) | Address::Azblob(_) | Address::Gcs(_) => Publish::Whole,
        };
        Ok(RemoteStore(Arc::new(Shared {
            address,
            clients,
            publish,
            retries: options.retries,
            patience: options.timeout,
            turns: Semaphore::new(options.connections),
            uploads: Semaphore::new(UPLOAD_BUDGET_KIB as usize),
            ensured: tokio::sync::Mutex::default(),
            runtime,
        })))
    }

    fn failed(&self, verb: &str, name: impl fmt::Display, error: &Error) -> StoreError {
        store_error(format!("{verb} {name} in {}", self.0.address), self.0.address.permission(verb), error)
    }

    fn missing(&self, name: &ObjectName) -> StoreError {
        StoreError::NotFound { name: name.clone(), place: self.place() }
    }

    fn read_failed(&self, name: &ObjectName, error: &Error) -> StoreError {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => self.missing(name),
            _ => self.failed("get", name, error),
        }
    }

    /// Runs one request, or a few that belong together, when it is their turn.
    fn run<T>(&self, work: impl AsyncFn() -> Opendal<T>) -> Opendal<T> {
        self.0.runtime.block_on(async {
            let _turn = self.0.turns.acquire().await.map_err(|_| closed())?;
            match &self.0.publish {
                // What opendal tries again of a file that it was writing may stand in it twice.
                Publish::Renamed(_) => self.0.again(work).await,
                Publish::Whole | Publish::WholeInDirectory => work().await,
            }
        })
    }
}

impl RemoteStore {
    /// Removes what killed programs left unfinished and nobody has touched since, where that can be seen, and says
    /// how many. Unfinished uploads to a bucket cannot: they are for a rule of its lifecycle.
    pub fn discard_abandoned(&self, untouched_since: SystemTime) -> Result<u64> {
        if !matches!(self.0.publish, Publish::Renamed(_)) {
            return Ok(0);
        }
        // In a task of its own: opendal's SFTP panics at a name that is not UTF-8.
        let sweep = || self.0.runtime.spawn(renamed::discard_abandoned(self.0.clients.once.clone(), untouched_since));
        let swept = self.run_once(self.0.patiently(async { sweep().await.map_err(|_| tree::not_utf8())? }));
        swept.map_err(|error| self.failed("clear", "tmp/", &error))
    }

    fn is_below_an_object(&self, name: &ObjectName) -> bool {
        let (dir, _) = name.split();
        matches!(self.0.publish, Publish::WholeInDirectory)
            && self.run_once(self.0.stat(dir)).is_ok_and(|metadata| metadata.is_file())
    }

    fn run_once<T>(&self, work: impl Future<Output = Opendal<T>>) -> Opendal<T> {
        self.0.runtime.block_on(async {
            let _turn = self.0.turns.acquire().await.map_err(|_| closed())?;
            work.await
        })
    }
}

impl Store for RemoteStore {
    fn place(&self) -> String {
        self.0.address.to_string()
    }

    fn get(&self, name: &ObjectName, max_len: u64) -> Result<Vec<u8>> {
        match self.run(async || self.0.get(name.as_str(), max_len).await) {
            Ok(Got::All(bytes)) => Ok(bytes),
            Ok(Got::TooLong(len)) => Err(StoreError::TooLong { name: name.clone(), place: self.place(), len, max_len }),
            Err(error) => Err(self.read_failed(name, &error)),
        }
    }

    fn get_range(&self, name: &ObjectName, offset: u64, len: u64) -> Result<Vec<u8>> {
        self.run(async || self.0.get_range(name.as_str(), offset, len).await)
            .map_err(|error| self.read_failed(name, &error))
    }

    fn len(&self, name: &ObjectName) -> Result<u64> {
        let metadata =
            self.run(async || self.0.stat(name.as_str()).await).map_err(|error| self.read_failed(name, &error))?;
        if metadata.is_file() { Ok(metadata.content_length()) } else { Err(self.missing(name)) }
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<()> {
        let body = Buffer::from(bytes.to_vec());
        self.run(async || self.0.put(&self.0.clients.steady, name, body.clone()).await)
            .map_err(|error| self.failed("put", name, &error))
    }

    fn put_once(&self, name: &ObjectName, bytes: &[u8]) -> Result<()> {
        let body = Buffer::from(bytes.to_vec());
        self.run_once(self.0.put(&self.0.clients.once, name, body)).map_err(|error| self.failed("put", name, &error))
    }

    fn put_new(&self, name: &ObjectName, bytes: &[u8]) -> Result<bool> {
        let failed = |error: &Error| self.failed("put", name, error);
        if !self.run_once(self.0.honours_conditions()).map_err(|error| failed(&error))? {
            return look_and_put(self, name, bytes);
        }
        match self.run_once(self.0.create(name.as_str(), bytes)) {
            Ok(()) => Ok(true),
            // Perhaps ours: tried again because the first answer was lost.
            Err(error) if error.kind() == ErrorKind::ConditionNotMatch => match self.get(name, bytes.len() as u64) {
                Ok(there) => Ok(there == bytes),
                Err(StoreError::TooLong { .. } | StoreError::NotFound { .. }) => Ok(false),
                Err(error) => Err(error),
            },
            Err(error) => Err(failed(&error)),
        }
    }

    fn stage(&self) -> Result<Box<dyn Staged>> {
        let spool = Spool::new().map_err(|error| self.spool_failed(error))?;
        Ok(Box::new(StagedRemote { store: self.clone(), spool: Some(spool) }))
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        match self.run(async || self.0.patiently(self.0.clients.steady.delete(name.as_str())).await) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(()),
            // Below an object there is nothing; some servers make an error of being asked.
            Err(_) if self.is_below_an_object(name) => Ok(()),
            Err(error) => Err(self.failed("delete", name, &error)),
            Ok(()) => Ok(()),
        }
    }

    fn list(&self, dir: &str, each: &mut dyn FnMut(Listed) -> Result<()>) -> Result<()> {
        check_directory(dir)?;
        if !matches!(self.0.publish, Publish::Whole) {
            return self.list_tree(dir, each);
        }
        let path = if dir.is_empty() { "/".to_owned() } else { format!("{dir}/") };
        let failed = |error: Error| self.failed("list", &path, &error);
        let lister = self.0.clients.steady.lister_with(&path).recursive(true);
        let mut lister = match self.0.runtime.block_on(async { lister.await }) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            result => result.map_err(failed)?,
        };
        loop {
            // `each` may use this store, so it is called outside of the runtime.
            let entry = match self.0.runtime.block_on(lister.try_next()) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                result => result.map_err(failed)?,
            };
            let Some(entry) = entry else { return Ok(()) };
            let name = ObjectName::new(entry.path()).ok().filter(|name| name.is_below(dir));
            let is_file = entry.metadata().mode() == EntryMode::FILE;
            if let Some(name) = name.filter(|_| is_file) {
                each(Listed { name, len: entry.metadata().content_length() })?;
            }
        }
    }
}

enum Got {
    All(Vec<u8>),
    TooLong(u64),
}

impl Shared {
    async fn stat(&self, path: &str) -> Opendal<Metadata> {
        self.patiently(self.clients.steady.stat(path)).await
    }

    async fn get(&self, path: &str, max_len: u64) -> Opendal<Got> {
        let reader = self.clients.steady.reader(path).await?;
        let mut pieces = reader.into_stream(..).await?;
        let said = match self.patiently(pieces.metadata()).await {
            Ok(metadata) => Some(metadata.content_length()),
            // Not every kind of store says so before it is asked.
            Err(error) if error.kind() == ErrorKind::Unsupported => None,
            Err(error) => return Err(error),
        };
        if let Some(len) = said.filter(|len| *len > max_len) {
            return Ok(Got::TooLong(len));
        }
        let mut bytes = Vec::new();
        while let Some(piece) = self.patiently(pieces.try_next()).await? {
            if (bytes.len() + piece.len()) as u64 > max_len {
                return Ok(Got::TooLong(self.stat(path).await?.content_length()));
            }
            append(&mut bytes, piece);
        }
        match said {
            Some(len) if len != bytes.len() as u64 => Err(ignores_ranges()),
            _ => Ok(Got::All(bytes)),
        }
    }

    async fn get_range(&self, path: &str, offset: u64, len: u64) -> Opendal<Vec<u8>> {
        // Beyond what any object has, or nothing at all: only whether it is there has to be found out.
        if offset > i64::MAX as u64 || len == 0 {
            return self.stat(path).await.map(|_| Vec::new());
        }
        let reader = self.clients.steady.reader(path).await?;
        let mut bytes = Vec::new();
        let mut pieces = match offset.checked_add(len).filter(|end| *end <= i64::MAX as u64) {
            Some(end) => reader.into_stream(offset..end).await?,
            None => reader.into_stream(offset..).await?,
        };
        loop {
            match self.patiently(pieces.try_next()).await {
                Ok(Some(piece)) if (bytes.len() + piece.len()) as u64 > len => return Err(ignores_ranges()),
                Ok(Some(piece)) => append(&mut bytes, piece),
                Ok(None) => return Ok(bytes),
                Err(error) if error.kind() == ErrorKind::NotFound || trouble::is_noted(&error) => return Err(error),
                // Where the object ends, or begins to be too short, each kind of store has its own word for it.
                Err(error) => {
                    let there = self.stat(path).await?.content_length();
                    let is_all = there.saturating_sub(offset).min(len) == bytes.len() as u64;
                    return if is_all { Ok(bytes) } else { Err(error) };
                }
            }
        }
    }

    async fn put(&self, client: &Operator, name: &ObjectName, body: Buffer) -> Opendal<()> {
        match &self.publish {
            Publish::Whole => client.write(name.as_str(), body).await.map(drop),
            Publish::WholeInDirectory => {
                self.ensure_directory(name).await?;
                client.write(name.as_str(), body).await.map(drop)
            }
            Publish::Renamed(syncer) => self.put_renamed(syncer, name, &Source::Bytes(&body)).await,
        }
    }

    /// Puts an object on the condition that there is none of that name.
    async fn create(&self, path: &str, bytes: &[u8]) -> Opendal<()> {
        let put = self.clients.steady.write_with(path, Buffer::from(bytes.to_vec())).if_not_exists(true);
        put.await.map(drop)
    }

    /// Whether the store keeps to such a condition, which is tried out: some take it and ignore it.
    async fn honours_conditions(&self) -> Opendal<bool> {
        let says_so = self.clients.steady.info().capability().write_with_if_not_exists;
        if !says_so || !matches!(self.publish, Publish::Whole) {
            return Ok(false);
        }
        let probe = renamed::temporary_name()?;
        self.clients.steady.write(&probe, "there").await?;
        let again = self.create(&probe, b"again").await;
        if let Err(error) = self.clients.steady.delete(&probe).await {
            tracing::debug!("{probe}, by which the store was tried out, stays: {error}");
        }
        Ok(again.is_err_and(|error| error.kind() == ErrorKind::ConditionNotMatch))
    }

    /// Makes the directory that `name` lies in, once; others may be making it at the same time.
    async fn ensure_directory(&self, name: &ObjectName) -> Opendal<()> {
        let (dir, _) = name.split();
        let mut ensured = self.ensured.lock().await;
        if ensured.contains(dir) {
            return Ok(());
        }
        let (client, path) = (&self.clients.steady, format!("{dir}/"));
        if let Err(error) = client.create_dir(&path).await {
            let there = client.stat(&path).await.is_ok_and(|metadata| metadata.is_dir());
            if !there {
                return Err(error);
            }
        }
        ensured.insert(dir.to_owned());
        Ok(())
    }
}

fn append(bytes: &mut Vec<u8>, piece: Buffer) {
    for part in piece {
        bytes.extend_from_slice(&part);
    }
}

fn ignores_ranges() -> Error {
    Error::new(ErrorKind::Unexpected, "it sent more than was asked for: it does not know how to read parts of objects")
}

impl fmt::Debug for RemoteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteStore({})", self.0.address)
    }
}

/// An object in the making: on this machine, until its name is known.
struct StagedRemote {
    store: RemoteStore,
    /// `None` once a write failed: an object with a hole must never be committed.
    spool: Option<Spool>,
}

impl Staged for StagedRemote {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = match &mut self.spool {
            Some(spool) => spool.write(bytes),
            None => Err(broken()),
        };
        written.map_err(|error| {
            self.spool = None;
            self.store.spool_failed(error)
        })
    }

    fn commit(self: Box<Self>, name: &ObjectName) -> Result<()> {
        let StagedRemote { store, spool } = *self;
        let spool = spool.ok_or_else(|| store.spool_failed(broken()))?;
        store.run(async || store.0.upload(&spool, name).await).map_err(|error| store.failed("put", name, &error))
    }
}

fn broken() -> io::Error {
    io::Error::other("an earlier write of this object failed")
}

impl RemoteStore {
    fn spool_failed(&self, error: io::Error) -> StoreError {
        let attempted = format!("write a new object for {} to a temporary file of this machine", self.0.address);
        StoreError::from_io(attempted, error)
    }
}
