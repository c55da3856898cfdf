//! Who asked for memory.

use super::{Parts, invocation};
use crate::incident::identity::Identity;
use crate::incident::model::Trigger;

pub(super) fn trigger(parts: &Parts<'_>) -> Option<Trigger> {
    let logged = invocation(&parts.pending.logged);
    let Some(entry) = parts.pending.entry.as_ref() else {
        let logged = logged?;
        let rows = parts.report().map(|report| report.tasks.as_slice()).unwrap_or_default();
        let row = rows.iter().find(|row| Some(row.pid) == logged.tid && row.comm == logged.comm);
        return Some(Trigger {
            pid: row.map(|row| row.tgid),
            tid: logged.tid,
            comm: logged.comm.clone(),
            cgroup: None,
            identity: Identity::default(),
            gfp_mask: logged.gfp_mask,
            gfp_flags: logged.gfp_flags.clone(),
            order: logged.order,
            oom_score_adj: logged.oom_score_adj,
        });
    };
    let task = &entry.trigger;
    // The log's report is this call's, unless it names another task.
    let logged = logged.filter(|logged| logged.tid.is_none_or(|tid| tid == task.tid));
    let control = entry.control.as_ref();
    Some(Trigger {
        pid: Some(task.pid).filter(|&pid| pid > 0),
        tid: Some(task.tid).filter(|&tid| tid > 0),
        comm: task.comm.clone(),
        cgroup: entry.trigger_cgroup.as_ref().map(|cgroup| cgroup.path.clone()),
        identity: Identity::default(),
        gfp_mask: control.map(|control| control.gfp_mask).or_else(|| logged?.gfp_mask),
        gfp_flags: logged.map(|logged| logged.gfp_flags.clone()).unwrap_or_default(),
        order: control.map(|control| control.order).or_else(|| logged?.order),
        oom_score_adj: task.oom_score_adj.or_else(|| logged?.oom_score_adj),
    })
}
