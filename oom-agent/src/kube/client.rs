//! Requests to the API server: HTTP/1.1 over TLS, a connection for each watch and one for what is written.

use super::{
    config::{Cluster, Content, bracketed},
    failure::Failure,
};
use crate::{
    backoff,
    tls::{self, Pem},
};
use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use http_body_util::BodyExt as _;
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use rustix::net::sockopt;
use rustls::{ClientConfig, pki_types::ServerName};
use serde::Deserialize;
use std::{sync::Arc, time::Duration};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

/// For a connection, and for the head of an answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Bytes of an answer that is read as a whole, at most.
const ANSWER: usize = 64 << 10;
/// Characters of what a server says against something, at most.
const SAID: usize = 300;
/// A connection on which nothing comes is asked about after so long, a few times.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Asks an API server.
#[derive(Debug)]
pub struct Client {
    cluster: Cluster,
}

/// A connection.
pub(super) struct Connection(SendRequest<String>);

impl Connection {
    /// Whether the other side has closed it.
    pub(super) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

impl Client {
    /// Connects to nothing yet.
    pub const fn new(cluster: Cluster) -> Self {
        Self { cluster }
    }

    /// Where it asks.
    pub const fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// A new connection. Files are read each time: certificates and tokens rotate.
    ///
    /// # Errors
    /// [`Failure::Unreachable`] or [`Failure::Silent`].
    pub(super) async fn connect(&self) -> Result<Connection, Failure> {
        let connected = timeout(PATIENCE, self.open()).await.map_err(|_| Failure::Silent)?;
        connected.map_err(|error| Failure::Unreachable(format!("{error:#}")))
    }

    async fn open(&self) -> Result<Connection> {
        let Cluster { host, port, server_name, .. } = &self.cluster;
        let tls = tls_of(&self.cluster)?;
        let name = server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_owned()).with_context(|| format!("{name:?} is no name"))?;
        let stream = TcpStream::connect((host.as_str(), *port)).await.context("cannot connect")?;
        stream.set_nodelay(true).context("cannot set TCP_NODELAY")?;
        // A node that lost its network would else wait for changes until the watch ends.
        sockopt::set_socket_keepalive(&stream, true).context("cannot set SO_KEEPALIVE")?;
        sockopt::set_tcp_keepidle(&stream, KEEPALIVE).context("cannot set TCP_KEEPIDLE")?;
        sockopt::set_tcp_keepintvl(&stream, KEEPALIVE / 3).context("cannot set TCP_KEEPINTVL")?;
        sockopt::set_tcp_keepcnt(&stream, 3).context("cannot set TCP_KEEPCNT")?;
        let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await.context("no TLS")?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.context("no HTTP")?;
        // It ends when what it is asked with is dropped.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Connection(sender))
    }

    /// Asks. What is no success is a failure.
    ///
    /// # Errors
    /// Any.
    pub(super) async fn ask(
        &self,
        connection: &mut Connection,
        method: Method,
        path: &str,
        body: Option<(&'static str, String)>,
    ) -> Result<Response<Incoming>, Failure> {
        let request = self.request(method, path, body);
        let request = request.map_err(|error| Failure::Unreachable(format!("{error:#}")))?;
        let answer = async {
            connection.0.ready().await?;
            connection.0.send_request(request).await
        };
        let answer = timeout(PATIENCE, answer).await.map_err(|_| Failure::Silent)?;
        let answer = answer.map_err(|error| Failure::Unreachable(error.to_string()))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let (status, later) = (answer.status().as_u16(), retry_after(answer.headers()));
        let said = timeout(PATIENCE, whole(answer)).await.ok().and_then(Result::ok).unwrap_or_default();
        Err(Failure::of_status(status, message(&said), later))
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, String)>,
    ) -> Result<Request<String>> {
        let Cluster { host, port, prefix, token, .. } = &self.cluster;
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{prefix}{path}"))
            .header(header::HOST, format!("{}:{port}", bracketed(host)))
            .header(header::USER_AGENT, concat!("oom-agent/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT, "application/json");
        if let Some(token) = token.as_ref().map(Content::read).transpose()? {
            let mut bearer = b"Bearer ".to_vec();
            bearer.extend_from_slice(token.trim_ascii());
            let mut bearer = HeaderValue::from_bytes(&bearer).context("the token is none")?;
            bearer.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, bearer);
        }
        let (kind, body) = body.unzip();
        if let Some(kind) = kind {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        Ok(request.body(body.unwrap_or_default())?)
    }
}

/// The next bytes of an answer. `None`: it is complete.
///
/// # Errors
/// It broke off.
pub(super) async fn more(answer: &mut Response<Incoming>) -> Result<Option<Bytes>, Failure> {
    while let Some(frame) = answer.body_mut().frame().await {
        let frame = frame.map_err(|error| Failure::Unreachable(format!("it broke off: {error}")))?;
        // What is no data is a trailer.
        if let Ok(bytes) = frame.into_data() {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

/// All of an answer.
///
/// # Errors
/// It broke off or is too long.
pub(super) async fn whole(mut answer: Response<Incoming>) -> Result<Vec<u8>, Failure> {
    let mut all = Vec::new();
    while let Some(bytes) = more(&mut answer).await? {
        if all.len() + bytes.len() > ANSWER {
            return Err(Failure::Unreadable(format!("more than {ANSWER} bytes")));
        }
        all.extend_from_slice(&bytes);
    }
    Ok(all)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    backoff::retry_after(headers.get(header::RETRY_AFTER)?.to_str().ok()?, jiff::Timestamp::now())
}

/// What a `Status` says, or the beginning of what is none.
fn message(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Status {
        message: String,
    }
    let status: Option<Status> = serde_json::from_slice(body).ok();
    let said = status.map_or_else(|| String::from_utf8_lossy(body).into_owned(), |it| it.message);
    said.chars().take(SAID).collect()
}

fn tls_of(cluster: &Cluster) -> Result<ClientConfig> {
    let roots = pem(&cluster.ca)?.roots()?;
    let own = match &cluster.certificate {
        None => None,
        Some((certificate, key)) => Some((pem(certificate)?, pem(key)?)),
    };
    tls::client(roots, own.as_ref(), b"http/1.1")
}

fn pem(content: &Content) -> Result<Pem> {
    Ok(Pem { bytes: content.read()?, name: format!("{content:?}") })
}
