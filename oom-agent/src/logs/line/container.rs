//! What container runtimes and kubectl put before a line.

use super::dates;
use super::layers::{Head, Inner};
use super::text::{split, word};
use super::{Part, text};

/// `2026-11-20T10:15:03.214123456Z stdout F `: CRI (`kubernetes/cri-api`, the kubelet's log format), and
/// `2026-11-20T10:15:03.214123456Z `: `kubectl logs --timestamps`, `docker logs --timestamps`.
pub(super) fn stamped(line: &[u8]) -> Option<Head<'_>> {
    let (stamp, rest) = dates::iso(line)?;
    if let Some((part, rest)) = stream(rest) {
        return Some(Head { stamp: Some(stamp), part, is_collector: true, ..Head::rest(rest, Inner::Any) });
    }
    // Nine digits; who else writes them: nobody who names a machine after them.
    if stamp.resolution_ns > 1 {
        return None;
    }
    Some(Head { stamp: Some(stamp), is_collector: true, ..Head::rest(rest, Inner::Any) })
}

/// `stdout F `: tags are separated by `:`, and the first says whether the line ends here.
fn stream(text: &[u8]) -> Option<(Part, &[u8])> {
    let (stream, rest) = word(text)?;
    if stream != b"stdout" && stream != b"stderr" {
        return None;
    }
    let (tags, rest) = word(rest)?;
    match split(tags, b':').map_or(tags, |(first, _)| first) {
        b"F" => Some((Part::Whole, rest)),
        b"P" => Some((Part::Begin, rest)),
        _ => None,
    }
}

/// `[pod/name/container] `: `kubectl logs --prefix`.
pub(super) fn prefix(line: &[u8]) -> Option<Head<'_>> {
    let inside = line.strip_prefix(b"[pod/")?;
    let (name, rest) = split(inside, b']')?;
    let (_pod, container) = split(name, b'/')?;
    if name.contains(&b' ') || container.contains(&b'/') {
        return None;
    }
    Some(Head { is_collector: true, ..Head::rest(text::blank(rest)?, Inner::Any) })
}
