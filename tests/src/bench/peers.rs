//! The same kills for all tools: what each told of them, how soon, and what it cost.

use super::clock::{Clock, Kill};
use super::measured::{Costs, Outcome, Peers, Score, Victim};
use super::scenarios::{SCENARIOS, Scenario, burst};
use super::tool::{Running, Told, Tool};
use super::{median, tools};
use crate::cases::agent::boottime_ns;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Starts after the first, and what of a start is too long to be repeated.
const STARTS: usize = 4;
const SLOW_MS: f64 = 10_000.0;
/// How long a tool is looked at while nothing happens.
const IDLE: Duration = Duration::from_secs(20);
/// Kills whose lines are timed, and the time between two.
const TIMED: u32 = 30;
const PACE_MS: u32 = 200;
/// Kills whose cost is measured.
const COSTED: u32 = 200;
/// All tools have told when none has said anything for so long.
const QUIET: Duration = Duration::from_secs(2);
const QUIET_MOST: Duration = Duration::from_mins(1);

/// What to measure.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where the result is written.
    #[arg(long)]
    out: PathBuf,
    /// The agent.
    #[arg(long, default_value = "/bin/oom-agent")]
    agent: PathBuf,
    /// Only tools whose name has one of these words in it.
    #[arg(long)]
    tool: Vec<String>,
    /// Only scenarios whose name has one of these words in it.
    #[arg(long)]
    only: Vec<String>,
    /// Only how long each takes to start, and its memory by then.
    #[arg(long)]
    starts: bool,
}

/// Measures and writes `peers.json`.
pub(super) fn run(args: &Args) -> Result<()> {
    fs::create_dir_all(&args.out).with_context(|| format!("creating {}", args.out.display()))?;
    set("kernel/pid_max", "4194304")?;
    // A console is slower than the kills.
    set("kernel/printk", "1")?;
    tools::mount_root()?;
    let clock = if args.starts { None } else { Some(Clock::new()?) };
    let wanted =
        |words: &[String], name: &str| words.is_empty() || words.iter().any(|word| name.contains(&**word));
    let mut all = tools::all(&args.agent)?;
    all.retain(|tool| wanted(&args.tool, tool.name));
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").context("reading the kernel's version")?;
    let mut result = Peers { kernel: release.trim().to_owned(), ..Peers::default() };
    let save = |result: &Peers| {
        fs::write(args.out.join("peers.json"), serde_json::to_vec_pretty(result)?)
            .context("writing peers.json")
    };
    for tool in &all {
        let costs = alone(tool, clock.as_ref()).unwrap_or_else(|error| Costs {
            tool: tool.name.to_owned(),
            error: Some(format!("{error:#}")),
            ..Costs::default()
        });
        eprintln!("{}", serde_json::to_string(&costs)?);
        result.tools.push(costs);
        save(&result)?;
    }
    if args.starts {
        return Ok(());
    }
    let runs =
        |tool: &&Tool| result.tools.iter().any(|costs| costs.tool == tool.name && costs.error.is_none());
    let mut running = all
        .iter()
        .filter(runs)
        .map(Tool::start)
        .collect::<Result<Vec<_>>>()
        .context("starting all of them")?;
    for scenario in
        SCENARIOS.iter().filter(|it| wanted(&args.only, it.name) && (!it.long || !args.only.is_empty()))
    {
        let outcome = together(scenario, &mut running).unwrap_or_else(|error| Outcome {
            scenario: scenario.name.to_owned(),
            error: Some(format!("{error:#}")),
            truth: Vec::new(),
            vmstat: 0,
            tools: BTreeMap::new(),
        });
        let scores = serde_json::to_string(&outcome.tools)?;
        eprintln!("{}: {} victims, {scores} {:?}", outcome.scenario, outcome.truth.len(), outcome.error);
        result.scenarios.push(outcome);
        save(&result)?;
    }
    running.into_iter().try_for_each(Running::stop)
}

fn set(name: &str, value: &str) -> Result<()> {
    let path = format!("/proc/sys/{name}");
    fs::write(&path, value).with_context(|| format!("writing {value} to {path}"))
}

