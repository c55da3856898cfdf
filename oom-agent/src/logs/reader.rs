//! Bytes of a log to incidents.

use super::finder::Finder;
use super::history::History;
use super::line::export::Export;
use super::parts::Parts;
use super::streams::Streams;
use super::{Found, Options, Stats};
use memchr::{memchr, memrchr};

/// Bytes of a line that are kept. The longest that the kernel writes is 2 KiB, and JSON may write a byte with six.
const MOST_LINE: usize = 64 * 1024;
/// Lines after the last one that told something that are looked at, too: what goes on there (the members of a group, a
/// line in pieces) need not have something to be found by.
const ATTENTION: u32 = 64;

const BROKEN: &str = "the export is damaged, and nothing was read from there on";
const CUT: &str = "the export is cut off within its last entry, which is left out";

/// Reads the text of a log, in pieces of any size. Its memory does not grow with the log.
///
/// Almost all lines of a log have nothing to do with OOM. Until one is found that has, they are only searched for a few
/// words; from there on they are read line by line until nothing is open any more.
#[derive(Debug)]
pub struct Reader {
    finder: Finder,
    /// The begin of a line whose end is still to come, and what may belong to it before it, at most [`MOST_LINE`].
    held: Vec<u8>,
    /// Lines still to look at.
    attention: u32,
    /// The log has no lines.
    export: Option<Export>,
    unread: Option<&'static str>,
    parts: Parts,
    streams: Streams,
    history: History,
    stats: Stats,
}

impl Reader {
    /// A reader of one log.
    pub fn new(options: Options) -> Self {
        Self {
            finder: Finder::new(),
            held: Vec::new(),
            attention: 0,
            export: None,
            unread: None,
            parts: Parts::default(),
            streams: Streams::new(options),
            history: History::default(),
            stats: Stats::default(),
        }
    }

    /// Takes the next bytes (of a log's first piece at least nine, which tell what kind of log it is) and adds the incidents that are complete to `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<Found>) {
        let before = out.len();
        self.read(bytes, out);
        self.history.complete(&mut out[before..]);
    }

    fn read(&mut self, bytes: &[u8], out: &mut Vec<Found>) {
        if self.stats.bytes == 0 && Export::fits(bytes) {
            self.export = Some(Export::default());
        }
        self.stats.bytes += bytes.len() as u64;
        if let Some(export) = &mut self.export {
            let Self { streams, stats, .. } = self;
            export.push(bytes, |line| {
                stats.lines += 1;
                streams.line(&line, false, out);
            });
            return;
        }
        let mut rest = bytes;
        if !self.held.is_empty() {
            let end = memchr(b'\n', rest);
            self.hold(&rest[..end.unwrap_or(rest.len())]);
            let Some(end) = end else { return };
            rest = &rest[end + 1..];
            self.held_line(false, out);
        }
        while !rest.is_empty() {
            if self.attention == 0 {
                rest = match self.finder.find(rest) {
                    Some(at) => &rest[begin_of_line(rest, at)..],
                    None => &rest[begin_of_line(rest, rest.len())..],
                };
            }
            // What a crash left in the file is no part of a line.
            while let [0, after @ ..] = rest {
                rest = after;
            }
            let Some(end) = memchr(b'\n', rest) else { break };
            self.line(&rest[..end], false, out);
            rest = &rest[end + 1..];
        }
        self.hold(rest);
    }

    /// Nothing follows for now: a pipe or a growing file is silent. What would be complete if nothing followed is told.
    /// Lines that belong to it and come later all the same make no incident of their own; they are not told of.
    pub fn pause(&mut self, out: &mut Vec<Found>) {
        let before = out.len();
        self.streams.pause(out);
        self.history.complete(&mut out[before..]);
    }

    /// The end of the log. The reader is ready for another one of the same machines.
    pub fn finish(&mut self, out: &mut Vec<Found>) {
        let before = out.len();
        self.held_line(true, out);
        if let Some(message) = self.parts.finish() {
            self.streams.line(&message, true, out);
        }
        self.streams.finish(out);
        // The next log may tell of the same kills, or be of another boot.
        std::mem::take(&mut self.history).complete(&mut out[before..]);
        self.attention = 0;
        if let Some(mut export) = self.export.take() {
            let is_broken = export.is_broken();
            self.unread = (!export.finish()).then_some(if is_broken { BROKEN } else { CUT });
        }
    }

    /// What was not read of the log that came to its end, if its form says so: of lines nothing says that some are missing.
    pub fn unread(&self) -> Option<&'static str> {
        self.unread
    }

    /// Counts until now.
    pub fn stats(&self) -> Stats {
        Stats { crowded: self.streams.crowded(), ..self.stats }
    }

    /// Streams, and lines of reports in them.
    #[cfg(test)]
    pub(super) fn streams(&self) -> (usize, usize) {
        self.streams.held()
    }

    /// Keeps the begin of a line.
    fn hold(&mut self, bytes: &[u8]) {
        let room = MOST_LINE - self.held.len();
        self.held.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// The line that was held has its end, or nothing follows.
    fn held_line(&mut self, is_cut: bool, out: &mut Vec<Found>) {
        let line = std::mem::take(&mut self.held);
        if self.attention > 0 || self.finder.find(&line).is_some() {
            let mut lines = line.split(|byte| *byte == b'\n').peekable();
            while let Some(line) = lines.next() {
                self.line(line, is_cut && lines.peek().is_none(), out);
            }
        }
        self.held = line;
        self.held.clear();
    }

    fn line(&mut self, bytes: &[u8], is_cut: bool, out: &mut Vec<Found>) {
        self.stats.lines += 1;
        let is_cut = is_cut || bytes.len() >= MOST_LINE;
        let message = self.parts.take(&bytes[..bytes.len().min(MOST_LINE)]);
        let told = message.is_some_and(|message| self.streams.line(&message, is_cut, out));
        if told {
            self.attention = ATTENTION;
        } else if self.attention > 1 || !(self.streams.busy() || self.parts.waiting()) {
            self.attention = self.attention.saturating_sub(1);
            if self.attention == 0 {
                self.streams.settle();
            }
        } else {
            self.attention = 1;
        }
    }
}

/// Where to begin reading for the sake of the byte at `at`: at its line, or some lines before one that is indented.
fn begin_of_line(text: &[u8], at: usize) -> usize {
    /// `dmesg --json` has time and message on lines of their own.
    const LINES_BEFORE: usize = 4;
    let line = |at: usize| memrchr(b'\n', &text[..at]).map_or(0, |before| before + 1);
    let mut begin = line(at);
    for _ in 0..LINES_BEFORE {
        if begin == 0 || !matches!(text.get(begin), Some(b' ' | b'\t')) {
            break;
        }
        begin = line(begin - 1);
    }
    begin
}
