//! Times as logs write them.
//!
//! A line has its stamp as text; a date is made of it for the few lines that someone asks about.

use super::line::text::{digits, fits};
use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use std::borrow::Cow;

const SECOND_NS: u64 = 1_000_000_000;

/// A time as a log writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wall {
    /// As it stands in the log.
    pub text: String,
    /// Date and time of day. The year is the latest that [`Years`] allows where the log has none.
    pub civil: DateTime,
    /// The log has the year.
    pub has_year: bool,
    /// Time zone. `None`: the log does not say.
    pub offset: Option<Offset>,
}

/// What gives a year to a log that has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Years {
    /// No line is younger than this, in the log's own time zone.
    pub latest: Option<DateTime>,
}

impl Years {
    /// The date with the latest year that is not after `latest`. 29 February is in a leap year.
    fn date(self, month: i8, day: i8, time: Time) -> Option<DateTime> {
        let latest = self.latest?;
        // Two leap years are at most eight years apart (1896 and 1904).
        (0..=8)
            .filter_map(|back| time.on(latest.year().checked_sub(back)?, month, day))
            .find(|date| *date <= latest)
    }
}

/// How a stamp is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `2026-11-20T10:15:03.214123+01:00`, also with a comma, a blank instead of the `T`, less digits or no zone.
    Iso,
    /// `Fri 2026-11-20 10:15:03 CET`: systemd.
    Weekday,
    /// `Fri Nov 20 10:15:03 2026`: ctime(3).
    Ctime,
    /// `Nov 20 10:15:03.214123`: RFC 3164.
    Short,
    /// `Nov20 10:15`: `dmesg --reltime`.
    Minute,
    /// `1763630103.214123`: seconds since 1970.
    Seconds,
    /// `1763630103214123`: microseconds since 1970.
    Micros,
}

/// A stamp of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp<'a> {
    /// As it stands in the log.
    pub text: Cow<'a, str>,
    /// How to read it.
    pub form: Form,
    /// Two stamps that are equal may be this far from each other, nanoseconds.
    pub resolution_ns: u64,
}

impl<'a> Stamp<'a> {
    /// `fraction` is how many digits of a second the text has.
    pub(super) fn new(text: Cow<'a, str>, form: Form, fraction: usize) -> Self {
        /// Powers of 0.1, in nanoseconds; nothing is finer.
        const PARTS_NS: [u64; 10] =
            [SECOND_NS, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1000, 100, 10, 1];

        let resolution_ns = match form {
            Form::Minute => 60 * SECOND_NS,
            _ => PARTS_NS[fraction.min(9)],
        };
        Self { text, form, resolution_ns }
    }

    /// The log has the year.
    pub fn has_year(&self) -> bool {
        !matches!(self.form, Form::Short | Form::Minute)
    }

    /// Keeps the stamp longer than its line.
    pub fn into_owned(self) -> Stamp<'static> {
        let Self { text, form, resolution_ns } = self;
        Stamp { text: Cow::Owned(text.into_owned()), form, resolution_ns }
    }

    /// The date. `None`: there is no such date, or nothing tells its year.
    pub fn wall(&self, years: Years) -> Option<Wall> {
        let text = &*self.text;
        let (civil, offset) = match self.form {
            Form::Iso => {
                let ((year, month, day), time) = (day(text)?, text.get(11..)?);
                (Time::read(time)?.on(year, month, day)?, zone(after_time(time)))
            }
            Form::Weekday => {
                let ((year, month, day), time) = (day(text.get(4..)?)?, text.get(15..)?);
                (Time::read(time)?.on(year, month, day)?, zone(after_time(time)))
            }
            Form::Ctime => {
                let (month, day) = month_day(text.get(4..)?)?;
                let year = number(text.rsplit(' ').next()?)?;
                (Time::read(text.get(11..)?)?.on(i16::try_from(year).ok()?, month, day)?, None)
            }
            Form::Short => {
                let (month, day) = month_day(text)?;
                (years.date(month, day, Time::read(text.get(7..)?)?)?, None)
            }
            Form::Minute => {
                let (month, day) = (month(text)?, number(text.get(3..5)?.trim_start())?);
                let (hour, minute) = (number(text.get(6..8)?)?, number(text.get(9..11)?)?);
                let time = Time { hour: hour as i8, minute: minute as i8, second: 0, nanos: 0 };
                (years.date(month, day as i8, time)?, None)
            }
            Form::Seconds => {
                let (seconds, _) = text.split_once('.')?;
                (utc(number(seconds)?, nanos(fraction(text)))?, Some(Offset::UTC))
            }
            Form::Micros => {
                let micros = number(text)?;
                (utc(micros / 1_000_000, (micros % 1_000_000 * 1000) as i32)?, Some(Offset::UTC))
            }
        };
        Some(Wall { text: text.to_owned(), civil, has_year: self.has_year(), offset })
    }
}

