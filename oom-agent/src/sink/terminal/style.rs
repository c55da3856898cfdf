//! How an incident is shown.

use std::env;
use std::io::{IsTerminal as _, stdout};

/// Which candidates are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// So many of those that could be killed, and always the victims and the one that asked; a few exempt ones.
    Top(usize),
    /// Every one.
    All,
    /// Only how many there were.
    None,
}

/// How an incident is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Columns; taken as 80 if there are fewer.
    pub width: usize,
    /// With SGR colour codes.
    pub color: bool,
    /// Which candidates.
    pub candidates: Show,
}

impl Default for Style {
    fn default() -> Self {
        Self { width: 80, color: false, candidates: Show::Top(10) }
    }
}

impl Style {
    /// For what stdout is: as wide as the terminal and in colour there, unless `NO_COLOR` is set or `TERM` is `dumb`;
    /// elsewhere `COLUMNS` or 80 columns and no colour.
    pub fn detect(candidates: Show) -> Self {
        let terminal = stdout().is_terminal();
        let columns = if terminal {
            rustix::termios::tcgetwinsize(stdout()).ok().map(|size| usize::from(size.ws_col))
        } else {
            env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok())
        };
        let plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || env::var_os("TERM").is_some_and(|term| term == "dumb");
        // A width from the environment must not become a request for gigabytes of blanks.
        Self { width: columns.unwrap_or(80).clamp(80, 1000), color: terminal && !plain, candidates }
    }
}
