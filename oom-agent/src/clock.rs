//! The clocks that incidents are told by. The only place that asks them.

use jiff::{Timestamp, tz::TimeZone};
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// `CLOCK_BOOTTIME`, nanoseconds: what BPF programs stamp records with.
pub fn boottime_ns() -> u64 {
    nanoseconds(ClockId::Boottime)
}

/// How far `CLOCK_BOOTTIME` is ahead of `CLOCK_MONOTONIC`, nanoseconds: the time that the machine was suspended. The
/// kernel's log has the latter.
pub fn suspended_ns() -> u64 {
    // Read in this order the difference is never too small by more than the time between.
    let monotonic = nanoseconds(ClockId::Monotonic);
    let ahead = boottime_ns().saturating_sub(monotonic);
    // What the machine was not suspended for is the time between the two readings.
    if ahead < 1_000_000 { 0 } else { ahead }
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// The wall clock when something happened at `boottime_ns`, in milliseconds since 1970 and as RFC 3339 with the
/// local offset. If the clock was stepped since, it is the time by today's clock.
pub fn wall(boottime_ns: u64) -> Option<(u64, String)> {
    let age = Duration::from_nanos(self::boottime_ns().saturating_sub(boottime_ns));
    let time = Timestamp::now().checked_sub(age).ok()?;
    let unix_ms = u64::try_from(time.as_millisecond()).ok()?;
    Some((unix_ms, local(unix_ms)?))
}

/// Milliseconds since 1970 as RFC 3339 with the local offset.
pub fn local(unix_ms: u64) -> Option<String> {
    let time = Timestamp::from_millisecond(unix_ms.try_into().ok()?).ok()?;
    Some(time.to_zoned(TimeZone::system()).strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string())
}

/// Waits so long, or for ever.
pub async fn after(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_goes_back_with_boot_time() {
        let now = boottime_ns();
        let (later, text) = wall(now).unwrap();
        let (earlier, _) = wall(now - 5_000_000_000).unwrap();
        assert!((4_900..5_100).contains(&(later - earlier)), "{later} {earlier}");
        let parsed: Timestamp = text.parse().unwrap();
        assert_eq!(u64::try_from(parsed.as_millisecond()).unwrap(), later);
    }
}
