//! `--since` and `--until`: times as people write them, compared with times as logs write them.

use super::moment::Moment;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

/// A time that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// A moment: with an offset, or counted from now.
    Instant(Timestamp),
    /// Date and time of day, on the clock that wrote the log.
    Clock(DateTime),
    /// Nanoseconds after boot.
    Boot(u64),
}

/// What [`When::parse`] takes, for messages.
pub const FORMS: &str = "2026-11-20T10:15:00Z, '2026-11-20 10:15', 2026-11-20, 10:15 (today), -2h (from now) or 1234.5s \
     (after boot)";

impl When {
    /// Parses a time. `now` is for `10:15` and `-2h`.
    ///
    /// # Errors
    /// If it is none of [`FORMS`].
    pub fn parse(text: &str, now: &Zoned) -> Result<Self, String> {
        Self::some(text, now).ok_or_else(|| format!("not a time such as {FORMS}"))
    }

    fn some(text: &str, now: &Zoned) -> Option<Self> {
        if let Some(ago) = text.strip_prefix('-') {
            let ago: SignedDuration = ago.parse().ok()?;
            return Some(Self::Instant(now.timestamp().checked_sub(ago).ok()?));
        }
        if let Some(seconds) = text.strip_suffix('s') {
            return boot(seconds).map(Self::Boot);
        }
        if let Ok(instant) = text.parse() {
            return Some(Self::Instant(instant));
        }
        if let Ok(clock) = text.parse::<DateTime>() {
            return Some(Self::Clock(clock));
        }
        if let Ok(date) = text.parse::<Date>() {
            return Some(Self::Clock(date.to_datetime(Time::midnight())));
        }
        // `1015` would be read as a time too.
        let time = text.contains(':').then(|| text.parse().ok())??;
        Some(Self::Clock(now.date().to_datetime(time)))
    }

    /// Whether a moment is before this. `None`: it cannot be compared.
    fn is_after(&self, moment: &Moment) -> Option<bool> {
        match self {
            Self::Boot(ns) => Some(moment.boot_ns? < *ns),
            Self::Clock(clock) => Some(moment.wall.as_ref()?.civil < *clock),
            Self::Instant(instant) => {
                let wall = moment.wall.as_ref()?;
                // A log without offsets is taken to be of this machine, or of one in the same zone.
                let is = match wall.offset {
                    Some(offset) => offset.to_timestamp(wall.civil).ok()?,
                    None => wall.civil.to_zoned(TimeZone::system()).ok()?.timestamp(),
                };
                Some(is < *instant)
            }
        }
    }
}

/// `1234.5`, as nanoseconds.
fn boot(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 9 {
        return None;
    }
    let seconds: u64 = whole.parse().ok()?;
    let nanoseconds: u64 = format!("{part:0<9}").parse().ok()?;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds)
}

/// From when until when.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Window {
    /// Not before this.
    pub since: Option<When>,
    /// Before this.
    pub until: Option<When>,
}

impl Window {
    /// No moment before this, in milliseconds since 1970, is within. A day early: clocks of logs have offsets that are not
    /// known. `None`: any may be.
    pub fn earliest_ms(&self) -> Option<u64> {
        let since = match self.since.as_ref()? {
            When::Instant(instant) => *instant,
            When::Clock(clock) => clock.to_zoned(TimeZone::UTC).ok()?.timestamp(),
            When::Boot(_) => return None,
        };
        u64::try_from(since.as_millisecond() - 24 * 3_600_000).ok()
    }

