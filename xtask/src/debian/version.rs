//! Debian's order of versions (Debian Policy 5.6.12, dpkg's `verrevcmp`).

use std::cmp::Ordering;

/// Compares two Debian versions: epoch, upstream version, revision.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    let (a_epoch, a) = epoch(a);
    let (b_epoch, b) = epoch(b);
    let (a_upstream, a_revision) = a.rsplit_once('-').unwrap_or((a, ""));
    let (b_upstream, b_revision) = b.rsplit_once('-').unwrap_or((b, ""));
    a_epoch
        .cmp(&b_epoch)
        .then_with(|| part(a_upstream, b_upstream))
        .then_with(|| part(a_revision, b_revision))
}

/// The upstream version: without epoch and revision.
pub(crate) fn upstream(version: &str) -> &str {
    let (_, rest) = epoch(version);
    rest.rsplit_once('-').map_or(rest, |(upstream, _)| upstream)
}

fn epoch(version: &str) -> (u32, &str) {
    match version.split_once(':') {
        Some((epoch, rest)) => (epoch.parse().unwrap_or(0), rest),
        None => (0, version),
    }
}

/// Text and numbers in turn: text by [`weight`], numbers by value.
fn part(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        let text = |rest: &[u8]| rest.iter().position(u8::is_ascii_digit).unwrap_or(rest.len());
        let (a_text, b_text) = (text(a), text(b));
        for at in 0..a_text.max(b_text) {
            let order = weight(a[..a_text].get(at)).cmp(&weight(b[..b_text].get(at)));
            if order.is_ne() {
                return order;
            }
        }
        (a, b) = (&a[a_text..], &b[b_text..]);
        let number = |rest: &[u8]| {
            let end = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
            let value = rest[..end]
                .iter()
                .fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
            (value, end)
        };
        let ((a_number, a_end), (b_number, b_end)) = (number(a), number(b));
        let order = a_number.cmp(&b_number);
        if order.is_ne() {
            return order;
        }
        (a, b) = (&a[a_end..], &b[b_end..]);
        if a.is_empty() && b.is_empty() {
            return Ordering::Equal;
        }
    }
}

/// A tilde sorts before the end, the end before letters, letters before the rest.
fn weight(byte: Option<&u8>) -> i32 {
    match byte {
        Some(b'~') => -1,
        None => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_sort_as_dpkg_sorts_them() {
        let rising = [
            "5.10.218-1",
            "5.10.262-1",
            "6.1.192-1",
            "6.1.192-2",
            "6.12.95-1~bpo12+1",
            "6.12.117-1~deb12u1",
            "6.12.117-1",
            "7.2.12-1~bpo13+1",
            "7.2.12-1",
            "7.3~rc7-1~exp1",
            "7.3-1",
            "7.3.4-1~bpo13+1",
            "1:0.9-1",
        ];
        for pair in rising.windows(2) {
            assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{} < {}", pair[0], pair[1]);
            assert_eq!(compare(pair[1], pair[0]), Ordering::Greater);
        }
        assert_eq!(compare("6.1.192-2", "6.1.192-2"), Ordering::Equal);
    }

    #[test]
    fn the_upstream_version_has_neither_epoch_nor_revision() {
        assert_eq!(upstream("1:10.0.2+ds-2+deb13u1~bpo12+1"), "10.0.2+ds");
        assert_eq!(upstream("7.3.4-1~bpo13+1"), "7.3.4");
    }
}
