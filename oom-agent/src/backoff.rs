//! How long to wait after a failure before another server is asked again. Pure, but for [`random`].

use jiff::Timestamp;
use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

/// After the first failure, at most.
const FIRST: Duration = Duration::from_secs(1);
/// After many, at most.
const MOST: Duration = Duration::from_mins(1);
/// Where the server does not want this agent at all: somebody has to do something first.
const REFUSED: Duration = Duration::from_mins(5);
/// A server may not ask for more.
const ASKED: Duration = Duration::from_hours(1);

/// The longest wait after a failure before which there were so many in a row: twice as long each time, up to a minute.
pub fn longest(before: u32) -> Duration {
    FIRST.saturating_mul(1 << before.min(16)).min(MOST)
}

/// Between half and all of it: agents whose server comes back do not come at once. `part`: from 0 to 1.
pub fn spread(longest: Duration, part: f64) -> Duration {
    longest / 2 + (longest / 2).mul_f64(part)
}

/// What a server asked for and up to a second more: later, never earlier.
pub fn later(asked: Duration, part: f64) -> Duration {
    asked + FIRST.mul_f64(part)
}

/// The header `Retry-After`: seconds, or a date (RFC 9110, 10.2.3).
pub fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    Some(Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO))
}

/// A number as a part of 1.
pub fn part(random: u64) -> f64 {
    // The upper bits of what a hash gives are as good as the lower ones.
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

/// Any number: good enough to spread agents over time, not for secrets.
pub fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// Failures in a row.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// It works.
    pub const fn worked(&mut self) {
        self.failures = 0;
    }

    /// It failed: how long to wait. `random`: any number. `asked`: what the server asked for, which is the least. `refused`: it will not take anything until somebody changes something.
    pub fn failed(&mut self, asked: Option<Duration>, refused: bool, random: u64) -> Duration {
        let most = if refused { REFUSED } else { longest(self.failures) };
        self.failures = self.failures.saturating_add(1);
        let part = part(random);
        match asked {
            Some(asked) => later(asked.min(ASKED), part),
            None => spread(most, part),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn it_doubles_up_to_a_minute_and_begins_again_when_it_works() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..8).map(|_| backoff.failed(None, false, 0).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
        let latest = backoff.failed(None, false, u64::MAX);
        assert!(latest > 59 * S && latest <= 60 * S, "{latest:?}");
        (0..100).for_each(|_| assert!(backoff.failed(None, false, u64::MAX) <= 60 * S));
        backoff.worked();
        assert_eq!(backoff.failed(None, false, 0), S / 2);
    }

    #[test]
    fn agents_do_not_come_at_once() {
        let waits: std::collections::BTreeSet<_> =
            (0..1000_u64).map(|at| Backoff::default().failed(None, false, at << 54)).collect();
        assert_eq!(waits.len(), 1000);
        assert!(waits.iter().all(|wait| (S / 2..=S).contains(wait)));
    }

    #[test]
    fn what_the_collector_asks_for_is_the_least() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.failed(Some(7 * S), false, 0), 7 * S);
        assert!(backoff.failed(Some(7 * S), false, u64::MAX) <= 8 * S);
        assert_eq!(backoff.failed(Some(Duration::MAX), false, 0), Duration::from_hours(1));
        assert_eq!(Backoff::default().failed(Some(Duration::ZERO), false, 0), Duration::ZERO);
    }

    #[test]
    fn where_somebody_has_to_do_something_it_is_asked_rarely() {
        let wait = Backoff::default().failed(None, true, 0);
        assert_eq!(wait, Duration::from_secs(150));
    }
}
