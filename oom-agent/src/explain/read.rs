//! Reading logs from their begin to their end.

use super::all_of;
use super::input::{self, Input, Text, order};
use super::progress::Progress;
use super::tell::Teller;
use crate::logs::{Found, Options, Reader};
use crate::note::note;
use anyhow::{Context as _, Result, anyhow};
use std::ops::ControlFlow;

/// Files without a report that are named.
const NAMED: usize = 20;

/// Reads all of it.
///
/// # Errors
/// What could not be read or written.
pub(super) fn run(inputs: Vec<Input>, mut teller: Teller<'_>) -> Result<()> {
    let mut work = Work { failures: Vec::new(), progress: Progress::new(), bytes: 0, empty: Vec::new() };
    let mut ended = ControlFlow::Continue(());
    for log in order::logs(inputs) {
        ended = work.log(&log, &mut teller)?;
        if ended.is_break() {
            break;
        }
        teller.next_log();
    }
    work.progress.clear();
    if ended.is_continue() {
        for name in work.empty.iter().take(NAMED) {
            note(&format!("no OOM report in {name}"));
        }
        if work.empty.len() > NAMED {
            note(&format!("and none in {} others", work.empty.len() - NAMED));
        }
    }
    work.failures.extend(teller.finish().err());
    all_of(work.failures)
}

/// What is left of reading.
struct Work {
    failures: Vec<anyhow::Error>,
    progress: Progress,
    bytes: u64,
    /// Logs without a report.
    empty: Vec<String>,
}

impl Work {
    /// One log, its files from the oldest on. A report that goes on in the next file is one.
    fn log(&mut self, files: &[Input], teller: &mut Teller<'_>) -> Result<ControlFlow<()>> {
        let file = name(files);
        let mut reader = reader(files);
        let mut found = Vec::new();
        let (read, failed) = (teller.read(), self.failures.len());
        for input in files {
            let whole = match input.open() {
                Ok(open) => self.file(input, open, &file, &mut reader, teller)?,
                Err(error) => {
                    self.failures.push(error);
                    ControlFlow::Continue(false)
                }
            };
            match whole {
                ControlFlow::Break(()) => return Ok(ControlFlow::Break(())),
                ControlFlow::Continue(true) => {}
                // What comes next does not follow on what was read.
                ControlFlow::Continue(false) => {
                    reader.finish(&mut found);
                    if self.tell(&mut found, &file, teller)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
        }
        reader.finish(&mut found);
        if let Some(unread) = reader.unread() {
            self.failures.push(anyhow!("cannot read all of {file}: {unread}"));
        }
        let ended = self.tell(&mut found, &file, teller)?;
        if teller.read() == read && self.failures.len() == failed {
            self.empty.extend(files.iter().map(Input::shown));
        }
        Ok(ended)
    }

    /// One file. Tells whether it could be read to its end.
    fn file(
        &mut self,
        input: &Input,
        open: std::fs::File,
        file: &str,
        reader: &mut Reader,
        teller: &mut Teller<'_>,
    ) -> Result<ControlFlow<(), bool>> {
        let mut text = Text::new(Box::new(open));
        let mut found = Vec::new();
        loop {
            match text.next().with_context(|| format!("cannot read {}", input.shown())) {
                Ok([]) => return Ok(ControlFlow::Continue(true)),
                Ok(bytes) => {
                    self.bytes += bytes.len() as u64;
                    reader.push(bytes, &mut found);
                }
                Err(error) => {
                    self.failures.push(error);
                    return Ok(ControlFlow::Continue(false));
                }
            }
            if !found.is_empty() && self.tell(&mut found, file, teller)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            self.progress.show(self.bytes, teller.found());
        }
    }

    fn tell(
        &mut self,
        found: &mut Vec<Found>,
        file: &str,
        teller: &mut Teller<'_>,
    ) -> Result<ControlFlow<()>> {
        if teller.writes_at_once() {
            self.progress.clear();
        }
        teller.all(found.drain(..), file)
    }
}

/// A reader for the files of one log.
pub(super) fn reader(files: &[Input]) -> Reader {
    Reader::new(Options { latest: Some(input::latest(files)), source: name(files) })
}

/// What a log is called: its file, or the first and the last of them.
pub(super) fn name(files: &[Input]) -> String {
    match files {
        [] => String::new(),
        [one] => one.name(),
        [first, .., last] => format!("{} to {}", first.name(), last.name()),
    }
}
