//! Touches the world. A client of one bucket: requests are signed, sent, tried again if that may help, and their
//! answers judged. Keys are taken byte for byte.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use tokio::runtime::Runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::address::{BucketAddress, StoreKind};
use super::error::{BucketError, in_words};
use super::fetch::PARTS_AHEAD;
use super::http::{Answer, Http};
use super::s3;
use super::sign::Signing;
use super::words::{self, Words};
use crate::storage::Limits;
use crate::storage::remote::{
    BadSetup, Options, Refusal, S3Setup, Trouble, Variables, azblob_setup, gcs_setup, s3_setup, wait,
};

/// Shared by all buckets of a process; never dropped, because a bucket may be dropped anywhere.
static RUNTIME: LazyLock<std::io::Result<Runtime>> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("keepstone-s3").enable_all().build()
});
/// How often it is looked whether to stop.
const LOOK: Duration = Duration::from_millis(100);
/// How long what was begun is cleared away for, when all is to end.
const MOMENT: Duration = Duration::from_secs(3);
/// Of an answer that is no object, no more than this is read: a page of a thousand long keys, written `%XX`, and more.
const ANSWER_MAX: usize = 16 << 20;
/// Requests at a time, where nobody says otherwise: objects are small, and servers far away.
pub const CONNECTIONS: usize = 32;

/// A client of one bucket. Clones share its connections.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    address: BucketAddress,
    http: Arc<Http>,
    store: Store,
    retries: usize,
    /// Requests at a time.
    turns: Semaphore,
    /// Parts that may be fetched ahead.
    ahead: Arc<Semaphore>,
    connections: usize,
    runtime: &'static Runtime,
    /// Raised by whoever wants all of this to end.
    stop: &'static AtomicBool,
}

/// A request about the bucket, or about an object in it.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// What is to be done.
    pub method: Method,
    /// The object; none: the bucket.
    pub key: Option<Vec<u8>>,
    /// As [`s3::query`] writes it.
    pub query: String,
    /// Beside those that each request has.
    pub headers: HeaderMap,
    /// What is sent.
    pub body: Bytes,
    /// Of the answer, no more than this is read, in bytes.
    pub max: usize,
}

impl Ask {
    /// Asks something of the bucket.
    pub fn bucket(method: Method, query: String) -> Ask {
        Ask { method, key: None, query, headers: HeaderMap::new(), body: Bytes::new(), max: ANSWER_MAX }
    }

    /// Asks something of an object.
    pub fn object(method: Method, key: &[u8], query: String) -> Ask {
        Ask { key: Some(key.to_vec()), ..Ask::bucket(method, query) }
    }
}

impl Client {
    /// The bucket at `address`. Nothing is sent yet. When `stop` is raised, no answer is waited for any more.
    pub fn connect(
        address: BucketAddress,
        options: &Options,
        variables: &dyn Variables,
        limits: &Limits,
        stop: &'static AtomicBool,
    ) -> Result<Client, BadSetup> {
        let runtime = RUNTIME.as_ref().map_err(|error| BadSetup(format!("cannot start network threads: {error}")))?;
        let http = Arc::new(Http::new(options, limits)?);
        Ok(Client(Arc::new(Inner {
            store: Store::at(&address, options, variables, &http)?,
            http,
            address,
            retries: options.retries,
            turns: Semaphore::new(options.connections),
            ahead: Arc::new(Semaphore::new(PARTS_AHEAD)),
            connections: options.connections,
            runtime,
            stop,
        })))
    }

    /// The bucket.
    pub(super) fn address(&self) -> &BucketAddress {
        &self.0.address
    }

