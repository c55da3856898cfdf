//! What the kernel decided, and what would have changed it.

use super::candidates::{Candidates, root_bonus};
use super::{Parts, SYSRQ_ORDER, invocation, victims};
use crate::incident::assembler::marked::{Marked, Process};
use crate::incident::badness;
use crate::incident::model::{Candidate, Decision, Rule, ScopeKind};
use crate::report::{Chosen, Outcome};
use std::collections::HashSet;

/// What `out_of_memory` calls `oom_kill_process` with under `vm.oom_kill_allocating_task`.
const ALLOCATING_TASK: &str = "oom_kill_allocating_task";

/// The decision, and why it says less than it could.
pub(super) struct Told {
    pub(super) decision: Decision,
    /// The chosen one goes first without points (`oom_task_origin`: in `swapoff`).
    pub(super) task_origin: bool,
    /// The counters that were seen rank another one first.
    pub(super) contradicts: bool,
    /// A child of the chosen one died for it.
    child: bool,
}

/// By which rule, where that is beyond doubt.
pub(super) fn rule(parts: &Parts<'_>) -> Option<Rule> {
    let pending = parts.pending;
    if pending.end.is_some_and(|end| end.none_killable) {
        return Some(Rule::NoneKillable);
    }
    let dying = !parts.victims.is_empty() && !parts.victims.iter().any(Marked::was_killed);
    if let Some(decision) = &pending.decision {
        let chosen = Process::of(&decision.chosen);
        let marked = parts.victims.iter().find(|victim| victim.process().is(chosen));
        // task_will_free_mem() in oom_kill_process(), or it has no memory any more in __oom_kill_process().
        let gone = parts.config.victims && parts.victims.is_empty() && parts.saw_all();
        if gone || marked.is_some_and(|victim| !victim.was_killed()) {
            return Some(Rule::AlreadyDying);
        }
        // Its mark is lost, so it may have been dying: only another victim's kill shows that it was not.
        if parts.config.victims && marked.is_none() && !parts.victims.iter().any(Marked::was_killed) {
            return None;
        }
        let control = pending.entry.as_ref().and_then(|entry| entry.control.as_ref());
        return match control.map(|control| control.order) {
            Some(SYSRQ_ORDER) => Some(Rule::Sysrq),
            _ if decision.message.contains(ALLOCATING_TASK) => Some(Rule::AllocatingTask),
            Some(_) => Some(Rule::HighestPoints),
            None if parts.pending.entry.is_some() => Some(Rule::HighestPoints),
            // It may have been a sysrq-f, unless a memory cgroup's limit was hit.
            None => Some(Rule::HighestPoints).filter(|_| decision.constraint != Some(ScopeKind::Global)),
        };
    }
    if parts.config.calls && pending.call.is_some() {
        // task_will_free_mem(current) in out_of_memory(): it never gets to a decision.
        return Some(Rule::AlreadyDying).filter(|_| dying && parts.saw_all());
    }
    let order = invocation(&pending.logged).and_then(|invocation| invocation.order);
    match parts.report().map(|report| report.outcome) {
        Some(Outcome::NoneKillable) => return Some(Rule::NoneKillable),
        Some(Outcome::Panic) => return Some(Rule::Panic),
        _ => {}
    }
    let kill = parts.report().and_then(|report| report.kill.as_ref());
    let memcg = kill.is_some_and(|kill| kill.constraint == Some(ScopeKind::Memcg));
    let mut lines = parts.victims.iter().filter_map(|victim| victim.line.as_deref());
    if pending.logged.exiting {
        Some(Rule::AlreadyDying)
    } else if order == Some(SYSRQ_ORDER) {
        Some(Rule::Sysrq)
    } else if lines.clone().any(|line| line.message.contains(ALLOCATING_TASK)) {
        Some(Rule::AllocatingTask)
    } else if lines.next().is_some() || memcg {
        Some(Rule::HighestPoints)
    } else {
        Some(Rule::AlreadyDying).filter(|_| dying && pending.lost == 0)
    }
}

