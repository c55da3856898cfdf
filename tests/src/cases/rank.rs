//! `oom-agent rank` before a kill: the process that it names is the one that the kernel then kills.

use super::agent::Binary;
use super::memcg::hog;
use super::stage::Stage;
use super::wide::{FOLLOWS, GROW_MIB, HUGE_PAGES, fill};
use crate::truth::model::{Check, Kill};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeSet;

/// What it said.
#[derive(Debug)]
pub(crate) struct Foretold {
    pid: Option<u32>,
    kind: String,
    cgroup: Option<String>,
    /// Who dies with it.
    group: BTreeSet<u32>,
    total_pages: Option<u64>,
    points: Option<i64>,
    complete: bool,
    /// How many points were compared with the kernel's own scores.
    compared: u64,
    disagree: usize,
}

impl Foretold {
    /// Asks.
    pub(crate) fn ask(binary: &Binary, cgroup: Option<&str>, more: &[&str]) -> Result<Self> {
        let mut command = binary.command("rank");
        command.args(["--format", "json"]).args(cgroup.map(|cgroup| format!("--cgroup={cgroup}"))).args(more);
        let done = command.output().with_context(|| format!("running {command:?}"))?;
        if !done.status.success() {
            bail!("{command:?} ended with {}: {}", done.status, String::from_utf8_lossy(&done.stderr));
        }
        let said: Value = serde_json::from_slice(&done.stdout).context("rank's JSON")?;
        let ranking = if more.is_empty() { &said["now"] } else { &said["what_if"]["then"] };
        let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
        Ok(Self {
            pid: number(&ranking["decision"]["pid"]),
            kind: ranking["scope"]["kind"].as_str().unwrap_or_default().to_owned(),
            cgroup: ranking["scope"]["cgroup"].as_str().map(str::to_owned),
            group: ranking["group"]["pids"].as_array().into_iter().flatten().filter_map(number).collect(),
            total_pages: ranking["total_pages"].as_u64(),
            points: ranking["decision"]["points"].as_i64(),
            complete: said["complete"] == true,
            compared: said["cross_check"]["compared"].as_u64().unwrap_or(0),
            disagree: said["cross_check"]["disagree"].as_array().map_or(usize::MAX, Vec::len),
        })
    }

    /// What has to hold of it, now that the kernel has killed.
    pub(crate) fn checks(&self, kill: Option<&Kill>) -> Vec<Check> {
        let Some(kill) = kill else {
            return vec![check(
                "rank named a process and the kernel killed one",
                false,
                "no kill".to_owned(),
            )];
        };
        let with_role = |role: &str| -> BTreeSet<u32> {
            kill.victims.iter().filter(|victim| victim.role == role).map(|victim| victim.pid).collect()
        };
        let Self { pid, kind, cgroup, group, total_pages, complete, compared, disagree, .. } = self;
        // An operator's order is about the whole machine.
        let hit = if kill.scope.kind == "sysrq" { "global" } else { &kill.scope.kind };
        // Where the kernel left its report out (10 in 5 s have one), nobody says which cgroup was full.
        let told = kill.scope.kind != "memcg" || kill.scope.cgroup.is_some();
        let killed = with_role("selected");
        let members = with_role("group");
        let mut checks = vec![
            check(
                "rank names the process that the kernel then kills",
                pid.is_some_and(|pid| killed.contains(&pid)),
                format!("named {pid:?}, killed {killed:?}"),
            ),
            check(
                "rank names those that die with it",
                *group == members,
                format!("named {group:?}, killed {members:?}"),
            ),
            check(
                "rank names the limit that is hit",
                kind == hit && (!told || *cgroup == kill.scope.cgroup),
                format!("named {kind} {cgroup:?}, hit {:?}", kill.scope),
            ),
            check("rank sees everybody", *complete, String::new()),
            check(
                "rank agrees with every oom_score",
                *compared > 0 && *disagree == 0,
                format!("{compared} compared, {disagree} differ"),
            ),
        ];
        if let Some(pages) = kill.total_pages {
            let held = *total_pages == Some(pages);
            checks.push(check("rank knows totalpages", held, format!("{total_pages:?}, the kernel {pages}")));
        }
        checks
    }
}

fn check(what: &str, held: bool, found: String) -> Check {
    Check { what: what.to_owned(), held, found }
}

/// Neither the largest nor the one with the highest `oom_score_adj` alone: their sum decides, within 1 MiB.
pub(super) fn memcg(stage: &mut Stage<'_>) -> Result<()> {
    let pod = stage.group("rank")?;
    stage.at(pod)?.limit(40, 0)?;
    let container = stage.group("rank/container")?;
    let first = stage.start(Some(container), hog("rank-first", 400, 10, 0))?;
    let second = stage.start(Some(container), hog("rank-second", 300, 13, 0))?;
    // v2 has no processes in a cgroup that has cgroups with controllers below it.
    let sidecar = stage.group("rank/sidecar")?;
    let grower = stage.start(Some(sidecar), hog("rank-grower", 0, 1, 16))?;
    // The container has no limit: the pod's is the one that it can hit.
    stage.foretell(Some(container))?;
    spared(stage, Some(container), first, second)?;
    stage.because(&[], &["adj_decided", "pod_limit_only"]);
    stage.intend(first, "selected");
    stage.provoke(grower)
}

/// The same machine-wide.
pub(super) fn global(stage: &mut Stage<'_>) -> Result<()> {
    let first = stage.start(None, hog("rank-first", 400, 8, 0))?;
    let second = stage.start(None, hog("rank-second", 390, 14, 0))?;
    let grower = stage.start(None, hog("rank-grower", 0, 4, GROW_MIB))?;
    stage.foretell(None)?;
    spared(stage, None, first, second)?;
    fill(stage)?;
    stage.because(&[HUGE_PAGES], &["adj_decided", FOLLOWS]);
    stage.intend(first, "selected");
    stage.intend(second, "selected");
    stage.intend(grower, "selected");
    stage.provoke(grower)
}

/// With the first one exempt it would be the second, and nothing has changed by asking.
fn spared(stage: &mut Stage<'_>, group: Option<usize>, first: usize, second: usize) -> Result<()> {
    let cgroup = group.map(|group| stage.at(group).map(|group| group.path.clone())).transpose()?;
    let (first, second) = (stage.actor(first)?.pid(), stage.actor(second)?.pid());
    let Some(binary) = stage.machine.agent.clone() else { return Ok(()) };
    let then = Foretold::ask(&binary, cgroup.as_deref(), &["--what-if", &format!("{first}:-1000")])?;
    let found = format!("{:?} with {:?} points", then.pid, then.points);
    stage.check("with the first one exempt, rank names the second", then.pid == Some(second), found);
    Ok(())
}
