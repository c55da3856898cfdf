//! Arguments of `trace`.

use crate::{
    filter::WhereArgs,
    print::{Format, show},
    sink::terminal::Show,
    startup::{UseArgs, duration},
};
use clap::Args;
use std::{num::NonZeroU64, time::Duration};

/// Arguments of `trace`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  oom-agent trace                                   every OOM kill from now on, until Ctrl-C
  oom-agent trace --cgroup '*kubepods*'             only those that hit a pod
  oom-agent trace --namespace payments              only those that hit a pod of this namespace
  oom-agent trace --since-boot                      also those before, as far as the kernel's log holds them
  oom-agent trace --format json --count 1           wait for one, as JSON
  oom-agent trace --format json | jq .victims       in a pipe; each line is flushed at once

Exit status: 0 done, 1 failed, 2 usage, 3 not permitted or not supported here.")]
pub struct TraceArgs {
    /// How incidents are written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// End after so many incidents.
    #[arg(long, value_name = "N", value_parser = count)]
    pub count: Option<NonZeroU64>,
    /// End after so long: 30s, 5m, 1h30m.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Where.
    #[command(flatten)]
    pub place: WhereArgs,
    /// First those since boot that the kernel's log still holds.
    #[arg(long)]
    pub since_boot: bool,
    /// Candidates to show: a number, all or none. Default: 10 as text, all as JSON.
    #[arg(long, value_name = "N|all|none", value_parser = show)]
    pub candidates: Option<Show>,
    /// What is used.
    #[command(flatten)]
    pub uses: UseArgs,
}

fn count(text: &str) -> Result<NonZeroU64, String> {
    text.parse().map_err(|_| "not a whole number of at least 1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_begin_at_one() {
        assert_eq!(count("1").map(NonZeroU64::get), Ok(1));
        for wrong in ["0", "-1", "1.5", "", "all", "18446744073709551616"] {
            assert!(count(wrong).is_err(), "{wrong}");
        }
    }
}
