//! What journalctl writes (`output_short` in src/shared/logs-show.c of systemd), where syslog does not write the same.

use super::super::stamp::{Form, Stamp};
use super::layers::{Body, Head, Inner};
use super::text::{digits, seconds, word};
use super::{INVOKED, Memory, dates, syslog};
use std::borrow::Cow;

/// `Fri 2026-11-20 10:15:03 CET host kernel: `: short-full and with-unit.
pub(super) fn weekday(text: &[u8]) -> Option<Head<'_>> {
    let (stamp, rest) = dates::weekday(text)?;
    syslog::writer(Some(stamp), rest)
}

/// `1763630103.214123 host kernel: `: short-unix.
pub(super) fn unix(text: &[u8]) -> Option<Head<'_>> {
    let (stamp, rest) = dates::unix(text)?;
    syslog::writer(Some(stamp), rest)
}

/// `[  123.456789 <    0.000012 >] host kernel: `: short-delta. Its first line has blanks instead.
pub(super) fn delta(text: &[u8]) -> Option<Head<'_>> {
    let (boot_ns, rest) = seconds(text.strip_prefix(b"[")?)?;
    let rest = if let Some(rest) = rest.strip_prefix(b"                ") {
        rest
    } else {
        let (_, rest) = seconds(rest.strip_prefix(b" <")?)?;
        rest.strip_prefix(b" >").or_else(|| rest.strip_prefix(b"*>"))?
    };
    let head = syslog::writer(None, rest.strip_prefix(b"] ")?)?;
    Some(Head { boot_ns: Some(boot_ns), ..head })
}

/// `[  123.456789] host kernel: `: short-monotonic, which begins as dmesg does.
///
/// The kernel's own messages hold two words and a colon too, and a process may be called `a kernel: b`. So other writers
/// are known by the machine that a line of the kernel has named.
pub(super) fn monotonic<'a>(memory: &mut Memory, head: Head<'a>) -> Head<'a> {
    let (Body::Rest(text), Some(_), None) = (&head.body, head.boot_ns, head.context) else { return head };
    let text: &'a [u8] = text;
    // With `--no-hostname` there is none, and other writers look like messages of the kernel.
    let first = if text.starts_with(b"kernel:") { Some((&b""[..], text)) } else { word(text) };
    let Some((host, rest)) = first else { return head };
    let is_known = memory.monotonic_host.as_deref() == Some(host);
    if !is_known && (!rest.starts_with(b"kernel:") || may_be_name(text)) {
        return head;
    }
    let Some(writer) = syslog::writer(None, text) else { return head };
    if !is_known {
        if writer.is_foreign {
            return head;
        }
        memory.monotonic_host = Some(host.into());
    }
    // The journal has no stamps of printk's in its messages.
    Head { boot_ns: head.boot_ns, inner: Inner::Nothing, ..writer }
}

/// Whether a text may be `NAME invoked oom-killer: `.
fn may_be_name(text: &[u8]) -> bool {
    // A name has 15 bytes; each may be written as `\xNN`.
    let begin = &text[..text.len().min(4 * 15 + 1 + INVOKED.len())];
    let at = begin.windows(INVOKED.len()).position(|part| part == INVOKED);
    at.is_some_and(|at| at <= 16 || begin[..at].contains(&b'\\'))
}

/// The fields of an entry that matter (systemd.journal-fields(7)), as JSON and export have them.
#[derive(Debug, Default)]
pub(super) struct Entry<'a> {
    pub(super) host: Option<Cow<'a, str>>,
    pub(super) boot_id: Option<Cow<'a, str>>,
    pub(super) transport: Option<Cow<'a, str>>,
    pub(super) identifier: Option<Cow<'a, str>>,
    pub(super) facility: Option<Cow<'a, str>>,
    /// Microseconds since 1970, when journald got it.
    pub(super) realtime: Option<Cow<'a, str>>,
    /// Microseconds since boot, when journald got it.
    pub(super) monotonic: Option<Cow<'a, str>>,
    /// Microseconds since boot, when the kernel printed it.
    pub(super) source_monotonic: Option<Cow<'a, str>>,
}

impl<'a> Entry<'a> {
    /// Names of the fields.
    pub(super) const FIELDS: [&'static str; 8] = [
        "_HOSTNAME",
        "_BOOT_ID",
        "_TRANSPORT",
        "SYSLOG_IDENTIFIER",
        "SYSLOG_FACILITY",
        "__REALTIME_TIMESTAMP",
        "__MONOTONIC_TIMESTAMP",
        "_SOURCE_MONOTONIC_TIMESTAMP",
    ];

    /// The field of this name.
    pub(super) fn field(&mut self, name: &str) -> Option<&mut Option<Cow<'a, str>>> {
        let Self { host, boot_id, transport, identifier, facility, realtime, monotonic, source_monotonic } =
            self;
        let at = Self::FIELDS.iter().position(|field| *field == name)?;
        let fields = [host, boot_id, transport, identifier, facility, realtime, monotonic, source_monotonic];
        fields.into_iter().nth(at)
    }

    /// Another program wrote it. Programs write into the kernel's log too, with their own facility and name
    /// (`dev_kmsg_record` of journald); the kernel's name alone proves nothing.
    pub(super) fn is_foreign(&self) -> bool {
        let is_other =
            |field: &Option<Cow<'_, str>>, kernel| field.as_ref().is_some_and(|field| field != kernel);
        is_other(&self.transport, "kernel")
            || is_other(&self.identifier, "kernel")
            || is_other(&self.facility, "0")
    }

    /// The entry around its message.
    pub(super) fn head(self, body: Body<'a>, inner: Inner) -> Head<'a> {
        let is_foreign = self.is_foreign();
        let micros = |field: &Option<Cow<'_, str>>| digits(field.as_ref()?.as_bytes())?.checked_mul(1000);
        let boot_ns = micros(&self.source_monotonic).or_else(|| micros(&self.monotonic));
        let is_number = |text: &Cow<'_, str>| digits(text.as_bytes()).is_some();
        let stamp = self.realtime.filter(is_number).map(|text| Stamp::new(text, Form::Micros, 6));
        Head { host: self.host, boot_id: self.boot_id, boot_ns, stamp, is_foreign, ..Head::new(body, inner) }
    }
}
