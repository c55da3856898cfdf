//! Facts to a ranking: whom the kernel would kill now, by its own arithmetic. Pure.

use super::facts::{Bound, Facts, Level, Process, is_within};
use crate::incident::badness;
use crate::incident::identity::Identity;
use crate::incident::model::{
    Candidate, Decision, ExemptReason, Limits, PointsSource, Rule, Scope, ScopeKind,
};
use crate::incident::state::upwards;
use schemars::JsonSchema;
use serde::Serialize;
use std::cmp::Reverse;

/// Whom the kernel would kill.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Ranking {
    /// Whose memory would be full.
    pub scope: Scope,
    /// The kernel's `totalpages`: what `oom_score_adj` is a share of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_pages: Option<u64>,
    /// The cgroup that was asked about and those above it that can have a limit. The machine: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub levels: Vec<Level>,
    /// Which of them has the least left of its limit: it would be full first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_first: Option<String>,
    /// What the kernel would do. Absent: it would kill nobody and let the tasks wait (`oom_kill_disable`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// Who dies with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
    /// Everybody that the kernel would look at, the one that it would kill first, exempt ones last.
    pub candidates: Vec<Candidate>,
    /// How many of those that could be killed have points that are not known: any of them may be the one.
    pub unknown_points: u64,
}

/// A cgroup that dies as a whole (`memory.oom.group`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Group {
    /// The highest one with `memory.oom.group` up to the one that is full (`mem_cgroup_get_oom_group`).
    pub cgroup: String,
    /// Everybody in it and below who would die, without the one that is chosen.
    pub pids: Vec<u32>,
}

/// How far the points here agree with `/proc/PID/oom_score`, the kernel's own, which it rounds to two thirds of a
/// thousandth of the machine's memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CrossCheck {
    /// Processes that were compared.
    pub compared: u64,
    /// Those that are further away than rounding and the time between two readings explain.
    pub disagree: Vec<u32>,
}

/// Steps of `oom_score` (0.15 % of the machine's memory each) that two readings may differ by.
const SCORE_STEPS: i64 = 2;

/// Ranks everybody in scope.
pub fn rank(facts: &Facts) -> Ranking {
    let level = scope_level(&facts.levels);
    let total_pages = level.map_or_else(|| machine_pages(facts), |level| memcg_pages(facts, level));
    let scope = Scope {
        kind: Some(if level.is_some() { ScopeKind::Memcg } else { ScopeKind::Global }),
        cgroup: level.map(|level| level.cgroup.clone()),
        ..Scope::default()
    };
    let candidates = candidates(facts, level, total_pages);
    let unknown_points = candidates.iter().filter(|it| it.eligible && it.points.is_none()).count() as u64;
    let whole = unknown_points == 0 && facts.all_seen();
    let mut decision = decision(facts, level, &candidates, total_pages, whole);
    let group = decision.as_ref().and_then(|decision| group(facts, level, decision.pid?));
    if let (Some(decision), Some(Group { pids, .. })) = (&mut decision, &group)
        && decision.runner_up_pid.is_some_and(|next| pids.contains(&next))
    {
        // Whoever of a group is chosen, all of it dies (`mem_cgroup_scan_tasks` of it in `oom_kill_process`, mm/oom_kill.c).
        decision.adj_to_spare = None;
    }
    Ranking {
        scope,
        total_pages,
        full_first: full_first(&facts.levels).map(|level| level.cgroup.clone()),
        levels: facts.levels.clone(),
        decision,
        group,
        candidates,
        unknown_points,
    }
}

/// Compares with the kernel's own points. Before anything is changed.
pub fn cross_check(facts: &Facts) -> CrossCheck {
    let mut check = CrossCheck::default();
    for process in &facts.processes {
        let Some((expected, seen)) = scores(facts, process) else { continue };
        if exemption(facts, process).is_some() {
            continue;
        }
        check.compared += 1;
        if (expected - seen).abs() > SCORE_STEPS {
            check.disagree.push(process.task.pid);
        }
    }
    check
}

