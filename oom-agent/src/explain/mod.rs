//! `oom-agent explain`: the incidents that kernel logs tell of, from files and pipes. Needs no root, no BPF, no runtime.
//!
//! # Layout
//! - [`ExplainArgs`]: its arguments; [`when`]: the times among them.
//! - `input`: files in their order, unpacked.
//! - `read`: from begin to end; `follow`: what grows. `progress`: a line on long work.
//! - [`moment`]: when an incident was, its number and id.
//! - `tell`: which are shown, and how.
//! - [`summary`]: what many have in common.

pub(crate) mod args;
mod follow;
mod input;
pub mod moment;
mod progress;
mod read;
pub mod summary;
mod tell;
pub mod when;

use crate::note::note;
use anyhow::Result;
pub use args::ExplainArgs;
use std::io::{self, IsTerminal as _};
use tell::Teller;

/// The arguments make no sense: exit status 2.
#[derive(Debug)]
pub struct Usage(pub String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Runs the command until its end.
///
/// # Errors
/// [`Usage`], or what could not be read or written; what could be is shown all the same.
pub fn run(args: &ExplainArgs) -> Result<()> {
    if args.files.is_empty() && io::stdin().is_terminal() {
        return Err(Usage(NOTHING_TO_READ.into()).into());
    }
    if args.narrow.place.namespace.is_some() {
        return Err(Usage(NO_NAMESPACES.into()).into());
    }
    let inputs = input::inputs(&args.files);
    let teller = Teller::new(args);
    if !args.follow {
        return read::run(inputs, teller);
    }
    // Also the same file twice.
    match &inputs[..] {
        [input] if args.files.len() <= 1 => follow::run(input, teller),
        _ => Err(Usage("--follow takes one file, or a pipe".into()).into()),
    }
}

const NOTHING_TO_READ: &str = "nothing to read: name a file or pipe a kernel log in. For example `oom-agent explain /var/log/syslog*`, \
     `dmesg | oom-agent explain`, `journalctl -k -o short-precise | oom-agent explain`, \
     `kubectl logs POD | oom-agent explain`; `oom-agent explain --help` has more";

const NO_NAMESPACES: &str = "logs tell no namespaces: narrow it down by --pod UID, --cgroup GLOB or --victim NAME (`oom-agent incidents` knows them)";

/// The last of several errors is the command's; the others are said before it.
fn all_of(mut failures: Vec<anyhow::Error>) -> Result<()> {
    let last = failures.pop();
    for failure in failures {
        note(&format!("{failure:#}"));
    }
    last.map_or(Ok(()), Err)
}
