//! Touches the world. How stores speak HTTP: one client for all of a store's requests, transfers that are cut
//! when nothing moves and slowed to a limit, and answers that refuse turned into [`Trouble`].

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use opendal::{Buffer, Error, HttpBody, HttpTransport};
use tokio::time::Sleep;

use super::super::limit::{Limits, Rate};
use super::trouble::{Refusal, Trouble};

/// Of an answer that refuses, no more than this is read.
const REFUSAL_MAX: usize = 64 << 10;

type Result<T> = std::result::Result<T, Error>;

/// Speaks HTTP for one store.
pub(super) struct Transport {
    pub(super) client: reqwest::Client,
    pub(super) limits: Limits,
    /// A transfer in which nothing has moved for so long is cut.
    pub(super) patience: Duration,
    /// Whether the store ever answered.
    pub(super) reached: Arc<AtomicBool>,
}

impl HttpTransport for Transport {
    async fn fetch(&self, request: Request<Buffer>) -> Result<Response<HttpBody>> {
        let ours = request.extensions().get::<opendal::raw::Operation>().is_some();
        let (uri, is_head) = (request.uri().clone(), request.method() == http::Method::HEAD);
        let host = uri.authority().map_or_else(String::new, ToString::to_string);
        let pulse = Arc::new(Pulse::new());
        let request = request.map(|body| reqwest::Body::wrap(Outflow::new(body, &pulse, self.limits.upload.clone())));
        let request = reqwest::Request::try_from(request)
            .map_err(|error| Error::new(opendal::ErrorKind::ConfigInvalid, error.to_string()))?;
        let sent = pulse.watch(self.patience, self.client.execute(request)).await;
        let response = match sent {
            None => return Err(Trouble::Stalled { host, after_s: self.patience.as_secs() }.into_error()),
            Some(Err(error)) => return Err(explain(host, &error, self.reached.load(Ordering::Relaxed)).into_error()),
            Some(Ok(response)) => response,
        };
        self.reached.store(true, Ordering::Relaxed);
        let response: http::Response<reqwest::Body> = response.into();
        let (mut parts, body) = response.into_parts();
        parts.extensions.insert(uri);
        let encoded = parts.headers.contains_key(http::header::CONTENT_ENCODING);
        let len = if is_head || encoded { None } else { opendal::raw::parse_content_length(&parts.headers)? };
        let inflow = Inflow::new(body, host.clone(), self.patience, self.limits.download.clone());
        let body = HttpBody::new(inflow, len);
        if ours && may_refuse(parts.status) {
            judge(parts, body, host).await
        } else {
            Ok(Response::from_parts(parts, body))
        }
    }
}

/// Statuses that the services themselves make sense of are left to them.
fn may_refuse(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 307 | 400 | 401 | 403 | 404 | 408 | 429 | 499 | 500 | 502 | 503 | 504 | 507)
}

/// Reads an answer that refuses. That an object is not there is an answer like any other.
async fn judge(parts: http::response::Parts, mut body: HttpBody, host: String) -> Result<Response<HttpBody>> {
    use opendal::raw::oio::ReadStream;
    let mut read = Vec::new();
    while read.len() < REFUSAL_MAX {
        match body.read().await {
            Ok(piece) if !piece.is_empty() => read.extend_from_slice(&piece.to_bytes()),
            // What was read of it will do.
            _ => break,
        }
    }
    read.truncate(REFUSAL_MAX);
    let refusal = Refusal::new(host, parts.status, &parts.headers, &String::from_utf8_lossy(&read));
    if parts.status == 404 && !refusal.is_no_bucket() {
        let len = read.len() as u64;
        let body = HttpBody::new(futures::stream::iter([Ok(Buffer::from(read))]), Some(len));
        return Ok(Response::from_parts(parts, body));
    }
    Err(Trouble::Refused(refusal).into_error())
}

/// Why a request got no answer at all.
fn explain(host: String, error: &reqwest::Error, reached_before: bool) -> Trouble {
    no_answer(host, error, error.is_connect(), reached_before)
}

/// The same, of any client's error; `is_connect` if no connection came about.
pub(crate) fn no_answer(
    host: String,
    error: &(dyn std::error::Error + 'static),
    is_connect: bool,
    reached_before: bool,
) -> Trouble {
    let mut deepest = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(tls @ (rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented)) = tls(inner)
        {
            return Trouble::BadCertificate { host, why: tls.to_string() };
        }
        deepest = inner.to_string();
        source = inner.source();
    }
    let why = deepest.lines().next().unwrap_or_default().to_owned();
    if is_connect { Trouble::Unreachable { host, why, reached_before } } else { Trouble::Broken { host, why } }
}

/// The error of TLS that an error is, or is wrapped around as I/O errors wrap.
fn tls<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    match error.downcast_ref::<std::io::Error>() {
        Some(io) => tls(io.get_ref()?),
        None => error.downcast_ref(),
    }
}