/// The cgroup whose limit is asked about: its own, else the one above that is full first. `None`: the machine.
fn scope_level(levels: &[Level]) -> Option<&Level> {
    levels.first().filter(|level| level.limit_bytes().is_some()).or_else(|| full_first(levels))
}

/// Which one has the least left. With equal headroom the lower one: charges go upwards (`page_counter_try_charge`). Where
/// no usage is known, the nearest limit.
fn full_first(levels: &[Level]) -> Option<&Level> {
    let limited = || levels.iter().filter(|level| level.limit_bytes().is_some());
    limited()
        .filter(|level| level.headroom_bytes().is_some())
        .min_by_key(|it| it.headroom_bytes())
        .or_else(|| limited().next())
}

/// `constrained_alloc`: `totalram_pages() + total_swap_pages`.
fn machine_pages(facts: &Facts) -> Option<u64> {
    Some(facts.ram_bytes?.checked_add(facts.swap_bytes?)? / facts.page_size.max(1))
}

/// `mem_cgroup_get_max`, and at least 1. Swap counts unless swappiness is 0: the machine's on v2, the cgroup's own on v1
/// (`mem_cgroup_swappiness`).
fn memcg_pages(facts: &Facts, level: &Level) -> Option<u64> {
    let limit = level.limit_bytes()?;
    let v1 = level.swap_max_bytes.is_none();
    let swappiness = if v1 { level.swappiness.or(facts.swappiness) } else { facts.swappiness };
    let swap = if swappiness? == 0 {
        Some(0)
    } else if v1 {
        // Without swap accounting there is no such file, and no limit.
        Some(level.memsw_max_bytes.and_then(Bound::bytes).map_or(u64::MAX, |max| max.saturating_sub(limit)))
    } else {
        Some(level.swap_max_bytes?.bytes().unwrap_or(u64::MAX))
    };
    let limits = Limits { memory_bytes: Some(limit), swap_bytes: swap, ..Limits::default() };
    let total = badness::memcg_total_bytes(&limits, facts.swap_bytes)?;
    Some((total / facts.page_size.max(1)).max(1))
}

fn candidates(facts: &Facts, level: Option<&Level>, total_pages: Option<u64>) -> Vec<Candidate> {
    let mut scanned: Vec<&Process> = facts
        .processes
        .iter()
        .filter(|process| match (level, &process.cgroup) {
            (None, _) => true,
            (Some(level), Some(cgroup)) if level.alone => *cgroup == level.cgroup,
            (Some(level), Some(cgroup)) => is_within(cgroup, &level.cgroup),
            (Some(_), None) => false,
        })
        .collect();
    // The machine's processes are scanned as they started, a cgroup's by the tree and by their place in it.
    scanned.sort_by_key(|process| {
        let place = level.map(|_| facts.places.get(&process.task.pid).copied().unwrap_or((usize::MAX, 0)));
        (place, process.start_ticks, process.task.pid)
    });
    let mut list: Vec<Candidate> =
        scanned.into_iter().map(|process| candidate(facts, process, total_pages)).collect();
    // `oom_evaluate_task` passes over fewer points only, so with equal ones the last wins.
    list.reverse();
    list.sort_by_key(|it| (!it.eligible, it.points.is_none(), Reverse(it.points)));
    list
}

fn candidate(facts: &Facts, process: &Process, total_pages: Option<u64>) -> Candidate {
    let task = &process.task;
    let exempt = exemption(facts, process);
    let points =
        task.oom_score_adj.and_then(|adj| badness::points(&task.memory, adj, total_pages, facts.page_size));
    let points = points.filter(|_| exempt.is_none());
    Candidate {
        pid: task.pid,
        tid: task.tid,
        comm: task.comm.clone(),
        uid: task.uid,
        cgroup: process.cgroup.clone(),
        identity: Identity::default(),
        memory: task.memory,
        oom_score_adj: task.oom_score_adj,
        points,
        points_source: points.map(|_| PointsSource::Computed),
        eligible: exempt.is_none(),
        exempt_reason: exempt.and_then(|exempt| match exempt {
            Exempt::For(reason) => Some(reason),
            Exempt::Unexplained => None,
        }),
    }
}

