//! Who died of it, and what that gave back.

use super::{Ending, Parts};
use crate::incident::assembler::marked::{Marked, Process};
use crate::incident::assembler::pending::Pending;
use crate::incident::assembler::scans::Scan;
use crate::incident::fact::{CgroupPath, Task};
use crate::incident::identity::Identity;
use crate::incident::model::{Memory, Role, Victim};

/// Adds what other facts know of the victims: kernels whose `mark_victim` gives only a number, counters that the
/// tracepoint does not have.
pub(super) fn fill(victims: &mut [Marked], pending: &Pending, scan: &Scan) {
    let kill = pending.logged.report.as_ref().and_then(|report| report.kill.as_ref());
    let rows = pending.logged.report.as_ref().map(|report| report.tasks.as_slice()).unwrap_or_default();
    for victim in victims {
        let process = victim.process();
        if let Some(decision) = pending.decision.as_ref().filter(|d| Process::of(&d.chosen).is(process)) {
            fill_task(&mut victim.task, &decision.chosen);
        }
        if let Some(candidate) = scan.candidates.iter().find(|c| Process::of(&c.task).is(process)) {
            fill_task(&mut victim.task, &candidate.task);
        }
        if let Some(line) = &victim.line {
            let Task { comm, uid, oom_score_adj, memory, .. } = &mut victim.task;
            if comm.is_empty() {
                comm.clone_from(&line.comm);
            }
            *uid = uid.or(line.uid);
            *oom_score_adj = oom_score_adj.or(line.oom_score_adj);
            fill_memory(memory, &line.memory);
        }
        if let Some(row) = rows.iter().find(|row| process.logged_as(row.pid)) {
            if victim.task.pid == 0 {
                victim.task.pid = row.tgid;
            }
            // `Killed process` has neither before 5.1.
            victim.task.uid = victim.task.uid.or(Some(row.uid));
            victim.task.oom_score_adj = victim.task.oom_score_adj.or(Some(row.oom_score_adj));
            fill_memory(&mut victim.task.memory, &row.memory);
        }
        if let Some(kill) = kill.filter(|kill| process.logged_as(kill.pid)) {
            let path = || Some(CgroupPath { path: kill.task_memcg.clone()?, cut: false });
            victim.cgroup = victim.cgroup.take().or_else(path);
        }
    }
}

fn fill_task(task: &mut Task, other: &Task) {
    if task.pid == 0 {
        task.pid = other.pid;
    }
    if task.comm.is_empty() {
        task.comm.clone_from(&other.comm);
    }
    task.uid = task.uid.or(other.uid);
    task.oom_score_adj = task.oom_score_adj.or(other.oom_score_adj);
    task.cgroup_id = task.cgroup_id.or(other.cgroup_id);
    fill_memory(&mut task.memory, &other.memory);
}

fn fill_memory(memory: &mut Memory, other: &Memory) {
    let Memory { anon_bytes, file_bytes, shmem_bytes, rss_bytes, swap_bytes, pgtables_bytes, total_vm_bytes } =
        memory;
    *anon_bytes = anon_bytes.or(other.anon_bytes);
    *file_bytes = file_bytes.or(other.file_bytes);
    *shmem_bytes = shmem_bytes.or(other.shmem_bytes);
    // Before 4.5 `Killed process` does not tell shmem, which it has in file-rss.
    if anon_bytes.is_none() || file_bytes.is_none() || shmem_bytes.is_none() {
        *rss_bytes = rss_bytes.or(other.rss_bytes);
    }
    *swap_bytes = swap_bytes.or(other.swap_bytes);
    *pgtables_bytes = pgtables_bytes.or(other.pgtables_bytes);
    *total_vm_bytes = total_vm_bytes.or(other.total_vm_bytes);
}

/// The index of the selected one: the kernel marks it first.
pub(super) fn selected(parts: &Parts<'_>) -> Option<usize> {
    let killed = |victim: &Marked| victim.by_mark && victim.was_killed();
    let named: Option<u32> = parts.report().and_then(|report| report.kill.as_ref()).map(|kill| kill.pid);
    let chosen = parts.pending.decision.as_ref().map(|decision| Process::of(&decision.chosen));
    let mut marked = parts.victims.iter().enumerate().filter(|(_, victim)| killed(victim));
    let is = |victim: &Marked| match (chosen, named) {
        (Some(chosen), _) => victim.process().is(chosen),
        // The log's report names the leader, its lines may name a thread: only one who is there can be meant.
        (None, Some(pid)) => victim.process().logged_as(pid),
        (None, None) => false,
    };
    let exact = marked.clone().find(|(_, victim)| is(victim));
    let first = if chosen.is_some() { None } else { marked.next() };
    exact.or(first).map(|(index, _)| index)
}

