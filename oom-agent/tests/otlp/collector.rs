//! A collector of the test's own, for both protocols. It decodes with the types that OpenTelemetry generates, and answers as
//! it is told to.

use bytes::{BufMut as _, Bytes, BytesMut};
use flate2::read::GzDecoder;
use http::{HeaderMap, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::{
    collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse},
    common::v1::{KeyValue, any_value::Value},
    logs::v1::LogRecord,
};
use prost::Message as _;
use rustls::ServerConfig;
use std::{
    collections::VecDeque,
    io::Read as _,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    thread::{self, JoinHandle},
    time::Instant,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::oneshot,
};
use tokio_rustls::TlsAcceptor;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Grpc,
    Http,
}

pub(crate) const BOTH: [Protocol; 2] = [Protocol::Grpc, Protocol::Http];

impl Protocol {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http/protobuf",
        }
    }
}

/// What it answers.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Take,
    /// All but so many.
    Partial(i64),
    /// A status of gRPC, or of HTTP, and after how many seconds to come again.
    Status(u16, Option<u16>),
    /// Nothing, for ever.
    Hang,
    /// It closes the connection.
    Close,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) at: Instant,
    pub(crate) headers: HeaderMap,
    pub(crate) request: ExportLogsServiceRequest,
    pub(crate) taken: bool,
    pub(crate) connection: usize,
}

impl Got {
    pub(crate) fn records(&self) -> impl Iterator<Item = &LogRecord> {
        let scopes = self.request.resource_logs.iter().flat_map(|it| &it.scope_logs);
        scopes.flat_map(|it| &it.log_records)
    }
}

/// The text of an attribute.
pub(crate) fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|it| it.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        other => panic!("{key} is {other:?}"),
    }
}

#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// What it answers next; when that is over, it takes everything.
    pub(crate) plan: VecDeque<Reply>,
    pub(crate) got: Vec<Got>,
    connections: usize,
}

/// Ends with the test.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    protocol: Protocol,
    tls: Option<Arc<ServerConfig>>,
    shared: Arc<Mutex<Shared>>,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Collector {
    pub(crate) fn start(protocol: Protocol) -> Self {
        Self::start_with(protocol, None)
    }

    pub(crate) fn start_with(protocol: Protocol, tls: Option<Arc<ServerConfig>>) -> Self {
        let address = "127.0.0.1:0".parse().expect("an address");
        let mut collector = Self { address, protocol, tls, shared: Arc::default(), running: None };
        collector.resume();
        collector
    }

    pub(crate) fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().expect("nobody has panicked")
    }

    pub(crate) fn plan(&self, replies: &[Reply]) {
        self.shared().plan.extend(replies.iter().cloned());
    }

    /// Ids of what it has taken, in the order of coming.
    pub(crate) fn ids(&self) -> Vec<String> {
        let shared = self.shared();
        let taken = shared.got.iter().filter(|got| got.taken).flat_map(Got::records);
        let uid = |record: &LogRecord| attribute(&record.attributes, "log.record.uid").map(str::to_owned);
        taken.map(|record| uid(record).expect("an id")).collect()
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://localhost:{}", self.address.port())
    }

    /// An outage: it ends, with all connections.
    pub(crate) fn stop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            let _ = stop.send(());
            thread.join().expect("it ends");
        }
    }

    /// The end of an outage, at the same address.
    pub(crate) fn resume(&mut self) {
        let (stop, stopped) = oneshot::channel();
        let (listening, address) = std::sync::mpsc::channel();
        let (at, protocol, shared) = (self.address, self.protocol, Arc::clone(&self.shared));
        let tls = self.tls.clone().map(TlsAcceptor::from);
        let thread = thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::bind(at).await.expect("a port");
                listening.send(listener.local_addr().expect("an address")).expect("somebody waits");
                tokio::select! {
                    () = accept(listener, protocol, tls, shared) => {}
                    _ = stopped => {}
                }
            });
        });
        self.address = address.recv().expect("it listens");
        self.running = Some((stop, thread));
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn accept(
    listener: TcpListener,
    protocol: Protocol,
    tls: Option<TlsAcceptor>,
    shared: Arc<Mutex<Shared>>,
) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let shared = Arc::clone(&shared);
        let number = {
            let mut shared = shared.lock().expect("nobody has panicked");
            shared.connections += 1;
            shared.connections
        };
        let tls = tls.clone();
        tokio::spawn(async move {
            match tls {
                None => serve(stream, protocol, shared, number).await,
                Some(tls) => {
                    // Who does not like the certificate goes away.
                    let Ok(stream) = tls.accept(stream).await else { return };
                    serve(stream, protocol, shared, number).await;
                }
            }
        });
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    protocol: Protocol,
    shared: Arc<Mutex<Shared>>,
    number: usize,
) {
    match protocol {
        Protocol::Grpc => grpc(stream, shared, number).await,
        Protocol::Http => {
            let service = service_fn(move |request| http(request, Arc::clone(&shared), number));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        }
    }
}

