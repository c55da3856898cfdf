//! Stamps at the beginning of a text. What is taken is complete; whether there is such a date is not asked.

use super::super::stamp::{Form, MONTHS, Stamp};
use super::text::{ascii, blank, count_digits, fits};
use std::borrow::Cow;

/// A stamp and what stands behind it and one blank.
type Dated<'a> = (Stamp<'a>, &'a [u8]);

fn stamp(bytes: &[u8], form: Form, fraction: usize) -> Option<Stamp<'_>> {
    Some(Stamp::new(Cow::Borrowed(ascii(bytes)?), form, fraction))
}

/// A stamp of `at` bytes, of which `fraction` are a fraction with its mark.
fn cut(bytes: &[u8], at: usize, form: Form, fraction: usize) -> Option<Dated<'_>> {
    let rest = blank(&bytes[at..])?;
    Some((stamp(&bytes[..at], form, fraction.saturating_sub(1))?, rest))
}

/// How many bytes a fraction of a second has, with the `.`.
fn fraction(bytes: &[u8], mark: &[u8]) -> usize {
    match bytes.split_first() {
        Some((first, rest)) if mark.contains(first) => match count_digits(rest) {
            0 => 0,
            digits => digits + 1,
        },
        _ => 0,
    }
}

/// `2026-11-20T10:15:03.214123+01:00 `.
pub(super) fn iso(bytes: &[u8]) -> Option<Dated<'_>> {
    if !fits(bytes, b"0000-00-00") || !matches!(bytes.get(10), Some(b'T' | b' ')) {
        return None;
    }
    if !fits(&bytes[11..], b"00:00:00") {
        return None;
    }
    let fraction = fraction(&bytes[19..], b".,");
    let mut at = 19 + fraction;
    let rest = &bytes[at..];
    at += match rest.first() {
        Some(b'Z') => 1,
        Some(b'+' | b'-') if fits(&rest[1..], b"00:00") => 6,
        Some(b'+' | b'-') if fits(&rest[1..], b"0000") => 5,
        _ => 0,
    };
    cut(bytes, at, Form::Iso, fraction)
}

fn is_month(bytes: &[u8]) -> bool {
    bytes.get(..3).is_some_and(|name| MONTHS.iter().any(|month| month.as_bytes() == name))
}

fn is_weekday(bytes: &[u8]) -> bool {
    const DAYS: [&[u8]; 7] = [b"Mon ", b"Tue ", b"Wed ", b"Thu ", b"Fri ", b"Sat ", b"Sun "];
    DAYS.iter().any(|day| bytes.starts_with(day))
}

/// `Nov 20 10:15:03 `, also with a fraction.
pub(super) fn short(bytes: &[u8]) -> Option<Dated<'_>> {
    if !is_month(bytes) || !fits(&bytes[3..], b" ?0 00:00:00") {
        return None;
    }
    let fraction = fraction(&bytes[15..], b".");
    cut(bytes, 15 + fraction, Form::Short, fraction)
}

/// `Fri Nov 20 10:15:03 2026`: its length is known.
pub(super) fn ctime(bytes: &[u8]) -> Option<Stamp<'_>> {
    let is = is_weekday(bytes) && is_month(&bytes[4..]) && fits(&bytes[7..], b" ?0 00:00:00 0000");
    if is { stamp(&bytes[..24], Form::Ctime, 0) } else { None }
}

/// `Fri 2026-11-20 10:15:03 CET `: `format_timestamp` of systemd. The zone is a name or `+03`.
pub(super) fn weekday(bytes: &[u8]) -> Option<Dated<'_>> {
    if !is_weekday(bytes) || !fits(&bytes[4..], b"0000-00-00 00:00:00") {
        return None;
    }
    let fraction = fraction(&bytes[23..], b".");
    let at = 23 + fraction;
    let zone = bytes[at..].strip_prefix(b" ")?;
    let is_zone = |byte: &&u8| byte.is_ascii_uppercase() || matches!(byte, b'+' | b'-' | b'0'..=b'9');
    let len = zone.iter().take_while(is_zone).count();
    if !(1..=6).contains(&len) {
        return None;
    }
    cut(bytes, at + 1 + len, Form::Weekday, fraction)
}

/// `Nov20 10:15`: `short_ctime` of dmesg.
pub(super) fn minute(bytes: &[u8]) -> Option<Stamp<'_>> {
    if !is_month(bytes) || !fits(&bytes[3..], b"?0 00:00") {
        return None;
    }
    stamp(&bytes[..11], Form::Minute, 0)
}

/// `1763630103.214123 `: `journalctl -o short-unix`.
pub(super) fn unix(bytes: &[u8]) -> Option<Dated<'_>> {
    let whole = count_digits(bytes);
    // `%10d`: ten digits from 2001 to 2286.
    if whole != 10 || fraction(&bytes[whole..], b".") != 7 {
        return None;
    }
    cut(bytes, whole + 7, Form::Seconds, 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolutions() {
        let of = |dated: Option<Dated<'_>>| dated.unwrap().0.resolution_ns;
        assert_eq!(minute(b"Nov20 10:15]").unwrap().resolution_ns, 60_000_000_000);
        assert_eq!(ctime(b"Fri Nov 20 10:15:03 2026").unwrap().resolution_ns, 1_000_000_000);
        assert_eq!(of(short(b"Nov 20 10:15:03 n1")), 1_000_000_000);
        assert_eq!(of(iso(b"2026-11-20T10:15:03Z n1")), 1_000_000_000);
        assert_eq!(of(iso(b"2026-11-20T10:15:03.214Z n1")), 1_000_000);
        assert_eq!(of(iso(b"2026-11-20T10:15:03,214123+01:00 n1")), 1000);
        assert_eq!(of(iso(b"2026-11-20T10:15:03.214123456Z n1")), 1);
        assert_eq!(of(iso(b"2026-11-20T10:15:03.2141234567890123Z n1")), 1);
        assert_eq!(of(unix(b"1763630103.214123 n1")), 1000);
    }
}
