//! Agents that are given too little: of the kernel's log, of processor time.

use super::actor::Script;
use super::agent::{Out, TELL, boottime_ns};
use super::daemon::{Daemon, State, scrape};
use super::faults::{settled, victims};
use super::group::{Group, Hierarchy};
use super::machine::Setting;
use super::memcg::{hog, spawn, spawner, spawner_of};
use super::stage::Stage;
use super::survive::{children_for, compare};
use crate::truth::model::Expect;
use anyhow::{Context, Result};
use rustix::process::Signal;
use std::fs;
use std::io::Write;
use std::time::Duration;

/// Begin of the lines that fill the kernel's log.
const FLOOD: &str = "oom-cases: flood";
/// More than the log's ring holds, in bytes of text.
const FLOOD_BYTES: usize = 5 << 20;

/// The kernel's log overflows before agents have read it: what BPF tells stands, and says what it lacks; who has only the log
/// says that records are missing. Afterwards all is as before.
pub(super) fn log_wrapped(stage: &mut Stage<'_>) -> Result<()> {
    const EACH: u64 = 2;
    stage.hold(Setting::new("/proc/sys/kernel/printk", "1")?);
    stage.hold(Setting::new("/proc/sys/kernel/printk_devkmsg", "on\n")?);
    let full = stage.one_more(&[], Out::Read)?;
    let log = stage.one_more(&["--max-level=kmsg"], Out::Read)?;
    let group = stage.group("wrapped")?;
    stage.at(group)?.limit(4, 0)?;
    let [before, lost, after] = [0; 3].map(|_| spawner(stage, group, EACH));
    let (before, lost, after) = (before?, lost?, after?);
    stage.look()?;
    spawn(stage, before, EACH)?;
    for agent in [&full, &log] {
        agent.wait(EACH as usize, TELL);
        agent.signal(Signal::STOP)?;
    }
    spawn(stage, lost, EACH)?;
    // Time for the agent that is not stopped to read of them.
    std::thread::sleep(Duration::from_secs(1));
    flood(stage)?;
    for agent in [&full, &log] {
        agent.signal(Signal::CONT)?;
    }
    full.wait(2 * EACH as usize, TELL);
    // A gap matters to what comes within a second of its being noticed.
    std::thread::sleep(Duration::from_secs(2));
    spawn(stage, after, EACH)?;
    full.wait(3 * EACH as usize, TELL);
    log.wait(2 * EACH as usize, TELL);
    stage.judge("full", Expect::LogGap { from: EACH as usize, to: 2 * EACH as usize }, full)?;
    let (lines, said, trouble) = log.stop()?;
    stage.check("the agent with the log only ends well", trouble.is_none(), trouble.unwrap_or_default());
    let told = lines.iter().filter_map(|line| victims(line)).flatten().count();
    stage.check("the log alone tells what is in it", told as u64 == 2 * EACH, told);
    stage.check("and says that records are missing", said.contains("LOST"), said);
    Ok(())
}

/// Fills the ring of the kernel's log.
fn flood(stage: &mut Stage<'_>) -> Result<()> {
    /// A line may have about 1,000 bytes (`LOG_LINE_MAX`).
    const LINE: usize = 900;
    let path = "/dev/kmsg";
    let mut file = fs::File::options().write(true).open(path).with_context(|| format!("opening {path}"))?;
    let line = format!("{FLOOD} {}\n", "-".repeat(LINE - FLOOD.len()));
    for number in 0..FLOOD_BYTES / LINE {
        file.write_all(line.as_bytes()).with_context(|| format!("writing to {path}"))?;
        if number % 500 == 0 {
            stage.log.catch_up()?;
            stage.log.messages.retain(|message| !message.starts_with(FLOOD));
        }
    }
    stage.log.catch_up()?;
    stage.log.messages.retain(|message| !message.starts_with(FLOOD));
    Ok(())
}

