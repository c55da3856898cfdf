//! What leads to a kill, one way a case. Each says what a diagnosis has to find.

use super::actor::Script;
use super::agent::{Agent, Out, TELL};
use super::hard::Covered;
use super::memcg::hog;
use super::stage::Stage;
use crate::truth::kmsg::PRINTS_AGAIN;
use crate::truth::model::Expect;
use anyhow::{Context, Result};
use std::time::Duration;

const LIMIT_MIB: u64 = 32;
/// More than fits.
const TOO_MUCH_MIB: u32 = 64;
/// How long the agent samples a cgroup before it grows at once. While nothing changes it does so less and less often.
const QUIET: Duration = Duration::from_secs(9);

/// An agent that looks at every cgroup with a limit once a second, and at those that are there at once: it looks for new
/// ones less often while nothing changes.
fn sampler(stage: &Stage<'_>) -> Result<Option<Agent>> {
    // Without an agent the truth alone is wanted.
    stage.machine.agent.is_some().then(|| stage.one_more(&["--sample-every=1s"], Out::Read)).transpose()
}

fn told(stage: &mut Stage<'_>, agent: Option<Agent>) -> Result<()> {
    let Some(agent) = agent else { return Ok(()) };
    agent.wait(1, TELL);
    stage.seen_by("sampler");
    stage.judge("sampler", Expect::All, agent)
}

/// A process grows steadily up to the limit.
pub(super) fn leak(stage: &mut Stage<'_>) -> Result<()> {
    let group = stage.group("why-leak")?;
    stage.at(group)?.limit(LIMIT_MIB, 0)?;
    // 26 MiB in about 17 s: what is over sooner may as well be a start.
    let grower = stage.start(Some(group), hog("leaks", 0, 4, TOO_MUCH_MIB).with("pace-ms", "650"))?;
    stage.start(Some(group), hog("bystander", 0, 1, 0))?;
    stage.because(&["steady_leak"], &[]);
    stage.intend(grower, "selected");
    let agent = sampler(stage)?;
    stage.provoke(grower)?;
    told(stage, agent)
}

/// A process that has been quiet grows to the limit at once.
pub(super) fn burst(stage: &mut Stage<'_>) -> Result<()> {
    let group = stage.group("why-burst")?;
    stage.at(group)?.limit(LIMIT_MIB, 0)?;
    let grower = stage.start(Some(group), hog("bursts", 0, 4, TOO_MUCH_MIB))?;
    stage.start(Some(group), hog("bystander", 0, 1, 0))?;
    stage.because(&["burst"], &[]);
    stage.intend(grower, "selected");
    let agent = sampler(stage)?;
    // Not for synchronisation: the agent shall see that nothing grew.
    std::thread::sleep(QUIET);
    stage.provoke(grower)?;
    told(stage, agent)
}

/// Files in a tmpfs fill the cgroup; who dies is a small process that asks for the rest.
pub(super) fn tmpfs(stage: &mut Stage<'_>) -> Result<()> {
    let dir = "/tmp/oom-why";
    std::fs::create_dir_all(dir).with_context(|| format!("making {dir}"))?;
    stage.hold(Covered::by_nothing(dir)?);
    let group = stage.group("why-tmpfs")?;
    stage.at(group)?.limit(LIMIT_MIB, 0)?;
    let files = hog("writes", 0, 24, 0).with("touch", "file").with("file", format!("{dir}/file"));
    stage.start(Some(group), files)?;
    let grower = stage.start(Some(group), hog("asks", 0, 0, TOO_MUCH_MIB))?;
    stage.because(&["kill_did_not_help"], &[]);
    stage.intend(grower, "selected");
    stage.provoke(grower)
}

/// Locked memory fills the cgroup.
pub(super) fn mlock(stage: &mut Stage<'_>) -> Result<()> {
    let group = stage.group("why-mlock")?;
    stage.at(group)?.limit(LIMIT_MIB, 0)?;
    let grower = stage.start(Some(group), hog("locks", 0, 24, TOO_MUCH_MIB).with("touch", "locked"))?;
    stage.start(Some(group), hog("bystander", 0, 1, 0))?;
    stage.because(&["nothing_reclaimable"], &[]);
    stage.intend(grower, "selected");
    // What is locked goes with the victim: without the kernel's report, files that are read after its exit tell of none.
    std::thread::sleep(PRINTS_AGAIN);
    stage.provoke(grower)
}

/// The pod is full of what another container holds, in processes each of which is smaller than the one that asks.
pub(super) fn neighbour(stage: &mut Stage<'_>) -> Result<()> {
    let pod = stage.group("why-pod")?;
    stage.at(pod)?.limit(LIMIT_MIB, 0)?;
    let [noisy, quiet] = ["noisy", "quiet"].map(|name| stage.group(&format!("why-pod/{name}")));
    let (noisy, quiet) = (noisy?, quiet?);
    for container in [noisy, quiet] {
        // A limit of its own that is never reached.
        stage.at(container)?.limit(LIMIT_MIB - 2, 0)?;
    }
    for _ in 0..9 {
        stage.start(Some(noisy), hog("noisy", 0, 3, 0))?;
    }
    let grower = stage.start(Some(quiet), hog("asks", 0, 1, TOO_MUCH_MIB))?;
    stage.because(&["noisy_neighbour"], &[]);
    stage.intend(grower, "selected");
    stage.provoke(grower)
}

/// Many small processes.
pub(super) fn fork_bomb(stage: &mut Stage<'_>) -> Result<()> {
    let group = stage.group("why-forks")?;
    stage.at(group)?.limit(LIMIT_MIB, 0)?;
    let bomb = stage.start(Some(group), Script::new("bomb").with("name", "bomb").with("adj", "-1000"))?;
    // The one that forks is exempt and counts more than each of its children.
    stage.because(&["fork_bomb"], &["adj_decided"]);
    stage.provoke(bomb)
}

/// `memory.oom.group`, and one process holds nearly all.
pub(super) fn group(stage: &mut Stage<'_>) -> Result<()> {
    let group = stage.group("why-group")?;
    stage.at(group)?.limit(LIMIT_MIB, 0)?;
    stage.at(group)?.set("memory.oom.group", "1")?;
    let small = stage.start(Some(group), hog("small", 0, 0, 0))?;
    let other = stage.start(Some(group), hog("other", 0, 0, 0))?;
    let grower = stage.start(Some(group), hog("large", 0, 4, TOO_MUCH_MIB))?;
    stage.because(&["group_kill_large"], &[]);
    stage.intend(grower, "selected");
    stage.intend(small, "group");
    stage.intend(other, "group");
    stage.provoke(grower)
}
