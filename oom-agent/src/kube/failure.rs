//! Why something that was asked of the API server did not come. Pure.

use super::parts::TooLong;
use std::{fmt, time::Duration};

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection, no TLS, or it broke off.
    Unreachable(String),
    /// No answer in time.
    Silent,
    /// 401: the token is not taken.
    Unauthorized,
    /// 403: the service account may not.
    Forbidden(String),
    /// 410: what the watch was to go on from is not known any more.
    Gone,
    /// 429, 503: later, after so long if it says so.
    Busy(Option<Duration>),
    /// Another answer.
    Refused(u16, String),
    /// Something that is not what it should be.
    Unreadable(String),
    /// A watch that ended as soon as it began.
    Short,
}

impl Failure {
    /// All names.
    pub const NAMES: [&'static str; 9] = [
        "unreachable",
        "silent",
        "unauthorized",
        "forbidden",
        "gone",
        "busy",
        "refused",
        "unreadable",
        "short",
    ];

    /// Its place in [`Self::NAMES`].
    pub const fn index(&self) -> usize {
        match self {
            Self::Unreachable(_) => 0,
            Self::Silent => 1,
            Self::Unauthorized => 2,
            Self::Forbidden(_) => 3,
            Self::Gone => 4,
            Self::Busy(_) => 5,
            Self::Refused(..) => 6,
            Self::Unreadable(_) => 7,
            Self::Short => 8,
        }
    }

    /// By the status of an answer. `said`: the message in its body.
    pub fn of_status(status: u16, said: String, retry_after: Option<Duration>) -> Self {
        match status {
            401 => Self::Unauthorized,
            403 => Self::Forbidden(said),
            410 => Self::Gone,
            429 | 503 | 504 => Self::Busy(retry_after),
            _ => Self::Refused(status, said),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "cannot be reached: {why}"),
            Self::Silent => f.write_str("does not answer in time"),
            Self::Unauthorized => f.write_str("does not take the token (401)"),
            Self::Forbidden(said) => write!(f, "forbids it (403): {said}"),
            Self::Gone => f.write_str("does not know any more what came since (410)"),
            Self::Busy(_) => f.write_str("is busy (429 or 503)"),
            Self::Refused(status, said) => write!(f, "answers {status}: {said}"),
            Self::Unreadable(why) => write!(f, "answers what cannot be read: {why}"),
            Self::Short => f.write_str("ends the watch as soon as it begins"),
        }
    }
}

impl From<TooLong> for Failure {
    fn from(_: TooLong) -> Self {
        Self::Unreadable("an object is longer than any in Kubernetes".to_owned())
    }
}
