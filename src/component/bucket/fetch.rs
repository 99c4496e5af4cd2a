//! Touches the world. One object, from the listing to its last byte: small ones are fetched before anybody asks for
//! them, large ones in parts that are under way side by side. All parts are of one version, or there is an error.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{IF_MATCH, RANGE};
use http::{HeaderValue, Method, StatusCode};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::oneshot::Receiver;

use super::client::{Ask, Client};
use super::error::BucketError;
use super::meta::Named;
use super::s3::{self, Head, Listed, query};
use crate::ops::source::{Extent, Reading, Replaced};

/// Objects up to this length are fetched whole.
pub(super) const WHOLE_MAX: u64 = 1 << 20;
/// Longer ones are fetched in parts of this length.
const PART: u64 = 4 << 20;
/// Parts of one object that are under way or wait to be taken.
const PARTS: usize = 4;
/// Parts of all objects that are, beside the first of each: what bounds memory.
pub(super) const PARTS_AHEAD: usize = 12;
/// How often an object that is replaced again and again is asked for.
const PATIENCE: usize = 4;

/// An object that was listed.
#[derive(Debug)]
pub(super) struct Object {
    pub listed: Listed,
    expected: Mutex<Option<Receiver<Result<Fetched, BucketError>>>>,
    /// What it was when it was opened.
    head: Mutex<Option<Head>>,
}

/// An object that was fetched whole.
#[derive(Debug)]
pub(super) struct Fetched {
    pub head: Head,
    pub body: Bytes,
}

impl Object {
    pub fn new(listed: Listed) -> Arc<Object> {
        Arc::new(Object { listed, expected: Mutex::new(None), head: Mutex::new(None) })
    }

    /// Begins to fetch it, if it is small.
    pub fn expect(self: &Arc<Self>, client: &Client) {
        if self.listed.size > WHOLE_MAX {
            return;
        }
        let (object, from) = (Arc::clone(self), client.clone());
        let fetched = client.spawn(async move { from.fetch(&object.listed).await });
        *lock(&self.expected) = Some(fetched);
    }

    /// Opens it: what it is is known then.
    pub fn open(self: &Arc<Self>, client: &Client) -> Result<ObjectReading, BucketError> {
        let expected = lock(&self.expected).take();
        let (head, whole) = match expected {
            Some(expected) => {
                let fetched = expected.blocking_recv().map_err(|_| BucketError::Odd("it was not fetched".into()))??;
                (fetched.head, Some(fetched.body))
            }
            None => (client.wait(client.head(&self.listed.key))?, None),
        };
        *lock(&self.head) = Some(head.clone());
        let is_listed = self.is_listed(&head);
        let (size, parts) = (head.size, Parts::new(client, &self.listed.key, head));
        Ok(ObjectReading { size, is_listed, position: 0, current: whole, parts })
    }

    /// What it was when it was opened; before that, nothing is known.
    pub fn head(&self) -> Option<Head> {
        lock(&self.head).clone()
    }

