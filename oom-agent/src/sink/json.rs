//! An incident as one line of JSON.

use super::escape;
use crate::incident::model::Incident;
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use std::io;

/// The incident as one line with its line feed.
///
/// Characters that a terminal would not just show (see [`escape::is_unsafe`]) are written as `\uXXXX`: the
/// same value for a reader of JSON, and harmless for whoever looks at it.
pub fn line(incident: &Incident) -> String {
    any_line(incident)
}

/// The same for anything with string keys whose serializers do not fail.
#[expect(clippy::expect_used, reason = "writes to memory; see above")]
pub(crate) fn any_line(value: &impl Serialize) -> String {
    let mut out = Vec::with_capacity(4096);
    value.serialize(&mut Serializer::with_formatter(&mut out, Shown)).expect("it is JSON");
    out.push(b'\n');
    String::from_utf8(out).expect("JSON is UTF-8")
}

/// [`any_line`] without its line feed.
pub(crate) fn compact(value: &impl Serialize) -> String {
    let mut line = any_line(value);
    line.truncate(line.trim_end().len());
    line
}

/// The incident's JSON in about so many bytes. Of more processes than there is room for, those with the most points.
/// `who` has only that, as the notes in it say.
pub(crate) fn limited(incident: &Incident, most: usize, who: &str) -> String {
    let whole = compact(incident);
    if whole.len() <= most {
        return whole;
    }
    let mut cut = incident.clone();
    let candidates = incident.candidates.len();
    let log = incident.kernel_log.as_deref().unwrap_or_default();
    // Both are lists of about equal rows, each gets half.
    if log.len() > most / 4 {
        let end = (0..=most / 4).rev().find(|at| log.is_char_boundary(*at)).unwrap_or(0);
        cut.kernel_log = Some(log[..end].to_owned());
        cut.evidence.notes.push(format!("{who} has only the begin of the kernel's text."));
    }
    let bytes = cut.candidates.iter().take(256).map(|it| compact(it).len()).max().unwrap_or(1);
    let kept = candidates.min(most / 2 / bytes);
    if kept < candidates {
        cut.candidates.truncate(kept);
        let dropped = (candidates - kept) as u64;
        cut.candidates_lost = Some(cut.candidates_lost.unwrap_or(0).saturating_add(dropped));
        let note = format!("{who} has {kept} of {candidates} candidates, those with the most points.");
        cut.evidence.notes.push(note);
    }
    compact(&cut)
}

/// Compact JSON that is safe to look at.
struct Shown;

impl Formatter for Shown {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(escape::is_unsafe) {
            writer.write_all(&rest.as_bytes()[..at])?;
            let mut chars = rest[at..].chars();
            let mut units = [0; 2];
            for unit in chars.next().unwrap_or_default().encode_utf16(&mut units) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests;
