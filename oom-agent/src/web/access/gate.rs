//! What is asked of a request before anybody answers it.

use super::users::{Credentials, Verdict};
use crate::web::{problem::Problem, route::App};
use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, WWW_AUTHENTICATE},
    },
    middleware::Next,
    response::{IntoResponse as _, Response},
};

/// Paths that the token is not asked for: what Prometheus and a kubelet ask.
const OPEN: &[&str] = &["/metrics", "/healthz", "/readyz"];

/// Whether it may go on.
pub(in crate::web) async fn gate(State(app): State<App>, request: Request, next: Next) -> Response {
    if has_body(request.headers()) {
        let mut refused = (StatusCode::PAYLOAD_TOO_LARGE, "a request cannot have a body\n").into_response();
        // It is not read, so nothing can follow it.
        refused.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        return refused;
    }
    let rules = app.access.rules();
    let path = request.uri().path();
    let credentials = Credentials::of(request.headers());
    let guarded = rules.token.as_ref().filter(|_| !OPEN.contains(&path));
    let verdict = match (guarded, credentials) {
        (None, _) if rules.users.is_empty() => Verdict::Yes,
        (Some(token), Some(credentials)) => token.check(&credentials),
        (None, Some(Credentials::Basic(user, password))) => {
            rules.users.check(&user, &password, &app.worker).await
        }
        (_, None) | (None, Some(Credentials::Bearer(_))) => Verdict::No,
    };
    let api = crate::web::api::has(path);
    let mut response = match verdict {
        Verdict::Yes => next.run(request).await,
        Verdict::No => {
            app.counts.refuse_login();
            let mut refused = if api {
                Problem::unauthorized().into_response()
            } else {
                (StatusCode::UNAUTHORIZED, "a password or a token is needed\n").into_response()
            };
            let basic = HeaderValue::from_static("Basic realm=\"oom-agent\", charset=\"UTF-8\"");
            refused.headers_mut().insert(WWW_AUTHENTICATE, basic);
            if guarded.is_some() {
                let bearer = HeaderValue::from_static("Bearer realm=\"oom-agent\"");
                refused.headers_mut().append(WWW_AUTHENTICATE, bearer);
            }
            refused
        }
        Verdict::Busy => {
            Problem::unavailable("too many passwords are being looked at".to_owned()).into_response()
        }
    };
    for (name, value) in &rules.headers {
        response.headers_mut().entry(name).or_insert_with(|| value.clone());
    }
    response
}

fn has_body(headers: &HeaderMap) -> bool {
    let none = |value: &HeaderValue| value.as_bytes() == b"0";
    headers.contains_key(TRANSFER_ENCODING) || headers.get(CONTENT_LENGTH).is_some_and(|length| !none(length))
}
