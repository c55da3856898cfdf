//! One gRPC call after the other over a Unix socket: a request, an answer, no streams.

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use prost::Message;
use std::path::Path;
use tokio::net::UnixStream;

/// Bytes of an answer, at most: as much as the kubelet takes (`maxMsgSize`).
const MOST: usize = 16 << 20;
/// What stands before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// A connection. Ends with this.
#[derive(Debug)]
pub struct Client {
    send: SendRequest<Bytes>,
    service: &'static str,
}

impl Client {
    /// Connects, within a tokio runtime.
    ///
    /// # Errors
    /// If nobody listens there or does not speak HTTP/2.
    pub async fn connect(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket).await.context("cannot connect")?;
        let (send, connection) = h2::client::handshake(stream).await.context("no HTTP/2 there")?;
        // It ends when everything that was sent with it is dropped.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { send, service: "runtime.v1.RuntimeService" })
    }

    /// Calls a method of the runtime service.
    ///
    /// # Errors
    /// If the runtime refuses, breaks off, or answers something else.
    pub async fn call<Q: Message, A: Message + Default>(&mut self, method: &str, question: &Q) -> Result<A> {
        let answer = self.ask(method, question).await;
        answer.with_context(|| format!("{method} failed"))
    }

    async fn ask<Q: Message, A: Message + Default>(&mut self, method: &str, question: &Q) -> Result<A> {
        let request = http::Request::post(format!("http://localhost/{}/{method}", self.service))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        std::future::poll_fn(|context| self.send.poll_ready(context)).await?;
        let (answer, mut body) = self.send.send_request(request, false)?;
        let length = question.encoded_len();
        let mut message = BytesMut::with_capacity(PREFIX + length);
        message.put_u8(0);
        message.put_u32(u32::try_from(length)?);
        question.encode(&mut message)?;
        body.send_data(message.freeze(), true)?;
        let answer = answer.await?;
        // An answer without a body has its trailers in the head.
        refused(answer.headers())?;
        let mut body = answer.into_body();
        let mut bytes = BytesMut::new();
        while let Some(part) = body.data().await {
            let part = part?;
            ensure!(bytes.len() + part.len() <= MOST, "the answer is longer than {MOST} bytes");
            body.flow_control().release_capacity(part.len())?;
            bytes.extend_from_slice(&part);
        }
        if let Some(trailers) = body.trailers().await? {
            refused(&trailers)?;
        }
        ensure!(bytes.len() >= PREFIX && bytes.get_u8() == 0, "the answer is compressed or cut");
        ensure!(bytes.get_u32() as usize == bytes.len(), "the answer is cut");
        Ok(A::decode(bytes)?)
    }
}

/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>
fn refused(headers: &http::HeaderMap) -> Result<()> {
    let text = |name| headers.get(name).map(|it| String::from_utf8_lossy(it.as_bytes()).into_owned());
    match text("grpc-status") {
        None => Ok(()),
        Some(status) if status == "0" => Ok(()),
        Some(status) => bail!("status {status}: {}", text("grpc-message").unwrap_or_default()),
    }
}
