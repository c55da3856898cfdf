//! Cases inside a memory cgroup: safe on any machine.

use super::actor::{PATIENCE, Script};
use super::machine::{Setting, Swap, may_lower_adj, status_kib};
use super::stage::Stage;
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// 15 bytes that break whatever can be broken: brackets, separators, control characters, a newline, invalid UTF-8.
const HOSTILE: &[u8] = b"a) b=1,\n\x01\x1b\xff\xc3(\x7f'";

const CONTAINER: &str =
    "cri-containerd-8d7c4f2b9e6a1035c8d7e4f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5.scope";
const SIDECAR: &str = "cri-containerd-1f2e3d4c5b6a79880716253443526170fedcba98765432100123456789abcdef.scope";
const SLICE: &str = "kubepods.slice";
const POD: &str = "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod3f21a0c4_5b6d_4e7f_8a9b_0c1d2e3f4a5b.slice";

pub(crate) fn hog(name: impl AsRef<OsStr>, adj: i32, base_mib: u32, grow_mib: u32) -> Script {
    Script::new("hog")
        .with("name", name)
        .with("adj", adj.to_string())
        .with("base-mib", base_mib.to_string())
        .with("grow-mib", grow_mib.to_string())
}

/// Five processes of different `oom_score_adj`, the one with a hostile name has the most points, another one asks.
pub(super) fn adj(stage: &mut Stage<'_>) -> Result<()> {
    let group = stage.group("adj")?;
    stage.at(group)?.limit(40, 0)?;
    stage.start(Some(group), hog("exempt", -1000, 8, 0))?;
    stage.start(Some(group), hog("shielded", -500, 6, 0).with("uid", "1000"))?;
    stage.start(Some(group), hog("plain", 0, 6, 0))?;
    let hostile =
        stage.start(Some(group), hog(OsStr::from_bytes(HOSTILE), 500, 6, 0).with("uid", "65534"))?;
    let grower = stage.start(Some(group), hog("grower", 0, 0, 15))?;
    stage.foretell(Some(group))?;
    // The grower held more than twice as much.
    stage.because(&["adj_decided"], &[]);
    stage.intend(hostile, "selected");
    stage.provoke(grower)
}

/// The pod is full, not the container, and not the slice above it: its container and another container's process asks.
pub(super) fn nested(stage: &mut Stage<'_>) -> Result<()> {
    let slice = stage.group(SLICE)?;
    stage.at(slice)?.limit(512, 0)?;
    // v1 has no such thing.
    let _ = stage.at(slice)?.set("memory.high", &(500 << 20).to_string());
    let pod = stage.group(POD)?;
    stage.at(pod)?.limit(24, 0)?;
    let container = stage.group(&format!("{POD}/{CONTAINER}"))?;
    let sidecar = stage.group(&format!("{POD}/{SIDECAR}"))?;
    stage.at(sidecar)?.limit(64, 0)?;
    let victim = stage.start(Some(container), hog("app", 900, 12, 0))?;
    let grower = stage.start(Some(sidecar), hog("proxy", 0, 1, 15))?;
    stage.foretell(Some(container))?;
    stage.because(&["pod_limit_only", "noisy_neighbour"], &["adj_decided"]);
    stage.intend(victim, "selected");
    stage.provoke(grower)
}

/// `memory.oom.group`: everyone but the exempt one.
pub(super) fn group_kill(stage: &mut Stage<'_>) -> Result<()> {
    let group = stage.group("group")?;
    stage.at(group)?.limit(32, 0)?;
    stage.at(group)?.set("memory.oom.group", "1")?;
    let member = stage.start(Some(group), hog("member", 0, 8, 0))?;
    let first = stage.start(Some(group), hog("first", 300, 6, 0))?;
    stage.start(Some(group), hog("exempt", -1000, 4, 0))?;
    let grower = stage.start(Some(group), hog("grower", 0, 0, 20))?;
    stage.foretell(Some(group))?;
    stage.because(&[], &["adj_decided"]);
    stage.intend(first, "selected");
    stage.intend(member, "group");
    stage.intend(grower, "group");
    stage.provoke(grower)
}

