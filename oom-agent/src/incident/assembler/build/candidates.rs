//! Whom the kernel looked at.

use super::crosscheck::Slack;
use super::{Parts, victims};
use crate::incident::assembler::marked::Process;
use crate::incident::assembler::names::Names;
use crate::incident::badness;
use crate::incident::fact;
use crate::incident::identity::Identity;
use crate::incident::model::{Candidate, ExemptReason, PointsSource, Rule, ScopeKind};
use crate::report::{Report, TaskRow};
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

/// The candidates and how far they can be trusted.
pub(super) struct Candidates {
    /// Most points first, unknown points next, exempt ones last.
    pub(super) list: Vec<Candidate>,
    pub(super) evaluated: Option<u64>,
    pub(super) lost: Option<u64>,
    /// All of them are there, and it is known of each whether the kernel could kill it.
    pub(super) whole: bool,
    /// Which of them have memory on the allowed nodes was not seen.
    pub(super) nodes_unknown: bool,
    /// Cgroups without a name.
    pub(super) unnamed: u64,
    /// A path in it is cut.
    pub(super) cut: bool,
}

pub(super) fn candidates(
    parts: &Parts<'_>,
    names: &mut Names,
    kind: Option<ScopeKind>,
    total_pages: Option<u64>,
    rule: Option<Rule>,
) -> Candidates {
    let mut told = if parts.config.calls && parts.pending.call.is_some() {
        seen(parts, names, kind, total_pages)
    } else {
        logged(parts, total_pages, rule)
    };
    // A stable sort: equal points stay in the order of the scan, the last one first, as the kernel would choose.
    // Kernels up to 5.0 take the first one (of those that are no threads of another).
    if parts.report().is_none_or(|report| report.chosen.is_none()) {
        told.list.reverse();
    }
    told.list.sort_by_key(|candidate| {
        (!candidate.eligible, candidate.points.is_none(), Reverse(candidate.points))
    });
    told
}

/// From BPF.
fn seen(
    parts: &Parts<'_>,
    names: &mut Names,
    kind: Option<ScopeKind>,
    total_pages: Option<u64>,
) -> Candidates {
    let received = parts.scan.candidates.len() as u64;
    let end = parts.pending.end.as_ref();
    let evaluated = end.map(|end| end.evaluated);
    let lost = end.map(|end| end.evaluated.saturating_sub(received).max(end.candidates_lost));
    let constrained = matches!(kind, Some(ScopeKind::Cpuset | ScopeKind::MemoryPolicy));
    // 5.10 inlines `oom_badness` into `oom_evaluate_task`: then its hook attaches and never fires.
    let scored = parts.config.kernel_points && parts.scan.candidates.iter().any(|it| it.points.is_some());
    // Of whom it was not called for has no memory there, unless the kernel skipped the program that would have seen it.
    let skipped = parts.pending.escalation.as_deref().is_some_and(|seen| seen.skipped.kills > 0);
    let unscored = |it: &fact::Candidate| it.points.is_none() && badness::exempt_reason(&it.task).is_none();
    // `oom_evaluate_task` asks `oom_cpuset_eligible` also where no cpuset or policy limits the allocation: the kernel's
    // own may use nodes that the task's cpuset does not have.
    let somewhere = kind.is_some_and(|kind| kind != ScopeKind::Memcg);
    let nodes_matter = scored && somewhere && !skipped;
    let nodes_unknown = if scored {
        somewhere && skipped && parts.scan.candidates.iter().any(unscored)
    } else {
        constrained || kind.is_none()
    };
    // In swapoff it is chosen without points (`oom_task_origin`).
    let origin = parts.pending.decision.as_ref().filter(|decision| decision.points == i64::MAX);
    let rows = parts.report().map(|report| &report.tasks[..]).unwrap_or_default();
    let rows: HashMap<u32, &TaskRow> = rows.iter().map(|row| (row.tgid, row)).collect();
    let slack = Slack::new(parts.config.cpus, parts.page_size());
    let mut nameless = 0;
    let mut cut = false;
    let mut known = HashSet::new();
    let mut told = Vec::with_capacity(parts.scan.candidates.len());
    for candidate in &parts.scan.candidates {
        let task = &candidate.task;
        let pid = Process::of(task).pid();
        if !known.insert(pid) {
            continue;
        }
        let path = task.cgroup_id.and_then(|id| names.get(id).or_else(|| known_path(parts, id)));
        nameless += u64::from(task.cgroup_id.is_some() && path.is_none());
        cut |= path.as_ref().is_some_and(|path| path.cut);
        let other_node =
            nodes_matter && !origin.is_some_and(|it| Process::of(&it.chosen).is(Process::of(task)));
        let (eligible, exempt_reason) = eligible(candidate, other_node);
        let kernel = candidate.points.filter(|&points| points != i64::MIN);
        // The table is printed after the choice: what has changed since is not what was chosen by.
        let row = rows.get(&pid).map(|row| &row.memory).filter(|row| slack.covers(&task.memory, row));
        let memory = victims::exact(task.memory, row);
        let computed = || badness::points(&memory, task.oom_score_adj?, total_pages, parts.page_size());
        let points = if eligible { kernel.or_else(computed) } else { None };
        let source = if kernel.is_some() { PointsSource::Kernel } else { PointsSource::Computed };
        told.push(Candidate {
            pid,
            tid: task.tid,
            comm: task.comm.clone(),
            uid: task.uid,
            cgroup: path.map(|path| path.path),
            identity: Identity::default(),
            memory,
            oom_score_adj: task.oom_score_adj,
            points,
            points_source: points.map(|_| source),
            eligible,
            exempt_reason,
        });
    }
    let whole = lost == Some(0) && parts.saw_all() && !nodes_unknown;
    Candidates { list: told, evaluated, lost, whole, nodes_unknown, unnamed: nameless, cut }
}