    /// Whether it still is what was listed.
    pub fn is_listed(&self, head: &Head) -> bool {
        let Listed { size, etag, .. } = &self.listed;
        head.size == *size && (etag.is_empty() || head.etag.is_empty() || head.etag == *etag)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Client {
    /// What an object is.
    pub(super) async fn head(&self, key: &[u8]) -> Result<Head, BucketError> {
        let answer = self.ask(&Ask::object(Method::HEAD, key, String::new())).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Err(BucketError::NotThere),
            status if status.is_success() => Ok(Head::new(self.words(), &answer.headers)),
            status => Err(BucketError::Odd(format!("the store answered {}", status.as_u16()))),
        }
    }

    /// A small object: the one that was listed, or whatever has replaced it.
    async fn fetch(&self, listed: &Listed) -> Result<Fetched, BucketError> {
        let mut etag = listed.etag.clone();
        let mut max = WHOLE_MAX as usize;
        for _ in 0..PATIENCE {
            let mut ask = Ask::object(Method::GET, &listed.key, String::new());
            ask.max = max + 1;
            on_condition(&mut ask, &etag);
            let answer = self.ask(&ask).await?;
            match answer.status {
                StatusCode::PRECONDITION_FAILED => etag.clear(),
                StatusCode::NOT_FOUND => return Err(BucketError::NotThere),
                status if status.is_success() && answer.body.len() > max => {
                    // It grew: then it is no small one, and held in memory this once.
                    max = 64 * WHOLE_MAX as usize;
                    etag.clear();
                }
                status if status.is_success() => {
                    let head = Head { size: answer.body.len() as u64, ..Head::new(self.words(), &answer.headers) };
                    if !head.etag.is_empty() && head.etag == listed.etag && head.size != listed.size {
                        // Without a length in its answer, a server that breaks off looks like one that is done.
                        let (got, of) = (head.size, listed.size);
                        return Err(BucketError::Odd(format!("the store gave {got} of its {of} bytes")));
                    }
                    return Ok(Fetched { head, body: answer.body });
                }
                status => return Err(BucketError::Odd(format!("the store answered {}", status.as_u16()))),
            }
        }
        Err(BucketError::Replaced)
    }

    /// A part of an object, all of it: `len` bytes from `begin` on, of the version that `head` is of.
    pub(super) async fn part(&self, key: &[u8], head: &Head, begin: u64, len: u64) -> Result<Bytes, BucketError> {
        let version = head.version.as_deref().and_then(|version| str::from_utf8(version).ok());
        let mut ask = Ask::object(
            Method::GET,
            key,
            version.map(|id| query(&[(self.words().version_query, id)])).unwrap_or_default(),
        );
        let range = format!("bytes={begin}-{}", begin + len - 1);
        ask.headers.insert(RANGE, HeaderValue::from_str(&range).expect("numbers fit a header"));
        ask.max = len as usize + 1;
        if version.is_none() {
            on_condition(&mut ask, &head.etag);
        }
        let answer = self.ask(&ask).await?;
        let now = Head::new(self.words(), &answer.headers);
        match answer.status {
            StatusCode::PRECONDITION_FAILED | StatusCode::RANGE_NOT_SATISFIABLE => Err(BucketError::Replaced),
            StatusCode::NOT_FOUND => Err(BucketError::NotThere),
            StatusCode::PARTIAL_CONTENT if now.etag != head.etag => Err(BucketError::Replaced),
            StatusCode::PARTIAL_CONTENT if answer.body.len() as u64 == len => Ok(answer.body),
            // A server that knows no ranges gives the whole object.
            StatusCode::OK if begin == 0 && head.size == len && answer.body.len() as u64 == len => Ok(answer.body),
            status => Err(BucketError::Odd(format!(
                "the store answered {} with {} bytes where {len} were asked for",
                status.as_u16(),
                answer.body.len()
            ))),
        }
    }
}

impl Client {
    /// The tags of an object; they cost a request, unless it is known to have none.
    pub(super) fn tags(&self, key: &[u8], count: Option<u64>) -> Result<Named, BucketError> {
        if count == Some(0) {
            return Ok(Vec::new());
        }
        let ask = Ask::object(Method::GET, key, query(&[self.words().tags_query]));
        let answer = self.wait(self.ask(&ask))?;
        match answer.status.is_success() {
            true => s3::tags(&answer.body),
            false => Err(BucketError::Odd(format!("the store answered {}", answer.status.as_u16()))),
        }
    }
}

/// Only if it still is this one.
fn on_condition(ask: &mut Ask, etag: &[u8]) {
    let quoted = [b"\"", etag, b"\""].concat();
    if !etag.is_empty()
        && let Ok(value) = HeaderValue::from_bytes(&quoted)
    {
        ask.headers.insert(IF_MATCH, value);
    }
}

/// The parts of a large object, in order.
struct Parts {
    client: Client,
    key: Vec<u8>,
    head: Head,
    /// Where the next part that is asked for begins.
    next: u64,
    under_way: VecDeque<Part>,
}

/// A part that is under way, with leave to be ahead of those that are needed now.
type Part = (Receiver<Result<Bytes, BucketError>>, Option<OwnedSemaphorePermit>);

impl Parts {
    fn new(client: &Client, key: &[u8], head: Head) -> Parts {
        Parts { client: client.clone(), key: key.to_vec(), head, next: 0, under_way: VecDeque::new() }
    }

    fn begin_at(&mut self, offset: u64) {
        self.under_way.clear();
        self.next = offset;
    }

    fn take(&mut self) -> Result<Bytes, BucketError> {
        while self.under_way.len() < PARTS && self.next < self.head.size {
            let leave = match self.under_way.is_empty() {
                true => None,
                false => match self.client.leave_ahead() {
                    Some(leave) => Some(leave),
                    None => break,
                },
            };
            let (begin, len) = (self.next, PART.min(self.head.size - self.next));
            let (client, key, head) = (self.client.clone(), self.key.clone(), self.head.clone());
            let part = self.client.spawn(async move { client.part(&key, &head, begin, len).await });
            self.under_way.push_back((part, leave));
            self.next += len;
        }
        match self.under_way.pop_front() {
            None => Ok(Bytes::new()),
            Some((part, _)) => part.blocking_recv().map_err(|_| BucketError::Odd("a part was not fetched".into()))?,
        }
    }
}

/// One reading of an object.
pub(super) struct ObjectReading {
    size: u64,
    is_listed: bool,
    position: u64,
    /// What was fetched and not yet given out: all of a small object, a part of a large one.
    current: Option<Bytes>,
    parts: Parts,
}

impl Reading for ObjectReading {
    fn is_as_found(&self) -> bool {
        self.is_listed
    }

    fn begin_at(&mut self, offset: u64) -> io::Result<bool> {
        if offset > self.size || self.current.is_some() {
            return Ok(offset == 0);
        }
        self.position = offset;
        self.parts.begin_at(offset);
        Ok(true)
    }

    fn next_extent(&mut self) -> io::Result<Option<Extent>> {
        Ok((self.position < self.size).then_some(Extent::Data(Some(self.size - self.position))))
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.size || buffer.is_empty() {
            return Ok(0);
        }
        let mut current = match self.current.take() {
            Some(current) if !current.is_empty() => current,
            _ => self.parts.take().map_err(|error| match error {
                BucketError::Replaced => io::Error::other(Replaced),
                error => io::Error::other(error),
            })?,
        };
        let len = current.len().min(buffer.len());
        buffer[..len].copy_from_slice(&current.split_to(len));
        self.position += len as u64;
        self.current = Some(current);
        Ok(len)
    }

    fn finish(self: Box<Self>) -> Result<(), String> {
        match self.position == self.size {
            true => Ok(()),
            false => Err(format!("ended after {} of {} bytes", self.position, self.size)),
        }
    }
}