/// When something last moved.
pub(crate) struct Pulse {
    start: Instant,
    moved_ms: AtomicU64,
}

impl Pulse {
    pub(crate) fn new() -> Self {
        Pulse { start: Instant::now(), moved_ms: AtomicU64::new(0) }
    }

    fn beat(&self) {
        let ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved_ms.store(ms, Ordering::Relaxed);
    }

    fn still_for(&self) -> Duration {
        self.start.elapsed().saturating_sub(Duration::from_millis(self.moved_ms.load(Ordering::Relaxed)))
    }

    /// What the future gives, unless nothing moves for so long before that.
    pub(crate) async fn watch<T>(&self, patience: Duration, future: impl Future<Output = T>) -> Option<T> {
        let mut future = std::pin::pin!(future);
        loop {
            let left = patience.saturating_sub(self.still_for());
            if left.is_zero() {
                return None;
            }
            if let Ok(value) = tokio::time::timeout(left, &mut future).await {
                return Some(value);
            }
        }
    }
}

/// The body of a request: says when it moves, and moves no faster than it may.
pub(crate) struct Outflow {
    left: Buffer,
    pulse: Arc<Pulse>,
    rate: Option<Arc<Rate>>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Outflow {
    pub(crate) fn new(body: Buffer, pulse: &Arc<Pulse>, rate: Option<Arc<Rate>>) -> Self {
        Outflow { left: body, pulse: Arc::clone(pulse), rate, pause: None }
    }
}

impl Body for Outflow {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Self::Error>>> {
        if paused(&mut self.pause, context) {
            return Poll::Pending;
        }
        self.pulse.beat();
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        let piece_len = self.rate.as_ref().map_or(1 << 16, |rate| rate.piece_len()).min(self.left.len());
        let piece = self.left.slice(..piece_len).to_bytes();
        self.left = self.left.slice(piece_len..);
        if let Some(rate) = &self.rate {
            self.pause = pause(rate.take(piece.len() as u64, Instant::now()));
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.len() as u64)
    }
}

/// The body of an answer: cut when nothing comes, and taken no faster than it may be.
struct Inflow {
    pieces: Pin<Box<dyn Stream<Item = std::result::Result<Bytes, reqwest::Error>> + Send + Sync>>,
    host: String,
    patience: Duration,
    cut: Pin<Box<Sleep>>,
    rate: Option<Arc<Rate>>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Inflow {
    fn new(body: reqwest::Body, host: String, patience: Duration, rate: Option<Arc<Rate>>) -> Self {
        let pieces = Box::pin(BodyStream(body));
        Inflow { pieces, host, patience, cut: Box::pin(tokio::time::sleep(patience)), rate, pause: None }
    }

    fn arrived(&mut self, piece: Bytes) -> Buffer {
        self.cut.as_mut().reset(tokio::time::Instant::now() + self.patience);
        if let Some(rate) = &self.rate {
            let wait = rate.take(piece.len() as u64, Instant::now());
            self.cut.as_mut().reset(tokio::time::Instant::now() + self.patience + wait);
            self.pause = pause(wait);
        }
        Buffer::from(piece)
    }
}

impl Stream for Inflow {
    type Item = Result<Buffer>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if paused(&mut self.pause, context) {
            return Poll::Pending;
        }
        loop {
            return match self.pieces.poll_next_unpin(context) {
                Poll::Ready(Some(Ok(piece))) if piece.is_empty() => continue,
                Poll::Ready(Some(Ok(piece))) => Poll::Ready(Some(Ok(self.arrived(piece)))),
                Poll::Ready(Some(Err(error))) => {
                    let trouble = explain(self.host.clone(), &error, true);
                    Poll::Ready(Some(Err(trouble.into_error())))
                }
                Poll::Ready(None) => Poll::Ready(None),
                Poll::Pending => match self.cut.as_mut().poll(context) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(()) => {
                        let trouble = Trouble::Stalled { host: self.host.clone(), after_s: self.patience.as_secs() };
                        Poll::Ready(Some(Err(trouble.into_error())))
                    }
                },
            };
        }
    }
}

/// The data of a body, frame by frame; trailers say nothing that anybody here reads.
struct BodyStream(reqwest::Body);

impl Stream for BodyStream {
    type Item = std::result::Result<Bytes, reqwest::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            return match Pin::new(&mut self.0).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => Poll::Ready(Some(Ok(bytes))),
                    Err(_) => continue,
                },
                Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            };
        }
    }
}

fn pause(wait: Duration) -> Option<Pin<Box<Sleep>>> {
    (!wait.is_zero()).then(|| Box::pin(tokio::time::sleep(wait)))
}

fn paused(pause: &mut Option<Pin<Box<Sleep>>>, context: &mut Context<'_>) -> bool {
    let still = pause.as_mut().is_some_and(|sleep| sleep.as_mut().poll(context).is_pending());
    if !still {
        *pause = None;
    }
    still
}