    /// Whether a moment is within. `None`: its time is not known, or not in the way that was asked for.
    pub fn holds(&self, moment: &Moment) -> Option<bool> {
        let Self { since, until } = self;
        let early = since.as_ref().map_or(Some(false), |since| since.is_after(moment))?;
        let late = until.as_ref().map_or(Some(false), |until| Some(!until.is_after(moment)?))?;
        Some(!early && !late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::Wall;
    use jiff::tz::Offset;

    fn now() -> Zoned {
        "2026-11-20T12:00:00+01:00[+01:00]".parse().unwrap()
    }

    fn parse(text: &str) -> When {
        When::parse(text, &now()).unwrap()
    }

    fn moment(wall: Option<(&str, Option<i8>)>, boot_ns: Option<u64>) -> Moment {
        let wall = wall.map(|(civil, hours)| Wall {
            text: civil.to_owned(),
            civil: civil.parse().unwrap(),
            has_year: true,
            offset: hours.map(Offset::constant),
        });
        Moment { wall, boot_ns, log: 0 }
    }

    #[test]
    fn times_are_written_in_a_few_ways() {
        let clock = |text: &str| When::Clock(text.parse().unwrap());
        let instant = |text: &str| When::Instant(text.parse().unwrap());
        for (text, expected) in [
            ("2026-11-20T10:15:00Z", instant("2026-11-20T10:15:00Z")),
            ("2026-11-20T10:15:00.5+02:00", instant("2026-11-20T08:15:00.5Z")),
            ("2026-11-20 10:15:00+02:00", instant("2026-11-20T08:15:00Z")),
            ("2026-11-20 10:15", clock("2026-11-20T10:15:00")),
            ("2026-11-20T10:15:03.25", clock("2026-11-20T10:15:03.25")),
            ("2026-11-19", clock("2026-11-19T00:00:00")),
            ("10:15", clock("2026-11-20T10:15:00")),
            ("-2h", instant("2026-11-20T09:00:00Z")),
            ("-1h30m", instant("2026-11-20T09:30:00Z")),
            ("1234.5s", When::Boot(1_234_500_000_000)),
            ("7s", When::Boot(7_000_000_000)),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        for wrong in [
            "",
            "-",
            "s",
            "noon",
            "2026-13-01",
            "1234",
            ".5s",
            "-5",
            "1e9s",
            "99999999999999999999s",
            "1.0000000001s",
        ] {
            assert!(When::parse(wrong, &now()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn nothing_before_the_earliest_is_within() {
        let earliest = |since: &str| Window { since: Some(parse(since)), until: None }.earliest_ms();
        let day = 24 * 3600;
        let noon = parse("2026-11-20T12:00:00Z");
        let When::Instant(noon) = noon else { unreachable!() };
        let ms = Some((noon.as_second() - day) as u64 * 1000);
        assert_eq!((earliest("2026-11-20T12:00:00Z"), earliest("2026-11-20 12:00")), (ms, ms));
        assert_eq!((earliest("5s"), Window::default().earliest_ms()), (None, None));
        // The largest offset that there is.
        let window = Window { since: Some(parse("2026-11-20 12:00")), until: None };
        assert_eq!(window.holds(&moment(Some(("2026-11-20T12:00:00", Some(14))), None)), Some(true));
    }

    #[test]
    fn a_window_includes_its_begin_and_not_its_end() {
        let window =
            |since: &str, until: &str| Window { since: Some(parse(since)), until: Some(parse(until)) };
        let morning = window("2026-11-20 10:15", "2026-11-20 11:00");
        for (time, expected) in [
            ("2026-11-20T10:14:59.999", false),
            ("2026-11-20T10:15:00", true),
            ("2026-11-20T10:59:59.999", true),
            ("2026-11-20T11:00:00", false),
        ] {
            // The clock of the log counts, whatever its offset.
            for hours in [None, Some(0), Some(5)] {
                assert_eq!(morning.holds(&moment(Some((time, hours)), None)), Some(expected), "{time}");
            }
        }
        assert_eq!(morning.holds(&moment(None, Some(5))), None, "only a boot time");
        let early = window("5s", "7.5s");
        assert_eq!(early.holds(&moment(None, Some(5_000_000_000))), Some(true));
        assert_eq!(early.holds(&moment(None, Some(7_500_000_000))), Some(false));
        assert_eq!(early.holds(&moment(Some(("2026-11-20T10:15:00", None)), None)), None, "only a wall time");
        let exact = window("2026-11-20T10:15:00Z", "2026-11-20T10:16:00Z");
        assert_eq!(exact.holds(&moment(Some(("2026-11-20T12:15:30", Some(2))), None)), Some(true));
        assert_eq!(exact.holds(&moment(Some(("2026-11-20T10:15:30", Some(2))), None)), Some(false));
        assert_eq!(Window::default().holds(&moment(None, None)), Some(true));
    }
}