/// Notes a request; what to answer.
fn got(shared: &Mutex<Shared>, connection: usize, headers: HeaderMap, message: &[u8]) -> Reply {
    let request = ExportLogsServiceRequest::decode(message).expect("a request");
    let mut shared = shared.lock().expect("nobody has panicked");
    let reply = shared.plan.pop_front().unwrap_or(Reply::Take);
    let taken = matches!(reply, Reply::Take | Reply::Partial(_));
    shared.got.push(Got { at: Instant::now(), headers, request, taken, connection });
    reply
}

fn answer(reply: &Reply) -> Vec<u8> {
    let partial = match reply {
        Reply::Partial(rejected) => Some(ExportLogsPartialSuccess {
            rejected_log_records: *rejected,
            error_message: "too old".to_owned(),
        }),
        _ => None,
    };
    ExportLogsServiceResponse { partial_success: partial }.encode_to_vec()
}

fn unpacked(bytes: &[u8], packed: bool) -> Vec<u8> {
    let mut all = Vec::new();
    if packed {
        GzDecoder::new(bytes).read_to_end(&mut all).expect("gzip");
    } else {
        all.extend_from_slice(bytes);
    }
    all
}

async fn http(
    request: http::Request<Incoming>,
    shared: Arc<Mutex<Shared>>,
    number: usize,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let (head, body) = request.into_parts();
    assert_eq!((head.method.as_str(), head.uri.path()), ("POST", "/v1/logs"));
    assert_eq!(head.headers["content-type"], "application/x-protobuf");
    assert!(head.headers.contains_key("host"));
    let packed = head.headers.get("content-encoding").is_some_and(|it| it == "gzip");
    let body = body.collect().await.expect("a body").to_bytes();
    let reply = got(&shared, number, head.headers, &unpacked(&body, packed));
    let response = Response::builder().header("content-type", "application/x-protobuf");
    let response = match reply {
        Reply::Take | Reply::Partial(_) => response.body(Full::new(answer(&reply).into())),
        Reply::Status(status, after) => {
            let response = response.status(status);
            let response = match after {
                Some(after) => response.header("retry-after", after.to_string()),
                None => response,
            };
            response.body(Full::default())
        }
        Reply::Hang => std::future::pending().await,
        Reply::Close => return Err(std::io::ErrorKind::ConnectionReset.into()),
    };
    Ok(response.expect("a response"))
}

async fn grpc<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    shared: Arc<Mutex<Shared>>,
    number: usize,
) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let (head, mut body) = request.into_parts();
        assert_eq!(head.uri.path(), "/opentelemetry.proto.collector.logs.v1.LogsService/Export");
        assert_eq!(head.headers["content-type"], "application/grpc");
        assert_eq!(head.headers["te"], "trailers");
        let mut bytes = BytesMut::new();
        // Who reads the body has to let the connection work as well.
        let read = async {
            while let Some(Ok(part)) = body.data().await {
                let _ = body.flow_control().release_capacity(part.len());
                bytes.extend_from_slice(&part);
            }
        };
        tokio::select! {
            () = read => {}
            _ = std::future::poll_fn(|context| connection.poll_closed(context)) => return,
        }
        let length = u32::from_be_bytes(bytes[1..5].try_into().expect("four bytes")) as usize;
        assert_eq!(length, bytes.len() - 5);
        let packed = bytes[0] == 1;
        assert!(!packed || head.headers["grpc-encoding"] == "gzip");
        let reply = got(&shared, number, head.headers, &unpacked(&bytes[5..], packed));
        let response = Response::builder().header("content-type", "application/grpc");
        match reply {
            Reply::Take | Reply::Partial(_) => {
                let answer = answer(&reply);
                let mut frame = BytesMut::new();
                frame.put_u8(0);
                frame.put_u32(answer.len() as u32);
                frame.extend_from_slice(&answer);
                let response = response.body(()).expect("a response");
                let mut stream = respond.send_response(response, false).expect("it is open");
                stream.send_data(frame.freeze(), false).expect("it is open");
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", "0".parse().expect("a value"));
                stream.send_trailers(trailers).expect("it is open");
            }
            Reply::Status(code, after) => {
                let response =
                    response.header("grpc-status", code.to_string()).header("grpc-message", "no%20way");
                let response = match after {
                    Some(seconds) => response.header("grpc-status-details-bin", details(code, seconds)),
                    None => response,
                };
                respond.send_response(response.body(()).expect("a response"), true).expect("it is open");
            }
            Reply::Hang => {
                let _ = std::future::poll_fn(|context| connection.poll_closed(context)).await;
                return;
            }
            Reply::Close => return,
        }
    }
}

/// `google.rpc.Status` with a `RetryInfo`.
fn details(code: u16, seconds: u16) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
    use oom_agent::otlp::messages::{Any, Delay, RetryInfo, Status};
    let info = RetryInfo { retry_delay: Some(Delay { seconds: seconds.into(), nanos: 0 }) };
    let any =
        Any { type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(), value: info.encode_to_vec() };
    let status = Status { code: code.into(), message: String::new(), details: vec![any] };
    BASE64_STANDARD_NO_PAD.encode(status.encode_to_vec())
}
