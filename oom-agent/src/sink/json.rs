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
