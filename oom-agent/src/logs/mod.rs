//! Kernel logs as text, whoever wrote them: what stands around the kernel's messages, whose they are, and the incidents
//! that they tell of. Pure: bytes in, incidents out.
//!
//! # Layout
//! - [`Reader`]: bytes of a log to [`Found`] incidents.
//! - [`mod@line`]: one line.
//! - [`mod@stamp`]: times of lines.

pub mod line;
pub mod stamp;

pub use stamp::{Stamp, Wall, Years};

use crate::incident::assembler::{Assembler, Config};
use crate::incident::fact::Fact;
use crate::incident::model::{Incident, Level};
use crate::report::line as report_line;
use crate::report::parser::Parser;
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
}

/// Reads the text of a log, in pieces of any size. Its memory does not grow with the log.
#[derive(Debug)]
pub struct Reader {
    held: Vec<u8>,
    parser: Parser,
    assembler: Assembler,
    stats: Stats,
}

impl Reader {
    /// A reader of one log.
    pub fn new(options: Options) -> Self {
        let config = Config { sources: vec![options.source], ..Config::new(Level::Log) };
        Self {
            held: Vec::new(),
            parser: Parser::new(),
            assembler: Assembler::new(config),
            stats: Stats::default(),
        }
    }

    /// Takes the next bytes and adds the incidents that are complete to `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<Found>) {
        self.stats.bytes += bytes.len() as u64;
        self.held.extend_from_slice(bytes);
        let Some(end) = self.held.iter().rposition(|byte| *byte == b'\n') else { return };
        let rest = self.held.split_off(end + 1);
        let lines = std::mem::replace(&mut self.held, rest);
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            self.line(line, out);
        }
    }

    /// Nothing follows for now: a pipe or a growing file is silent. What would be complete if nothing followed is told.
    pub fn pause(&mut self, _out: &mut Vec<Found>) {}

    /// The end of the log. The reader is ready for another one of the same machines.
    pub fn finish(&mut self, out: &mut Vec<Found>) {
        let rest = std::mem::take(&mut self.held);
        self.line(&rest, out);
        let mut events = Vec::new();
        self.parser.finish(&mut events);
        for event in events {
            self.assembler.push(0, Fact::Log(event));
        }
        out.extend(self.assembler.finish().into_iter().map(|incident| Found { incident, wall: None }));
    }

    /// Counts until now.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    fn line(&mut self, line: &[u8], out: &mut Vec<Found>) {
        self.stats.lines += 1;
        let line = report_line::parse(line);
        let mut events = Vec::new();
        if self.parser.wants(line.message.as_bytes()) {
            self.parser.message(line.time_ns, line.context, &line.message, &mut events);
        }
        let now_ns = line.time_ns.unwrap_or(0);
        for event in events {
            self.assembler.push(now_ns, Fact::Log(event));
        }
        while let Some(incident) = self.assembler.ready(now_ns) {
            out.push(Found { incident, wall: None });
        }
    }
}