/// The daemon has a twentieth of a processor in a storm: it is late, and loses nothing.
pub(super) fn slow(stage: &mut Stage<'_>) -> Result<()> {
    const STORM: Duration = Duration::from_secs(5);
    const LATE: Duration = Duration::from_mins(1);
    stage.hold(Setting::new("/proc/sys/kernel/printk", "1")?);
    let binary = stage.binary()?.clone();
    let home = State::new("slow");
    let own = Group::new(Hierarchy::V2, "/oomslow")?;
    let daemon = Daemon::spawn(&binary, &home.0, &[], Some(&own.procs()))?;
    let address = daemon.listens()?;
    scrape(address)?;
    let group = stage.group("storm")?;
    stage.at(group)?.limit(4, 0)?;
    stage.because(&[], &["storm", "restart_loop"]);
    stage.overloads();
    let script = Script::new("burst").with("name", "spawner").with("count", "1000000");
    let storm = spawner_of(stage, group, script.with("pace-ms", "40"))?;
    stage.look()?;
    let since = boottime_ns();
    own.set("cpu.max", "5000 100000")?;
    stage.actor(storm)?.go()?;
    let killed = children_for(stage, storm, STORM)?;
    settled(stage, address, killed.len() as u64, LATE)?;
    let throttled = own.read("cpu.stat")?;
    let throttled =
        throttled.lines().find_map(|line| line.strip_prefix("nr_throttled ")?.parse::<u64>().ok());
    stage.check("it was held back", throttled > Some(10), format!("{throttled:?}"));
    let (samples, took) = scrape(address)?;
    stage.measured.insert("scrape_ms".into(), took.as_millis() as u64);
    for (name, value) in samples.iter().filter(|(name, _)| {
        name.starts_with("oom_agent_lost_records_total") || *name == "oom_kernel_kills_unexplained"
    }) {
        stage.check(format!("{name} is 0"), *value == 0.0, value);
    }
    own.set("cpu.max", "max")?;
    let new = daemon.stored_since(since, &binary, &home)?;
    compare(stage, &killed, &new);
    Ok(())
}

/// Victims that get hardly any processor time to exit (up to 6.17 the kernel holds a task back wherever it is,
/// `throttle_cfs_rq`, kernel/sched/fair.c; later only on its way to user space). One is late. The other hangs until the reaper takes its memory.
pub(super) fn slow_exit(stage: &mut Stage<'_>) -> Result<()> {
    stage.because(&[], &["pod_limit_only"]);
    let agent = stage.machine.agent.is_some().then(|| stage.one_more(&[], Out::Read)).transpose()?;
    let mut pods = Vec::new();
    for (name, time) in [("late", "2000 100000"), ("hangs", "1000 1000000")] {
        let pod = stage.group(name)?;
        stage.at(pod)?.limit(72, 0)?;
        let [slow, other] = ["slow", "other"].map(|container| stage.group(&format!("{name}/{container}")));
        let (slow, other) = (slow?, other?);
        for above in ["/oomcases", &format!("/oomcases/{name}")] {
            Group::new(Hierarchy::V2, above)?.set("cgroup.subtree_control", "+cpu")?;
        }
        let victim = stage.start(Some(slow), hog("slow", 0, 64, 0))?;
        let grower = stage.start(Some(other), hog("asks", 0, 1, 10))?;
        stage.at(slow)?.set("cpu.max", time)?;
        stage.intend(victim, "selected");
        pods.push((name, slow, victim, grower));
    }
    stage.look()?;
    for (name, slow, victim, grower) in pods {
        stage.actor(grower)?.go()?;
        stage.actor(grower)?.settle()?;
        if let Some(agent) = &agent {
            let pid = stage.actor(victim)?.pid();
            let of = format!("\"victims\":[{{\"pid\":{pid},");
            let is_reaped = |line: &str| line.contains(&of) && line.contains("\"done\":true");
            let told = agent.wait_for(TELL, |line| {
                is_reaped(line) || line.contains(&of) && line.contains("\"memory_back_ns\":")
            });
            stage.check(format!("what became of the memory of the victim in {name:?} is told"), told, told);
            stage.log.catch_up()?;
            let logged = format!("reaped process {pid} ");
            let logged = stage.log.messages.iter().any(|message| message.contains(&logged));
            let reaped = agent.wait_for(Duration::ZERO, is_reaped);
            stage.check(
                format!("the kernel's log has the reaper that was told of in {name:?}"),
                logged || !reaped,
                reaped,
            );
        }
        stage.at(slow)?.set("cpu.max", "max")?;
        stage.actor(victim)?.await_death()?;
    }
    agent.map_or(Ok(()), |agent| stage.judge("beside", Expect::All, agent))
}
