//! Why there is no answer: JSON for programs (RFC 9457), one line for people.

use axum::{
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;

/// The content type of a [`Problem`].
pub(super) const KIND: &str = "application/problem+json";

/// Why a request of the API failed (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Problem {
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong, and what would be right.
    detail: String,
    /// The parameter that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<String>,
}

impl Problem {
    fn new(status: StatusCode, detail: String) -> Self {
        Self {
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            detail,
            parameter: None,
        }
    }

    /// A parameter that is not known, or has a value that is not.
    pub(super) fn parameter(name: &str, detail: String) -> Self {
        Self { parameter: Some(name.to_owned()), ..Self::new(StatusCode::BAD_REQUEST, detail) }
    }

    /// There is no such thing.
    pub(super) fn not_found(detail: String) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// Not now.
    pub(super) fn unavailable(detail: String) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    /// Who asks has to say who they are.
    pub(super) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "a password or a token is needed".to_owned())
    }

    /// The agent did not answer.
    pub(super) fn busy() -> Self {
        Self::unavailable("the agent is busy or ends".to_owned())
    }

    /// The HTTP status.
    pub(super) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// It in words.
    pub(super) fn title(&self) -> &'static str {
        self.title
    }

    /// What is wrong.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// Another method than GET and HEAD.
    pub(super) fn method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD".to_owned())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let text = crate::sink::json::any_line(&self);
        (self.status(), [(CONTENT_TYPE, HeaderValue::from_static(KIND))], text).into_response()
    }
}
