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