    /// What the store says in words of its own.
    pub(super) fn words(&self) -> &'static Words {
        self.0.store.words
    }

    /// Requests at a time.
    pub(super) fn connections(&self) -> usize {
        self.0.connections
    }

    /// Leave to fetch a part before it is needed, if enough of them are not already.
    pub(super) fn leave_ahead(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.ahead).try_acquire_owned().ok()
    }

    /// Runs `work` on the network's threads.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> tokio::sync::oneshot::Receiver<T> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        self.0.runtime.spawn(async move {
            // Whoever no longer waits for it does not want it.
            let _ = sender.send(work.await);
        });
        receiver
    }

    /// Runs `work` and waits for it; not on the network's own threads.
    pub(super) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.0.runtime.block_on(work)
    }

    /// Sends a request until it is answered in a way that will not change. That an object is not there, or is not as
    /// it was asked for (304, 412, 416), is an answer like any other.
    pub(super) async fn ask(&self, ask: &Ask) -> Result<Answer, BucketError> {
        self.ask_until(ask, self.stopped()).await
    }

    /// The same for what is asked last of all, to leave nothing behind: it has a moment even when all is to end.
    pub(super) async fn ask_at_the_end(&self, ask: &Ask) -> Result<Answer, BucketError> {
        let end = async {
            self.stopped().await;
            tokio::time::sleep(MOMENT).await;
        };
        self.ask_until(ask, end).await
    }

    async fn ask_until(&self, ask: &Ask, end: impl Future<Output = ()>) -> Result<Answer, BucketError> {
        tokio::select! {
            answered = self.ask_until_answered(ask) => answered,
            () = end => Err(BucketError::Odd("interrupted".into())),
        }
    }

    /// Done when whoever runs this wants it to end.
    async fn stopped(&self) {
        while !self.0.stop.load(Ordering::Relaxed) {
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn ask_until_answered(&self, ask: &Ask) -> Result<Answer, BucketError> {
        let _turn = self.0.turns.acquire().await.map_err(|_| BucketError::Odd("the bucket was closed".into()))?;
        let mut tried = 0;
        loop {
            match self.once(ask).await {
                Err(BucketError::Store(trouble)) if trouble.may_pass() && tried < self.0.retries => {
                    tracing::info!("it is tried again: {trouble}");
                    tokio::time::sleep(wait(tried)).await;
                    tried += 1;
                }
                Err(BucketError::Store(trouble)) if tried > 0 => {
                    return Err(BucketError::Odd(format!("{}; it was tried {} times", in_words(&trouble), tried + 1)));
                }
                answered => return answered,
            }
        }
    }

    async fn once(&self, ask: &Ask) -> Result<Answer, BucketError> {
        let (parts, body) = self.request(ask).await?.into_parts();
        let host = parts.uri.authority().map_or_else(String::new, ToString::to_string);
        let answer = self.0.http.send(Request::from_parts(parts, body), ask.max).await?;
        judge(host, answer)
    }

    async fn request(&self, ask: &Ask) -> Result<Request<Bytes>, BucketError> {
        let path = ask.key.as_deref().map(s3::in_path).unwrap_or_default();
        let query = if ask.query.is_empty() { String::new() } else { format!("?{}", ask.query) };
        let base = match path.is_empty() && self.0.address.kind != StoreKind::S3 {
            // To others, a bucket with a slash after it is another thing.
            true => self.0.store.base.trim_end_matches('/'),
            false => &self.0.store.base,
        };
        let uri: Uri = format!("{base}{path}{query}")
            .parse()
            .map_err(|error| BucketError::Odd(format!("its key cannot be asked for: {error}")))?;
        let mut request = Request::new(ask.body.clone());
        (*request.method_mut(), *request.uri_mut()) = (ask.method.clone(), uri);
        *request.headers_mut() = ask.headers.clone();
        let (mut parts, body) = request.into_parts();
        self.0.store.signing.sign(&mut parts).await?;
        Ok(Request::from_parts(parts, body))
    }
}

fn judge(host: String, answer: Answer) -> Result<Answer, BucketError> {
    let is_answer = answer.status.is_success()
        || matches!(
            answer.status,
            StatusCode::NOT_MODIFIED
                | StatusCode::NOT_FOUND
                | StatusCode::PRECONDITION_FAILED
                | StatusCode::RANGE_NOT_SATISFIABLE
        );
    let text = if is_answer && answer.status != StatusCode::NOT_FOUND {
        return Ok(answer);
    } else {
        String::from_utf8_lossy(answer.body.get(..answer.body.len().min(64 << 10)).unwrap_or_default())
    };
    let refusal = Refusal::new(host, answer.status, &answer.headers, &text);
    match is_answer && !refusal.is_no_bucket() {
        true => Ok(answer),
        false => Err(Trouble::Refused(refusal).into()),
    }
}

/// How a bucket is reached and spoken to.
struct Store {
    /// Scheme, authority, and what stands before each key.
    base: String,
    signing: Signing,
    words: &'static Words,
}

impl Store {
    fn at(
        address: &BucketAddress,
        options: &Options,
        variables: &dyn Variables,
        http: &Arc<Http>,
    ) -> Result<Store, BadSetup> {
        let bucket = &address.bucket;
        Ok(match address.kind {
            StoreKind::S3 => {
                let setup = s3_setup(bucket, options, variables)?;
                Store { base: s3_base(bucket, &setup), signing: Signing::s3(&setup, http), words: &words::S3 }
            }
            StoreKind::Azblob => {
                let setup = azblob_setup(options, variables)?;
                let base = format!("{}/{bucket}/", setup.endpoint);
                Store { base, signing: Signing::azblob(&setup, http), words: &words::AZBLOB }
            }
            StoreKind::Gcs => {
                let setup = gcs_setup(options, variables)?;
                let endpoint = setup.endpoint.as_deref().unwrap_or("https://storage.googleapis.com");
                let base = format!("{endpoint}/{bucket}/");
                Store { base, signing: Signing::gcs(&setup, http), words: &words::GCS }
            }
        })
    }
}

fn s3_base(bucket: &str, setup: &S3Setup) -> String {
    let amazon = || format!("https://s3.{}.amazonaws.com", setup.region);
    let endpoint = setup.endpoint.clone().unwrap_or_else(amazon);
    match (setup.virtual_host, endpoint.split_once("://")) {
        (true, Some((scheme, rest))) => format!("{scheme}://{bucket}.{rest}/"),
        _ => format!("{endpoint}/{bucket}/"),
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.0.address)
    }
}
