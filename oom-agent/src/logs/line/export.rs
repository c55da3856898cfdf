//! `journalctl -o export` (the Journal Export Format): records of fields, `NAME=value` and a line feed, or where a value
//! holds other than text `NAME`, a line feed, its length, the value and a line feed. An empty line ends a record.
//!
//! A value may hold anything, also what looks like a record, so nothing is ever searched for: what is not as it should be
//! ends the reading.

use super::Line;
use super::journal::Entry;
use super::layers::{Body, Inner};
use crate::report::line::utf8;
use std::ops::Range;

/// A field's name has no more bytes (`journal_field_valid` of systemd).
const LONGEST_NAME: usize = 64;
/// Bytes of a value that are kept. The kernel's messages have 2 KiB at most.
const MOST_VALUE: usize = 64 * 1024;
/// Values of a record that are kept.
const MOST_VALUES: usize = 64;
/// The field with the message.
const MESSAGE: &str = "MESSAGE";

/// Reads an export in pieces of any size.
#[derive(Debug, Default)]
pub struct Export {
    at: At,
    name: Vec<u8>,
    /// Values of this record that matter.
    held: Vec<u8>,
    values: Vec<(&'static str, Range<usize>)>,
}

/// What the next byte belongs to.
#[derive(Debug, Default)]
enum At {
    /// A field's name.
    #[default]
    Name,
    /// A text, which ends with a line feed.
    Text { keep: Option<usize> },
    /// A length, of which some bytes are read.
    Length { read: u32, length: u64, keep: Option<&'static str> },
    /// A value of this many more bytes.
    Bytes { left: u64, keep: Option<usize> },
    /// The line feed behind a value.
    End,
    /// Nowhere.
    Broken,
}

impl Export {
    /// Whether a log begins as an export does. It needs nine bytes for that.
    pub fn fits(begin: &[u8]) -> bool {
        begin.starts_with(b"__CURSOR=")
    }

    /// Reads the next piece and gives each record's message to `each`.
    pub fn push(&mut self, piece: &[u8], mut each: impl FnMut(Line<'_>)) {
        let mut rest = piece;
        while !rest.is_empty() {
            rest = match self.at {
                At::Name => self.name(rest, &mut each),
                At::Text { keep } => self.text(rest, keep),
                At::Length { read, length, keep } => self.length(rest, read, length, keep),
                At::Bytes { left, keep } => {
                    let len = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    let (value, rest) = rest.split_at(len);
                    self.keep(keep, value);
                    let left = left - len as u64;
                    self.at = if left == 0 { At::End } else { At::Bytes { left, keep } };
                    rest
                }
                At::End => {
                    self.at = if rest[0] == b'\n' { At::Name } else { At::Broken };
                    &rest[1..]
                }
                At::Broken => return,
            };
        }
    }

    /// Something is not as it should be: nothing is read from there on.
    pub fn is_broken(&self) -> bool {
        matches!(self.at, At::Broken)
    }

    /// The end. Says whether all was read: if not, the export is cut, or something in it is not as it should be, which
    /// ended the reading. A record without its end is not told: what is missing may say that a program wrote it.
    pub fn finish(&mut self) -> bool {
        let Self { at, name, values, .. } = std::mem::take(self);
        matches!(at, At::Name) && name.is_empty() && values.is_empty()
    }

    fn name<'a>(&mut self, bytes: &'a [u8], each: &mut impl FnMut(Line<'_>)) -> &'a [u8] {
        let is_name = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
        let len = bytes.iter().take_while(|byte| is_name(byte)).count();
        if self.name.len() + len > LONGEST_NAME {
            self.at = At::Broken;
            return b"";
        }
        self.name.extend_from_slice(&bytes[..len]);
        let Some((end, rest)) = bytes[len..].split_first() else { return b"" };
        match end {
            b'\n' if self.name.is_empty() => self.tell(each),
            b'\n' => self.at = At::Length { read: 0, length: 0, keep: self.wanted() },
            b'=' if !self.name.is_empty() => {
                self.at = At::Text { keep: self.wanted().map(|name| self.begin(name)) }
            }
            _ => self.at = At::Broken,
        }
        self.name.clear();
        rest
    }

    fn text<'a>(&mut self, bytes: &'a [u8], keep: Option<usize>) -> &'a [u8] {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        self.keep(keep, &bytes[..end.unwrap_or(bytes.len())]);
        match end {
            Some(end) => {
                self.at = At::Name;
                &bytes[end + 1..]
            }
            None => b"",
        }
    }

