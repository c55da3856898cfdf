//! Which path is what.

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS},
};
use std::{convert::Infallible, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

/// How long the agent may take for an answer.
const BUSY: Duration = Duration::from_secs(5);

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// `/metrics`.
    Metrics,
    /// `/healthz`: whether it is alive.
    Healthy,
    /// `/readyz`: whether it sees OOM kills, and how much of them.
    Ready,
}

/// For the one who knows.
#[derive(Debug)]
pub struct Question {
    /// What is asked for.
    pub ask: Ask,
    /// Who asks. Gone if it took too long.
    pub answer: oneshot::Sender<Answer>,
}

/// What is answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// It is as it should be: status 200, else 503.
    pub good: bool,
    /// Content type.
    pub kind: &'static str,
    /// The text.
    pub body: Bytes,
}

impl Answer {
    /// Text for a person.
    pub fn text(good: bool, text: String) -> Self {
        Self { good, kind: "text/plain; charset=utf-8", body: text.into() }
    }
}

/// Answers a request. Its body is not read.
pub(super) async fn answer(
    request: Request<Incoming>,
    questions: &mpsc::Sender<Question>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let ask = match request.uri().path() {
        "/metrics" => Ask::Metrics,
        "/healthz" => Ask::Healthy,
        "/readyz" => Ask::Ready,
        _ => return Ok(plain(StatusCode::NOT_FOUND, "not found: /metrics, /healthz, /readyz\n")),
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(refused);
    }
    let (sender, receiver) = oneshot::channel();
    let asked = async {
        questions.send(Question { ask, answer: sender }).await.ok()?;
        receiver.await.ok()
    };
    Ok(match timeout(BUSY, asked).await.ok().flatten() {
        Some(Answer { good, kind, body }) => {
            let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            response(status, kind, body)
        }
        None => plain(StatusCode::SERVICE_UNAVAILABLE, "the agent is busy or ends\n"),
    })
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()))
}

fn response(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
