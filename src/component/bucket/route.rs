//! Touches the world. The way to a server: straight, or through the proxy that the environment names for it (`HTTPS_PROXY`,
//! `NO_PROXY` and so on, as curl reads them).

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

/// Opens connections.
#[derive(Clone)]
pub(super) struct Route {
    tcp: HttpConnector,
    proxies: Arc<Matcher>,
}

type Failed = Box<dyn Error + Send + Sync>;

impl Route {
    /// The way that the environment says.
    pub(super) fn new(tcp: HttpConnector) -> Route {
        Route { tcp, proxies: Arc::new(Matcher::from_env()) }
    }

    /// A proxy is asked for a tunnel whatever is sent through it: what is signed then reaches the server as it is.
    fn tunnel(&self, proxy: &Intercept) -> Tunnel<HttpConnector> {
        let tunnel = Tunnel::new(proxy.uri().clone(), self.tcp.clone());
        match proxy.basic_auth() {
            Some(auth) => tunnel.with_auth(auth.clone()),
            None => tunnel,
        }
    }
}

impl Service<Uri> for Route {
    type Response = TokioIo<TcpStream>;
    type Error = Failed;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failed>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let Some(proxy) = self.proxies.intercept(&server) else {
            let straight = self.tcp.call(server);
            return Box::pin(async { Ok(straight.await?) });
        };
        let name = proxy.uri().authority().map_or_else(String::new, |authority| host_and_port(authority.as_str()));
        let through = self.tunnel(&proxy).call(with_port(&server));
        Box::pin(async move { through.await.map_err(|error| format!("the proxy {name}: {}", root(&error)).into()) })
    }
}

/// Without a name and password.
fn host_and_port(authority: &str) -> String {
    authority.rsplit('@').next().unwrap_or_default().to_owned()
}

/// The same server with its port, which a tunnel has to know.
fn with_port(server: &Uri) -> Uri {
    let written = match (server.scheme_str(), server.port(), server.host()) {
        (Some("http"), None, Some(host)) => format!("http://{host}:80/"),
        _ => return server.clone(),
    };
    written.parse().unwrap_or_else(|_| server.clone())
}

/// What an error comes from.
fn root(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => root(source),
        None => error.to_string(),
    }
}