pub(super) fn victims(parts: &Parts<'_>) -> Vec<Victim> {
    let selected = selected(parts);
    parts.victims.iter().enumerate().map(|(index, victim)| one(victim, Some(index) == selected)).collect()
}

fn one(victim: &Marked, selected: bool) -> Victim {
    let Marked { task, cgroup, killed_ns, exited_ns, by_mark, .. } = victim;
    let role = match () {
        () if selected => Role::Selected,
        () if !victim.was_killed() => Role::AlreadyDying,
        () if *by_mark => Role::Group,
        () => Role::SharedMemory,
    };
    let exit_after = exited_ns.zip(*killed_ns).and_then(|(exit, kill)| exit.checked_sub(kill));
    Victim {
        pid: victim.process().pid(),
        tid: task.tid,
        comm: task.comm.clone(),
        uid: task.uid,
        role,
        main_process: task.namespace_init,
        cgroup: cgroup.as_ref().map(|cgroup| cgroup.path.clone()),
        identity: Identity::default(),
        memory: memory(victim),
        oom_score_adj: task.oom_score_adj,
        killed_boottime_ns: *killed_ns,
        exited_boottime_ns: *exited_ns,
        exit_after_ns: exit_after,
    }
}

fn memory(victim: &Marked) -> Memory {
    exact(victim.task.memory, victim.line.as_ref().map(|line| &line.memory))
}

/// What BPF saw, with what the kernel's log says of it: from 6.2 on BPF sees counters that lag (`mm->rss_stat` is `percpu_counter`s,
/// `include/linux/mm_types.h`); by 7.2 `oom_badness` and `__oom_kill_process` (`mm/oom_kill.c`) use and print their exact sums.
pub(super) fn exact(seen: Memory, logged: Option<&Memory>) -> Memory {
    match logged.map(|it| (it.anon_bytes, it.file_bytes, it.shmem_bytes)) {
        Some((anon_bytes @ Some(_), file_bytes @ Some(_), shmem_bytes @ Some(_))) => {
            Memory { anon_bytes, file_bytes, shmem_bytes, ..seen }
        }
        _ => seen,
    }
}

/// All victims are known: nothing that may have told of one is lost.
pub(super) fn all_known(parts: &Parts<'_>) -> bool {
    let Pending { call, lost, dropped, again, .. } = parts.pending;
    let whole = if parts.config.calls {
        parts.saw_all()
    } else {
        parts.ending == Ending::Complete && *lost == 0 && *dropped == 0 && !*again
    };
    call.is_some() && whole && !parts.victims.is_empty()
}

/// From the first kill to the last exit.
pub(super) fn recovery_ns(parts: &Parts<'_>) -> Option<u64> {
    if !all_known(parts) {
        return None;
    }
    let first = parts.victims.iter().filter_map(|victim| victim.killed_ns).min()?;
    let exits =
        parts.victims.iter().filter(|victim| victim.killed_ns.is_some()).map(|victim| victim.exited_ns);
    let last = exits.collect::<Option<Vec<u64>>>()?.into_iter().max()?;
    last.checked_sub(first)
}

/// Anonymous memory, swap and page tables that went with the victims. File pages stay in the cache and tmpfs stays,
/// so neither counts; memory that victims share counts once.
pub(super) fn freed_bytes(parts: &Parts<'_>) -> Option<u64> {
    let owners = parts.victims.iter().filter(|victim| !victim.shares_mm);
    let gone = parts.victims.iter().all(Marked::is_gone);
    // Two members of a group that share memory with somebody may do so with each other.
    let sharing = owners.clone().filter(|victim| victim.task.shared_mm).count() > 1;
    if !all_known(parts) || !gone || sharing || owners.clone().next().is_none() {
        return None;
    }
    let mut freed: u64 = 0;
    for victim in owners {
        let Memory { anon_bytes, swap_bytes, pgtables_bytes, .. } = memory(victim);
        let held = anon_bytes?.checked_add(swap_bytes?)?.checked_add(pgtables_bytes.unwrap_or(0))?;
        freed = freed.checked_add(held)?;
    }
    Some(freed)
}
