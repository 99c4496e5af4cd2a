//! Touches the world. HTTP/1.1 as buckets need it: the path of a request reaches the server byte for byte (`a//b`,
//! `a/../b`), and what is neither sent nor received for a while is cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::route::Route;
use crate::storage::Limits;
use crate::storage::remote::{BadSetup, Options, Outflow, Pulse, Trouble, authorities, no_answer};

/// One client for all requests to a bucket.
pub(super) struct Http {
    client: Client<HttpsConnector<Route>, Outflow>,
    /// A transfer in which nothing has moved for so long is cut.
    patience: Duration,
    limits: Limits,
    reached: AtomicBool,
}

/// An answer, all of it.
pub(super) struct Answer {
    /// As the server gave it.
    pub status: StatusCode,
    /// The same.
    pub headers: HeaderMap,
    /// As much of the body as was asked for.
    pub body: Bytes,
}

impl Http {
    /// A client as the options say.
    pub(super) fn new(options: &Options, limits: &Limits) -> Result<Http, BadSetup> {
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls(options)?).https_or_http().enable_http1();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(options.timeout.min(Duration::from_secs(15))));
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(options.connections)
            .build(connector.wrap_connector(Route::new(tcp)));
        Ok(Http { client, patience: options.timeout, limits: limits.clone(), reached: AtomicBool::new(false) })
    }

    /// Sends a request, and takes no more than `max` bytes of the answer.
    pub(super) async fn send(&self, mut request: Request<Bytes>, max: usize) -> Result<Answer, Trouble> {
        let host = request.uri().authority().map_or_else(String::new, ToString::to_string);
        let pulse = Arc::new(Pulse::new());
        if request.body().is_empty() && matches!(*request.method(), Method::PUT | Method::POST) {
            // Without a body hyper says nothing of its length, and some servers insist.
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let request = request.map(|body| Outflow::new(body.into(), &pulse, self.limits.upload.clone()));
        let response = match pulse.watch(self.patience, self.client.request(request)).await {
            None => return Err(self.stalled(host)),
            Some(Ok(response)) => response,
            Some(Err(error)) => {
                let reached = self.reached.load(Ordering::Relaxed);
                return Err(no_answer(host, &error, error.is_connect(), reached));
            }
        };
        self.reached.store(true, Ordering::Relaxed);
        let (parts, body) = response.into_parts();
        let body = self.collect(host, body, max).await?;
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    async fn collect(&self, host: String, mut body: Incoming, max: usize) -> Result<Bytes, Trouble> {
        let expected = usize::try_from(body.size_hint().lower()).unwrap_or(max).min(max);
        let mut collected = BytesMut::with_capacity(expected);
        while collected.len() < max {
            let frame = match tokio::time::timeout(self.patience, body.frame()).await {
                Err(_) => return Err(self.stalled(host)),
                Ok(None) => break,
                Ok(Some(frame)) => frame.map_err(|error| no_answer(host.clone(), &error, false, true))?,
            };
            let Ok(data) = frame.into_data() else { continue };
            collected.extend_from_slice(&data);
            if let Some(rate) = &self.limits.download {
                tokio::time::sleep(rate.take(data.len() as u64, Instant::now())).await;
            }
        }
        collected.truncate(max);
        Ok(collected.freeze())
    }

    fn stalled(&self, host: String) -> Trouble {
        Trouble::Stalled { host, after_s: self.patience.as_secs() }
    }
}

fn tls(options: &Options) -> Result<rustls::ClientConfig, BadSetup> {
    let bad = |error: rustls::Error| BadSetup(format!("cannot make an HTTP client: {error}"));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = match &options.ca {
        Some(file) => {
            rustls_platform_verifier::Verifier::new_with_extra_roots(authorities(file)?, Arc::clone(&provider))
        }
        None => rustls_platform_verifier::Verifier::new(Arc::clone(&provider)),
    };
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let verifier = Arc::new(verifier.map_err(bad)?);
    Ok(config.map_err(bad)?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}
