//! Touches the world. An object in the making: it appears, whole, when it is finished. Small ones are put at once,
//! large ones in parts, from start to end.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot::Receiver;

use super::client::{Ask, Client};
use super::error::BucketError;
use super::http::Answer;
use super::meta::ObjectMeta;
use super::s3;
use super::words;
use crate::format::tree::{Entry, Xattrs};
use crate::ops::source::Trouble;
use crate::ops::target::NewFile;

const MIB: u64 = 1 << 20;
/// Objects are put in parts of this length unless another one gives them the ETag that they had.
const PART: u64 = 8 * MIB;
/// No part is longer, but where there would be too many.
const PART_MAX: u64 = 16 * MIB;
/// An object has no more parts.
const PARTS_MAX: u64 = 10_000;
/// Parts of one object that are under way.
const UNDER_WAY: usize = 2;

/// An object in the making.
pub(super) struct NewObject {
    client: Client,
    key: Vec<u8>,
    headers: HeaderMap,
    size: u64,
    part_len: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Where the next byte belongs.
    next: u64,
    /// What is not under way yet.
    buffer: Vec<u8>,
    /// The upload in parts, once it is begun.
    upload: Option<String>,
    under_way: VecDeque<Receiver<Result<Vec<u8>, BucketError>>>,
    /// ETags of the parts, as the store gave them.
    done: Vec<Vec<u8>>,
}

/// How long the parts of an object are: as they were where its ETag tells their number, so that it gets the same one.
fn part_len(size: u64, etag: &[u8]) -> u64 {
    let count = etag.iter().rposition(|&byte| byte == b'-').and_then(|at| str::from_utf8(&etag[at + 1..]).ok());
    let count: Option<u64> = count.and_then(|count| count.parse().ok());
    let usual = (PART / MIB..=PART_MAX / MIB).chain(5..PART / MIB);
    let fitting = |count: u64| usual.map(|mib| mib * MIB).find(|len| size.div_ceil(*len) == count);
    match count {
        None if !etag.is_empty() && size <= PART_MAX => PART_MAX,
        _ => count.and_then(fitting).unwrap_or(PART).max(size.div_ceil(PARTS_MAX).next_multiple_of(MIB)),
    }
}

impl NewObject {
    /// Begins the object `key` with the content and all else that `entry` holds.
    pub fn begin(client: &Client, key: Vec<u8>, entry: &Entry) -> Result<NewObject, BucketError> {
        let meta = ObjectMeta::of(entry).map_err(BucketError::Odd)?;
        let size = entry.bytes();
        let part_len = part_len(size, &meta.etag) as usize;
        let (client, state) = (client.clone(), Mutex::new(State::default()));
        Ok(NewObject { client, key, headers: headers(&meta)?, size, part_len, state })
    }

    fn write(&self, offset: u64, mut bytes: &[u8]) -> Result<(), BucketError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if offset < state.next || offset + bytes.len() as u64 > self.size {
            return Err(BucketError::Odd("its parts do not come in order".into()));
        }
        self.fill(&mut state, offset)?;
        while !bytes.is_empty() {
            let room = self.part_len - state.buffer.len();
            let (some, rest) = bytes.split_at(room.min(bytes.len()));
            state.buffer.extend_from_slice(some);
            state.next += some.len() as u64;
            bytes = rest;
            self.send_full(&mut state)?;
        }
        Ok(())
    }

    /// Zeros up to `end`.
    fn fill(&self, state: &mut State, end: u64) -> Result<(), BucketError> {
        while state.next < end {
            let room = (self.part_len - state.buffer.len()) as u64;
            let some = room.min(end - state.next);
            state.buffer.resize(state.buffer.len() + some as usize, 0);
            state.next += some;
            self.send_full(state)?;
        }
        Ok(())
    }

    /// Sends a part that is full, unless it is all there is.
    fn send_full(&self, state: &mut State) -> Result<(), BucketError> {
        match state.buffer.len() == self.part_len && self.size > self.part_len as u64 {
            true => self.send_part(state),
            false => Ok(()),
        }
    }

    fn send_part(&self, state: &mut State) -> Result<(), BucketError> {
        let upload = match state.upload.clone() {
            Some(upload) => upload,
            None => state.upload.insert(self.begin_parts()?).clone(),
        };
        while state.under_way.len() >= UNDER_WAY {
            self.take_part(state)?;
        }
        let number = (state.done.len() + state.under_way.len() + 1).to_string();
        let query = s3::query(&[("partNumber", &number), ("uploadId", &upload)]);
        let body = Bytes::from(std::mem::take(&mut state.buffer));
        let ask = put(&self.key, query, HeaderMap::new(), body);
        let client = self.client.clone();
        state.under_way.push_back(self.client.spawn(async move {
            let answer = accepted(client.ask(&ask).await?)?;
            let etag = answer.headers.get(http::header::ETAG).map(|etag| etag.as_bytes().to_vec());
            etag.ok_or_else(|| BucketError::Odd("the store took a part and gave no ETag for it".into()))
        }));
        Ok(())
    }

    fn take_part(&self, state: &mut State) -> Result<(), BucketError> {
        if let Some(part) = state.under_way.pop_front() {
            let etag = part.blocking_recv().map_err(|_| BucketError::Odd("a part was not sent".into()))??;
            state.done.push(etag);
        }
        Ok(())
    }

    fn begin_parts(&self) -> Result<String, BucketError> {
        let mut ask = Ask::object(Method::POST, &self.key, s3::query(&[("uploads", "")]));
        ask.headers = self.headers.clone();
        let answer = accepted(self.client.wait(self.client.ask(&ask))?)?;
        s3::field(&answer.body, "UploadId")?
            .ok_or_else(|| BucketError::Odd("the store began an upload and did not name it".into()))
    }

    fn end(&self) -> Result<(), BucketError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.fill(&mut state, self.size)?;
        if state.upload.is_none() {
            let body = Bytes::from(std::mem::take(&mut state.buffer));
            let ask = put(&self.key, String::new(), self.headers.clone(), body);
            return accepted(self.client.wait(self.client.ask(&ask))?).map(drop);
        }
        if !state.buffer.is_empty() {
            self.send_part(&mut state)?;
        }
        while !state.under_way.is_empty() {
            self.take_part(&mut state)?;
        }
        self.complete(&mut state)
    }

    fn complete(&self, state: &mut State) -> Result<(), BucketError> {
        let Some(upload) = state.upload.clone() else { return Ok(()) };
        let parts = state.done.iter().zip(1..).map(|(etag, number): (_, u32)| {
            let etag = String::from_utf8_lossy(etag).replace('&', "&amp;").replace('<', "&lt;");
            format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
        });
        let body = format!("<CompleteMultipartUpload>{}</CompleteMultipartUpload>", parts.collect::<String>());
        let mut ask = Ask::object(Method::POST, &self.key, s3::query(&[("uploadId", &upload)]));
        (ask.headers, ask.body) = (hashed(HeaderMap::new(), body.as_bytes()), body.into());
        let answer = accepted(self.client.wait(self.client.ask(&ask))?)?;
        // Such an answer begins well before the store knows how it ends.
        if let Some(code) = s3::field(&answer.body, "Code")? {
            return Err(BucketError::Odd(format!("the store could not put its parts together: {code}")));
        }
        state.upload = None;
        Ok(())
    }
}

