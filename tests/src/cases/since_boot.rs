//! What happened before the agent was started is still in the kernel's log.

use super::agent::{Out, TELL, boottime_ns};
use super::hard::unix_seconds;
use super::memcg::hog;
use super::stage::Stage;
use crate::truth::model::Expect;
use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;

/// A victim, not a candidate.
const AFTER_DIED: &str = "\"comm\":\"boot-after\",\"uid\":0,\"role\":\"selected\"";

/// One kill before agents of all levels start, one after.
pub(super) fn since_boot(stage: &mut Stage<'_>) -> Result<()> {
    let group = stage.group("boot")?;
    stage.at(group)?.limit(12, 0)?;
    let before = stage.start(Some(group), hog("boot-before", 500, 0, 24))?;
    let after = stage.start(Some(group), hog("boot-after", 0, 0, 24))?;
    stage.intend(before, "selected");
    stage.intend(after, "selected");
    stage.look()?;
    stage.actor(before)?.go()?;
    stage.actor(before)?.await_death()?;
    let died = (clock_gettime(ClockId::Realtime).tv_sec, boottime_ns());
    let agents = [
        ("full", false, stage.one_more(&["--since-boot"], Out::Read)?),
        ("tracepoint", true, stage.one_more(&["--since-boot", "--max-level=tracepoint"], Out::Read)?),
        ("log", true, stage.one_more(&["--since-boot", "--max-level=kmsg"], Out::Read)?),
    ];
    one_of_them(stage)?;
    stage.actor(after)?.go()?;
    stage.actor(after)?.await_death()?;
    for (name, log, mut agent) in agents {
        let told = agent.wait_for(TELL, |line| line.contains(AFTER_DIED));
        stage.check(format!("{name}: the kill after its start is told"), told, agent.stderr());
        let lines = agent.take();
        dated(stage, name, &lines, died)?;
        let (rest, stderr, trouble) = agent.stop()?;
        stage.check(format!("{name}: the agent ends well"), trouble.is_none(), trouble.unwrap_or_default());
        stage.tell(name, Expect::SinceBoot { before: 1, log }, [lines, rest].concat(), stderr);
    }
    Ok(())
}

/// What is told of the time before counts.
fn one_of_them(stage: &mut Stage<'_>) -> Result<()> {
    let mut command = stage.binary()?.trace();
    command.args(["--since-boot", "--count=1", "--duration=20s"]);
    let done = command.output().with_context(|| format!("running {command:?}"))?;
    let (out, said) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    let held = done.status.success() && out.lines().count() == 1 && said.contains("1 incident in");
    stage.check("--count counts what was before", held, format!("{}: {out}{said}", done.status));
    Ok(())
}

/// The wall-clock time of the kill before is that of its death.
fn dated(
    stage: &mut Stage<'_>,
    name: &str,
    lines: &[String],
    (second, boottime_ns): (i64, u64),
) -> Result<()> {
    /// printk's clock is not the monotonic one.
    const NEAR: u64 = 3;
    let mut found = None;
    for line in lines {
        let incident: Value = serde_json::from_str(line).context("an incident as JSON")?;
        if incident.pointer("/victims/0/comm").and_then(Value::as_str) == Some("boot-before") {
            found = Some(incident);
        }
    }
    let told = found.unwrap_or_default();
    let time = told.get("time").and_then(Value::as_str).unwrap_or_default();
    let boot = told.get("boottime_ns").and_then(Value::as_u64).unwrap_or_default();
    let near = unix_seconds(time).is_some_and(|time| time.abs_diff(second) <= NEAR)
        && boot.abs_diff(boottime_ns) <= NEAR * 1_000_000_000;
    stage.check(
        format!("{name}: the kill before its start has its time"),
        near,
        format!("{time}, {boot} ns"),
    );
    Ok(())
}
