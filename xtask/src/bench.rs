//! `cargo xtask bench`: how fast `explain` reads, next to grep, in one run on this machine; with `--sampler`, what the
//! agent's sampler costs; with `--reclaim`, what the agent costs a workload that reclaims all the time. In VMs: with `--peers`,
//! the agent next to the tools that people use; with `--cost`, what it adds to the kernel's OOM path.
//!
//! Times are those of whole processes. Both programs take turns, so that what else the machine does meets both; the
//! ratios count, not the seconds.

mod cost;
mod input;
mod measure;
mod peers;
mod reclaim;
mod sampler;

use crate::{
    kernel::Wanted,
    process,
    vm::{self, Clock, End, Request},
};
use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use measure::{Measured, measure, spread};
use serde::de::DeserializeOwned;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

const MIB: u64 = 1 << 20;
/// A release build from nothing.
const BUILD: Duration = Duration::from_mins(15);

/// Measure how fast `explain` reads logs, or what the agent costs.
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct BenchArgs {
    /// Rounds; each runs every program once.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// MiB of the log with a report every 10 MiB.
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(10..))]
    size: u64,
    /// Measure what the agent's sampler costs next to 500 cgroups with limits instead (as root).
    #[arg(long)]
    sampler: bool,
    /// With --sampler: how long, in seconds, without it and with it.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(10..))]
    time: u64,
    /// What the agent costs a workload that reclaims all the time, instead. Needs root.
    #[arg(long)]
    reclaim: bool,
    /// The same kills for the agent and for other tools, in VMs, instead.
    #[arg(long, conflicts_with_all = ["sampler", "reclaim"])]
    peers: bool,
    /// Time inside the kernel's OOM path with and without the agent, by number of candidates, in VMs, instead.
    #[arg(long, conflicts_with_all = ["sampler", "reclaim", "peers"])]
    cost: bool,
    /// With --peers and --cost: a kernel, as in `cargo xtask test`; may be repeated [default: 6.1, 6.12, newest].
    #[arg(long, value_name = "X")]
    kernel: Vec<Wanted>,
    /// With --peers: only scenarios whose name has this word in it; may be repeated.
    #[arg(long, value_name = "WORD", requires = "peers")]
    only: Vec<String>,
    /// With --peers: only tools whose name has this word in it; may be repeated.
    #[arg(long, value_name = "WORD", requires = "peers")]
    tool: Vec<String>,
    /// With --peers: only how long each takes to start.
    #[arg(long, requires = "peers")]
    starts: bool,
    /// With --cost: numbers of processes.
    #[arg(
        long,
        value_name = "N",
        requires = "cost",
        value_delimiter = ',',
        default_value = "10,1000,5000,10000,20000,50000"
    )]
    tasks: Vec<u32>,
    /// With --cost: count instructions instead of time, in a VM with one processor: the same whatever else this machine does.
    #[arg(long, requires = "cost")]
    instructions: bool,
    /// The workload of --reclaim.
    #[arg(long, hide = true, requires = "reclaim_group")]
    reclaim_reader: Option<PathBuf>,
    /// Its cgroup.
    #[arg(long, hide = true)]
    reclaim_group: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn main(args: &BenchArgs) -> Result<ExitCode> {
    if let (Some(file), Some(group)) = (&args.reclaim_reader, &args.reclaim_group) {
        reclaim::read(file, group)?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.cost || args.peers {
        let kernels = kernels(&args.kernel)?;
        return if args.cost {
            let clock = if args.instructions { Clock::Instructions } else { Clock::Host };
            cost::main(&kernels, &args.tasks, clock)
        } else {
            peers::main(&kernels, &args.tool, &args.only, args.starts)
        };
    }
    let root = process::workspace();
    let target = root.join("target");
    let directory = target.join("bench");
    let mut build = process::cargo();
    build.args(["build", "--release", "--package", "oom-agent"]).current_dir(&root);
    process::run("build the agent, optimised", &mut build, BUILD, &directory.join("build.log"))?;
    let agent = target.join("release/oom-agent");

    if args.sampler {
        sampler::run(&agent, Duration::from_secs(args.time))?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.reclaim {
        reclaim::main(&agent, &directory, args.rounds)?;
        return Ok(ExitCode::SUCCESS);
    }
    let samples = input::samples(&root)?;
    let sparse = input::sparse(&directory, &samples, args.size * MIB)?;
    let dense = input::dense(&directory, &samples, 100 * MIB)?;
    next_to_grep(&agent, &sparse, args.rounds)?;
    only_reports(&agent, &dense, args.rounds)?;
    Ok(ExitCode::SUCCESS)
}

fn kernels(asked: &[Wanted]) -> Result<Vec<Wanted>> {
    if !asked.is_empty() {
        return Ok(asked.to_vec());
    }
    ["6.1", "6.12", "newest"].iter().map(|name| name.parse().map_err(anyhow::Error::msg)).collect()
}

fn explain(agent: &Path, input: &input::Input) -> Command {
    let mut command = Command::new(agent);
    command.arg("explain").arg(&input.path);
    command
}

fn next_to_grep(agent: &Path, input: &input::Input, rounds: u32) -> Result<()> {
    input.warm()?;
    let mut grep = Command::new("grep");
    grep.args(["-c", "oom-kill:"]).arg(&input.path);
    let (mut greps, mut explains) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        greps.push(measure(&mut grep)?);
        explains.push(measure(&mut explain(agent, input))?);
    }
    let ratios = greps.iter().zip(&explains).map(|(grep, explain)| explain.seconds / grep.seconds);
    println!("{} MiB of syslog, {} reports in it:", input.bytes / MIB, input.reports);
    println!("  grep -c oom-kill:   {} s", spread(greps.iter().map(|it| it.seconds), 2));
    println!("  oom-agent explain   {} s", spread(explains.iter().map(|it| it.seconds), 2));
    println!("  ratio               {}", spread(ratios, 2));
    println!("  memory              {} MiB", memory(&explains));
    complete(agent, input)
}

fn only_reports(agent: &Path, input: &input::Input, rounds: u32) -> Result<()> {
    input.warm()?;
    let mut explains = Vec::new();
    for _ in 0..rounds {
        explains.push(measure(&mut explain(agent, input))?);
    }
    let mib = input.bytes as f64 / MIB as f64;
    println!("{mib:.0} MiB of nothing but reports, {} of them:", input.reports);
    println!("  oom-agent explain   {} s", spread(explains.iter().map(|it| it.seconds), 2));
    println!("                      {} MiB/s", spread(explains.iter().map(|it| mib / it.seconds), 0));
    println!("  memory              {} MiB", memory(&explains));
    complete(agent, input)
}

fn memory(runs: &[Measured]) -> String {
    spread(runs.iter().map(|it| it.peak_bytes as f64 / MIB as f64), 1)
}

/// Fast is worth nothing if something is missing.
fn complete(agent: &Path, input: &input::Input) -> Result<()> {
    let mut command = explain(agent, input);
    command.args(["--format", "json", "--candidates", "none"]);
    let lines = measure::lines(&mut command).with_context(|| process::shown(&command))?;
    let expected = input.reports;
    ensure!(lines == expected, "{lines} incidents were told of {expected} in {}", input.path.display());
    println!("  all {lines} incidents told");
    Ok(())
}

/// Measures in a VM: the kernel's release, and what the guest wrote to `bench/NAME.json` among its results.
fn in_vm<T: DeserializeOwned>(name: &str, request: Request) -> Result<(String, T)> {
    let kernel = request.kernel.to_string();
    let results = process::workspace().join(format!("target/bench/{name}-{kernel}"));
    let _ = fs::remove_dir_all(&results);
    let outcome = vm::run(&Request { results: Some(results.clone()), ..request })?;
    ensure!(
        matches!(outcome.end, End::Exited(0)),
        "the VM of Linux {kernel} ended with {:?}; its console:\n{}",
        outcome.end,
        vm::console_tail(&outcome.console, 30)
    );
    let path = results.join("bench").join(name).with_extension("json");
    let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let measured = serde_json::from_slice(&bytes).with_context(|| format!("reading {}", path.display()))?;
    Ok((outcome.kernel, measured))
}
