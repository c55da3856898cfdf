//! Small readers over the bytes of a line.

/// Whether `bytes` begin as `pattern` says: `0` is a digit, `?` a digit or a blank, anything else stands for itself.
pub(in crate::logs) fn fits(bytes: &[u8], pattern: &[u8]) -> bool {
    bytes.len() >= pattern.len()
        && bytes.iter().zip(pattern).all(|(byte, pattern)| match pattern {
            b'0' => byte.is_ascii_digit(),
            b'?' => *byte == b' ' || byte.is_ascii_digit(),
            _ => byte == pattern,
        })
}

/// A number that is made of all of `bytes`.
pub(in crate::logs) fn digits(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// How many digits `bytes` begin with.
pub(super) fn count_digits(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// What stands before the first `at` and behind it.
pub(super) fn split(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == at)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// A word, not empty, and what stands behind it and one blank.
pub(super) fn word(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (word, rest) = split(bytes, b' ').unwrap_or((bytes, b""));
    (!word.is_empty()).then_some((word, rest))
}

/// What stands behind one blank. A line may end where the blank would be.
pub(super) fn blank(bytes: &[u8]) -> Option<&[u8]> {
    if bytes.is_empty() { Some(bytes) } else { bytes.strip_prefix(b" ") }
}

/// `seconds.micros`, padded with blanks, as nanoseconds, and what stands behind.
pub(super) fn seconds(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let bytes = &bytes[bytes.iter().take_while(|byte| **byte == b' ').count()..];
    let whole = count_digits(bytes);
    let rest = bytes[whole..].strip_prefix(b".")?;
    let fraction = count_digits(rest);
    // printk and its readers always have six; a row of the task table has none.
    if fraction != 6 {
        return None;
    }
    let micros = digits(&bytes[..whole])?.checked_mul(1_000_000)?.checked_add(digits(&rest[..fraction])?)?;
    Some((micros.checked_mul(1000)?, &rest[fraction..]))
}

/// Bytes that are known to be ASCII, as text.
pub(super) fn ascii(bytes: &[u8]) -> Option<&str> {
    str::from_utf8(bytes).ok()
}