/// A time of day.
#[derive(Clone, Copy)]
struct Time {
    hour: i8,
    minute: i8,
    second: i8,
    nanos: i32,
}

impl Time {
    /// `10:15:03`, and a fraction if there is one.
    fn read(text: &str) -> Option<Self> {
        if !fits(text.as_bytes(), b"00:00:00") {
            return None;
        }
        let two = |at: usize| number(text.get(at..at + 2)?).map(|value| value as i8);
        let fraction = if matches!(text.as_bytes().get(8), Some(b'.' | b',')) { fraction(text) } else { "" };
        // A leap second has no number of its own in Unix time.
        Some(Self { hour: two(0)?, minute: two(3)?, second: two(6)?.min(59), nanos: nanos(fraction) })
    }

    fn on(self, year: i16, month: i8, day: i8) -> Option<DateTime> {
        let Self { hour, minute, second, nanos } = self;
        DateTime::new(year, month, day, hour, minute, second, nanos).ok()
    }
}

/// `2026-11-20`.
fn day(text: &str) -> Option<(i16, i8, i8)> {
    if !fits(text.as_bytes(), b"0000-00-00") {
        return None;
    }
    let (year, month, day) = (number(&text[..4])?, number(&text[5..7])?, number(&text[8..10])?);
    Some((year as i16, month as i8, day as i8))
}

/// `Nov 20` or `Nov  2`.
fn month_day(text: &str) -> Option<(i8, i8)> {
    Some((month(text)?, number(text.get(4..6)?.trim_start())? as i8))
}

/// Names of months, as `strftime("%b")` has them in the C locale.
pub(super) const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

fn month(text: &str) -> Option<i8> {
    let name = text.get(..3)?;
    MONTHS.iter().position(|month| *month == name).map(|at| at as i8 + 1)
}

fn number(text: &str) -> Option<u64> {
    digits(text.as_bytes())
}

/// The digits behind the first `.` or `,`.
fn fraction(text: &str) -> &str {
    let Some(at) = text.find(['.', ',']) else { return "" };
    let rest = &text[at + 1..];
    &rest[..rest.bytes().take_while(u8::is_ascii_digit).count()]
}

/// A fraction of a second as nanoseconds; what is finer is left out.
fn nanos(fraction: &str) -> i32 {
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    digits.fold(0, |sum, digit| sum * 10 + i32::from(digit - b'0'))
}

/// What follows on a time of day and its fraction.
fn after_time(text: &str) -> &str {
    text.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, ':' | '.' | ','))
}

