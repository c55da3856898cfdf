//! Lines about who dies: `oom-kill:` (`dump_oom_summary`), `Killed process` (`__oom_kill_process`), the group kill
//! (`mem_cgroup_print_oom_group`) and the reaper (`oom_reap_task_mm`).
//!
//! Command names and cgroup names are chosen by users and may hold what the kernel prints around them, so each line
//! is read from both ends towards them.

use super::scan::{COMM_BYTES, id, kb, least_raw_len, number};
use super::{Killed, OomKill, TaskRow};
use crate::incident::model::{Memory, ScopeKind};

/// The `oom-kill:` line up to the constraint; longer than any command name.
pub(super) const SUMMARY: &str = "oom-kill:constraint=";

/// `oom-kill:constraint=..,nodemask=..,cpuset=..,mems_allowed=..,{global_oom|oom_memcg=..},task_memcg=..,task=..,pid=..,uid=..`.
///
/// Names that hold `,task=` and the like make it ambiguous; the report's own table and counters then decide.
pub(super) fn summary(
    message: &str,
    cut: bool,
    tasks: &[TaskRow],
    stats_cgroup: Option<&str>,
) -> Option<OomKill> {
    let (rest, uid) = message.strip_prefix(SUMMARY)?.rsplit_once(",uid=")?;
    let (rest, pid) = rest.rsplit_once(",pid=")?;
    let pid = id(pid)?;
    let (constraint, rest) = rest.split_once(",nodemask=")?;
    let (nodemask, rest) = node_list(rest);
    let named = tasks.iter().find(|row| row.pid == pid).map(|row| row.comm.as_str());
    let (rest, comm) = split_comm(rest, named)?;
    let (cpuset, rest) = split_cpuset(rest);
    let (mems_allowed, rest) = match rest.strip_prefix(",mems_allowed=") {
        Some(rest) => {
            let (mems, rest) = node_list(rest);
            (Some(mems.to_owned()), rest)
        }
        None => (None, rest),
    };
    let (oom_memcg, task_memcg) = split_cgroups(rest, stats_cgroup);
    Some(OomKill {
        constraint: scope_kind(constraint),
        nodemask: Some(nodemask.to_owned()),
        cpuset: cpuset.map(str::to_owned),
        mems_allowed,
        oom_memcg: oom_memcg.map(str::to_owned),
        task_memcg: task_memcg.map(str::to_owned),
        comm: comm.to_owned(),
        pid,
        uid: id(uid).filter(|_| !cut),
    })
}

/// `enum oom_constraint` as `oom_constraint_text` prints it.
fn scope_kind(constraint: &str) -> Option<ScopeKind> {
    match constraint {
        "CONSTRAINT_NONE" => Some(ScopeKind::Global),
        "CONSTRAINT_CPUSET" => Some(ScopeKind::Cpuset),
        "CONSTRAINT_MEMORY_POLICY" => Some(ScopeKind::MemoryPolicy),
        "CONSTRAINT_MEMCG" => Some(ScopeKind::Memcg),
        _ => None,
    }
}

/// `(null)` or `0-1,3`, up to the comma before the next field.
fn node_list(text: &str) -> (&str, &str) {
    if let Some(rest) = text.strip_prefix("(null)") {
        return (&text[..text.len() - rest.len()], rest);
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != ',' && c != '-').unwrap_or(text.len());
    let list = text[..end].trim_end_matches(',');
    (list, &text[list.len()..])
}

/// Splits `,task=NAME` off. Of several places the one that gives the name that the task table has, or else the
/// longest name that a task can have: a name is easier to choose than a cgroup's.
fn split_comm<'a>(text: &'a str, named: Option<&str>) -> Option<(&'a str, &'a str)> {
    const TASK: &str = ",task=";
    let splits = || text.rmatch_indices(TASK).map(|(at, _)| (&text[..at], &text[at + TASK.len()..]));
    if let Some(named) = named
        && let Some(split) = splits().find(|(_, comm)| *comm == named)
    {
        return Some(split);
    }
    splits().take_while(|(_, comm)| least_raw_len(comm) <= COMM_BYTES).last()
}

/// `,cpuset=NAME` before `,mems_allowed=`.
fn split_cpuset(text: &str) -> (Option<&str>, &str) {
    const MEMS: &str = ",mems_allowed=";
    let Some(rest) = text.strip_prefix(",cpuset=") else { return (None, text) };
    let real = |(at, _): &(usize, &str)| {
        let after = node_list(&rest[at + MEMS.len()..]).1;
        [",global_oom", ",oom_memcg=", ",task_memcg="].iter().any(|next| after.starts_with(next))
    };
    let at = rest.match_indices(MEMS).find(real).map_or(rest.len(), |(at, _)| at);
    (Some(&rest[..at]), &rest[at..])
}

/// `,global_oom,task_memcg=PATH` or `,oom_memcg=PATH,task_memcg=PATH`.
fn split_cgroups<'a>(text: &'a str, stats_cgroup: Option<&str>) -> (Option<&'a str>, Option<&'a str>) {
    const TASK: &str = ",task_memcg=";
    let Some(rest) = text.strip_prefix(",oom_memcg=") else {
        return (None, text.strip_prefix(",global_oom").unwrap_or(text).strip_prefix(TASK));
    };
    let splits = || rest.match_indices(TASK).map(|(at, _)| (&rest[..at], &rest[at + TASK.len()..]));
    let split = splits()
        .find(|(limit, _)| Some(*limit) == stats_cgroup)
        .or_else(|| splits().find(|(limit, task)| within(limit, task)))
        .or_else(|| splits().next());
    match split {
        Some((limit, task)) => (Some(limit), Some(task)),
        None => (Some(rest), None),
    }
}

