//! `/api/v1`: for programs. What is wrong is answered as a [`super::problem::Problem`].
//!
//! # Layout
//! - this file: which paths there are. `openapi`: their description.
//! - `query`: parameters, strictly: one that is not known is an error, not ignored.
//! - `incidents`: what is stored. `listed`: what a list shows of it.
//! - `events`: what is stored next, as a stream.
//! - `rank`: who would be killed now.

mod events;
pub(super) mod incidents;
mod listed;
#[cfg(test)]
mod openapi;
pub(super) mod query;
pub(super) mod rank;

use super::route::App;
use axum::{
    Router,
    http::{HeaderValue, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::{MethodRouter, get},
};
pub use events::News;
#[cfg(test)]
pub(super) use events::SUBSCRIBERS;
pub(super) use events::Subscribers;
pub(super) use rank::Looks;

/// The description of all paths, for programs.
const OPENAPI: &str = include_str!("../../../../docs/openapi.json");

/// A path and who answers it.
type Route = (&'static str, fn() -> MethodRouter<App>);

const ROUTES: &[Route] = &[
    ("/api/v1/incidents", || get(incidents::list)),
    ("/api/v1/incidents/{id}", || get(incidents::one)),
    ("/api/v1/rank", || get(rank::rank)),
    ("/api/v1/events", || get(events::events)),
    ("/api/v1/openapi.json", || get(openapi_json)),
];

/// Whether a path is of the API.
pub(super) fn has(path: &str) -> bool {
    path.strip_prefix("/api").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// All of its paths.
pub(super) fn router() -> Router<App> {
    ROUTES.iter().fold(Router::new(), |router, (path, handler)| router.route(path, handler()))
}

async fn openapi_json() -> impl IntoResponse {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], OPENAPI)
}
