//! Small readers over the text of one message. Each gives `None` for what it does not understand.

use std::borrow::Cow;

/// `TASK_COMM_LEN` without the NUL: no command name has more bytes.
pub(super) const COMM_BYTES: usize = 15;

/// The digits at the beginning of `text` and the rest.
pub(super) fn number(text: &str) -> Option<(u64, &str)> {
    let mut value = 0_u64;
    let mut end = 0;
    for byte in text.bytes().take_while(u8::is_ascii_digit) {
        value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
        end += 1;
    }
    (end > 0).then(|| (value, &text[end..]))
}

/// An id that the kernel prints with `%d` although it is unsigned: -2 is 4294967294.
pub(super) fn id(text: &str) -> Option<u32> {
    let value: i64 = text.parse().ok()?;
    u32::try_from(value).ok().or_else(|| i32::try_from(value).ok().map(|value| value as u32))
}

/// Kilobytes as bytes; a number that no machine can mean is not understood.
pub(super) fn kilobytes(value: u64) -> Option<u64> {
    value.checked_mul(1024)
}

/// How many bytes a command name had before invalid UTF-8 was written as `\xNN`, at least.
pub(super) fn least_raw_len(comm: &str) -> usize {
    let bytes = comm.as_bytes();
    let (mut at, mut len) = (0, 0);
    while at < bytes.len() {
        at += if escape(&bytes[at..]).is_some() { 4 } else { 1 };
        len += 1;
    }
    len
}

/// The byte that a `\xNN` at the beginning of `bytes` stands for.
pub(super) fn escape(bytes: &[u8]) -> Option<u8> {
    let [b'\\', b'x', high, low, ..] = bytes else { return None };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    Some((digit(high)? * 16 + digit(low)?) as u8)
}

/// `text` with control characters as `\xNN`: one message stays one line and cannot drive a terminal.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    use std::fmt::Write as _;

    // C1 controls begin with 0xc2 in UTF-8. Bytes are much faster to look at than characters.
    let suspect = text.bytes().any(|byte| byte < b' ' || byte == 0x7f || byte == 0xc2);
    if !suspect || !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if c.is_control() {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                // Writing to a String does not fail.
                let _ = write!(out, "\\x{byte:02x}");
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// A record this long was cut by printk (`LOG_LINE_MAX` is 976 or 992), perhaps within a number.
pub(super) const CUT_RECORD: usize = 970;

/// `123kB` in bytes; some lines have `KB`.
pub(super) fn kb(text: &str) -> Option<u64> {
    let digits = text.strip_suffix('B')?.strip_suffix(['k', 'K'])?;
    let (value, rest) = number(digits)?;
    if rest.is_empty() { kilobytes(value) } else { None }
}

/// At most `limit` bytes of `text`, cut between characters.
pub(super) fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_may_be_printed_as_negative_numbers() {
        assert_eq!(id("-2"), Some(4_294_967_294));
        assert_eq!(id("4294967294"), Some(4_294_967_294));
        assert_eq!(id("4294967296"), None);
    }

    #[test]
    fn a_number_has_a_digit_and_fits() {
        assert_eq!(number("18446744073709551615kB"), Some((u64::MAX, "kB")));
        for text in ["", "x", "-1", "18446744073709551616"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn an_escaped_byte_counts_once() {
        assert_eq!(least_raw_len(r"a\xffb"), 3);
        assert_eq!(least_raw_len(r"a\xzz"), 5);
    }

    #[test]
    fn control_characters_are_made_visible() {
        assert_eq!(printable("a\n\u{1b}[2J\u{85}é"), r"a\x0a\x1b[2J\xc2\x85é");
    }
}
