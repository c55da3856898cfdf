//! The kernel's log by `syslog(2)`: for where `/dev/kmsg` cannot be opened, as in a container that is not privileged. It
//! takes `CAP_SYSLOG` (`check_syslog_permissions`, kernel/printk/printk.c), or `kernel.dmesg_restrict` 0.
//!
//! It wakes nobody, and each read copies the whole log. So it is read when BPF tells of something, and what was seen
//! before is passed over by its last line.

use super::kmsg::From;
use crate::report::{Event, line::utf8, parser::Parser};
use anyhow::{Context as _, ensure};
use std::{
    io,
    time::{Duration, Instant},
};

/// `SYSLOG_ACTION_READ_ALL`: everything since the log was last cleared, without taking it from others.
const READ_ALL: libc::c_int = 3;
/// `SYSLOG_ACTION_SIZE_BUFFER`.
const SIZE: libc::c_int = 10;
/// Bytes of the log that are read, at most: the end of it. A report with a table of 8,000 tasks has as many.
const MOST: usize = 1 << 20;
/// Between two reads at least. The report of a kill comes as many lines.
const SHORTEST: Duration = Duration::from_millis(10);
/// A read that took long is not repeated before so many times of it: a storm must not spend its time here.
const SHARE: u32 = 4;

/// Reads the kernel's log again and again, and tells what it says about OOM.
#[derive(Debug)]
pub struct Klog {
    parser: Parser,
    seen: Seen,
    /// Not before.
    next: Instant,
    /// It was not read since somebody wanted to.
    wanted: bool,
}

impl Klog {
    /// Where it begins is as for `/dev/kmsg`.
    ///
    /// # Errors
    /// The log may not be read.
    pub fn open(from: From) -> anyhow::Result<Self> {
        let mut seen = Seen::default();
        let now = snapshot()?;
        if from == From::Now {
            seen.new_of(&now);
        }
        Ok(Self { parser: Parser::new(), seen, next: Instant::now(), wanted: false })
    }

    /// Adds what is new to `out`, unless it was read just before; then [`Self::due`] says when it is to be read.
    ///
    /// # Errors
    /// The log cannot be read any more.
    pub fn read(&mut self, out: &mut Vec<Event>) -> anyhow::Result<()> {
        let began = Instant::now();
        self.wanted = began < self.next;
        if self.wanted {
            return Ok(());
        }
        let text = snapshot()?;
        let New { lines, gap } = self.seen.new_of(&text);
        if gap {
            self.parser.gap(None, out);
        }
        for line in lines.split(|byte| *byte == b'\n').filter_map(Line::parse) {
            // A process cannot write with the kernel's facility (`devkmsg_write`), so it cannot forge a report.
            if line.facility == 0 && self.parser.wants(line.message) {
                self.parser.message(line.time_ns, line.context, &utf8(line.message), out);
            }
        }
        let end = Instant::now();
        self.next = end + ((end - began) * SHARE).max(SHORTEST);
        Ok(())
    }

    /// How long until it is to be read, if it was asked for too early.
    pub fn due(&self) -> Option<Duration> {
        self.wanted.then(|| self.next.saturating_duration_since(Instant::now()))
    }

    /// Tells a report whose end has not come as far as it goes.
    pub fn finish(&mut self, out: &mut Vec<Event>) {
        self.next = Instant::now();
        // It ends: what cannot be read any more is not worth a word.
        let _ = self.read(out);
        self.parser.finish(out);
    }
}

/// The log as it is now, its end if it is long.
fn snapshot() -> anyhow::Result<Vec<u8>> {
    const FAILED: &str = "cannot read the kernel's log by syslog(2)";
    // SAFETY: this action takes no buffer.
    let size = unsafe { libc::klogctl(SIZE, std::ptr::null_mut(), 0) };
    let size = usize::try_from(size).map_err(|_| io::Error::last_os_error()).context(FAILED)?;
    ensure!(size > 0, "{FAILED}: this kernel keeps none");
    let mut text = vec![0_u8; size.min(MOST)];
    // SAFETY: the kernel writes at most as many bytes as it is told, which are there.
    let read = unsafe { libc::klogctl(READ_ALL, text.as_mut_ptr().cast(), text.len() as libc::c_int) };
    text.truncate(usize::try_from(read).map_err(|_| io::Error::last_os_error()).context(FAILED)?);
    Ok(text)
}