/// Whether the kernel could kill it, and why not.
fn eligible(candidate: &fact::Candidate, other_node: bool) -> (bool, Option<ExemptReason>) {
    let reason = badness::exempt_reason(&candidate.task);
    match candidate.points {
        Some(i64::MIN) => (false, reason),
        None if reason.is_some() => (false, reason),
        // `oom_evaluate_task` did not get to ask for its points: `oom_cpuset_eligible` was false.
        None if other_node => (false, Some(ExemptReason::OtherNode)),
        // The kernel's points say so, or nothing says otherwise.
        Some(_) | None => (true, None),
    }
}

/// A cgroup's path from the other facts of the incident.
fn known_path(parts: &Parts<'_>, id: u64) -> Option<fact::CgroupPath> {
    let entry = parts.pending.entry.as_ref();
    let control = entry.and_then(|entry| entry.control.as_ref());
    let scope = control.filter(|control| control.scope_cgroup_id == Some(id));
    let trigger = entry.filter(|entry| entry.trigger.cgroup_id == Some(id));
    let victim = || parts.victims.iter().find(|victim| victim.task.cgroup_id == Some(id));
    scope
        .and_then(|control| control.scope_cgroup.clone())
        .or_else(|| trigger?.trigger_cgroup.clone())
        .or_else(|| victim()?.cgroup.clone())
}

/// From the report's task table. It lists who the kernel could look at: no kernel threads, not init, and only those
/// with memory on the allowed nodes (`dump_task`).
fn logged(parts: &Parts<'_>, total_pages: Option<u64>, rule: Option<Rule>) -> Candidates {
    let none = |evaluated: Option<u64>| Candidates {
        list: Vec::new(),
        evaluated,
        lost: evaluated,
        whole: false,
        nodes_unknown: false,
        unnamed: 0,
        cut: false,
    };
    // Whoever asked is killed without looking at anybody; the table is printed all the same.
    if rule == Some(Rule::AllocatingTask) {
        return none(Some(0));
    }
    let Some(report) = parts.report().filter(|report| report.has_table) else { return none(None) };
    let mut known = HashSet::new();
    let rows = report.tasks.iter().filter(|row| known.insert(row.tgid));
    let list: Vec<Candidate> = rows.map(|row| from_row(parts, report, row, total_pages)).collect();
    let whole = parts.whole_table().is_some();
    // Under vm.panic_on_oom or vm.oom_kill_allocating_task the kernel prints the table without looking.
    let looked = matches!(rule, Some(Rule::HighestPoints | Rule::Sysrq | Rule::NoneKillable));
    let evaluated = Some(list.len() as u64).filter(|_| whole && looked);
    Candidates {
        evaluated,
        lost: evaluated.map(|_| 0),
        whole: whole && looked,
        nodes_unknown: false,
        unnamed: 0,
        cut: false,
        list,
    }
}

/// Up to 4.16 `oom_badness` takes 3 % off the points of processes with `CAP_SYS_ADMIN` (before 3.14 30 thousandths of
/// `totalpages`), which the table does not show: points computed for them are too high. The removal may be in a distribution's earlier kernel too.
pub(super) fn root_bonus(parts: &Parts<'_>) -> bool {
    let Some(report) = parts.report() else { return false };
    let release = report.invocation.as_ref().and_then(|invocation| invocation.kernel_release.as_deref());
    report.chosen.is_some() && release.and_then(version).is_none_or(|version| version < (4, 17))
}

/// The first two numbers of a release.
fn version(release: &str) -> Option<(u32, u32)> {
    let (major, rest) = release.split_once('.')?;
    let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn from_row(parts: &Parts<'_>, report: &Report, row: &TaskRow, total_pages: Option<u64>) -> Candidate {
    let exempt_reason = if row.tgid == 1 {
        Some(ExemptReason::Init)
    } else {
        Some(ExemptReason::AdjMin).filter(|_| row.oom_score_adj == badness::OOM_SCORE_ADJ_MIN)
    };
    let eligible = exempt_reason.is_none();
    let computed = badness::points(&row.memory, row.oom_score_adj, total_pages, parts.page_size());
    // Before 5.9 who may be killed has one point at least; `Kill process` is what kernels up to 5.0 print.
    let least = if report.chosen.is_some() { 1 } else { i64::MIN };
    let points = computed.filter(|_| eligible).map(|points| points.max(least));
    let kill = report.kill.as_ref().filter(|kill| kill.pid == row.pid || kill.pid == row.tgid);
    Candidate {
        pid: row.tgid,
        tid: row.pid,
        comm: row.comm.clone(),
        uid: Some(row.uid),
        cgroup: kill.and_then(|kill| kill.task_memcg.clone()),
        identity: Identity::default(),
        memory: row.memory,
        oom_score_adj: Some(row.oom_score_adj),
        points,
        points_source: points.map(|_| PointsSource::Computed),
        eligible,
        exempt_reason,
    }
}