pub(super) fn decision(
    parts: &Parts<'_>,
    rule: Option<Rule>,
    candidates: &Candidates,
    total_pages: Option<u64>,
) -> Option<Told> {
    let rule = rule?;
    let mut told =
        Told { decision: Decision::by(rule), task_origin: false, contradicts: false, child: false };
    if matches!(rule, Rule::NoneKillable | Rule::Panic) {
        return Some(told);
    }
    if let Some(decision) = &parts.pending.decision {
        let chosen = Process::of(&decision.chosen);
        told.decision.pid = Some(chosen.pid());
        told.decision.tid = Some(chosen.tid);
        told.decision.comm = Some(decision.chosen.comm.clone());
        told.task_origin = decision.points == i64::MAX;
    } else {
        let selected = victims::selected(parts).and_then(|index| parts.victims.get(index));
        let chosen = selected.or_else(|| parts.victims.first().filter(|_| rule == Rule::AlreadyDying));
        let kill = parts.report().and_then(|report| report.kill.as_ref());
        told.decision.pid = chosen.map(|victim| victim.process().pid()).or_else(|| kill.map(|kill| kill.pid));
        told.decision.tid = chosen.map(|victim| victim.task.tid);
        told.decision.comm =
            chosen.map(|victim| victim.task.comm.clone()).or_else(|| kill.map(|kill| kill.comm.clone()));
        if let Some(parent) = chosen.and_then(|victim| sacrificed_for(parts, victim)) {
            told.decision.pid = Some(parent.pid);
            told.decision.tid = Some(parent.pid);
            told.decision.comm = Some(parent.comm.clone());
            told.child = true;
        }
    }
    let compared = match rule {
        Rule::HighestPoints | Rule::Sysrq => true,
        // Chosen by its points, then found dying. Without a decision it was not chosen by points.
        Rule::AlreadyDying => {
            parts.pending.decision.as_ref().is_some_and(|d| !d.message.contains(ALLOCATING_TASK))
        }
        Rule::AllocatingTask | Rule::NoneKillable | Rule::Panic => false,
    };
    if compared && !told.task_origin {
        compare(&mut told, parts, candidates, total_pages);
    }
    Some(told)
}

/// Whom the kernel chose, where another process died for it: up to 5.0 `oom_kill_process` kills the child with the most
/// points and memory of its own instead, if there is one.
fn sacrificed_for<'a>(parts: &'a Parts<'_>, victim: &'a Marked) -> Option<&'a Chosen> {
    let by_line = victim.line.as_ref().and_then(|line| line.chosen.as_ref());
    let chosen = by_line.or_else(|| parts.report()?.chosen.as_ref())?;
    (!victim.process().logged_as(chosen.pid)).then_some(chosen)
}

/// Points, the next one's points, and the adj that would have turned it.
fn compare(told: &mut Told, parts: &Parts<'_>, candidates: &Candidates, total_pages: Option<u64>) {
    let child = told.child;
    let decision = &mut told.decision;
    let Some(pid) = decision.pid else { return };
    let chosen = candidates.list.iter().find(|candidate| candidate.pid == pid);
    let kernel_points = parts.pending.decision.as_ref().map(|decision| decision.points);
    decision.points = kernel_points.or_else(|| chosen?.points);
    // Who has the same memory dies with it, and has its oom_score_adj too (`__set_oom_adj`).
    let scanned = || parts.scan.candidates.iter().map(|it| (Process::of(&it.task).pid(), it.task.mm));
    let mm = scanned().find(|(of, mm)| *of == pid && *mm != 0).map(|(_, mm)| mm);
    let sharing: HashSet<u32> = scanned().filter(|(_, of)| Some(*of) == mm).map(|(pid, _)| pid).collect();
    let is_other = |it: &&Candidate| it.eligible && it.pid != pid && !sharing.contains(&it.pid);
    let others = || candidates.list.iter().filter(is_other);
    let all_known = others().all(|candidate| candidate.points.is_some());
    let (Some(points), Some(chosen)) = (decision.points, chosen) else { return };
    if !candidates.whole || !all_known {
        return;
    }
    // They are in the order in which the kernel would take them.
    let Some(Candidate { pid: next, points: Some(next_points), uid, .. }) = others().next() else {
        return;
    };
    let bonus = |uid: Option<u32>| root_bonus(parts) && uid == Some(0);
    if *next_points > points || !chosen.eligible {
        told.contradicts = !chosen.eligible || !bonus(*uid);
        return;
    }
    decision.runner_up_pid = Some(*next);
    if child || bonus(*uid) || bonus(chosen.uid) {
        // By how much is not known, or it would not have turned it.
        return;
    }
    decision.margin_points = Some(points.saturating_sub(*next_points));
    if parts.victims.iter().any(|victim| victim.process().pid() == *next) {
        // All of the group die, whoever of them is chosen.
        return;
    }
    decision.adj_to_spare = chosen
        .oom_score_adj
        .zip(total_pages)
        .map(|(adj, total)| badness::adj_to_spare(points, adj, *next_points, total));
}
