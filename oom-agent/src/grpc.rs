//! One gRPC call after the other over a connection: a request, an answer, no streams.
//!
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>

use anyhow::{Result, anyhow};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, Request, StatusCode};
use percent_encoding::percent_decode_str;
use prost::Message;
use std::fmt;
use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes of an answer, at most: as much as the kubelet takes (`maxMsgSize`).
const MOST: usize = 16 << 20;
/// What stands before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// A connection. Ends with this.
#[derive(Debug)]
pub struct Client {
    send: SendRequest<Bytes>,
    origin: String,
}

/// A message as it is sent.
#[derive(Clone, Debug)]
pub struct Frame(Bytes);

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// The other side says so.
    Status {
        /// The code of gRPC.
        code: u32,
        /// In words.
        message: String,
        /// The header `grpc-status-details-bin`.
        details: Option<Vec<u8>>,
    },
    /// No gRPC answered, but something on the way to it.
    Http {
        /// The status of HTTP.
        status: StatusCode,
        /// The header `retry-after`.
        retry_after: Option<String>,
    },
    /// It broke off, or is not gRPC.
    Broken(anyhow::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { code, message, .. } => write!(f, "status {code}: {message}"),
            Self::Http { status, .. } => write!(f, "HTTP status {status} instead of gRPC"),
            Self::Broken(error) => write!(f, "{error:#}"),
        }
    }
}

impl std::error::Error for Failure {}

impl<E: Into<anyhow::Error>> From<E> for Broken {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

/// For `?`.
struct Broken(anyhow::Error);

impl From<Broken> for Failure {
    fn from(Broken(error): Broken) -> Self {
        Self::Broken(error)
    }
}

impl Frame {
    /// Of a message.
    ///
    /// # Errors
    /// It has 4 GiB or more.
    pub fn of(message: &impl Message) -> Result<Self> {
        let length = message.encoded_len();
        let mut bytes = begin(false, length)?;
        message.encode(&mut bytes)?;
        Ok(Self(bytes.freeze()))
    }

    /// Of a message that is encoded, and compressed as the header `grpc-encoding` says.
    ///
    /// # Errors
    /// It has 4 GiB or more.
    pub fn compressed(message: &[u8]) -> Result<Self> {
        let mut bytes = begin(true, message.len())?;
        bytes.put_slice(message);
        Ok(Self(bytes.freeze()))
    }
}

fn begin(compressed: bool, length: usize) -> Result<BytesMut> {
    let mut bytes = BytesMut::with_capacity(PREFIX + length);
    bytes.put_u8(compressed.into());
    bytes.put_u32(u32::try_from(length)?);
    Ok(bytes)
}

impl Client {
    /// Begins to speak HTTP/2, within a tokio runtime. `origin`: scheme and authority, as `http://localhost`.
    ///
    /// # Errors
    /// The other side does not.
    pub async fn over<S>(stream: S, origin: String) -> Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (send, connection) = h2::client::handshake(stream).await?;
        // It ends when everything that was sent with it is dropped.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { send, origin })
    }

    /// Calls a method (`/package.Service/Method`). `headers`: sent with it.
    ///
    /// # Errors
    /// The other side refuses, breaks off, or answers something else.
    pub async fn call<A: Message + Default>(
        &mut self,
        method: &str,
        headers: HeaderMap,
        message: Frame,
    ) -> Result<A, Failure> {
        let answer = self.ask(method, headers, message).await?;
        Ok(A::decode(answer).map_err(Broken::from)?)
    }

    async fn ask(
        &mut self,
        method: &str,
        headers: HeaderMap,
        Frame(message): Frame,
    ) -> Result<Bytes, Failure> {
        let request = Request::post(format!("{}{method}", self.origin)).body(());
        let mut request = request.map_err(Broken::from)?;
        *request.headers_mut() = headers;
        for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")] {
            request.headers_mut().insert(name, http::HeaderValue::from_static(value));
        }
        std::future::poll_fn(|context| self.send.poll_ready(context)).await.map_err(Broken::from)?;
        let (answer, mut body) = self.send.send_request(request, false).map_err(Broken::from)?;
        body.send_data(message, true).map_err(Broken::from)?;
        let (head, mut body) = answer.await.map_err(Broken::from)?.into_parts();
        // An answer without a body has its trailers in the head.
        let in_head = refused(&head.headers)?;
        if head.status != StatusCode::OK {
            let retry_after = text(&head.headers, "retry-after");
            return Err(Failure::Http { status: head.status, retry_after });
        }
        let mut bytes = BytesMut::new();
        while let Some(part) = body.data().await {
            let part = part.map_err(Broken::from)?;
            if bytes.len() + part.len() > MOST {
                return Err(broken(&format!("the answer is longer than {MOST} bytes")));
            }
            body.flow_control().release_capacity(part.len()).map_err(Broken::from)?;
            bytes.extend_from_slice(&part);
        }
        let trailers = body.trailers().await.map_err(Broken::from)?;
        let ended = trailers.as_ref().map(refused).transpose()?;
        if !in_head && ended != Some(true) {
            return Err(broken("the answer has no status"));
        }
        if bytes.len() < PREFIX || bytes.get_u8() != 0 || bytes.get_u32() as usize != bytes.len() {
            return Err(broken("the answer is compressed or cut"));
        }
        Ok(bytes.freeze())
    }
}

fn broken(why: &str) -> Failure {
    Failure::Broken(anyhow!("{why}"))
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|it| String::from_utf8_lossy(it.as_bytes()).into_owned())
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Whether it says that all is well; nothing, if it says nothing.
fn refused(headers: &HeaderMap) -> Result<bool, Failure> {
    let Some(code) = text(headers, "grpc-status") else { return Ok(false) };
    if code == "0" {
        return Ok(true);
    }
    Err(Failure::Status {
        // UNKNOWN.
        code: code.parse().unwrap_or(2),
        message: text(headers, "grpc-message").map(|text| decoded(&text)).unwrap_or_default(),
        details: headers.get("grpc-status-details-bin").map(|it| it.as_bytes().to_vec()),
    })
}
