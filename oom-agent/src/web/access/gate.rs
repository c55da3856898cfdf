//! What is asked of a request before anybody answers it.

use super::users::{Credentials, Verdict};
use crate::web::{problem::Problem, route::App};
use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, WWW_AUTHENTICATE},
        uri::Authority,
    },
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use std::net::IpAddr;

/// Paths that the token is not asked for: what Prometheus and a kubelet ask.
const OPEN: &[&str] = &["/metrics", "/healthz", "/readyz"];

/// Why a name is refused.
const FOREIGN: &str = "asked for by a name that is not this machine's: use http://localhost or an address. Without a password \
                       or a token any website could otherwise read this by its own name (DNS rebinding)\n";

/// Whether it may go on.
pub(in crate::web) async fn gate(State(app): State<App>, request: Request, next: Next) -> Response {
    if has_body(request.headers()) {
        let mut refused = (StatusCode::PAYLOAD_TOO_LARGE, "a request cannot have a body\n").into_response();
        // It is not read, so nothing can follow it.
        refused.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        return refused;
    }
    let rules = app.access.rules();
    if app.loopback && rules.are_open() && !host(&request).is_none_or(|host| is_own(&host)) {
        return (StatusCode::MISDIRECTED_REQUEST, FOREIGN).into_response();
    }
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

/// The name that was asked for, without the port.
fn host(request: &Request) -> Option<String> {
    let authority = match request.uri().authority() {
        Some(authority) => authority.as_str(),
        None => request.headers().get(HOST)?.to_str().unwrap_or("?"),
    };
    authority.parse::<Authority>().map_or_else(|_| Some("?".into()), |it| Some(it.host().to_owned()))
}

/// An address, or a name that never leaves the machine (RFC 6761): nobody else's name.
fn is_own(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    address.parse::<IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    #[test]
    fn only_names_that_nobody_else_can_have_are_own() {
        let asked = |uri: &str, header: Option<&str>| {
            let request = Request::builder().uri(uri);
            let request = header.into_iter().fold(request, |request, host| request.header(HOST, host));
            host(&request.body(Body::empty()).unwrap()).is_none_or(|host| is_own(&host))
        };
        for host in
            ["localhost", "LocalHost:9402", "a.localhost.", "127.0.0.1:9402", "10.1.2.3", "[::1]:9402"]
        {
            assert!(asked("/", Some(host)), "{host}");
        }
        for host in
            ["evil.example", "localhost.evil.example:9402", "127.0.0.1.evil.example", "", "a b", "::1:x"]
        {
            assert!(!asked("/", Some(host)), "{host}");
        }
        assert!(asked("/", None), "HTTP/1.0, which no browser speaks");
        assert!(!asked("http://evil.example/", Some("localhost")), "the line counts more than the header");
    }
}