/// What was not finished takes room in the store until it is said to be over.
impl Drop for NewObject {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(upload) = state.upload.take() else { return };
        let ask = Ask::object(Method::DELETE, &self.key, s3::query(&[("uploadId", &upload)]));
        for part in std::mem::take(&mut state.under_way) {
            let _ = part.blocking_recv();
        }
        if let Err(error) = self.client.wait(self.client.ask_at_the_end(&ask)) {
            tracing::warn!("an upload in parts was not finished, and could not be cleared away: {error}");
        }
    }
}

impl NewFile for NewObject {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write(offset, bytes).map_err(io::Error::other)
    }

    fn finish(self: Box<Self>, _: &Entry, _: &Xattrs) -> Result<(), Trouble> {
        let path = String::from_utf8_lossy(&self.key).into_owned();
        self.end().map_err(|error| Trouble { path, why: format!("cannot be put: {error}") })
    }
}

fn put(key: &[u8], query: String, headers: HeaderMap, body: Bytes) -> Ask {
    Ask { headers: hashed(headers, &body), body, ..Ask::object(Method::PUT, key, query) }
}

/// With the hash by which the store checks that it got what was sent.
pub(super) fn hashed(mut headers: HeaderMap, body: &[u8]) -> HeaderMap {
    let hex: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    headers.insert("x-amz-content-sha256", HeaderValue::from_str(&hex).expect("hex fits a header"));
    headers
}

/// Whether it was done.
pub(super) fn accepted(answer: Answer) -> Result<Answer, BucketError> {
    match answer.status.is_success() {
        true => Ok(answer),
        false => Err(BucketError::Odd(format!("the store answered {}", answer.status.as_u16()))),
    }
}

/// The headers by which an object gets all that is said of it.
pub(super) fn headers(meta: &ObjectMeta) -> Result<HeaderMap, BucketError> {
    let mut headers = HeaderMap::new();
    let mut set = |name: &str, value: &[u8]| {
        let bad = || BucketError::Odd(format!("its {name} fits no header"));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        headers.insert(name, HeaderValue::from_bytes(value).map_err(|_| bad())?);
        Ok::<_, BucketError>(())
    };
    for (name, value) in &meta.headers {
        set(name, value)?;
    }
    for (name, value) in &meta.metadata {
        set(&format!("{}{name}", words::S3.metadata), value)?;
    }
    if !meta.tags.is_empty() {
        set("x-amz-tagging", tagging(meta).as_bytes())?;
    }
    if let Some(class) = &meta.storage_class {
        set("x-amz-storage-class", class)?;
    }
    Ok(headers)
}

fn tagging(meta: &ObjectMeta) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pair =
        |(name, value): &(String, Vec<u8>)| format!("{}={}", encoded(name), encoded(&String::from_utf8_lossy(value)));
    meta.tags.iter().map(pair).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_as_long_as_they_were() {
        let etag = |count: u64| format!("0123-{count}").into_bytes();
        assert_eq!(part_len(100 * MIB, &etag(13)), 8 * MIB);
        assert_eq!(part_len(100 * MIB, &etag(20)), 5 * MIB);
        assert_eq!(part_len(100 * MIB, &etag(7)), 15 * MIB);
        // Nothing fits, or nothing is known: the usual.
        assert_eq!(part_len(100 * MIB, &etag(3)), PART);
        assert_eq!(part_len(100 * MIB, b"0123"), PART);
        assert_eq!(part_len(100 * MIB, b""), PART);
        // Put at once before, and small enough to be so again.
        assert_eq!(part_len(12 * MIB, b"0123"), PART_MAX);
        assert_eq!(part_len(200 << 30, b""), 21 * MIB);
    }
}
