//! Arguments of `explain`.

use super::when::{When, Window};
use crate::{
    filter::{Filter, Selection, WhereArgs},
    print::{Format, show},
    sink::terminal::Show,
};
use clap::Args;
use jiff::Zoned;
use std::path::PathBuf;

/// Arguments of `explain`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  dmesg | oom-agent explain                      what the running kernel's log still has
  journalctl -ko short-precise | oom-agent explain
  oom-agent explain /var/log/syslog*             a log and its rotated files, packed or not
  oom-agent explain kern.log --id 7              the seventh one in full
  oom-agent explain kern.log --since -2h --cgroup '*kubepods*'
  kubectl logs collector-x | oom-agent explain --format json
  oom-agent explain --follow /var/log/kern.log   what is there and what comes, until Ctrl-C

One incident is shown in full, several as a summary. Numbers are those of the whole log,
whatever is left out. The summary lists them by time; --all and JSON have them as they are read,
file by file, each when its report is complete. A file that is named twice is read once.

Times for --since and --until:
  2026-11-20T10:15:00Z   an instant, with its offset
  -2h                    so long before now
  '2026-11-20 10:15'     by the clock of the log; 2026-11-20: 00:00 of that day; 10:15: today
  1234.5s                after boot, for logs with only the kernel's clock
Where a log has no offsets, instants are compared as if it were of this machine's time zone.
An incident that has no such time is not shown, and counted on stderr.

Memory stays below 32 MiB, whatever the size of the files; unpacking what was made by xz -9 or
zstd --ultra takes up to 64 MiB more.

Exit status: 0 done (also if there was no OOM report), 1 something could not be read, 2 usage.")]
pub struct ExplainArgs {
    /// Kernel logs; `-` or none: stdin. gzip, xz and zstd are recognised by content.
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// How incidents are written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Show every incident in full instead of a summary.
    #[arg(long, conflicts_with = "id")]
    pub all: bool,
    /// Show one incident in full: its number in the summary, or its id.
    #[arg(long, value_name = "N|ID", conflicts_with = "follow")]
    pub id: Option<String>,
    /// Which incidents.
    #[command(flatten)]
    pub narrow: NarrowArgs,
    /// Candidates to show: a number, all or none. Default: 10 as text, all as JSON.
    #[arg(long, value_name = "N|all|none", allow_hyphen_values = true, value_parser = show)]
    pub candidates: Option<Show>,
    /// Show each incident in full and go on at the end: a file that grows (also when it is rotated), or a pipe.
    #[arg(long, short)]
    pub follow: bool,
}

/// Which incidents are wanted.
#[derive(Args, Clone, Debug)]
pub struct NarrowArgs {
    /// Only incidents at or after this time, see below.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = when)]
    pub since: Option<When>,
    /// Only incidents before this time.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = when)]
    pub until: Option<When>,
    /// Where.
    #[command(flatten)]
    pub place: WhereArgs,
    /// Only incidents with such a victim.
    #[arg(long, value_name = "NAME-GLOB|PID")]
    pub victim: Option<String>,
}

impl NarrowArgs {
    /// What incidents have to be about.
    pub(crate) fn filter(&self) -> Filter {
        Filter::new(&self.place, self.victim.as_deref())
    }

    /// When they have to be.
    pub(crate) fn window(&self) -> Window {
        Window { since: self.since.clone(), until: self.until.clone() }
    }

    /// Both.
    pub(crate) fn selection(&self) -> Selection {
        Selection { filter: self.filter(), window: self.window() }
    }

    /// The options that leave incidents out, as they are called; empty if none does.
    pub(crate) fn narrowed_by(&self) -> String {
        let Self { since, until, place, victim } = self;
        let given =
            [(since.is_some(), "--since"), (until.is_some(), "--until"), (victim.is_some(), "--victim")];
        let given = given.iter().filter(|(given, _)| *given).map(|(_, name)| *name);
        given.chain(place.given()).collect::<Vec<_>>().join(", ")
    }
}

/// Parses `--since` and `--until`.
fn when(text: &str) -> Result<When, String> {
    When::parse(text, &Zoned::now())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: ExplainArgs,
    }

    fn parse(line: &str) -> Result<ExplainArgs, clap::Error> {
        Cli::try_parse_from(["explain"].into_iter().chain(line.split_whitespace())).map(|cli| cli.args)
    }

    #[test]
    fn times_may_begin_with_a_minus() {
        let args = parse("--since -2h --until 1234.5s a.log -").unwrap();
        assert_eq!(args.files, [PathBuf::from("a.log"), PathBuf::from("-")]);
        assert!(matches!(args.narrow.since, Some(When::Instant(_))));
        assert_eq!(args.narrow.until, Some(When::Boot(1_234_500_000_000)));
        assert_eq!(args.narrow.narrowed_by(), "--since, --until");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for wrong in
            ["--since yesterday", "--all --id 1", "--follow --id 1", "--candidates few", "--format xml"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
