//! From reads of `/dev/kmsg` to events. Knows no file: tests bring their own.

use crate::report::Event;
use crate::report::line::Record;
use crate::report::parser::Parser;
use std::fmt;
use std::io::{self, ErrorKind, Read};

/// `PRINTK_MESSAGE_MAX` is 2 KiB; escaped, a record has at most `CONSOLE_EXT_LOG_MAX`, which is this.
const RECORD: usize = 8192;
/// Records that are read in one go.
const BATCH: usize = 1024;

/// How far a [`Follower::drain`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drained {
    /// There is nothing to read now.
    All,
    /// There may be more.
    More,
}

/// Reads records, notices lost ones, and hands the kernel's messages to the parser.
pub(super) struct Follower {
    parser: Parser,
    buffer: Box<[u8; RECORD]>,
    /// Sequence number of the first record that was seen.
    first_seq: Option<u64>,
    /// Sequence number of the next record, once one was seen.
    next_seq: Option<u64>,
    /// Records before this one say nothing new.
    skip_before: u64,
    /// The kernel has said that records are lost.
    lost: bool,
}

impl Follower {
    pub(super) fn new() -> Self {
        Self {
            parser: Parser::new(),
            buffer: Box::new([0; RECORD]),
            first_seq: None,
            next_seq: None,
            skip_before: 0,
            lost: false,
        }
    }

    /// What records with a smaller sequence number say is not told.
    pub(super) fn skip_before(&mut self, seq: u64) {
        self.skip_before = seq;
    }

    /// Reads what is there, up to a batch.
    pub(super) fn drain(&mut self, source: &mut impl Read, out: &mut Vec<Event>) -> io::Result<Drained> {
        for _ in 0..BATCH {
            match source.read(&mut *self.buffer) {
                Ok(0) => return Ok(Drained::All),
                Ok(len) => self.record(len, out),
                Err(error) => match (error.kind(), error.raw_os_error()) {
                    (ErrorKind::WouldBlock, _) => return Ok(Drained::All),
                    (ErrorKind::Interrupted, _) => (),
                    // EPIPE: the ring went past us. EINVAL: the record was larger than the buffer and was skipped.
                    // Either way the next record's number tells how many are missing.
                    (ErrorKind::BrokenPipe | ErrorKind::InvalidInput, _) => self.lost = true,
                    _ => return Err(error),
                },
            }
        }
        Ok(Drained::More)
    }

    /// Number of the first record that was seen.
    pub(super) fn first_seq(&self) -> Option<u64> {
        self.first_seq
    }

    /// Number of the next record, once one was seen.
    pub(super) fn next_seq(&self) -> Option<u64> {
        self.next_seq
    }

    /// The same, unless it is in the middle of a report.
    pub(super) fn settled_seq(&self) -> Option<u64> {
        self.next_seq.filter(|_| !self.parser.is_open())
    }

    pub(super) fn finish(&mut self, out: &mut Vec<Event>) {
        self.parser.finish(out);
    }

    fn record(&mut self, len: usize, out: &mut Vec<Event>) {
        let Some(record) = Record::parse(&self.buffer[..len]) else {
            self.lost = true;
            return;
        };
        let missing =
            self.next_seq.and_then(|next| record.seq.checked_sub(next)).filter(|missing| *missing > 0);
        if missing.is_some() || self.lost {
            self.parser.gap(missing, out);
            self.lost = false;
        }
        self.first_seq = self.first_seq.or(Some(record.seq));
        self.next_seq = record.seq.checked_add(1);
        if record.seq < self.skip_before {
            return;
        }
        // A process cannot write with the kernel's facility (`devkmsg_write`), so it cannot forge a report.
        if record.facility == 0 && self.parser.wants(record.message) {
            self.parser.message(Some(record.time_ns), record.context, &record.text(), out);
        }
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { parser, buffer: _, first_seq, next_seq, skip_before, lost } = self;
        f.debug_struct("Follower")
            .field("parser", parser)
            .field("first_seq", first_seq)
            .field("next_seq", next_seq)
            .field("skip_before", skip_before)
            .field("lost", lost)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
