//! What the agent says about itself: on stderr, never on stdout.

use crate::sink::escape;
use std::io::{Write as _, stderr};

/// Writes one line, `oom-agent: ...`, escaped: errors carry names that others chose.
///
/// Unlike `eprintln!` it does not panic where nobody reads stderr any more (`2>&1 | head -1`).
pub fn note(text: &str) {
    // In one write, so that lines of several agents do not mix. There is nobody to tell that it failed.
    let _ = stderr().write_all(format!("oom-agent: {}\n", escape::escape(text)).as_bytes());
}

/// Sends what is logged through the `log` crate, which is what the BPF programs say (`--bpf-log`), to stderr.
pub fn log_to_stderr() {
    // Fails only if there is a logger already, and there is no other.
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(log::LevelFilter::Info);
    }
}

struct Stderr;

impl log::Log for Stderr {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        note(&format!("{}: {}", record.target(), record.args()));
    }

    fn flush(&self) {}
}
