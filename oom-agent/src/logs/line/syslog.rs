//! Lines of syslogd, rsyslog and syslog-ng, and of busybox and `OpenWrt`: a stamp, a machine, who wrote it, the message.

use super::super::Stamp;
use super::INVOKED;
use super::dates;
use super::dmesg::{facility, is_level, priority};
use super::layers::{Head, Inner};
use super::text::{blank, split, word};
use crate::report::line::utf8;

/// `Nov 20 10:15:03 host kernel: `: RFC 3164, rsyslog's traditional format, `journalctl -o short`.
pub(super) fn short(text: &[u8]) -> Option<Head<'_>> {
    let (stamp, rest) = dates::short(text)?;
    writer(Some(stamp), rest)
}

/// `2026-11-20T10:15:03.214123+01:00 host kernel: `: `RSYSLOG_FileFormat`, `journalctl -o short-iso`.
pub(super) fn iso(text: &[u8]) -> Option<Head<'_>> {
    let (stamp, rest) = dates::iso(text)?;
    writer(Some(stamp), rest)
}

/// `Fri Nov 20 10:15:03 2026 kern.warn kernel: `: `logread` of `OpenWrt`.
pub(super) fn ctime(text: &[u8]) -> Option<Head<'_>> {
    let stamp = dates::ctime(text)?;
    writer(Some(stamp), text[24..].strip_prefix(b" ")?)
}

/// `<4>Nov 20 10:15:03 host kernel: ` and `<4>1 2026-11-20T10:15:03.214Z host kernel - - - `.
pub(super) fn with_priority(text: &[u8]) -> Option<Head<'_>> {
    let (facility, rest) = priority(text)?;
    let head = match rest.first()? {
        b'0'..=b'9' => protocol_23(rest).or_else(|| iso(rest)),
        _ => short(rest),
    };
    let head = head?;
    let is_foreign = head.is_foreign || facility != 0;
    Some(Head { is_foreign, inner: inner(is_foreign), ..head })
}

/// What follows on the stamp: `host kernel: `, with a facility in front of the writer or without the host.
pub(super) fn writer<'a>(stamp: Option<Stamp<'a>>, text: &'a [u8]) -> Option<Head<'a>> {
    // A process may be called `Nov 20 10:15:03`.
    if text.starts_with(INVOKED) {
        return None;
    }
    // Behind the host there may be nothing that says who wrote it.
    let next = |text| word(text).unwrap_or((b"", text));
    let mut host = None;
    let mut is_foreign = false;
    let (mut first, mut rest) = word(text)?;
    let mut at = text;
    if !first.ends_with(b":") && level(first).is_none() {
        host = Some(utf8(first));
        at = rest;
        (first, rest) = next(rest);
    }
    if let Some(facility) = level(first) {
        is_foreign |= facility != 0;
        at = rest;
        (first, rest) = next(rest);
    }
    if first != b"kernel:" {
        // Who says nothing of itself is not the kernel: a user may choose any words for a tag.
        is_foreign = true;
        rest = if first.ends_with(b":") { rest } else { at };
    }
    Some(Head { host, stamp, is_foreign, ..Head::rest(rest, inner(is_foreign)) })
}

/// What another program wrote is its own, whatever it looks like.
fn inner(is_foreign: bool) -> Inner {
    if is_foreign { Inner::Nothing } else { Inner::Printk }
}

/// The facility in `kern.warn`.
fn level(word: &[u8]) -> Option<usize> {
    let (name, level) = split(word, b'.')?;
    if is_level(level) { facility(name) } else { None }
}

/// `1 2026-11-20T10:15:03.214Z host kernel - - - `: RFC 5424.
pub(super) fn protocol_23(text: &[u8]) -> Option<Head<'_>> {
    let rest = text.strip_prefix(b"1 ")?;
    let (stamp, rest) = match rest.strip_prefix(b"- ") {
        Some(rest) => (None, rest),
        None => dates::iso(rest).map(|(stamp, rest)| (Some(stamp), rest))?,
    };
    let (host, rest) = word(rest)?;
    let (app, rest) = word(rest)?;
    let (_process, rest) = word(rest)?;
    let (_kind, rest) = word(rest)?;
    let rest = blank(structured(rest)?)?;
    let rest = rest.strip_prefix("\u{feff}".as_bytes()).unwrap_or(rest);
    let host = (host != b"-").then(|| utf8(host));
    let is_foreign = app != b"kernel";
    Some(Head { host, stamp, is_foreign, ..Head::rest(rest, inner(is_foreign)) })
}

/// What stands behind `-` or `[id name="value"]...`. A value may hold anything: `"`, `\` and `]` are escaped in it.
fn structured(text: &[u8]) -> Option<&[u8]> {
    if let Some(rest) = text.strip_prefix(b"-") {
        return Some(rest);
    }
    let mut rest = text;
    let mut any = false;
    while let Some(inside) = rest.strip_prefix(b"[") {
        let mut quoted = false;
        let mut bytes = inside.iter().enumerate();
        let end = loop {
            match bytes.next()? {
                (_, b'\\') if quoted => drop(bytes.next()),
                (_, b'"') => quoted = !quoted,
                (at, b']') if !quoted => break at,
                _ => {}
            }
        };
        rest = &inside[end + 1..];
        any = true;
    }
    any.then_some(rest)
}
