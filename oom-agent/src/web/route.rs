//! Which path is what.

use super::{
    access::{Access, gate},
    api::{self, Looks, Subscribers},
    ask::{Agent, Answer, Ask, Reply},
    counts::Counters,
    page,
    problem::Problem,
    room::Room,
    worker::Worker,
};
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{MethodRouter, get},
};
use std::sync::Arc;

/// What every handler gets.
#[derive(Clone, Debug)]
pub(super) struct App {
    pub(super) agent: Agent,
    pub(super) room: Room,
    pub(super) worker: Worker,
    pub(super) looks: Looks,
    pub(super) subscribers: Subscribers,
    pub(super) counts: Counters,
    pub(super) access: Arc<Access>,
    /// Only this machine can connect.
    pub(super) loopback: bool,
}

/// Everything that is answered. Who else has paths merges a router of their own.
pub(super) fn router(app: App) -> Router {
    Router::new()
        .route("/metrics", text(Ask::Metrics))
        .route("/healthz", text(Ask::Healthy))
        .route("/readyz", text(Ask::Ready))
        .merge(api::router())
        .merge(page::router())
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .layer(middleware::from_fn_with_state(app.clone(), gate))
        .layer(middleware::map_response(harden))
        .with_state(app)
}

/// A text that the agent has ready.
fn text(ask: fn(Reply<Answer>) -> Ask) -> MethodRouter<App> {
    get(async move |State(app): State<App>| match app.agent.ask(ask).await {
        Some(Answer { good, kind, body }) => {
            let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            (status, [(header::CONTENT_TYPE, HeaderValue::from_static(kind))], body).into_response()
        }
        None => (StatusCode::SERVICE_UNAVAILABLE, "the agent is busy or ends\n").into_response(),
    })
}

async fn not_found(uri: Uri) -> Response {
    if api::has(uri.path()) {
        let detail = "not found: see /api/v1/incidents".to_owned();
        return Problem::not_found(detail).into_response();
    }
    (StatusCode::NOT_FOUND, "not found: /, /metrics, /healthz, /readyz, /api/v1/incidents\n").into_response()
}

async fn not_allowed(uri: Uri) -> Response {
    if api::has(uri.path()) {
        return Problem::method().into_response();
    }
    (StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n").into_response()
}

/// What all answers have. What a handler says itself stays.
async fn harden(mut response: Response) -> Response {
    let headers: &mut HeaderMap = response.headers_mut();
    for (name, value) in [(header::CACHE_CONTROL, "no-store"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
