//! What is provoked, and the runner.
//!
//! # Layout
//! - [`table`]: the cases and what they need.
//! - [`demo`]: one kill to look at.
//! - [`memcg`], [`wide`], [`rank`], [`again`]: one function a case.
//! - [`why`]: what leads to a kill, one function a case.
//! - [`totals`]: the daemon's metrics of reclaim.
//! - [`hard`], [`hard_input`]: what goes wrong around the agent. [`since_boot`]: what was before it.
//! - [`faults`]: what comes at a bad moment. [`strained`]: too little of something. [`enclosed`]: namespaces. [`suspend`]: sleep. [`survive`]: what the daemon has to survive. [`daemon`]: one as a case holds it.
//! - [`latency`]: how long incidents take to be told.
//! - [`stage`]: what one case plays on.
//! - [`actor`], [`agent`], [`group`], [`machine`]: its parts.

pub(crate) mod actor;
mod again;
pub(crate) mod agent;
mod daemon;
pub mod demo;
mod enclosed;
mod faults;
pub(crate) mod group;
mod hard;
mod hard_input;
mod latency;
mod least;
pub(crate) mod machine;
pub(crate) mod memcg;
mod rank;
mod run;
mod since_boot;
mod stage;
mod strained;
mod survive;
mod suspend;
mod table;
mod totals;
mod why;
mod wide;

pub(crate) use run::MANIFEST;

use anyhow::{Result, bail};
use clap::Parser;
use std::ffi::OsString;
use std::path::PathBuf;

/// Provokes OOM kills and writes down what really happened and what the agent made of it.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[derive(Debug, Parser)]
#[command(name = "cases")]
struct Args {
    /// Where one directory a case is written.
    #[arg(long, default_value = "/tmp/oom-cases")]
    out: PathBuf,
    /// The agent.
    #[arg(long, default_value = "/bin/oom-agent")]
    agent: PathBuf,
    /// More arguments for the agent, e.g. --max-level=tracepoint.
    #[arg(long = "agent-arg", allow_hyphen_values = true)]
    pass: Vec<String>,
    /// The truth without kprobes, as on a machine that has none: the agent may know no more than that either.
    #[arg(long)]
    no_kprobes: bool,
    /// Only the truth: no agent is started. Such output does not pass the judge.
    #[arg(long)]
    no_agent: bool,
    /// Only these cases.
    #[arg(long)]
    only: Vec<String>,
    /// Not these.
    #[arg(long)]
    except: Vec<String>,
    /// Also those that take most of a minute under emulation.
    #[arg(long)]
    heavy: bool,
    /// Also those about what goes wrong around the agent, not about the kernel.
    #[arg(long)]
    hard: bool,
    /// Names the cases and whether they can run here.
    #[arg(long)]
    list: bool,
}

/// Names of the cases about what goes wrong around the agent: one kernel is enough for them.
pub fn hard() -> impl Iterator<Item = &'static str> {
    table::CASES.iter().filter(|case| case.hard).map(|case| case.name)
}

/// Names of the cases that wait more than they work.
pub fn slow() -> impl Iterator<Item = &'static str> {
    table::CASES.iter().filter(|case| case.slow).map(|case| case.name)
}

/// Runs the cases that `args` ask for (`args[0]` is the subcommand's name).
pub fn main(args: &[OsString]) -> Result<()> {
    let args = Args::parse_from(args);
    if let Some(unknown) =
        args.only.iter().chain(&args.except).find(|name| table::CASES.iter().all(|c| c.name != *name))
    {
        bail!("no case is called {unknown}; --list names them");
    }
    if args.list { run::list() } else { run::all(&args) }
}