/// The victim is in the cgroup whose limit was hit or below it.
pub(super) fn within(limit: &str, task: &str) -> bool {
    task.strip_prefix(limit).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || limit == "/")
}

/// Whether a memory cgroup is out of memory; `None`: this is not what `out_of_memory` calls `oom_kill_process` with.
pub(super) fn reason(reason: &str) -> Option<bool> {
    if reason.starts_with("Memory cgroup out of memory") {
        return Some(true);
    }
    reason.starts_with("Out of memory").then_some(false)
}

/// `REASON: Killed process PID (NAME) total-vm:..kB, anon-rss:..kB, ...`, and without a reason up to 5.0.
pub(super) fn killed(message: &str, cut: bool) -> Option<Killed> {
    const KILLED: &str = "Killed process ";
    let (text, rest) = match message.strip_prefix(KILLED) {
        Some(rest) => ("", rest),
        None => message.split_once(": Killed process ")?,
    };
    let is_memcg = if text.is_empty() { None } else { Some(reason(text)?) };
    let (pid, rest) = number(rest)?;
    // RHEL 6 has the user before the name.
    let (uid, rest) = match rest.strip_prefix(", UID ") {
        Some(rest) => rest.split_once(',').map(|(uid, rest)| (id(uid), rest))?,
        None => (None, rest),
    };
    let rest = rest.strip_prefix(" (")?;
    // The last of them: a name may hold one. RHEL 7 has the user after the name.
    let at = rest.rfind(") total-vm:").max(rest.rfind("), UID "))?;
    let mut killed = Killed {
        is_memcg,
        message: text.to_owned(),
        pid: pid.try_into().ok()?,
        comm: rest[..at].to_owned(),
        uid,
        ..Killed::default()
    };
    let fields = rest[at + 1..].trim_start_matches([',', ' ']);
    let (user, fields) = match fields.strip_prefix("UID ") {
        Some(rest) => rest.split_once(',').unwrap_or((rest, "")),
        None => ("", fields),
    };
    killed.uid = killed.uid.or(id(user).filter(|_| !cut || !fields.is_empty()));
    // Of a line that was cut the last word is not whole, unless it is a number with its unit.
    let whole = if !cut || fields.ends_with("kB") {
        fields
    } else {
        &fields[..fields.rfind([',', ' ']).unwrap_or(0)]
    };
    for (name, value) in whole.split([',', ' ']).filter_map(|field| field.split_once(':')) {
        killed_field(&mut killed, name, value);
    }
    let Memory { anon_bytes, file_bytes, shmem_bytes, rss_bytes, .. } = &mut killed.memory;
    // Before 4.5 files include tmpfs (MM_FILEPAGES), and the line ends with them.
    if let (Some(anon), Some(file), None, false) = (*anon_bytes, *file_bytes, *shmem_bytes, cut) {
        *rss_bytes = anon.checked_add(file).filter(|_| whole.ends_with("kB"));
    }
    Some(killed)
}

fn killed_field(killed: &mut Killed, name: &str, value: &str) {
    let Memory { anon_bytes, file_bytes, shmem_bytes, pgtables_bytes, total_vm_bytes, .. } =
        &mut killed.memory;
    match name {
        "total-vm" => *total_vm_bytes = kb(value),
        "anon-rss" => *anon_bytes = kb(value),
        "file-rss" => *file_bytes = kb(value),
        "shmem-rss" => *shmem_bytes = kb(value),
        "pgtables" => *pgtables_bytes = kb(value),
        "UID" => killed.uid = id(value),
        "oom_score_adj" => killed.oom_score_adj = value.parse().ok(),
        _ => (),
    }
}

/// `Tasks in PATH are going to be killed due to memory.oom.group set`: the path.
pub(super) fn group(message: &str) -> Option<&str> {
    message.strip_prefix("Tasks in ")?.strip_suffix(" are going to be killed due to memory.oom.group set")
}

/// `oom_reaper: reaped process PID (NAME), now anon-rss:...`: both.
pub(super) fn reaped(message: &str) -> Option<(u32, &str)> {
    let (pid, rest) = number(message.strip_prefix("oom_reaper: reaped process ")?)?;
    let rest = rest.strip_prefix(" (")?;
    Some((pid.try_into().ok()?, &rest[..rest.rfind("), now anon-rss:")?]))
}

/// `oom_reaper: unable to reap pid:PID (NAME)`: both.
pub(super) fn not_reaped(message: &str) -> Option<(u32, &str)> {
    let (pid, rest) = number(message.strip_prefix("oom_reaper: unable to reap pid:")?)?;
    Some((pid.try_into().ok()?, rest.strip_prefix(" (")?.strip_suffix(')')?))
}

/// `REASON: OOM victim PID (NAME) is already exiting. Skip killing the task` (`__oom_kill_process`): both.
pub(super) fn exiting(message: &str) -> Option<(u32, &str)> {
    let (text, rest) = message.split_once(": OOM victim ")?;
    reason(text)?;
    let (pid, rest) = number(rest)?;
    let comm = rest.strip_prefix(" (")?.strip_suffix(") is already exiting. Skip killing the task")?;
    Some((pid.try_into().ok()?, comm))
}

/// `oom_kill_process: N callbacks suppressed` (`___ratelimit`).
pub(super) fn suppressed(message: &str) -> Option<u64> {
    let (count, rest) = number(message.strip_prefix("oom_kill_process: ")?)?;
    (rest == " callbacks suppressed").then_some(count)
}

#[cfg(test)]
mod tests;
