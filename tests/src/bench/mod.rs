//! Measurements in a throwaway VM: the agent next to the tools that people use, and what it costs the kernel.
//!
//! # Layout
//! - [`peers`]: the same kills for all tools. [`scenarios`]: which kills. [`tool`], [`tools`]: a tool that runs, and which
//!   there are.
//! - [`cost`]: time inside `out_of_memory` by number of candidates.
//! - [`measured`]: what comes of both.
//! - [`kmsg`]: a follower of the kernel's log in cadvisor's way, a peer.
//! - [`clock`]: when the kernel killed, from ftrace. [`programs`]: what the kernel counts of BPF programs.

mod clock;
mod cost;
mod kmsg;
pub mod measured;
mod peers;
mod programs;
mod scenarios;
mod tool;
mod tools;

pub use crate::workload::sys::processor_time;

use anyhow::{Context, Result};
use clap::Parser;
use std::ffi::OsString;

/// Measures.
#[derive(Debug, Parser)]
#[command(name = "bench")]
enum Bench {
    /// The same kills for all tools.
    Peers(peers::Args),
    /// Time inside `out_of_memory`, with and without the agent.
    Cost(cost::Args),
    /// Tells of OOM kills as cadvisor finds them in the kernel's log.
    Kmsg,
}

/// Runs the measurement that `args` ask for (`args[0]` is the subcommand's name).
pub fn main(args: &[OsString]) -> Result<()> {
    // Who shares the memory of a victim is waited for here when its parent is gone.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .context("PR_SET_CHILD_SUBREAPER")?;
    match Bench::parse_from(args) {
        Bench::Peers(args) => peers::run(&args),
        Bench::Cost(args) => cost::run(&args),
        Bench::Kmsg => kmsg::run(),
    }
}

/// The middle one; of an even number the upper. `None`: there is none.
fn median<T: PartialOrd + Copy>(values: &[T]) -> Option<T> {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    sorted.get(sorted.len() / 2).copied()
}