/// What was seen: the last line.
#[derive(Debug, Default)]
struct Seen(Vec<u8>);

/// What was not seen yet.
#[derive(Debug, PartialEq, Eq)]
struct New<'a> {
    lines: &'a [u8],
    /// The last line that was seen is not in the log any more: there may have been others after it.
    gap: bool,
}

impl Seen {
    /// What of the log comes after the last line that was seen. From now on all of it is.
    fn new_of<'a>(&mut self, log: &'a [u8]) -> New<'a> {
        let log = log.strip_suffix(b"\n").unwrap_or(log);
        let Self(last) = self;
        let mut end = log.len();
        // From the back: little is new.
        let known = log.rsplit(|byte| *byte == b'\n').find_map(|line| {
            let after = end;
            end = end.saturating_sub(line.len() + 1);
            (line == last.as_slice()).then_some(after)
        });
        let new = match known {
            Some(after) => New { lines: log[after..].strip_prefix(b"\n").unwrap_or_default(), gap: false },
            None => New { lines: log, gap: !last.is_empty() },
        };
        if let Some(line) = new.lines.rsplit(|byte| *byte == b'\n').next().filter(|line| !line.is_empty()) {
            last.clear();
            last.extend_from_slice(line);
        }
        new
    }
}

/// A line (`print_prefix`, kernel/printk/printk.c): `<4>[   12.345678][  T123] message`. A message of several lines has it
/// before each.
#[derive(Debug, PartialEq, Eq)]
struct Line<'a> {
    facility: u32,
    /// Absent with `printk.time` 0.
    time_ns: Option<u64>,
    /// The thread that printed it (`CONFIG_PRINTK_CALLER`).
    context: Option<u32>,
    message: &'a [u8],
}

impl<'a> Line<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        let (prio, mut rest) = within(line, b'<', b'>')?;
        let facility = number(prio)? >> 3;
        let (mut time_ns, mut context) = (None, None);
        if let Some((stamp, after)) = within(rest, b'[', b']')
            && let Some(time) = time(stamp)
        {
            (time_ns, rest) = (Some(time), after);
        }
        if let Some((caller, after)) = within(rest, b'[', b']')
            && let [kind @ (b'T' | b'C'), id @ ..] = caller.trim_ascii_start()
            && let Some(id) = number(id)
        {
            context = (*kind == b'T').then_some(id).and_then(|id| u32::try_from(id).ok());
            rest = after;
        }
        let message = rest.strip_prefix(b" ").unwrap_or(rest);
        Some(Self { facility: u32::try_from(facility).ok()?, time_ns, context, message })
    }
}

fn within(text: &[u8], open: u8, close: u8) -> Option<(&[u8], &[u8])> {
    let text = text.strip_prefix(&[open])?;
    let end = text.iter().position(|byte| *byte == close)?;
    Some((&text[..end], &text[end + 1..]))
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().all(u8::is_ascii_digit).then(|| str::from_utf8(digits).ok()?.parse().ok())?
}

/// `   12.345678`.
fn time(stamp: &[u8]) -> Option<u64> {
    let stamp = stamp.trim_ascii_start();
    let point = stamp.iter().position(|byte| *byte == b'.')?;
    let (seconds, micros) = (number(&stamp[..point])?, &stamp[point + 1..]);
    let micros = number(micros).filter(|_| micros.len() == 6)?;
    seconds.checked_mul(1_000_000_000)?.checked_add(micros * 1000)
}

#[cfg(test)]
mod tests;
