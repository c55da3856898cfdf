//! What printk puts before a message (`info_print_prefix` in kernel/printk/printk.c), and what dmesg of util-linux makes
//! of it (`print_record` in sys-utils/dmesg.c).

use super::super::Stamp;
use super::layers::{Body, Head, Inner};
use super::text::{blank, count_digits, digits, seconds, split};
use super::{INVOKED, dates};
use crate::report::line::Record;

/// A thread, if the caller has one, and what stands behind it.
type Caller<'a> = (Option<u32>, &'a [u8]);

/// `[  123.456789] ` and, with `CONFIG_PRINTK_CALLER`, `[  123.456789][ T1234] `: what the kernel writes itself.
pub(super) fn printk(text: &[u8]) -> Option<Head<'_>> {
    let (boot_ns, rest) = seconds(text.strip_prefix(b"[")?)?;
    let (context, rest) = close(rest)?;
    Some(Head { boot_ns: Some(boot_ns), context, ..Head::rest(rest, Inner::Nothing) })
}

/// The same and the other times of dmesg, which puts a blank before the caller.
pub(super) fn stamped(text: &[u8]) -> Option<Head<'_>> {
    let Time { boot_ns, stamp, rest } = time(text.strip_prefix(b"[")?)?;
    let (context, rest) = close(rest)?;
    let (context, rest) = if context.is_none() { spaced_caller(rest) } else { (context, rest) };
    Some(Head { boot_ns, stamp, context, ..Head::rest(rest, Inner::Nothing) })
}

/// `] ` or `][ T1234] `.
fn close(text: &[u8]) -> Option<Caller<'_>> {
    let rest = text.strip_prefix(b"]")?;
    let (context, rest) = caller(rest).unwrap_or((None, rest));
    Some((context, blank(rest)?))
}

/// `[ T1234] `, if it is there.
///
/// The name of a process may look like it. It loses nothing then that it could not have chosen to be without, and must
/// have more to lose.
fn spaced_caller(text: &[u8]) -> Caller<'_> {
    caller(text)
        .and_then(|(context, rest)| Some((context, rest.strip_prefix(b" ")?)))
        .filter(|(_, rest)| !rest.starts_with(INVOKED))
        .unwrap_or((None, text))
}

/// A time of dmesg, and what follows on it.
struct Time<'a> {
    boot_ns: Option<u64>,
    stamp: Option<Stamp<'a>>,
    rest: &'a [u8],
}

/// What stands before the `]`.
fn time(inside: &[u8]) -> Option<Time<'_>> {
    let (boot_ns, stamp, rest) = if let Some((boot_ns, rest)) = seconds(inside) {
        (Some(boot_ns), None, rest)
    } else if let Some(stamp) = dates::ctime(inside) {
        (None, Some(stamp), &inside[24..])
    } else if let Some(stamp) = dates::minute(inside) {
        (None, Some(stamp), &inside[11..])
    } else if let Some(rest) = since_last(inside) {
        (None, None, rest)
    } else {
        // `--time-format=delta`, which has nothing before it.
        return Some(Time { boot_ns: None, stamp: None, rest: delta(inside)? });
    };
    Some(Time { boot_ns, stamp, rest: rest.strip_prefix(b" ").and_then(delta).unwrap_or(rest) })
}

/// `<    0.000012>`: `dmesg --show-delta`.
fn delta(text: &[u8]) -> Option<&[u8]> {
    seconds(text.strip_prefix(b"<")?)?.1.strip_prefix(b">")
}

/// `  +0.000012`: `dmesg --reltime`.
fn since_last(text: &[u8]) -> Option<&[u8]> {
    let text = &text[text.iter().take_while(|byte| **byte == b' ').count()..];
    Some(seconds(text.strip_prefix(b"+")?)?.1)
}

