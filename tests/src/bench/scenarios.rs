//! The kills: each says who really died, from waitpid and pidfds, and in which cgroup.

use super::measured::Victim;
use crate::cases::actor::{Actor, Script};
use crate::cases::group::{Group, Hierarchy};
use crate::cases::machine::Setting;
use crate::cases::memcg::hog;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;

/// Processes in the cgroup of the crowded kills.
const CROWD: u32 = 5000;

/// A scenario.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// It takes minutes, so it runs only if asked for.
    pub(super) long: bool,
    /// Makes the kills.
    pub(super) run: fn() -> Result<Vec<Victim>>,
}

/// All of them.
pub(super) const SCENARIOS: [Scenario; 9] = [
    scenario("single", single),
    scenario("the trigger is in another container", other),
    scenario("group kill of 4", group_of_4),
    scenario("two processes sharing memory", shared),
    scenario("exited group leader, live thread", headless),
    scenario("200 kills in a burst", || burst(200, None)),
    scenario("1,000 kills in a burst", || burst(1000, None)),
    scenario("3 kills among 5,000 tasks", crowded),
    Scenario { long: true, ..scenario("10,000 kills in a burst", || burst(10_000, None)) },
];

const fn scenario(name: &'static str, run: fn() -> Result<Vec<Victim>>) -> Scenario {
    Scenario { name, long: false, run }
}

fn group(name: &str, mib: u64) -> Result<Group> {
    let group = Group::new(Hierarchy::V2, &format!("/oombench/{name}"))?;
    group.limit(mib, 0)?;
    Ok(group)
}

fn start(group: &Group, script: Script) -> Result<Actor> {
    Actor::start(&script.with("join", group.procs()))
}

/// Ends them and keeps those that SIGKILL ended.
fn killed(actors: Vec<(Actor, &Group)>) -> Result<Vec<Victim>> {
    let mut victims = Vec::new();
    for (mut actor, group) in actors {
        // Before it is let go of: `end` kills what still lives.
        let dead: Vec<bool> = actor.pids.iter().map(|pid| !lives(*pid)).collect();
        actor.end()?;
        for ((pid, signal), dead) in actor.pids.iter().zip(&actor.signals).zip(dead) {
            if dead && *signal == Some(9) {
                victims.push(Victim { pid: *pid, cgroup: group.path.clone() });
            }
        }
    }
    Ok(victims)
}

/// Neither gone nor a zombie that nobody has waited for.
fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn single() -> Result<Vec<Victim>> {
    let group = group("single", 16)?;
    let mut grower = start(&group, hog("grower", 0, 4, 32))?;
    grower.go()?;
    grower.await_death()?;
    killed(vec![(grower, &group)])
}

/// A pod with two containers: one asks, the other dies.
fn other() -> Result<Vec<Victim>> {
    let pod = group("pod", 24)?;
    let [app, proxy] = [group("pod/app", 64)?, group("pod/proxy", 64)?];
    let victim = start(&app, hog("app", 900, 12, 0))?;
    let mut grower = start(&proxy, hog("proxy", 0, 1, 15))?;
    grower.go()?;
    victim.await_death()?;
    grower.settle()?;
    let victims = killed(vec![(victim, &app), (grower, &proxy)])?;
    drop((app, proxy, pod));
    Ok(victims)
}

fn group_of_4() -> Result<Vec<Victim>> {
    let group = group("group", 32)?;
    group.set("memory.oom.group", "1")?;
    let mut actors = Vec::new();
    for name in ["one", "two", "three"] {
        actors.push(start(&group, hog(name, 0, 4, 0))?);
    }
    let mut grower = start(&group, hog("grower", 0, 4, 64))?;
    grower.go()?;
    actors.push(grower);
    for actor in &actors {
        actor.await_death()?;
    }
    killed(actors.into_iter().map(|actor| (actor, &group)).collect())
}

fn shared() -> Result<Vec<Victim>> {
    let group = group("shared", 16)?;
    let script = Script::new("sharer").with("name", "owner").with("base-mib", "6").with("grow-mib", "16");
    let mut grower = start(&group, script)?;
    grower.go()?;
    grower.await_death()?;
    killed(vec![(grower, &group)])
}

fn headless() -> Result<Vec<Victim>> {
    let group = group("headless", 16)?;
    let script = Script::new("headless").with("name", "head").with("base-mib", "6").with("grow-mib", "16");
    let mut grower = start(&group, script)?;
    grower.go()?;
    grower.await_death()?;
    killed(vec![(grower, &group)])
}

/// Kills one after the other; with a pause in between if one is given.
pub(super) fn burst(count: u32, pace_ms: Option<u32>) -> Result<Vec<Victim>> {
    let group = group("burst", 4)?;
    let mut script = Script::new("burst").with("name", "spawner").with("adj", "-1000");
    script = script.with("count", count.to_string());
    if let Some(pace_ms) = pace_ms {
        script = script.with("pace-ms", pace_ms.to_string());
    }
    let mut spawner = start(&group, script)?;
    spawner.go()?;
    let mut victims = Vec::new();
    loop {
        let line = spawner.line()?;
        if line == "done" {
            break;
        }
        let words: Vec<&str> = line.split(' ').collect();
        let ["child", pid, signal] = words[..] else { continue };
        if signal == "9" {
            victims.push(Victim { pid: pid.parse().context("a pid")?, cgroup: group.path.clone() });
        }
    }
    spawner.end()?;
    Ok(victims)
}

/// Three kills in a cgroup of many tasks, each of which the kernel prints.
fn crowded() -> Result<Vec<Victim>> {
    let _dump = Setting::new("/proc/sys/vm/oom_dump_tasks", "1")?;
    let crowd = Crowd::new(CROWD)?;
    let mut victims = Vec::new();
    for _ in 0..3 {
        victims.push(crowd.kill()?);
    }
    Ok(victims)
}

/// A cgroup with many small processes.
pub(super) struct Crowd {
    // Dropped in this order: the processes first.
    _actor: Actor,
    group: Group,
}

impl Crowd {
    pub(super) fn new(count: u32) -> Result<Self> {
        let group = Group::new(Hierarchy::V2, "/oombench/crowd")?;
        let actor =
            start(&group, Script::new("crowd").with("name", "crowd").with("count", count.to_string()))?;
        Ok(Self { _actor: actor, group })
    }

    /// Has one more process in it, which grows until it is killed.
    pub(super) fn kill(&self) -> Result<Victim> {
        let dir = Path::new("/sys/fs/cgroup").join(self.group.path.trim_start_matches('/'));
        let max = dir.join("memory.max");
        fs::write(&max, "max").with_context(|| format!("writing to {}", max.display()))?;
        let mut grower = start(&self.group, hog("grower", 0, 4, 256))?;
        fs::write(&max, (self.group.usage()? + (32 << 20)).to_string())
            .with_context(|| format!("writing to {}", max.display()))?;
        grower.go()?;
        grower.await_death()?;
        let pid = grower.pid();
        grower.end()?;
        ensure!(grower.signals.first() == Some(&Some(9)), "the grower was not killed: {:?}", grower.signals);
        Ok(Victim { pid, cgroup: self.group.path.clone() })
    }
}
