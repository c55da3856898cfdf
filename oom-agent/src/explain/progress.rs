//! A line that says how far the reading is, where it takes long and somebody looks.

use crate::sink::units;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Work that is shorter needs no line.
const QUIET: Duration = Duration::from_secs(2);
/// Time between two lines.
const EVERY: Duration = Duration::from_millis(250);

/// The line, on stderr.
pub(super) struct Progress {
    /// Somebody looks.
    wanted: bool,
    began: Instant,
    /// When it was written last.
    written: Option<Instant>,
    /// There is a line.
    visible: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { wanted: io::stderr().is_terminal(), began: Instant::now(), written: None, visible: false }
    }

    /// Brings the line up to date if it is time to.
    pub(super) fn show(&mut self, bytes: u64, incidents: u64) {
        if !self.wanted {
            return;
        }
        let now = Instant::now();
        let took = now - self.began;
        if took > QUIET && self.written.is_none_or(|written| now - written > EVERY) {
            // It only helps; there is nobody to tell that it failed.
            let _ = io::stderr().write_all(format!("\r{}\x1b[K", line(bytes, took, incidents)).as_bytes());
            self.written = Some(now);
            self.visible = true;
        }
    }

    /// Takes the line away.
    pub(super) fn clear(&mut self) {
        if std::mem::replace(&mut self.visible, false) {
            let _ = io::stderr().write_all(b"\r\x1b[K");
        }
    }
}

fn line(bytes: u64, took: Duration, incidents: u64) -> String {
    let speed = (bytes as f64 / took.as_secs_f64().max(0.001)) as u64;
    let incidents = units::plural(incidents, "incident", "incidents");
    format!("oom-agent: {} read, {}/s, {incidents} so far", units::bytes(bytes), units::bytes(speed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_much_how_fast_and_what_was_found() {
        let line = line(3 << 30, Duration::from_secs(6), 1);
        assert_eq!(line, "oom-agent: 3 GiB read, 512 MiB/s, 1 incident so far");
    }
}
