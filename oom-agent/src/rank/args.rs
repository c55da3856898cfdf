//! Arguments of `rank`.

use super::what_if::{Change, parse};
use clap::{Args, ValueEnum};
use std::time::Duration;

/// How the ranking is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For a person.
    Text,
    /// One JSON object on one line, see docs/rank.schema.json.
    Json,
}

/// Arguments of `rank`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Nobody is killed and nothing is changed. It works without root, as far as /proc can be read.

Examples:
  oom-agent rank                                      if the machine ran out of memory now
  oom-agent rank --cgroup /system.slice/app.service   if this cgroup reached its limit
  oom-agent rank --what-if 1234:-500                  if process 1234 had this oom_score_adj
  oom-agent rank --what-if /system.slice/app.service:512M
                                                      if this cgroup had this limit
  oom-agent rank --watch                              again every 2 seconds, until Ctrl-C
  oom-agent rank --format json | jq .now.decision.pid

Exit status: 0 done, 1 failed, 2 usage, 3 not permitted or not supported here.")]
pub struct RankArgs {
    /// For this memory cgroup instead of the machine: a path as in /proc/PID/cgroup, or a directory.
    #[arg(long, value_name = "PATH")]
    pub cgroup: Option<String>,
    /// Candidates to show. Default: 10 as text, all as JSON.
    #[arg(long, value_name = "N", value_parser = number)]
    pub top: Option<usize>,
    /// What would be with another `oom_score_adj` or another limit (bytes, 512M, 2G, max). May be given several times.
    #[arg(long, value_name = "PID:ADJ|CGROUP:LIMIT", value_parser = parse)]
    pub what_if: Vec<Change>,
    /// Again and again: every 2 seconds, or as often as given.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = seconds)]
    pub watch: Option<Duration>,
    /// How it is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "not a number of candidates".to_owned())
}

/// Between 0.1 s, to leave the machine some time for others, and a day.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if (0.1..=86_400.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("not between 0.1 and 86400 seconds".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_neither_none_nor_for_ever() {
        assert_eq!(seconds("2"), Ok(Duration::from_secs(2)));
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["0", "-1", "", "soon", "inf", "NaN", "1e9"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