/// Whether the kernel would pass over a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exempt {
    /// For this reason.
    For(ExemptReason),
    /// Its `oom_score` says so; the reason (reaped already, in vfork) is not in /proc.
    Unexplained,
}

fn exemption(facts: &Facts, process: &Process) -> Option<Exempt> {
    if let Some(reason) = badness::exempt_reason(&process.task) {
        return Some(Exempt::For(reason));
    }
    let (expected, seen) = scores(facts, process)?;
    (seen == 0 && expected > SCORE_STEPS).then_some(Exempt::Unexplained)
}

/// `oom_score` as the formula gives it, and as the kernel does (`proc_oom_score`, fs/proc/base.c).
fn scores(facts: &Facts, process: &Process) -> Option<(i64, i64)> {
    let total = machine_pages(facts).filter(|total| *total > 0)?;
    let Process { task, oom_score, .. } = process;
    let points = badness::points(&task.memory, task.oom_score_adj?, Some(total), facts.page_size)?;
    let scaled = i128::from(points) * 1000 / i128::from(total);
    Some((i64::try_from((1000 + scaled) * 2 / 3).ok()?, (*oom_score)?))
}

fn decision(
    facts: &Facts,
    level: Option<&Level>,
    candidates: &[Candidate],
    total_pages: Option<u64>,
    whole: bool,
) -> Option<Decision> {
    let mut decision = Decision::by(Rule::HighestPoints);
    match level {
        // `mem_cgroup_oom`: before `out_of_memory` is called at all.
        Some(level) if level.oom_kill_disable == Some(true) => return None,
        // `check_panic_on_oom`: 1 is for machine-wide OOMs only.
        Some(_) if facts.panic_on_oom == Some(2) => decision.rule = Rule::Panic,
        None if facts.panic_on_oom.is_some_and(|mode| mode != 0) => decision.rule = Rule::Panic,
        None if facts.oom_kill_allocating_task.is_some_and(|set| set != 0) => {
            decision.rule = Rule::AllocatingTask;
        }
        Some(_) | None => {}
    }
    if decision.rule != Rule::HighestPoints {
        return Some(decision);
    }
    let mut eligible = candidates.iter().filter(|it| it.eligible);
    let Some(first) = eligible.next() else {
        // Nobody was seen that could be killed; somebody who was not seen may be.
        decision.rule = Rule::NoneKillable;
        return Some(decision);
    };
    let Some(points) = first.points else { return Some(decision) };
    decision.pid = Some(first.pid);
    decision.tid = Some(first.tid);
    decision.comm = Some(first.comm.clone());
    decision.points = Some(points);
    if let Some((next, next_points)) = eligible.next().and_then(|next| Some((next, next.points?)))
        && whole
    {
        decision.runner_up_pid = Some(next.pid);
        decision.margin_points = Some(points.saturating_sub(next_points));
        decision.adj_to_spare = first
            .oom_score_adj
            .zip(total_pages)
            .map(|(adj, total)| badness::adj_to_spare(points, adj, next_points, total));
    }
    Some(decision)
}

/// `mem_cgroup_get_oom_group`: from the victim's cgroup up to the one that is full; the root is none.
fn group(facts: &Facts, level: Option<&Level>, victim: u32) -> Option<Group> {
    let domain = level.map_or("/", |level| level.cgroup.as_str());
    let process = facts.processes.iter().find(|process| process.task.pid == victim)?;
    let cgroup = upwards(process.cgroup.as_deref()?)
        .filter(|cgroup| is_within(cgroup, domain) && facts.oom_groups.contains(*cgroup))
        .last()?;
    let dies = |process: &&Process| {
        let task = &process.task;
        task.pid != victim
            && process.cgroup.as_deref().is_some_and(|it| is_within(it, cgroup))
            // `oom_kill_memcg_member`, and `__oom_kill_process` for those without memory.
            && task.oom_score_adj != Some(badness::OOM_SCORE_ADJ_MIN)
            && !task.init
            && !task.kernel_thread
            && task.has_mm != Some(false)
    };
    let pids = facts.processes.iter().filter(dies).map(|process| process.task.pid).collect();
    Some(Group { cgroup: cgroup.to_owned(), pids })
}

#[cfg(test)]
mod tests;