/// The kernel's report has no task table.
pub(super) fn no_table(stage: &mut Stage<'_>) -> Result<()> {
    stage.hold(Setting::new("/proc/sys/vm/oom_dump_tasks", "0")?);
    let group = stage.group("notable")?;
    stage.at(group)?.limit(16, 0)?;
    let victim = stage.start(Some(group), hog("victim", 700, 6, 0))?;
    let grower = stage.start(Some(group), hog("grower", 0, 0, 11))?;
    stage.foretell(Some(group))?;
    stage.because(&["adj_decided"], &[]);
    stage.intend(victim, "selected");
    stage.provoke(grower)
}

/// Everyone is exempt: the kernel gives up again and again until we end it.
pub(super) fn none_killable(stage: &mut Stage<'_>) -> Result<()> {
    let group = stage.group("none")?;
    stage.at(group)?.limit(8, 0)?;
    let grower = stage.start(Some(group), hog("exempt", -1000, 0, 16))?;
    stage.because(&["everything_exempt"], &[]);
    stage.look()?;
    stage.actor(grower)?.go()?;
    let wanted = |message: &str| message.starts_with("Out of memory and no killable processes");
    let seen = stage.log.read_until(PATIENCE, wanted).context("waiting for the kernel to find nobody");
    stage.give_up(grower)?;
    seen
}

/// The memory belongs to a thread whose group's leader has exited.
pub(super) fn headless(stage: &mut Stage<'_>) -> Result<()> {
    let group = stage.group("headless")?;
    stage.at(group)?.limit(16, 0)?;
    let script = Script::new("headless").with("name", "head").with("base-mib", "6").with("grow-mib", "16");
    let grower = stage.start(Some(group), script)?;
    stage.start(Some(group), hog("bystander", 0, 2, 0))?;
    stage.foretell(Some(group))?;
    stage.intend(grower, "selected");
    stage.provoke(grower)
}

/// Two processes in one memory: whichever is chosen, both die.
pub(super) fn shared(stage: &mut Stage<'_>) -> Result<()> {
    let group = stage.group("shared")?;
    stage.at(group)?.limit(16, 0)?;
    let script = Script::new("sharer").with("name", "owner").with("base-mib", "6").with("grow-mib", "16");
    let grower = stage.start(Some(group), script)?;
    stage.start(Some(group), hog("bystander", 0, 2, 0))?;
    // They have as many points: the order of the scan decides.
    stage.foretell(Some(group))?;
    stage.provoke(grower)?;
    stage.actor(grower)?.await_death()
}

/// The victim's memory is shared: shmem.
pub(super) fn shmem(stage: &mut Stage<'_>) -> Result<()> {
    let group = stage.group("shmem")?;
    stage.at(group)?.limit(24, 0)?;
    let script = hog("shmem", 0, 4, 24).with("touch", "shmem");
    let grower = stage.start(Some(group), script)?;
    stage.start(Some(group), hog("bystander", 0, 4, 0))?;
    stage.intend(grower, "selected");
    stage.provoke(grower)
}

/// The container's cgroup goes as soon as the victim is out of it.
pub(super) fn removed(stage: &mut Stage<'_>) -> Result<()> {
    let pod = stage.group(POD)?;
    let container = stage.group(&format!("{POD}/{CONTAINER}"))?;
    stage.at(container)?.limit(8, 0)?;
    let grower = stage.start(Some(container), hog("app", 0, 0, 16))?;
    stage.intend(grower, "selected");
    stage.look()?;
    stage.actor(grower)?.go()?;
    stage.await_deaths()?;
    if stage.at(container)?.remove_now().is_err() {
        // Dead, but not yet waited for.
        stage.actor(grower)?.end()?;
        stage.at(container)?.remove_now()?;
    }
    stage.at(pod).map(drop)
}

