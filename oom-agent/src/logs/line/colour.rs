//! Colours that dmesg and journalctl put around stamps and messages for a terminal.

use super::layers::{Body, Head, Inner};
use super::text::split;
use crate::report::line::utf8;

/// A text that begins with a colour, without its colours.
///
/// Both write other control characters than their own as text, so no colour in such a line is the message's. On a console
/// it may be a name's: a text is taken as coloured only if a stamp is, or if the colours end with the line.
pub(super) fn coloured(text: &[u8], inner: Inner) -> Option<Head<'_>> {
    let mut rest = sgr(text)?;
    while let Some(after) = sgr(rest) {
        rest = after;
    }
    let is_stamp = matches!(rest.first(), Some(b'[' | b'0'..=b'9'));
    if !is_stamp && !text.ends_with(b"\x1b[0m") {
        return None;
    }
    Some(Head::new(Body::Text(utf8(&plain(text)).into_owned()), inner))
}

/// What stands behind an escape that selects a colour: `ESC [ numbers m`.
fn sgr(text: &[u8]) -> Option<&[u8]> {
    let inside = text.strip_prefix(b"\x1b[")?;
    let (numbers, rest) = split(&inside[..inside.len().min(20)], b'm')?;
    let is_number = |byte: &u8| byte.is_ascii_digit() || *byte == b';';
    numbers.iter().all(is_number).then(|| &inside[inside.len().min(20) - rest.len()..])
}

fn plain(mut text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    while let Some((first, rest)) = text.split_first() {
        if let Some(rest) = sgr(text) {
            text = rest;
        } else {
            out.push(*first);
            text = rest;
        }
    }
    out
}