/// `Z`, ` UTC`, `+01:00`, `+0100` or `+01`. Other names of zones mean several ones.
fn zone(text: &str) -> Option<Offset> {
    let text = text.trim_start();
    if matches!(text, "Z" | "UTC" | "GMT") {
        return Some(Offset::UTC);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let rest = &text[1..];
    let (hours, minutes) = (number(rest.get(..2)?)?, rest[2..].trim_start_matches(':'));
    let minutes = if minutes.is_empty() { 0 } else { number(minutes)? };
    Offset::from_seconds(sign * i32::try_from(hours * 3600 + minutes * 60).ok()?).ok()
}

fn utc(seconds: u64, nanos: i32) -> Option<DateTime> {
    let since = SignedDuration::new(i64::try_from(seconds).ok()?, nanos);
    Timestamp::from_duration(since).ok().map(|time| Offset::UTC.to_datetime(time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn years() -> Years {
        Years { latest: Some(date(2026, 11, 21).at(12, 0, 0, 0)) }
    }

    fn stamp(text: &str, form: Form) -> Stamp<'_> {
        Stamp::new(Cow::Borrowed(text), form, fraction(text).len())
    }

    fn civil(text: &str, form: Form) -> Option<String> {
        let wall = stamp(text, form).wall(years())?;
        assert_eq!(wall.text, text);
        Some(format!("{} {}", wall.civil, wall.offset.map_or_else(|| "-".into(), |zone| zone.to_string())))
    }

    #[test]
    fn every_form_is_read() {
        for (text, form, expected) in [
            ("2026-11-20T10:15:03.214123+01:00", Form::Iso, "2026-11-20T10:15:03.214123 +01"),
            ("2026-11-20T10:15:03,214123-09:30", Form::Iso, "2026-11-20T10:15:03.214123 -09:30"),
            ("2026-11-20T10:15:03.214123456Z", Form::Iso, "2026-11-20T10:15:03.214123456 +00"),
            ("2026-11-20T10:15:03+0100", Form::Iso, "2026-11-20T10:15:03 +01"),
            ("2026-11-20 10:15:03", Form::Iso, "2026-11-20T10:15:03 -"),
            ("Fri 2026-11-20 10:15:03 CET", Form::Weekday, "2026-11-20T10:15:03 -"),
            ("Fri 2026-11-20 10:15:03 UTC", Form::Weekday, "2026-11-20T10:15:03 +00"),
            ("Fri 2026-11-20 10:15:03 +03", Form::Weekday, "2026-11-20T10:15:03 +03"),
            ("Fri Nov 20 10:15:03 2026", Form::Ctime, "2026-11-20T10:15:03 -"),
            ("Sun Nov  1 10:15:03 2026", Form::Ctime, "2026-11-01T10:15:03 -"),
            ("Nov 20 10:15:03", Form::Short, "2026-11-20T10:15:03 -"),
            ("Nov  2 10:15:03.214123", Form::Short, "2026-11-02T10:15:03.214123 -"),
            ("Nov20 10:15", Form::Minute, "2026-11-20T10:15:00 -"),
            ("Nov 2 10:15", Form::Minute, "2026-11-02T10:15:00 -"),
            ("1763630103.214123", Form::Seconds, "2025-11-20T09:15:03.214123 +00"),
            ("1763630103214123", Form::Micros, "2025-11-20T09:15:03.214123 +00"),
            ("2016-12-31T23:59:60Z", Form::Iso, "2016-12-31T23:59:59 +00"),
        ] {
            assert_eq!(civil(text, form).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for (text, form) in [
            ("2026-02-30T10:15:03Z", Form::Iso),
            ("2026-11-20T25:15:03Z", Form::Iso),
            ("Feb 30 10:15:03", Form::Short),
            ("99999999999999999999", Form::Micros),
            ("99999999999999.000000", Form::Seconds),
        ] {
            assert_eq!(civil(text, form), None, "{text}");
        }
        assert_eq!(stamp("Nov 20 10:15:03", Form::Short).wall(Years::default()), None, "no year known");
    }

    #[test]
    fn the_year_is_the_latest_that_can_be() {
        let year = |text, latest: DateTime| {
            stamp(text, Form::Short)
                .wall(Years { latest: Some(latest) })
                .map(|wall| (wall.civil.year(), wall.has_year))
        };
        let new_year = date(2027, 1, 1).at(0, 0, 5, 0);
        assert_eq!(year("Dec 31 23:59:59", new_year), Some((2026, false)));
        assert_eq!(year("Jan  1 00:00:05", new_year), Some((2027, false)));
        assert_eq!(year("Jan  1 00:00:06", new_year), Some((2026, false)), "not after the latest");
        assert_eq!(year("Feb 29 10:00:00", new_year), Some((2024, false)));
        assert_eq!(year("Feb 29 10:00:00", date(1903, 1, 1).at(0, 0, 0, 0)), Some((1896, false)));
    }
}
