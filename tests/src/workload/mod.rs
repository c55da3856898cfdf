//! The processes that a case consists of. The binary runs itself again as each of them.
//!
//! They talk to the runner over their standard streams, so nothing waits by sleeping: `ready PID TID...` once
//! everything is set up, then a line on stdin starts the growth, `done` says that it ended without a kill, and end
//! of file on stdin ends the process.

mod apart;
mod bare;
mod bomb;
mod burst;
mod crowd;
mod hog;
mod special;
pub(crate) mod sys;
mod together;

use anyhow::{Context, Result};
use clap::Parser;
use rustix::thread::{disable_transparent_huge_pages, set_name};
use std::ffi::{CString, OsStr, OsString};
use std::fmt::Display;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// A workload.
#[derive(Debug, Parser)]
#[command(name = "work", about = "One process of a test case")]
enum Work {
    /// Holds memory and grows on command.
    Hog(hog::Hog),
    /// Like a hog, with a second process (not a thread) in the same memory.
    Sharer(hog::Hog),
    /// Like a hog, in a thread whose group's leader has exited.
    Headless(hog::Hog),
    /// Starts small hogs one after the other.
    Burst(burst::Burst),
    /// Many processes that wait.
    Crowd(crowd::Crowd),
    /// Forks until the kernel kills one of its children.
    Bomb(bomb::Bomb),
    /// Becomes another program without some of its privileges.
    Bare(bare::Bare),
    /// Another program in namespaces of its own.
    Enclosed(apart::Enclosed),
    /// Like a hog, in a child with namespaces of its own.
    Apart(hog::Hog),
    /// Processes in cgroups of their own that fill them at the same moment.
    Together(together::Together),
}

/// What every workload can be told about itself.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Setting {
    /// `cgroup.procs` files of the cgroups to join.
    #[arg(long)]
    join: Vec<PathBuf>,
    /// `oom_score_adj`.
    #[arg(long, allow_negative_numbers = true, default_value_t = 0)]
    adj: i32,
    /// Command name: up to 15 bytes, any but NUL.
    #[arg(long, default_value = "hog")]
    name: OsString,
    /// User id to take on.
    #[arg(long)]
    uid: Option<u32>,
    /// Only use memory of this NUMA node (`MPOL_BIND`).
    #[arg(long)]
    node: Option<u32>,
}

impl Setting {
    /// Becomes what was asked for. Cgroups first: what follows is charged there.
    fn apply(&self) -> Result<()> {
        for procs in &self.join {
            std::fs::write(procs, "0").with_context(|| format!("joining {}", procs.display()))?;
        }
        set_adj(self.adj)?;
        set_comm(&self.name)?;
        // A kill shall come at the page that does not fit.
        disable_transparent_huge_pages(true).context("PR_SET_THP_DISABLE")?;
        if let Some(node) = self.node {
            sys::bind_to_node(node).with_context(|| format!("set_mempolicy(MPOL_BIND, node {node})"))?;
        }
        if let Some(uid) = self.uid {
            rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(uid))
                .with_context(|| format!("setuid({uid})"))?;
        }
        Ok(())
    }
}

/// Runs the workload that `args` describe (`args[0]` is the subcommand's name).
pub fn main(args: &[OsString]) -> Result<()> {
    match Work::parse_from(args) {
        Work::Hog(hog) => hog.run(),
        Work::Sharer(hog) => special::sharer(&hog),
        Work::Headless(hog) => special::headless(hog),
        Work::Burst(burst) => burst.run(),
        Work::Crowd(crowd) => crowd.run(),
        Work::Bomb(bomb) => bomb.run(),
        Work::Bare(bare) => bare.run(),
        Work::Enclosed(enclosed) => enclosed.run(),
        Work::Apart(hog) => apart::apart(&hog),
        Work::Together(together) => together.run(),
    }
}

fn set_adj(adj: i32) -> Result<()> {
    std::fs::write("/proc/self/oom_score_adj", adj.to_string())
        .with_context(|| format!("writing {adj} to /proc/self/oom_score_adj"))
}

fn set_comm(name: &OsStr) -> Result<()> {
    let name = CString::new(name.as_bytes()).context("a command name holds no NUL")?;
    set_name(&name).with_context(|| format!("setting the command name {name:?}"))
}

/// Says one line to the runner.
fn say(line: impl Display) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("writing to the runner")
}

/// Waits for the runner's next line; false at the end.
fn heard() -> Result<bool> {
    let mut line = String::new();
    Ok(std::io::stdin().read_line(&mut line).context("reading from the runner")? > 0)
}
