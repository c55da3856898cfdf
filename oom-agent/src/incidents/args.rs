//! Arguments of `incidents`.

use crate::{
    explain::args::NarrowArgs,
    filter::Selection,
    incident::{diagnosis::Code, model::ScopeKind},
    print::{Format, show},
    sink::terminal::Show,
    store::STATE_DIR,
};
use clap::{Args, Subcommand};
use serde::de::{DeserializeOwned, value::StrDeserializer};
use std::{num::NonZeroUsize, path::PathBuf};

/// Arguments of `incidents`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  oom-agent incidents list                                the last 20
  oom-agent incidents list --since -24h --cgroup '*kubepods*'
  oom-agent incidents list --scope global --diagnosis noisy_neighbour
  oom-agent incidents show latest                         one in full
  oom-agent incidents show 7Q2M4XKD                       by its id, or the end of it
  oom-agent incidents export > incidents.jsonl            all, for another machine or jq

It works while `oom-agent run` runs, and without root for who may read the files in the state directory.

Exit status: 0 done, 1 failed (also if there is no store), 2 usage, 3 not permitted.")]
pub struct IncidentsArgs {
    /// What to do.
    #[command(subcommand)]
    pub what: What,
    /// Where `oom-agent run` keeps them.
    #[arg(long, global = true, value_name = "DIR", default_value = STATE_DIR)]
    pub state_dir: PathBuf,
}

/// What to do with the incidents.
#[derive(Subcommand, Clone, Debug)]
pub enum What {
    /// List the last ones, the newest at the end.
    List(ListArgs),
    /// Show one in full.
    Show(ShowArgs),
    /// Write all as JSON, one line an incident, the oldest first.
    Export,
}

/// Arguments of `incidents list`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Times for --since and --until:
  2026-11-20T10:15:00Z   an instant, with its offset
  -2h                    so long before now
  '2026-11-20 10:15'     by this machine's clock; 2026-11-20: 00:00 of that day; 10:15: today
  1234.5s                after boot, whichever boot it was

As JSON incidents are whole, one line each, see docs/incident.schema.json.")]
pub struct ListArgs {
    /// Which incidents.
    #[command(flatten)]
    pub narrow: NarrowArgs,
    /// Only incidents for this limit: global, memcg, cpuset, `memory_policy` or sysrq.
    #[arg(long, value_name = "SCOPE", value_parser = named::<ScopeKind>)]
    pub scope: Option<ScopeKind>,
    /// Only incidents of which one diagnosis has this code, as the JSON has it: `steady_leak`, `noisy_neighbour`...
    #[arg(long, value_name = "CODE", value_parser = named::<Code>)]
    pub diagnosis: Option<Code>,
    /// No more than so many, the newest.
    #[arg(long, value_name = "N", default_value = "20", value_parser = limit)]
    pub limit: NonZeroUsize,
    /// How they are written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Arguments of `incidents show`.
#[derive(Args, Clone, Debug)]
pub struct ShowArgs {
    /// Its id, at least the last 4 characters of it, or `latest`.
    #[arg(value_name = "ID|latest", value_parser = id)]
    pub id: String,
    /// How it is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Candidates to show: a number, all or none. Default: 10 as text, all as JSON.
    #[arg(long, value_name = "N|all|none", value_parser = show)]
    pub candidates: Option<Show>,
}

impl ListArgs {
    /// Which incidents.
    pub(super) fn selection(&self) -> Selection {
        let mut selection = self.narrow.selection();
        (selection.filter.scope, selection.filter.diagnosis) = (self.scope, self.diagnosis);
        selection
    }

    /// Whether some are left out.
    pub(super) fn narrows(&self) -> bool {
        !self.narrow.narrowed_by().is_empty() || self.scope.is_some() || self.diagnosis.is_some()
    }
}

/// One of the names of an enum, as the JSON has them.
fn named<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let text = StrDeserializer::<serde::de::value::Error>::new(text);
    T::deserialize(text).map_err(|error| error.to_string())
}

/// Ids are written in capitals. `latest` is none: it has an `l`.
fn id(text: &str) -> Result<String, String> {
    match text {
        "latest" => Ok(text.to_owned()),
        _ if (4..=26).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            Ok(text.to_ascii_uppercase())
        }
        _ => Err("neither an id of 26 letters and digits, nor its last 4 or more, nor latest".into()),
    }
}

fn limit(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "not a whole number of at least 1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: IncidentsArgs,
    }

    fn parse(line: &str) -> Result<IncidentsArgs, clap::Error> {
        Cli::try_parse_from(["incidents"].into_iter().chain(line.split_whitespace())).map(|cli| cli.args)
    }

    #[test]
    fn arguments_are_checked() {
        let args = parse("show 7q2m4xkd --state-dir /x").unwrap();
        assert_eq!(args.state_dir, PathBuf::from("/x"));
        assert!(matches!(args.what, What::Show(ShowArgs { id, .. }) if id == "7Q2M4XKD"));
        assert!(matches!(parse("show latest").unwrap().what, What::Show(it) if it.id == "latest"));
        assert!(
            matches!(parse("list --since -2h").unwrap().what, What::List(it) if !it.narrow.narrowed_by().is_empty())
        );
        assert_eq!(parse("export").unwrap().state_dir, PathBuf::from("/var/lib/oom-agent"));
        let What::List(list) = parse("list --scope memory_policy --diagnosis steady_leak").unwrap().what
        else {
            panic!()
        };
        assert_eq!(
            (list.selection().filter.scope, list.selection().filter.diagnosis, list.narrows()),
            (Some(ScopeKind::MemoryPolicy), Some(Code::SteadyLeak), true)
        );
        let wrong = parse("list --diagnosis leak").unwrap_err().to_string();
        assert!(wrong.contains("expected one of") && wrong.contains("steady_leak"), "{wrong}");
        for wrong in
            ["", "show", "show abc", "show 7%7%7%", "list --limit 0", "list --since soon", "export x"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
