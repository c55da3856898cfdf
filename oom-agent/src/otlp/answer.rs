//! What a collector's answer means. Pure.
//!
//! By the specification of OTLP: which codes say "later", and that nothing else is sent again. One thing is done otherwise:
//! where the answer is about the agent and not about what it sent (no right, a wrong path), nothing is dropped. It waits,
//! rarely tried, until somebody has put it right.

use super::messages::{ExportResponse, PartialSuccess, RetryInfo, Status};
use crate::backoff;
use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use jiff::Timestamp;
use prost::Message as _;
use std::time::Duration;

/// Characters of what a collector says that are shown.
const SAID: usize = 200;

/// Why something was not taken: a label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// No name, no connection, no TLS, or it broke off.
    Unreachable,
    /// No answer in time.
    Timeout,
    /// The collector is busy, or what is behind it.
    Unavailable,
    /// The collector does not take anything from this agent: no right, or nothing there by that name.
    Refused,
    /// The collector will never take these records.
    Rejected,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Unreachable, Self::Timeout, Self::Unavailable, Self::Refused, Self::Rejected];

    /// Its name in the metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
            Self::Rejected => "rejected",
        }
    }
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was taken, but so many records of it that never will be. With what the collector says to it, if anything.
    Taken {
        /// How many.
        rejected: u64,
        /// Why.
        message: String,
    },
    /// It was not.
    Not(Failure),
}

/// Why not, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why, for a metric.
    pub reason: Reason,
    /// Why, for a person.
    pub message: String,
    /// How long the collector wants to be left alone.
    pub wait: Option<Duration>,
}

impl Failure {
    /// Without a word about when.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), wait: None }
    }
}

/// What gRPC's codes mean for OTLP. `details`: the header `grpc-status-details-bin`.
pub fn grpc(code: u32, message: &str, details: Option<&[u8]>) -> Failure {
    let wait = details.and_then(decode).as_ref().and_then(retry_info);
    let reason = match code {
        // CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS.
        1 | 4 | 10 | 11 | 14 | 15 => Reason::Unavailable,
        // RESOURCE_EXHAUSTED: with RetryInfo it is busy, without it is too much at a time.
        8 if wait.is_some() => Reason::Unavailable,
        // PERMISSION_DENIED, UNIMPLEMENTED, UNAUTHENTICATED.
        7 | 12 | 16 => Reason::Refused,
        _ => Reason::Rejected,
    };
    Failure { reason, message: format!("gRPC status {code}{}", said(message)), wait }
}

/// What a status of HTTP means for OTLP, or for gRPC where none of its own came. `body`: what came with it.
pub fn http(status: u16, retry_after: Option<&str>, body: &[u8], now: Timestamp) -> Failure {
    let reason = match status {
        429 | 502..=504 => Reason::Unavailable,
        // Redirects are not followed: what was meant for one is not told to another.
        300..=399 | 401 | 403..=405 | 407 | 421 => Reason::Refused,
        408 => Reason::Timeout,
        _ => Reason::Rejected,
    };
    let wait = retry_after.and_then(|value| backoff::retry_after(value, now));
    let message = Status::decode(body).map(|status| status.message).unwrap_or_default();
    Failure { reason, message: format!("HTTP status {status}{}", said(&message)), wait }
}

/// The answer to what was taken. One that cannot be read says no more than that.
pub fn taken(body: &[u8]) -> Answer {
    let partial = ExportResponse::decode(body).unwrap_or_default().partial_success;
    let PartialSuccess { rejected_log_records, error_message } = partial.unwrap_or_default();
    let message = shown(&error_message);
    Answer::Taken { rejected: u64::try_from(rejected_log_records).unwrap_or(0), message }
}

fn decode(header: &[u8]) -> Option<Status> {
    let padding = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let bytes = GeneralPurpose::new(&STANDARD, padding).decode(header).ok()?;
    Status::decode(bytes.as_slice()).ok()
}

