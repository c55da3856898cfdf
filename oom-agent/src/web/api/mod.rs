//! `/api/v1`: for programs. What is wrong is answered as a [`super::problem::Problem`].
//!
//! # Layout
//! - `query`: parameters, strictly: one that is not known is an error, not ignored.
//! - `incidents`: what is stored. `listed`: what a list shows of it.

pub(super) mod incidents;
mod listed;
pub(super) mod query;

use super::route::App;
use axum::{Router, routing::get};

/// Whether a path is of the API.
pub(super) fn has(path: &str) -> bool {
    path.strip_prefix("/api").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// All of its paths.
pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/api/v1/incidents", get(incidents::list))
        .route("/api/v1/incidents/{id}", get(incidents::one))
}
