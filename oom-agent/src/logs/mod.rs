//! Kernel logs as text, whoever wrote them: what stands around the kernel's messages, whose they are, and the incidents
//! that they tell of. Pure: bytes in, incidents out.
//!
//! # Layout
//! - [`Reader`]: bytes of a log to [`Found`] incidents, and where lines begin and end. `finder`: what it skips by.
//! - [`mod@line`]: one line.
//! - [`mod@stamp`]: times as they are written.
//! - `parts`: messages that lines have only a part of.
//! - `streams`: whose message it is; `stream`: one machine's messages to incidents; `times`: when those were;
//!   `history`: how they follow one another.

mod finder;
mod history;
pub mod line;
mod parts;
mod reader;
pub mod stamp;
mod stream;
mod streams;
#[cfg(test)]
mod tests;
mod times;

pub use reader::Reader;
pub use stamp::{Stamp, Wall, Years};

use crate::incident::model::Incident;
use jiff::civil::DateTime;

/// An incident that a log tells of.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The incident. Its id is empty: who numbers the incidents gives it.
    pub incident: Incident,
    /// When the log says that it was.
    pub wall: Option<Wall>,
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