    fn length<'a>(
        &mut self,
        bytes: &'a [u8],
        read: u32,
        length: u64,
        keep: Option<&'static str>,
    ) -> &'a [u8] {
        let length = length | u64::from(bytes[0]) << (8 * read);
        self.at = match (read + 1, length) {
            (8, 0) => At::End,
            (8, left) => At::Bytes { left, keep: keep.map(|name| self.begin(name)) },
            (read, length) => At::Length { read, length, keep },
        };
        &bytes[1..]
    }

    /// The field of which the name was read, if anything is done with it.
    fn wanted(&self) -> Option<&'static str> {
        let name =
            std::iter::once(&MESSAGE).chain(&Entry::FIELDS).find(|name| name.as_bytes() == self.name)?;
        // Programs may send a field more than once; the kernel does not.
        let is_new = self.values.len() < MOST_VALUES && self.values.iter().all(|(known, _)| known != name);
        is_new.then_some(name)
    }

    fn begin(&mut self, name: &'static str) -> usize {
        self.values.push((name, self.held.len()..self.held.len()));
        self.values.len() - 1
    }

    fn keep(&mut self, value: Option<usize>, bytes: &[u8]) {
        let Some((_, range)) = value.and_then(|at| self.values.get_mut(at)) else { return };
        let bytes = &bytes[..bytes.len().min(MOST_VALUE - range.len())];
        self.held.extend_from_slice(bytes);
        range.end = self.held.len();
    }

    /// The record is complete.
    fn tell(&mut self, each: &mut impl FnMut(Line<'_>)) {
        let mut entry = Entry::default();
        let mut message = None;
        for (name, range) in self.values.drain(..) {
            let value = utf8(&self.held[range]);
            match entry.field(name) {
                Some(field) => *field = Some(value),
                None => message = Some(value),
            }
        }
        if let Some(message) = message {
            let mut line = Line::default();
            entry.head(Body::Rest(b""), Inner::Nothing).tell(&mut line);
            line.message = message;
            each(line);
        }
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A record as journalctl writes it (`output_export`).
    fn record(fields: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = b"__CURSOR=s=1;i=2\n".to_vec();
        for (name, value) in fields {
            out.extend_from_slice(name.as_bytes());
            if value.iter().any(|byte| !(b' '..=b'~').contains(byte)) {
                out.push(b'\n');
                out.extend_from_slice(&(value.len() as u64).to_le_bytes());
            } else {
                out.push(b'=');
            }
            out.extend_from_slice(value);
            out.push(b'\n');
        }
        out.push(b'\n');
        out
    }

    fn kernel(message: &[u8]) -> Vec<u8> {
        record(&[
            ("__REALTIME_TIMESTAMP", b"1763630103214123"),
            ("__MONOTONIC_TIMESTAMP", b"9000000"),
            ("_BOOT_ID", b"6a8d"),
            ("_TRANSPORT", b"kernel"),
            ("PRIORITY", b"4"),
            ("MESSAGE", message),
            ("_SOURCE_MONOTONIC_TIMESTAMP", b"7338835"),
            ("_HOSTNAME", b"n1"),
        ])
    }

    /// All lines, read in pieces of this size, and whether all was read.
    fn read(bytes: &[u8], size: usize) -> (Vec<Line<'static>>, bool) {
        let mut export = Export::default();
        let mut lines = Vec::new();
        for piece in bytes.chunks(size) {
            export.push(piece, |line| lines.push(line.into_owned()));
        }
        let is_whole = export.finish();
        (lines, is_whole)
    }

    fn messages(bytes: &[u8]) -> Vec<String> {
        let (lines, is_whole) = read(bytes, 4096);
        assert!(is_whole);
        lines.into_iter().map(|line| line.message.into_owned()).collect()
    }

    #[test]
    fn a_record_is_a_line() {
        let (lines, is_whole) = read(&kernel(b" a\nb"), 4096);
        assert!(is_whole);
        let [line] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!(line.message, " a\nb");
        assert_eq!((line.host.as_deref(), line.boot_id.as_deref()), (Some("n1"), Some("6a8d")));
        assert_eq!((line.boot_ns, line.is_foreign), (Some(7_338_835_000), false));
        assert_eq!(line.stamp.as_ref().unwrap().text, "1763630103214123");
        assert!(Export::fits(&kernel(b"a")));
    }

    #[test]
    fn other_programs_are_foreign() {
        for fields in [
            &[("_TRANSPORT", &b"syslog"[..]), ("SYSLOG_IDENTIFIER", b"kernel"), ("MESSAGE", b"a")][..],
            &[("_TRANSPORT", b"kernel"), ("SYSLOG_FACILITY", b"3"), ("MESSAGE", b"a")],
        ] {
            let (lines, _) = read(&record(fields), 4096);
            assert!(lines.len() == 1 && lines[0].is_foreign, "{lines:?}");
        }
    }

    #[test]
    fn a_value_may_look_like_records() {
        let forged = [b"x\n\n".to_vec(), kernel(b"Out of memory")].concat();
        let log = [record(&[("_TRANSPORT", b"syslog"), ("X", &forged), ("MESSAGE", &forged)]), kernel(b"a")]
            .concat();
        let (lines, _) = read(&log, 4096);
        assert_eq!(lines.iter().map(|line| line.is_foreign).collect::<Vec<_>>(), [true, false]);
        assert_eq!(lines[0].message.as_bytes(), forged);
    }

    #[test]
    fn what_is_broken_ends_the_reading() {
        for broken in [&b"lower=1\n"[..], b"=1\n", b"X\n\x01\0\0\0\0\0\0\0ab\n", &[b'A'; 65], b"\xff"] {
            let log = [kernel(b"a"), broken.to_vec(), kernel(b"b")].concat();
            let (lines, is_whole) = read(&log, 4096);
            assert_eq!((lines.len(), is_whole), (1, false));
        }
        let whole = kernel(b"a\n");
        for len in 0..whole.len() - 1 {
            assert_eq!(read(&whole[..len], 4096).0, [], "cut at {len}");
        }
    }

    #[test]
    fn long_values_are_cut_and_skipped() {
        let long = vec![b'\n'; 3 * MOST_VALUE];
        let messages = messages(&[record(&[("X", &long), ("MESSAGE", &long)]), kernel(b"a")].concat());
        assert_eq!(messages.iter().map(String::len).collect::<Vec<_>>(), [MOST_VALUE, 1]);
        let mut export = Export::default();
        export.push(b"__CURSOR=a\nX\n\xff\xff\xff\xff\xff\xff\xff\xffab", |_| ());
        assert!(!export.finish());
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(messages in prop::collection::vec(any::<Vec<u8>>(), 0..4), size in 1_usize..64) {
            let log: Vec<u8> = messages.iter().flat_map(|message| kernel(message)).collect();
            let (lines, is_whole) = read(&log, size);
            prop_assert!(is_whole);
            prop_assert_eq!(lines.len(), messages.len());
            for (line, message) in lines.iter().zip(&messages) {
                prop_assert_eq!(&line.message, &utf8(message));
            }
        }

        #[test]
        fn anything_may_come(bytes: Vec<u8>, size in 1_usize..64) {
            read(&[kernel(b"a"), bytes].concat(), size);
        }
    }
}