/// `[ T1234]` (a thread) or `[    C1]` (a CPU in interrupt context).
fn caller(text: &[u8]) -> Option<Caller<'_>> {
    let inside = text.strip_prefix(b"[")?;
    let inside = &inside[inside.iter().take_while(|byte| **byte == b' ').count()..];
    let (kind, id) = inside.split_first()?;
    let len = count_digits(id);
    let number = u32::try_from(digits(&id[..len])?).ok()?;
    let rest = id[len..].strip_prefix(b"]")?;
    match kind {
        b'T' => Some((Some(number), rest)),
        b'C' => Some((None, rest)),
        _ => None,
    }
}

/// `2026-11-20T10:15:03,214123+01:00 `: `dmesg --time-format=iso`. Only dmesg has a comma.
pub(super) fn iso(text: &[u8]) -> Option<Head<'_>> {
    if text.get(19) != Some(&b',') {
        return None;
    }
    let (stamp, rest) = dates::iso(text)?;
    let (context, rest) = spaced_caller(rest);
    Some(Head { stamp: Some(stamp), context, ..Head::rest(rest, Inner::Nothing) })
}

/// `<4>[  123.456789] `: `dmesg --raw`, syslog(2) and pstore.
pub(super) fn raw(text: &[u8]) -> Option<Head<'_>> {
    let (facility, rest) = priority(text)?;
    let is_foreign = facility != 0;
    if rest.starts_with(b"[") {
        let head = stamped(rest)?;
        return Some(Head { is_foreign, ..head });
    }
    None
}

/// The facility in `<13>`, and the rest.
pub(super) fn priority(text: &[u8]) -> Option<(u64, &[u8])> {
    let inside = text.strip_prefix(b"<")?;
    let len = count_digits(inside);
    if len > 3 {
        return None;
    }
    Some((digits(&inside[..len])? >> 3, inside[len..].strip_prefix(b">")?))
}

/// Names of facilities, as `facility_names` of dmesg has them; the kernel's is 0.
const FACILITIES: [&[u8]; 24] = [
    b"kern",
    b"user",
    b"mail",
    b"daemon",
    b"auth",
    b"syslog",
    b"lpr",
    b"news",
    b"uucp",
    b"cron",
    b"authpriv",
    b"ftp",
    b"res0",
    b"res1",
    b"res2",
    b"res3",
    b"local0",
    b"local1",
    b"local2",
    b"local3",
    b"local4",
    b"local5",
    b"local6",
    b"local7",
];
/// Names of levels, of dmesg and of syslogd.
const LEVELS: [&[u8]; 11] = [
    b"emerg", b"alert", b"crit", b"err", b"warn", b"notice", b"info", b"debug", b"panic", b"error",
    b"warning",
];

/// The number of a facility.
pub(super) fn facility(name: &[u8]) -> Option<usize> {
    FACILITIES.iter().position(|facility| *facility == name)
}

pub(super) fn is_level(name: &[u8]) -> bool {
    LEVELS.contains(&name)
}

/// `kern  :warn  : `: `dmesg --decode`.
pub(super) fn decoded(text: &[u8]) -> Option<Head<'_>> {
    // The longest are `authpriv:notice: `.
    let (name, rest) = split(&text[..text.len().min(20)], b':')?;
    let (level, _) = split(rest, b':')?;
    let rest = &text[name.len() + level.len() + 2..];
    let facility = facility(name.trim_ascii_end()).filter(|_| name.len() >= 6)?;
    if level.len() < 6 || !is_level(level.trim_ascii_end()) {
        return None;
    }
    let is_foreign = facility != 0;
    let rest = rest.strip_prefix(b" ")?;
    Some(Head { is_foreign, ..Head::rest(rest, Inner::Dmesg) })
}

/// `4,1297,7338835,-,caller=T1;message`: saved records of `/dev/kmsg`.
pub(super) fn record(text: &[u8]) -> Option<Head<'_>> {
    let len = count_digits(text);
    if len > 3 || text.get(len) != Some(&b',') {
        return None;
    }
    let record = Record::parse(text)?;
    Some(Head {
        boot_ns: Some(record.time_ns),
        context: record.context,
        is_foreign: record.facility != 0,
        ..Head::new(Body::Message(record.text()), Inner::Nothing)
    })
}
