//! Time inside `out_of_memory`, by number of candidates: with and without the agent, with and without the kernel's own
//! task dump.

use super::clock::{Clock, Kill};
use super::measured::{Cost, Stats};
use super::programs;
use super::scenarios::Crowd;
use super::tool::{Tells, Tool};
use crate::cases::machine::Setting;
use crate::truth::kmsg::PRINTS_AGAIN;
use anyhow::{Context, Result};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const TELL: Duration = Duration::from_mins(1);

/// What to measure.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where the result is written.
    #[arg(long)]
    out: PathBuf,
    /// The agent.
    #[arg(long, default_value = "/bin/oom-agent")]
    agent: PathBuf,
    /// Numbers of tasks.
    #[arg(long, value_delimiter = ',', default_value = "10,1000,5000,10000,20000")]
    tasks: Vec<u32>,
    /// Kills for each figure. The fastest counts: what else the host does only adds.
    #[arg(long, default_value_t = 7)]
    kills: usize,
}

/// Measures and writes `cost.json`.
pub(super) fn run(args: &Args) -> Result<()> {
    for (path, value) in [("kernel/pid_max", "4194304"), ("kernel/threads-max", "300000")] {
        let path = format!("/proc/sys/{path}");
        fs::write(&path, value).with_context(|| format!("writing {value} to {path}"))?;
    }
    fs::create_dir_all(&args.out).with_context(|| format!("creating {}", args.out.display()))?;
    let clock = Clock::new()?;
    let mut all = Vec::new();
    for tasks in &args.tasks {
        let measured = measure(args, &clock, *tasks)?;
        eprintln!("{}", serde_json::to_string(&measured)?);
        all.push(measured);
        // As often as there is something: a larger crowd may be too large for the machine.
        fs::write(args.out.join("cost.json"), serde_json::to_vec_pretty(&all)?)
            .context("writing cost.json")?;
    }
    Ok(())
}

fn measure(args: &Args, clock: &Clock, tasks: u32) -> Result<Cost> {
    let begun = Instant::now();
    let crowd = Crowd::new(tasks)?;
    let mut measured = Cost { tasks, making_ms: begun.elapsed().as_secs_f64() * 1000.0, ..Cost::default() };
    let mut kills = |name: &'static str, dump: &str| -> Result<()> {
        let _dump = Setting::new("/proc/sys/vm/oom_dump_tasks", dump)?;
        // A kill without a report would not count.
        std::thread::sleep(PRINTS_AGAIN);
        measured.us.insert(name.to_owned(), time(clock, &crowd, args.kills)?);
        Ok(())
    };
    kills("nothing", "0")?;
    kills("dump", "1")?;
    let command = [&args.agent.to_string_lossy(), "trace", "--format", "json", "--candidates", "all"];
    let agent = Tool {
        name: "oom-agent",
        command: command.map(str::to_owned).to_vec(),
        ready: "tracing OOM kills",
        tells: Tells::Lines(|_| Vec::new()),
        terminal: false,
    };
    let mut agent = agent.start()?;
    kills("agent", "0")?;
    kills("agent and dump", "1")?;
    let incidents = wait(&agent, 2 * args.kills);
    for incident in &incidents {
        let number = |name: &str| incident.get(name).and_then(Value::as_u64).unwrap_or(0);
        measured.evaluated += number("candidates_evaluated");
        measured.lost += number("candidates_lost");
        measured.listed += incident.get("candidates").and_then(Value::as_array).map_or(0, Vec::len) as u64;
    }
    agent.take();
    let _stats = Setting::new("/proc/sys/kernel/bpf_stats_enabled", "1")?;
    let _dump = Setting::new("/proc/sys/vm/oom_dump_tasks", "0")?;
    let before = programs::stats()?;
    crowd.kill()?;
    clock.take()?;
    for (name, after) in programs::stats()? {
        let before = before.get(&name).copied().unwrap_or_default();
        let Stats { run_time_ns, run_cnt } = after;
        let ran = Stats { run_time_ns: run_time_ns - before.run_time_ns, run_cnt: run_cnt - before.run_cnt };
        if ran.run_cnt > 0 {
            measured.programs.insert(name, ran);
        }
    }
    agent.stop()?;
    drop(crowd);
    Ok(measured)
}

/// The least time of so many kills, microseconds.
fn time(clock: &Clock, crowd: &Crowd, count: usize) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..count {
        clock.take()?;
        crowd.kill()?;
        let took = |kill: &Kill| (kill.leave_ns - kill.enter_ns) as f64 / 1000.0;
        times.extend(clock.take()?.kills.iter().map(took));
    }
    times.into_iter().min_by(f64::total_cmp).context("the trace has no kill")
}

/// The agent's incidents, once there are as many as that.
fn wait(agent: &super::tool::Running<'_>, count: usize) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let lines = agent.new_lines();
        let incidents: Vec<Value> = lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
        if incidents.len() >= count || begun.elapsed() > TELL {
            return incidents;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
