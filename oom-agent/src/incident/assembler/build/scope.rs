//! Which limit was hit.

use super::{Parts, SYSRQ_ORDER, invocation};
use crate::incident::fact::Call;
use crate::incident::model::{Limits, Scope, ScopeKind};
use crate::report::Report;

/// `oc->constraint`, where the call got as far as `constrained_alloc`: before that it is 0, which means another thing.
fn constraint(parts: &Parts<'_>) -> Option<ScopeKind> {
    let decision = parts.pending.decision.as_ref().filter(|decision| decision.total_pages > 0);
    let end = parts.pending.end.as_ref().filter(|end| end.total_pages.is_some());
    decision.and_then(|decision| decision.constraint).or_else(|| end.and_then(|end| end.constraint))
}

pub(super) fn scope(parts: &Parts<'_>) -> Scope {
    let control = parts.pending.entry.as_ref().and_then(|entry| entry.control.as_ref());
    let told = match control {
        Some(control) if control.order == SYSRQ_ORDER => {
            Scope { kind: Some(ScopeKind::Sysrq), ..Scope::default() }
        }
        Some(control) if control.is_memcg => Scope {
            kind: Some(ScopeKind::Memcg),
            cgroup: control.scope_cgroup.as_ref().map(|cgroup| cgroup.path.clone()),
            cgroup_id: control.scope_cgroup_id,
            ..Scope::default()
        },
        Some(_) => Scope { kind: constraint(parts), ..Scope::default() },
        // Without its order a machine-wide one may be a sysrq-f.
        None => {
            Scope { kind: constraint(parts).filter(|&kind| kind != ScopeKind::Global), ..Scope::default() }
        }
    };
    let logged = logged(parts);
    if told.kind.is_none() {
        return with_nodes(logged, parts);
    }
    let cgroup = told.cgroup.clone().or(logged.cgroup).filter(|_| told.kind == Some(ScopeKind::Memcg));
    with_nodes(Scope { cgroup, ..told }, parts)
}

/// Adds which nodes the allocation might use, where that plays a part.
fn with_nodes(scope: Scope, parts: &Parts<'_>) -> Scope {
    let kill = parts.report().and_then(|report| report.kill.as_ref());
    let Some(kill) = kill.filter(|_| scope.kind.is_some_and(|kind| kind != ScopeKind::Memcg)) else {
        return scope;
    };
    // `%*pbl` of no mask.
    let nodemask = kill.nodemask.clone().filter(|list| list != "(null)");
    Scope { nodemask, mems_allowed: kill.mems_allowed.clone(), ..scope }
}

/// The same from the log.
fn logged(parts: &Parts<'_>) -> Scope {
    let kind = |kind| Scope { kind: Some(kind), ..Scope::default() };
    let order = invocation(&parts.pending.logged).and_then(|invocation| invocation.order);
    let report = parts.report();
    let kill = report.and_then(|report| report.kill.as_ref());
    let stats = report.and_then(|report| report.stats_cgroup.clone());
    let constraint = kill.and_then(|kill| kill.constraint);
    let memcg_line =
        || parts.victims.iter().filter_map(|v| v.line.as_ref()).any(|l| l.is_memcg == Some(true));
    match constraint {
        _ if order == Some(SYSRQ_ORDER) => kind(ScopeKind::Sysrq),
        Some(ScopeKind::Memcg) => {
            let cgroup = kill.and_then(|kill| kill.oom_memcg.clone()).or(stats);
            Scope { kind: constraint, cgroup, ..Scope::default() }
        }
        // Without its order it may be a sysrq-f.
        Some(ScopeKind::Global) if order.is_none() => Scope::default(),
        Some(other) => kind(other),
        None if stats.is_some() => Scope { kind: Some(ScopeKind::Memcg), cgroup: stats, ..Scope::default() },
        None if memcg_line() => kind(ScopeKind::Memcg),
        None => Scope::default(),
    }
}

pub(super) fn limits(parts: &Parts<'_>) -> Limits {
    let logged = parts.report().map(reported_limits).unwrap_or_default();
    let control = parts.pending.entry.as_deref().and_then(|Call { control, .. }| control.as_ref());
    let Some(control) = control else { return logged };
    Limits {
        memory_bytes: control.limit_bytes.or(logged.memory_bytes),
        usage_bytes: control.usage_bytes.or(logged.usage_bytes),
        swap_bytes: control.swap_limit_bytes.or(logged.swap_bytes),
        swap_usage_bytes: control.swap_usage_bytes.or(logged.swap_usage_bytes),
        ..logged
    }
}

/// A report's, cgroup v1's among them.
pub(super) fn reported_limits(report: &Report) -> Limits {
    let Report { limits, memsw, kmem, .. } = report;
    Limits {
        memsw_bytes: memsw.limit_bytes,
        memsw_usage_bytes: memsw.usage_bytes,
        kmem_bytes: kmem.limit_bytes,
        kmem_usage_bytes: kmem.usage_bytes,
        ..limits.clone()
    }
}
