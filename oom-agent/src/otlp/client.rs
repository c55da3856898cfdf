//! Requests to a collector, one after the other over one connection. Each has its answer, or a reason why not.

use super::{
    answer::{self, Answer, Failure, Reason},
    connect::{Connector, Stream, Target},
    messages::{ExportRequest, ExportResponse},
    settings::{Compression, Header, Protocol, Settings, header},
};
use crate::{files, grpc};
use anyhow::{Context as _, Result, anyhow};
use bytes::{Buf as _, Bytes};
use flate2::write::GzEncoder;
use http::{
    HeaderMap, HeaderValue, Request,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT},
};
use http_body_util::{BodyExt as _, Collected, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use prost::Message as _;
use std::io::Write as _;
use tokio::time::timeout;

/// Bytes of a file of headers, at most.
const HEADERS: u64 = 64 << 10;
/// Bytes of an answer by HTTP, at most.
const ANSWER: usize = 64 << 10;
/// What is called.
const METHOD: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
const AGENT: &str = concat!("oom-agent/", env!("CARGO_PKG_VERSION"));

/// A collector.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    connector: Connector,
    open: Option<Open>,
}

/// A connection, and what is sent with each request over it.
#[derive(Debug)]
struct Open {
    headers: HeaderMap,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Grpc(grpc::Client),
    Http(http1::SendRequest<Full<Bytes>>),
}

impl Client {
    /// Connects to nobody yet, but starts the thread that it needs.
    ///
    /// # Errors
    /// The kernel gives none.
    pub fn new(target: Target) -> Result<Self> {
        let (connector, settings) = Connector::new(target)?;
        Ok(Self { settings, connector, open: None })
    }

    /// Sends a request. It takes no longer than the settings say. Not cancel safe: what was sent may have been taken.
    pub async fn send(&mut self, request: &ExportRequest) -> Answer {
        let patience = self.settings.timeout;
        let answer = timeout(patience, self.attempt(request)).await.unwrap_or_else(|_| {
            let late = format!("no answer in {} s", patience.as_secs_f64());
            Err(Failure::new(Reason::Timeout, late))
        });
        answer.unwrap_or_else(|failure| {
            self.open = None;
            Answer::Not(failure)
        })
    }

    /// Ends the connection, if there is one.
    pub fn close(&mut self) {
        self.open = None;
    }

    /// Whether there is a connection.
    pub const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    async fn attempt(&mut self, request: &ExportRequest) -> Result<Answer, Failure> {
        if self.open.is_none() {
            self.open = Some(self.connect().await.map_err(|error| unreachable(&error))?);
        }
        let Self { settings, open: Some(open), .. } = self else {
            return Err(Failure::new(Reason::Unreachable, "no connection"));
        };
        let gzip = settings.compression == Compression::Gzip;
        let headers = open.headers.clone();
        match &mut open.kind {
            Kind::Grpc(client) => {
                let frame = if gzip {
                    compressed(request).and_then(|message| grpc::Frame::compressed(&message))
                } else {
                    grpc::Frame::of(request)
                };
                let frame = frame.map_err(|error| unreachable(&error))?;
                let answer: Result<ExportResponse, _> = client.call(METHOD, headers, frame).await;
                answer.map(|answer| answer::taken(&answer.encode_to_vec())).map_err(refused)
            }
            Kind::Http(sender) => {
                let body = if gzip { compressed(request) } else { Ok(request.encode_to_vec()) };
                let body = body.map_err(|error| unreachable(&error))?;
                let request = Request::post(&settings.endpoint.path).body(Full::new(Bytes::from(body)));
                let mut request = request.map_err(|error| unreachable(&error.into()))?;
                *request.headers_mut() = headers;
                post(sender, request).await
            }
        }
    }

    async fn connect(&mut self) -> Result<Open> {
        let Self { settings, connector, .. } = self;
        let endpoint = &settings.endpoint;
        let mut headers = HeaderMap::new();
        // In the order of being sent: those that are set do not replace what the protocol needs.
        for (name, value) in all_headers(settings)? {
            headers.insert(name, value);
        }
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
        let gzip = settings.compression == Compression::Gzip;
        let stream = connector.connect().await?;
        let kind = match settings.protocol {
            Protocol::Grpc => {
                if gzip {
                    headers.insert("grpc-encoding", HeaderValue::from_static("gzip"));
                }
                headers.insert("grpc-timeout", format!("{}m", settings.timeout.as_millis()).parse()?);
                let origin = endpoint.to_string();
                Kind::Grpc(grpc::Client::over(stream, origin).await.context("no HTTP/2 there")?)
            }
            Protocol::Http => {
                headers.insert(HOST, endpoint.authority.parse()?);
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
                if gzip {
                    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                }
                Kind::Http(begin(stream).await?)
            }
        };
        Ok(Open { headers, kind })
    }
}

async fn begin(stream: Box<dyn Stream>) -> Result<http1::SendRequest<Full<Bytes>>> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the sender.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

async fn post(
    sender: &mut http1::SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Answer, Failure> {
    let broken = |error: hyper::Error| unreachable(&anyhow!(error).context("no HTTP/1.1 there"));
    sender.ready().await.map_err(broken)?;
    let (head, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
    let body = Limited::new(body, ANSWER).collect().await.map(Collected::to_bytes);
    if head.status.is_success() {
        // Taken, whatever comes after.
        return Ok(answer::taken(&body.unwrap_or_default()));
    }
    let after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let now = jiff::Timestamp::now();
    Err(answer::http(head.status.as_u16(), after, body.unwrap_or_default().chunk(), now))
}

fn refused(failure: grpc::Failure) -> Failure {
    match failure {
        grpc::Failure::Status { code, message, details } => answer::grpc(code, &message, details.as_deref()),
        grpc::Failure::Http { status, retry_after } => {
            answer::http(status.as_u16(), retry_after.as_deref(), b"", jiff::Timestamp::now())
        }
        grpc::Failure::Broken(error) => unreachable(&error.context("no gRPC there")),
    }
}

fn unreachable(error: &anyhow::Error) -> Failure {
    Failure::new(Reason::Unreachable, format!("{error:#}"))
}

fn compressed(request: &ExportRequest) -> Result<Vec<u8>> {
    let message = request.encode_to_vec();
    let mut encoder = GzEncoder::new(Vec::with_capacity(message.len() / 4), flate2::Compression::default());
    encoder.write_all(&message)?;
    Ok(encoder.finish()?)
}

/// Those of arguments and environment, and those of the file, which win.
pub(super) fn all_headers(settings: &Settings) -> Result<Vec<Header>> {
    let mut all = settings.headers.clone();
    let Some(path) = &settings.headers_file else { return Ok(all) };
    let said = || format!("--otlp-headers-file {}", path.display());
    let text =
        String::from_utf8(files::read(path, HEADERS).context("--otlp-headers-file")?).with_context(said)?;
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        // Without what stands there.
        all.push(header(line).map_err(|why| anyhow!("{}:{}: {why}", said(), number + 1))?);
    }
    Ok(all)
}
