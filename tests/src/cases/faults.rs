//! Faults that the kernel's order of things does not foresee: agents that are stopped in a storm, many cgroups at once, process
//! ids that come again at once, a log that overflows, namespaces.

use super::actor::Script;
use super::agent::{Agent, Out, TELL, boottime_ns};
use super::daemon::{Daemon, State, scrape};
use super::hard::unix_seconds;
use super::machine::Setting;
use super::memcg::{spawn, spawner, spawner_of};
use super::stage::Stage;
use super::survive::{children_for, compare, told};
use crate::truth::model::Expect;
use anyhow::{Context, Result};
use rustix::process::Signal;
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long agents are stopped.
const STOPPED: Duration = Duration::from_secs(10);
/// Between two kills of a storm whose records fit into the rings.
const PACE_MS: u32 = 80;
/// More than a storm has.
const ENDLESS: &str = "1000000";

/// What an incident says is missing, and has been seen by who looked in time.
const MISSING: [&str; 4] = ["not seen", "were lost", "stopped before", "Too many incidents"];

/// Two agents, `trace` and the daemon, are stopped for ten seconds of a storm that fits into their rings. Afterwards both tell
/// everything, fully and with its own time.
pub(super) fn stopped(stage: &mut Stage<'_>) -> Result<()> {
    stage.hold(Setting::new("/proc/sys/kernel/printk", "1")?);
    let home = State::new("stopped");
    let binary = stage.binary()?.clone();
    let trace = stage.one_more(&[], Out::Read)?;
    let daemon = Daemon::spawn(&binary, &home.0, &[], None)?;
    let address = daemon.listens()?;
    let group = stage.group("stopped")?;
    stage.at(group)?.limit(4, 0)?;
    stage.because(&[], &["storm", "restart_loop"]);
    stage.overloads();
    let script = Script::new("burst").with("name", "spawner").with("count", ENDLESS);
    let storm = spawner_of(stage, group, script.with("pace-ms", PACE_MS.to_string()))?;
    let after = spawner(stage, group, 5)?;
    scrape(address)?;
    stage.look()?;
    let since = boottime_ns();
    trace.signal(Signal::STOP)?;
    daemon.signal(Signal::STOP)?;
    stage.actor(storm)?.go()?;
    let mut killed = children_for(stage, storm, STOPPED)?;
    trace.signal(Signal::CONT)?;
    daemon.signal(Signal::CONT)?;
    trace.wait(killed.len(), TELL);
    let (arrived, told_late) = (trace.arrived(), killed.len());
    stage.actor(after)?.go()?;
    killed.extend(children_for(stage, after, Duration::MAX)?);
    trace.wait(killed.len(), TELL);
    let (lines, stderr) = taken(stage, trace)?;
    stage.measured.insert("stopped_kills".into(), told_late as u64);
    if let (Some(first), Some(last)) = (arrived.first(), arrived.last()) {
        stage.measured.insert("told_within_ms".into(), (last - first) / 1_000_000);
    }
    let notes: Vec<String> = lines.iter().flat_map(|line| notes(line)).collect();
    let missing: Vec<_> =
        notes.iter().filter(|note| MISSING.iter().any(|words| note.contains(words))).collect();
    stage.check(
        "nothing that lay in the ring is said to be missing",
        missing.is_empty(),
        format!("{missing:?}"),
    );
    check_times(stage, &lines)?;
    // The daemon's own counts are compared when nothing is in the making.
    settled(stage, address, killed.len() as u64, TELL)?;
    for name in ["oom_kernel_kills_unexplained", "oom_agent_kmsg_missed_records_total"] {
        let value = scrape(address)?.0.get(name).copied();
        stage.check(format!("{name} is 0"), value == Some(0.0), format!("{value:?}"));
    }
    let new = daemon.stored_since(since, &binary, &home)?;
    let by_log = new.iter().filter(|it| it.level == "kmsg").count();
    stage.check("the daemon has none of them from the log alone", by_log == 0, by_log);
    compare(stage, &killed, &new);
    stage.tell("stopped", Expect::All, lines, stderr);
    Ok(())
}

/// Ends an agent: all that it told, and what it said.
pub(super) fn taken(stage: &mut Stage<'_>, agent: Agent) -> Result<(Vec<String>, String)> {
    let (lines, stderr, trouble) = agent.stop()?;
    stage.check("the agent ends well", trouble.is_none(), trouble.unwrap_or_default());
    Ok((lines, stderr))
}

/// Waits until the daemon has told so many incidents, and its counts are compared.
pub(super) fn settled(stage: &mut Stage<'_>, address: SocketAddr, wanted: u64, most: Duration) -> Result<()> {
    let begun = Instant::now();
    // It looks at the kernel's counters once a second.
    let pause = Duration::from_millis(1100);
    loop {
        std::thread::sleep(pause);
        let late = begun.elapsed() > most;
        // It may be too busy to answer in time.
        let count = match scrape(address) {
            Ok((samples, _)) => told(&samples) as u64,
            Err(error) if late => return Err(error),
            Err(_) => continue,
        };
        if count >= wanted || late {
            stage.check(format!("the daemon tells of {wanted}"), count == wanted, count);
            std::thread::sleep(pause);
            return scrape(address).map(drop);
        }
    }
}