/// One tool, with nothing else that watches. Without a clock only its start.
fn alone(tool: &Tool, clock: Option<&Clock>) -> Result<Costs> {
    let mut costs = Costs { tool: tool.name.to_owned(), ..Costs::default() };
    // The first start of a Python program compiles its modules, which an installed one has done.
    tool.start()?.stop()?;
    let start = |is_cold: bool| -> Result<f64> {
        if is_cold {
            rustix::fs::sync();
            set("vm/drop_caches", "3")?;
        }
        let running = tool.start()?;
        let ready_ms = running.ready_ms;
        running.stop()?;
        Ok(ready_ms)
    };
    // The fastest: what else the host does only adds. One that takes long is not held up by it as much.
    let fastest = |is_cold: bool| -> Result<f64> {
        let first = start(is_cold)?;
        let starts = if first > SLOW_MS { 0 } else { STARTS };
        (0..starts).try_fold(first, |least, _| Ok(least.min(start(is_cold)?)))
    };
    costs.cold_ms = fastest(true)?;
    costs.warm_ms = fastest(false)?;
    let mut running = tool.start()?;
    costs.attached_kib = Some(running.resident_kib()?).filter(|kib| *kib > 0);
    costs.peak_kib = running.peak_kib()?;
    let Some(clock) = clock else {
        running.stop()?;
        return Ok(costs);
    };

    let used = |running: &Running<'_>, before: Duration| -> Result<f64> {
        Ok(running.processor_time()?.saturating_sub(before).as_secs_f64() * 1e6)
    };
    let before = running.processor_time()?;
    std::thread::sleep(IDLE);
    costs.idle_us_per_s = used(&running, before)? / IDLE.as_secs_f64();

    clock.take()?;
    burst(TIMED, Some(PACE_MS))?;
    quiet(std::slice::from_ref(&running));
    let told = running.take();
    let seen = clock.take()?;
    let times: Vec<[f64; 3]> = seen.kills.iter().filter_map(|kill| times(kill, &seen.gone, &told)).collect();
    let spread = |at: usize| {
        let values: Vec<f64> = times.iter().map(|times| times[at]).collect();
        Some([median(&values)?, values.iter().copied().fold(f64::MIN, f64::max)])
    };
    costs.timed = times.len();
    costs.to_line_us = spread(0);
    costs.wait_us = spread(1).map(|[median, _]| median);
    costs.after_wait_us = spread(2);

    let before = running.processor_time()?;
    burst(COSTED, None)?;
    quiet(std::slice::from_ref(&running));
    costs.us_per_kill = used(&running, before)? / f64::from(COSTED);
    costs.end_kib = running.resident_kib()?;
    costs.peak_kib = running.peak_kib()?.max(costs.end_kib);
    running.stop()?;
    Ok(costs)
}

/// From the decision to the line, to the end of everything that there is to wait for, and from that to the line; µs.
fn times(kill: &Kill, gone: &BTreeMap<u32, u64>, told: &[Told]) -> Option<[f64; 3]> {
    let victim = *kill.marked.first()?;
    let line_ns = told.iter().find(|told| told.pid == victim)?.time_ns;
    let end_ns = gone.get(&victim).copied().unwrap_or(0).max(kill.leave_ns);
    let from = |begin: u64, end: u64| (end as f64 - begin as f64) / 1000.0;
    Some([from(kill.decided_ns, line_ns), from(kill.decided_ns, end_ns), from(end_ns, line_ns)])
}

/// Waits until nothing new comes.
fn quiet(running: &[Running<'_>]) {
    let begun = Instant::now();
    let count = || running.iter().map(Running::lines).sum::<usize>();
    let (mut last, mut since) = (count(), boottime_ns());
    while begun.elapsed() < QUIET_MOST && boottime_ns() - since < QUIET.as_nanos() as u64 {
        std::thread::sleep(Duration::from_millis(50));
        let now = count();
        if now != last {
            (last, since) = (now, boottime_ns());
        }
    }
}

fn together(scenario: &Scenario, running: &mut [Running<'_>]) -> Result<Outcome> {
    let before = vmstat()?;
    let resident = |tool: &Running<'_>| tool.resident_kib().unwrap_or(0);
    let residents: Vec<u64> = running.iter().map(resident).collect();
    let truth = (scenario.run)()?;
    quiet(running);
    let mut scores = BTreeMap::new();
    for (tool, before) in running.iter_mut().zip(residents) {
        let counted = tool.grown().ok();
        let resident_kib = [before, resident(tool)];
        scores.insert(
            tool.tool.name.to_owned(),
            Score { counted, resident_kib, ..score(&truth, &tool.take()) },
        );
    }
    Ok(Outcome {
        scenario: scenario.name.to_owned(),
        error: None,
        truth,
        vmstat: vmstat()? - before,
        tools: scores,
    })
}

fn score(truth: &[Victim], told: &[Told]) -> Score {
    let real: BTreeMap<u32, &str> = truth.iter().map(|victim| (victim.pid, &*victim.cgroup)).collect();
    let names: BTreeSet<u32> = told.iter().map(|told| told.pid).collect();
    let right =
        |told: &&Told| told.cgroup.as_deref().is_some_and(|cgroup| real.get(&told.pid) == Some(&cgroup));
    let placed: BTreeSet<u32> = told.iter().filter(right).map(|told| told.pid).collect();
    Score {
        found: names.iter().filter(|pid| real.contains_key(pid)).count(),
        false_ones: names.iter().filter(|pid| !real.contains_key(pid)).count(),
        doubled: told.len() - names.len(),
        placed: told.iter().any(|told| told.cgroup.is_some()).then_some(placed.len()),
        counted: None,
        resident_kib: [0; 2],
    }
}

fn vmstat() -> Result<u64> {
    let text = fs::read_to_string("/proc/vmstat").context("reading /proc/vmstat")?;
    let value = text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok());
    value.context("/proc/vmstat has no oom_kill")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_twice_or_of_the_wrong_one_or_place_is_counted() {
        let victim = |pid, cgroup: &str| Victim { pid, cgroup: cgroup.into() };
        let told = |pid, cgroup: Option<&str>| Told { pid, cgroup: cgroup.map(str::to_owned), time_ns: 0 };
        let truth = [victim(1, "/a"), victim(2, "/a"), victim(3, "/b")];
        let score =
            score(&truth, &[told(1, Some("/a")), told(1, Some("/a")), told(2, Some("/c")), told(9, None)]);
        let Score { found, false_ones, doubled, placed, .. } = score;
        assert_eq!((found, false_ones, doubled, placed), (2, 1, 1, Some(1)));
    }
}
