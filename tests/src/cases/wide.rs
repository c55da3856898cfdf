//! Cases that hit the whole machine: only in a throwaway one.

use super::machine::{Setting, Swap, ballast, memory_nodes};
use super::memcg::hog;
use super::stage::Stage;
use anyhow::{Context, Result};

/// Free memory that is left to fill.
const LEAVE_MIB: u64 = 64;
/// More than that, so that it is never enough.
pub(super) const GROW_MIB: u32 = 512;

/// What [`fill`] takes the memory away with goes with no process.
pub(super) const HUGE_PAGES: &str = "kill_did_not_help";
/// Cases that fill the machine follow one another within seconds: in the same place, many kills at once.
pub(super) const FOLLOWS: &str = "storm";

/// Transparent huge pages raise the reserve to 44 MiB: then what is left would be too little for the runner, which is
/// exempt, and the kernel panics when it has nobody to kill.
const RESERVE_KIB: &str = "8192";

fn lower_reserve(stage: &mut Stage<'_>) -> Result<()> {
    stage.hold(Setting::new("/proc/sys/vm/min_free_kbytes", RESERVE_KIB)?);
    Ok(())
}

pub(super) fn fill(stage: &mut Stage<'_>) -> Result<()> {
    lower_reserve(stage)?;
    let nodes = memory_nodes()?;
    let each = LEAVE_MIB / nodes.len().max(1) as u64;
    for node in nodes {
        stage.hold(ballast(node, each)?);
    }
    Ok(())
}

/// Machine-wide: first a bystander with a high `oom_score_adj`, then whoever grows.
pub(super) fn global(stage: &mut Stage<'_>) -> Result<()> {
    let first = stage.start(None, hog("wide-first", 500, 8, 0))?;
    let grower = stage.start(None, hog("wide-grower", 0, 4, GROW_MIB))?;
    stage.start(None, hog("wide-shielded", -500, 4, 0))?;
    stage.foretell(None)?;
    fill(stage)?;
    stage.because(&[HUGE_PAGES], &["adj_decided", FOLLOWS]);
    stage.intend(first, "selected");
    stage.intend(grower, "selected");
    stage.provoke(grower)
}

/// `vm.oom_kill_allocating_task`: who asks dies, not who has the most points.
pub(super) fn allocating_task(stage: &mut Stage<'_>) -> Result<()> {
    stage.hold(Setting::new("/proc/sys/vm/oom_kill_allocating_task", "1")?);
    stage.start(None, hog("wide-points", 500, 8, 0))?;
    let grower = stage.start(None, hog("wide-asks", 0, 4, GROW_MIB))?;
    fill(stage)?;
    stage.because(&["allocating_task", HUGE_PAGES], &[FOLLOWS]);
    stage.intend(grower, "selected");
    stage.provoke(grower)
}

/// An operator's order.
pub(super) fn sysrq(stage: &mut Stage<'_>) -> Result<()> {
    let victim = stage.start(None, hog("sysrq-most", 900, 4, 0))?;
    stage.start(None, hog("sysrq-less", 100, 8, 0))?;
    stage.foretell(None)?;
    stage.because(&["ordered"], &["adj_decided", FOLLOWS]);
    stage.intend(victim, "selected");
    stage.look()?;
    let path = "/proc/sysrq-trigger";
    std::fs::write(path, "f").with_context(|| format!("writing f to {path}"))?;
    stage.await_deaths()
}

/// Only the nodes of a cpuset are full.
pub(super) fn cpuset(stage: &mut Stage<'_>) -> Result<()> {
    let node = last_node()?;
    let group = stage.group("cpuset")?;
    stage.at(group)?.set("cpuset.mems", &node.to_string())?;
    let grower = stage.start(Some(group), hog("in-cpuset", 0, 4, GROW_MIB))?;
    stage.start(Some(group), hog("beside", 0, 2, 0))?;
    stage.start(None, hog("elsewhere", 0, 2, 0))?;
    lower_reserve(stage)?;
    stage.hold(ballast(node, LEAVE_MIB)?);
    stage.because(&["nodes_imbalanced"], &[FOLLOWS]);
    stage.intend(grower, "selected");
    stage.provoke(grower)
}

/// Only the nodes of a NUMA policy are full.
pub(super) fn memory_policy(stage: &mut Stage<'_>) -> Result<()> {
    let node = last_node()?;
    let bound = |script: super::actor::Script| script.with("node", node.to_string());
    let grower = stage.start(None, bound(hog("bound", 0, 4, GROW_MIB)))?;
    stage.start(None, bound(hog("beside", 0, 2, 0)))?;
    stage.start(None, hog("unbound", 0, 2, 0))?;
    lower_reserve(stage)?;
    stage.hold(ballast(node, LEAVE_MIB)?);
    stage.because(&["nodes_imbalanced"], &[FOLLOWS]);
    stage.intend(grower, "selected");
    stage.provoke(grower)
}

/// Memory and swap of the machine are full.
pub(super) fn swap(stage: &mut Stage<'_>) -> Result<()> {
    let disk = Swap::disk().context("no swap disk")?;
    stage.swap(Swap::new(&disk, 16)?);
    let grower = stage.start(None, hog("wide-swapped", 0, 4, GROW_MIB))?;
    stage.start(None, hog("wide-idle", 0, 2, 0))?;
    stage.foretell(None)?;
    fill(stage)?;
    stage.because(&["swap_exhausted", HUGE_PAGES], &[FOLLOWS]);
    stage.intend(grower, "selected");
    stage.provoke(grower)
}

fn last_node() -> Result<u32> {
    memory_nodes()?.pop().context("no NUMA node")
}
