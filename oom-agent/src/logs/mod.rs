//! Kernel logs as text, whoever wrote them: what stands around the kernel's messages, whose they are, and the incidents
//! that they tell of. Pure: bytes in, incidents out.
//!
//! # Layout
//! - [`Reader`]: bytes of a log to [`Found`] incidents, and where lines begin and end. `finder`: what it skips by.
//! - [`mod@line`]: one line.
//! - `streams`: whose line it is; `stream`: one machine's messages to incidents; `times`: when they were.

mod finder;
pub mod line;
mod reader;
mod stream;
mod streams;
#[cfg(test)]
mod tests;
mod times;

pub use reader::Reader;

use crate::incident::model::Incident;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// An incident that a log tells of.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The incident. Its id is empty: who numbers the incidents gives it.
    pub incident: Incident,
    /// When the log says that it was.
    pub wall: Option<Wall>,
}

/// A time as a log writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wall {
    /// As it stands in the log.
    pub text: String,
    /// Date and time of day. The year is that of [`Options::latest`] or the year before where the log has none.
    pub civil: DateTime,
    /// The log has the year.
    pub has_year: bool,
    /// Time zone. `None`: the log does not say.
    pub offset: Option<Offset>,
}

/// What the text does not say.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// No line is younger than this, in the log's own time zone: the file's last change, or now. Gives the year to a log
    /// that has none.
    pub latest: Option<DateTime>,
    /// Name of what is read, for the evidence.
    pub source: String,
}

/// Counts of what was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes.
    pub bytes: u64,
    /// Lines that were looked at more closely.
    pub lines: u64,
    /// Reports that had to be told as far as they were read, since too many machines write into this log at once.
    pub crowded: u64,
}