/// Memory and swap of the cgroup are full.
pub(super) fn swap(stage: &mut Stage<'_>) -> Result<()> {
    let disk = Swap::disk().context("no swap disk")?;
    stage.swap(Swap::new(&disk, 32)?);
    let group = stage.group("swap")?;
    stage.at(group)?.limit(8, 8)?;
    let grower = stage.start(Some(group), hog("swapped", 0, 2, 32))?;
    stage.start(Some(group), hog("bystander", 0, 1, 0))?;
    stage.foretell(Some(group))?;
    stage.because(&["swap_exhausted"], &[]);
    stage.intend(grower, "selected");
    stage.provoke(grower)
}

/// 200 kills, as fast as they come: the kernel prints ten full reports of them.
pub(super) fn burst(stage: &mut Stage<'_>) -> Result<()> {
    kills(stage, 200)
}

/// 1,000 kills.
pub(super) fn burst1000(stage: &mut Stage<'_>) -> Result<()> {
    kills(stage, 1000)
}

/// After so many kills the agent has everything it needs; from there on it must not grow.
const WARM: u64 = 200;

/// The log's ring holds that many reports.
const BATCH: u64 = 10;

fn kills(stage: &mut Stage<'_>, count: u64) -> Result<()> {
    // A console is slower than the kills.
    stage.hold(Setting::new("/proc/sys/kernel/printk", "1")?);
    let group = stage.group("burst")?;
    // Less than each tries to take. Of the kernel's own memory a process takes pages: of 16 KiB they would be half of 4 MiB.
    stage.at(group)?.limit(if rustix::param::page_size() > 4096 { 6 } else { 4 }, 0)?;
    stage.because(&[], &["storm", "restart_loop"]);
    let spawner = spawner(stage, group, count)?;
    stage.look()?;
    let begun = std::time::Instant::now();
    spawn(stage, spawner, count)?;
    stage.measured.insert("burst_ms".into(), begun.elapsed().as_millis() as u64);
    Ok(())
}

/// A process that starts others which are killed one after the other.
pub(super) fn spawner(stage: &mut Stage<'_>, group: usize, count: u64) -> Result<usize> {
    let script = Script::new("burst").with("name", "spawner").with("count", count.to_string());
    spawner_of(stage, group, script)
}

/// The same of this script.
pub(super) fn spawner_of(stage: &mut Stage<'_>, group: usize, script: Script) -> Result<usize> {
    if may_lower_adj() {
        stage.start(Some(group), script.with("adj", "-1000"))
    } else {
        let procs = stage.at(group)?.procs();
        stage.start(None, script.with("join-children", procs))
    }
}

/// Lets it, and waits for the last of its `count` kills. The process ids of who was killed.
pub(super) fn spawn(stage: &mut Stage<'_>, spawner: usize, count: u64) -> Result<BTreeSet<u32>> {
    stage.actor(spawner)?.go()?;
    let mut killed = 0;
    let mut pids = BTreeSet::new();
    loop {
        let line = stage.actor(spawner)?.line()?;
        if line == "done" {
            break;
        }
        killed += u64::from(line.ends_with(" 9"));
        pids.extend(line.split(' ').nth(1).and_then(|pid| pid.parse::<u32>().ok()));
        if let (WARM, Some(agent)) = (killed, stage.agent) {
            stage.measured.insert("agent_rss_warm_kib".into(), status_kib(agent, "VmRSS")?);
        }
        if killed % BATCH == 0 {
            stage.log.catch_up()?;
        }
    }
    *stage.measured.entry("burst_killed".into()).or_default() += killed;
    if killed != count {
        stage.doubts.push(format!("{killed} of {count} were killed"));
    }
    Ok(pids)
}