/// The wall clock of each incident is that of its moment, not of its telling.
pub(super) fn check_times(stage: &mut Stage<'_>, lines: &[String]) -> Result<()> {
    let boot = clock_gettime(ClockId::Realtime).tv_sec - (boottime_ns() / 1_000_000_000).cast_signed();
    let mut wrong = Vec::new();
    for line in lines {
        let incident: Value = serde_json::from_str(line).context("an incident as JSON")?;
        let time = incident.get("time").and_then(Value::as_str).and_then(unix_seconds);
        let at =
            incident.get("boottime_ns").and_then(Value::as_u64).map(|ns| (ns / 1_000_000_000).cast_signed());
        if time.zip(at).is_none_or(|(time, at)| (time - boot).abs_diff(at) > 1) {
            wrong.push(format!("{time:?}, {at:?} s after {boot}"));
        }
    }
    stage.check(
        "each has the time of its moment",
        wrong.is_empty() && !lines.is_empty(),
        format!("{wrong:?}"),
    );
    Ok(())
}

fn notes(line: &str) -> Vec<String> {
    let incident: Value = serde_json::from_str(line).unwrap_or_default();
    crate::judge::notes(&incident).map(str::to_owned).collect()
}

/// The process ids of an incident's victims.
pub(super) fn victims(line: &str) -> Option<Vec<u32>> {
    let incident: Value = serde_json::from_str(line).ok()?;
    let pid = |victim: &Value| victim.get("pid").and_then(Value::as_u64).map(|pid| pid as u32);
    Some(incident.get("victims")?.as_array()?.iter().filter_map(pid).collect())
}

/// 100 cgroups with a limit each are full at the same moment, half of them killed as a group, and each is removed as soon as
/// nobody is in it.
pub(super) fn hundred(stage: &mut Stage<'_>) -> Result<()> {
    const EACH: u32 = 50;
    stage.hold(Setting::new("/proc/sys/kernel/printk", "1")?);
    // A hundred tasks wait for each other.
    stage.overloads();
    stage.group("hundred")?;
    let mut script = Script::new("together").with("name", "starter");
    for (kind, option) in [("one", "single"), ("two", "pair")] {
        for number in 0..EACH {
            let group = stage.group(&format!("hundred/{kind}-{number}"))?;
            stage.at(group)?.limit(3, 0)?;
            if kind == "two" {
                stage.at(group)?.set("memory.oom.group", "1")?;
            }
            script = script.with(option, stage.at(group)?.dir());
        }
    }
    let starter = stage.start(None, script)?;
    stage.look()?;
    let begun = Instant::now();
    stage.actor(starter)?.go()?;
    let (mut killed, mut removed) = (0, 0);
    loop {
        let line = stage.actor(starter)?.line()?;
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["done"] => break,
            ["child", _, "9"] => killed += 1,
            ["removed", _] => removed += 1,
            _ => stage.doubts.push(format!("the starter says {line:?}")),
        }
        // The log's ring holds what happens meanwhile.
        if killed % 8 == 0 {
            stage.log.catch_up()?;
        }
    }
    stage.measured.insert("hundred_ms".into(), begun.elapsed().as_millis() as u64);
    stage.measured.insert("cgroups_removed".into(), removed);
    if (killed, removed) != (3 * EACH, 2 * u64::from(EACH)) {
        stage.doubts.push(format!("{killed} were killed and {removed} cgroups removed"));
    }
    Ok(())
}

/// Every victim has the process id of the one before: agents that look at each at once, one that is stopped meanwhile and reads
/// all at once, and those that have only the log or tracepoints.
pub(super) fn pid_reuse(stage: &mut Stage<'_>) -> Result<()> {
    const KILLS: u64 = 40;
    // Far from those that are given out by and by.
    const PID: u32 = 30_000;
    stage.hold(Setting::new("/proc/sys/kernel/printk", "1")?);
    let stopped = stage.one_more(&[], Out::Read)?;
    let log = stage.one_more(&["--max-level=kmsg"], Out::Read)?;
    let tracepoint = stage.one_more(&["--max-level=tracepoint"], Out::Read)?;
    let group = stage.group("again")?;
    stage.at(group)?.limit(4, 0)?;
    stage.because(&[], &["storm", "restart_loop"]);
    let script = Script::new("burst").with("name", "spawner").with("count", KILLS.to_string());
    let spawner = spawner_of(stage, group, script.with("pid", PID.to_string()))?;
    stage.look()?;
    stopped.signal(Signal::STOP)?;
    spawn(stage, spawner, KILLS)?;
    stopped.signal(Signal::CONT)?;
    for (name, expect, agent) in [
        ("stopped", Expect::All, stopped),
        ("log", Expect::Log, log),
        ("tracepoint", Expect::Log, tracepoint),
    ] {
        agent.wait(KILLS as usize, TELL);
        let (lines, stderr) = taken(stage, agent)?;
        let same = lines.iter().filter(|line| victims(line).is_some_and(|pids| pids == [PID])).count();
        stage.check(format!("{name}: nearly all have this process id"), same as u64 >= KILLS * 3 / 4, same);
        stage.tell(name, expect, lines, stderr);
    }
    Ok(())
}
