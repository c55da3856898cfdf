//! The machine does not run for a while: it sleeps, or is a VM that its host stops.

use super::actor::Script;
use super::agent::{Out, TELL, boottime_ns};
use super::faults::{check_times, taken};
use super::machine::Setting;
use super::memcg::{spawn, spawner, spawner_of};
use super::stage::Stage;
use crate::truth::model::Expect;
use anyhow::{Context, Result};
use rustix::process::Signal;
use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const ALARM: &str = "/sys/class/rtc/rtc0/wakealarm";
const STATE: &str = "/sys/power/state";

/// Whether this machine can be suspended, and wakes up by itself.
pub(super) fn can_sleep() -> bool {
    fs::read_to_string(STATE).is_ok_and(|states| states.contains("freeze")) && fs::metadata(ALARM).is_ok()
}

/// Time that the machine was suspended for, nanoseconds.
fn suspended_ns() -> u64 {
    let monotonic = clock_gettime(ClockId::Monotonic);
    boottime_ns()
        .saturating_sub(monotonic.tv_sec.cast_unsigned() * 1_000_000_000 + monotonic.tv_nsec.cast_unsigned())
}

/// Suspends the machine for some seconds (to idle: emulated ones do not come back from more).
fn sleep(seconds: u32) -> Result<()> {
    fs::write(ALARM, "0")
        .and_then(|()| fs::write(ALARM, format!("+{seconds}")))
        .with_context(|| format!("writing {ALARM}"))?;
    fs::write(STATE, "freeze").with_context(|| format!("suspending by {STATE}"))
}

/// Kills before, right before and after the machine was suspended: `CLOCK_BOOTTIME` goes on meanwhile, the log's clock does not.
/// An agent that is stopped across the sleep tells the same, and one that is started afterwards has what the log says.
pub(super) fn suspended(stage: &mut Stage<'_>) -> Result<()> {
    const EACH: u64 = 2;
    const SECONDS: u32 = 4;
    stage.hold(Setting::new("/proc/sys/kernel/printk", "1")?);
    let awake = stage.one_more(&[], Out::Read)?;
    let stopped = stage.one_more(&[], Out::Read)?;
    let log = stage.one_more(&["--max-level=kmsg"], Out::Read)?;
    let group = stage.group("suspended")?;
    stage.at(group)?.limit(4, 0)?;
    let [before, right_before, after] = [0; 3].map(|_| spawner(stage, group, EACH));
    let (before, right_before, after) = (before?, right_before?, after?);
    stage.look()?;
    spawn(stage, before, EACH)?;
    for agent in [&awake, &stopped, &log] {
        agent.wait(EACH as usize, TELL);
    }
    stopped.signal(Signal::STOP)?;
    spawn(stage, right_before, EACH)?;
    let slept = suspended_ns();
    sleep(SECONDS)?;
    let slept = (suspended_ns() - slept) / 1_000_000;
    stage.measured.insert("suspended_ms".into(), slept);
    stage.check("the machine was suspended", slept >= u64::from(SECONDS) * 500, slept);
    stopped.signal(Signal::CONT)?;
    spawn(stage, after, EACH)?;
    for (name, expect, agent) in
        [("awake", Expect::All, awake), ("stopped", Expect::All, stopped), ("log", Expect::Log, log)]
    {
        agent.wait(3 * EACH as usize, TELL);
        let (lines, stderr) = taken(stage, agent)?;
        check_times(stage, &lines)?;
        stage.tell(name, expect, lines, stderr);
    }
    Ok(())
}

/// Its host stops the VM now and then, all processors at once, wherever they are: in a program of ours, between two reads. What
/// was not seen for want of time is not missing.
pub(super) fn paused(stage: &mut Stage<'_>) -> Result<()> {
    const KILLS: u64 = 100;
    const PACE_MS: u32 = 80;
    /// The clocks go on meanwhile.
    const LONG_NS: u64 = 500_000_000;
    let group = stage.group("paused")?;
    stage.at(group)?.limit(4, 0)?;
    let script = Script::new("burst").with("name", "spawner").with("count", KILLS.to_string());
    let storm = spawner_of(stage, group, script.with("pace-ms", PACE_MS.to_string()))?;
    stage.overloads();
    stage.look()?;
    let over = AtomicBool::new(false);
    let (done, pauses) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut pauses = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let begin = boottime_ns();
                std::thread::sleep(Duration::from_millis(20));
                let span = [begin, boottime_ns()];
                pauses.extend(Some(span).filter(|[begin, end]| end - begin > LONG_NS));
            }
            pauses
        });
        let done = spawn(stage, storm, KILLS);
        over.store(true, Ordering::Relaxed);
        (done, watch.join().unwrap_or_default())
    });
    done?;
    stage.measured.insert("pauses".into(), pauses.len() as u64);
    stage.check("the machine was stopped more than once", pauses.len() > 1, format!("{pauses:?}"));
    stage.stood_still(pauses);
    Ok(())
}
