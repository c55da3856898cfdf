//! A record of `/dev/kmsg`: what stands before the kernel's message, and the message. Text logs are `logs::line`'s.

use super::scan::escape;
use std::borrow::Cow;

/// A record of `/dev/kmsg` (`Documentation/ABI/testing/dev-kmsg`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Syslog facility: 0 is the kernel, anything else was written into the log by a process.
    pub facility: u32,
    /// Sequence number: one more than the last record's unless records were lost.
    pub seq: u64,
    /// The log's own clock, nanoseconds since boot.
    pub time_ns: u64,
    /// Thread that printed it (`CONFIG_PRINTK_CALLER`).
    pub context: Option<u32>,
    /// The message, still escaped.
    pub message: &'a [u8],
}

impl<'a> Record<'a> {
    /// Splits `prio,seq,usec,flags[,caller=T123];message\n KEY=VALUE\n...`. `None`: not such a record.
    pub fn parse(record: &'a [u8]) -> Option<Self> {
        let (head, body) = split(record, b';')?;
        let mut fields = head.split(|byte| *byte == b',');
        let prio = digits(fields.next()?)?;
        let seq = digits(fields.next()?)?;
        let time_ns = digits(fields.next()?)?.checked_mul(1000)?;
        let context = fields
            .filter_map(|field| field.strip_prefix(b"caller=T"))
            .find_map(|tid| u32::try_from(digits(tid)?).ok());
        // The kernel escapes line feeds of the message, so the first one ends it.
        let message = split(body, b'\n').map_or(body, |(message, _)| message);
        Some(Self { facility: u32::try_from(prio >> 3).ok()?, seq, time_ns, context, message })
    }

    /// The message as the kernel had it (it escapes all but printable ASCII); bytes that are not UTF-8 as `\xNN`.
    pub fn text(&self) -> Cow<'a, str> {
        if !self.message.contains(&b'\\') {
            return utf8(self.message);
        }
        let mut raw = Vec::with_capacity(self.message.len());
        let mut rest = self.message;
        while let [byte, after @ ..] = rest {
            if let Some(byte) = escape(rest) {
                raw.push(byte);
                rest = &rest[4..];
            } else {
                raw.push(*byte);
                rest = after;
            }
        }
        Cow::Owned(utf8(&raw).into_owned())
    }
}

/// Bytes as text; what is not UTF-8 as `\xNN`.
pub(crate) fn utf8(bytes: &[u8]) -> Cow<'_, str> {
    use std::fmt::Write as _;

    if let Ok(text) = str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a String does not fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    Cow::Owned(out)
}

fn split(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == at)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

fn digits(bytes: &[u8]) -> Option<u64> {
    if !bytes.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(bytes).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_sequence_time_and_caller() {
        let record = Record::parse(b"4,1297,7338835,-,caller=T124;a;b,c\n SUBSYSTEM=x\n").unwrap();
        let Record { facility, seq, time_ns, context, message } = record;
        assert_eq!((facility, seq, time_ns, context), (0, 1297, 7_338_835_000, Some(124)));
        assert_eq!(message, b"a;b,c");
        assert_eq!(Record::parse(b"12,1,2,-;x").unwrap().facility, 1);
        assert_eq!(Record::parse(b"6,1,2,-,caller=C0;x").unwrap().context, None);
    }

    #[test]
    fn records_are_unescaped_once() {
        let text = |record| Record::parse(record).unwrap().text().into_owned();
        assert_eq!(text(br"6,1,2,-;a\x0ab \x5cx41 \xc3\xa9 \xff \x"), "a\nb \\x41 é \\xff \\x");
    }

    #[test]
    fn other_text_is_no_record() {
        for text in [&b""[..], b";", b"6,1;x", b"6,x,2,-;x", b"-1,1,2,-;x", b"6,1,99999999999999999999,-;x"] {
            assert_eq!(Record::parse(text), None);
        }
    }
}