fn retry_info(status: &Status) -> Option<Duration> {
    let info = status.details.iter().find(|any| any.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(info.value.as_slice()).ok()?.retry_delay.unwrap_or_default();
    let seconds = u64::try_from(delay.seconds).unwrap_or(0);
    Some(Duration::new(seconds, u32::try_from(delay.nanos).unwrap_or(0).min(999_999_999)))
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {}", shown(message)) }
}

/// What somebody else wrote, for a terminal.
fn shown(message: &str) -> String {
    let end = message.char_indices().nth(SAID).map_or(message.len(), |(at, _)| at);
    crate::sink::escape::escape(&message[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::messages::{Any, Delay};
    use super::*;
    use base64::prelude::BASE64_STANDARD_NO_PAD;

    fn now() -> Timestamp {
        "2026-11-20T10:00:00Z".parse().unwrap()
    }

    #[test]
    fn each_code_is_later_never_or_not_you() {
        let of = |code| grpc(code, "", None).reason;
        for code in [1, 4, 10, 11, 14, 15] {
            assert_eq!(of(code), Reason::Unavailable, "{code}");
        }
        for code in [2, 3, 5, 6, 8, 9, 13, 99] {
            assert_eq!(of(code), Reason::Rejected, "{code}");
        }
        for code in [7, 12, 16] {
            assert_eq!(of(code), Reason::Refused, "{code}");
        }
        let of = |status| http(status, None, b"", now()).reason;
        for status in [429, 502, 503, 504] {
            assert_eq!(of(status), Reason::Unavailable, "{status}");
        }
        for status in [400, 413, 415, 422, 500, 501] {
            assert_eq!(of(status), Reason::Rejected, "{status}");
        }
        for status in [301, 307, 401, 403, 404, 405] {
            assert_eq!(of(status), Reason::Refused, "{status}");
        }
        assert_eq!(of(408), Reason::Timeout);
    }

    #[test]
    fn a_busy_collector_says_when() {
        let after = |value| http(503, Some(value), b"", now()).wait;
        assert_eq!(after("30"), Some(Duration::from_secs(30)));
        assert_eq!(after("Fri, 20 Nov 2026 10:01:30 GMT"), Some(Duration::from_secs(90)));
        assert_eq!(after("Fri, 20 Nov 2026 09:00:00 GMT"), Some(Duration::ZERO), "it is past");
        assert_eq!(after("soon"), None);

        let info = RetryInfo { retry_delay: Some(Delay { seconds: 3, nanos: 500_000_000 }) };
        let value = info.encode_to_vec();
        let any = Any { type_url: "type.googleapis.com/google.rpc.RetryInfo".into(), value };
        let status = Status { code: 8, message: "busy".into(), details: vec![any] };
        let header = BASE64_STANDARD_NO_PAD.encode(status.encode_to_vec());
        let failure = grpc(8, "busy", Some(header.as_bytes()));
        assert_eq!(failure.reason, Reason::Unavailable, "it is not too large, the collector is busy");
        assert_eq!(failure.wait, Some(Duration::from_millis(3500)));
        assert_eq!(failure.message, "gRPC status 8: busy");
        assert_eq!(grpc(14, "", Some(b"?")).wait, None);
    }

    #[test]
    fn what_was_taken_and_what_not() {
        let all = Answer::Taken { rejected: 0, message: String::new() };
        assert_eq!(taken(b""), all);
        assert_eq!(taken(b"{\"not\": \"protobuf\"}"), all);
        let partial = PartialSuccess { rejected_log_records: 2, error_message: "too\x1b old".into() };
        let body = ExportResponse { partial_success: Some(partial) }.encode_to_vec();
        let Answer::Taken { rejected, message } = taken(&body) else { panic!("taken") };
        assert_eq!(rejected, 2);
        assert!(!message.contains('\x1b') && message.starts_with("too"), "{message}");
    }

    #[test]
    fn what_a_collector_says_is_cut_and_escaped() {
        let body = Status { code: 3, message: format!("bad\n{}", "x".repeat(9999)), details: vec![] };
        let failure = http(400, None, &body.encode_to_vec(), now());
        assert!(failure.message.starts_with("HTTP status 400: bad"), "{}", failure.message);
        assert!(failure.message.len() < 300 && !failure.message.contains('\n'));
    }
}
