//! A victim's record.

use oom_ebpf::Field::{
    PidLevel, PidNsChildReaper, PidNumbers, PidNumbersStride, TaskGroupLeader, TaskRealParent, TaskThreadPid,
    UpidNs,
};
use oom_ebpf::{Kind, Namespace, Task, UNKNOWN_U32, Victim};

use crate::{
    call::header,
    cgroup,
    fields::offset,
    maps::reserve_event,
    read::{field, field_or},
    task,
    walk::Walk,
};

/// How it became one, and when it was sent SIGKILL (0: unknown).
#[derive(Clone, Copy)]
pub(crate) struct Killed {
    pub how: u32,
    pub ns: u64,
}

/// Tells of it: its task (0: only the thread id is known), its mm, its memory cgroup.
#[inline(always)]
pub(crate) fn tell<W: Walk>(call: u64, killed: Killed, task: u64, tid: u32, mm: u64, css: u64) {
    let Some(mut entry) = reserve_event::<Victim>() else { return };
    let record = entry.as_mut_ptr();
    // SAFETY: the record is ours; every field is written.
    unsafe {
        (*record).header = header(Kind::Victim, call);
        (*record).how = killed.how;
        (*record).reserved = 0;
        (*record).killed_ns = killed.ns;
        fill_victim::<W>(task, tid, mm, &raw mut (*record).task);
        fill_namespace(task, &raw mut (*record).namespace);
        cgroup::path::<W>(css, &raw mut (*record).path);
    }
    entry.submit(0);
}

/// Writes what is known of a task that may be unknown, of which the kernel gave the thread id.
///
/// # Safety
/// `out` points into a reserved ring record.
#[inline(always)]
unsafe fn fill_victim<W: Walk>(task: u64, tid: u32, mm: u64, out: *mut Task) {
    // SAFETY: as here.
    unsafe {
        // From NULL everything reads as 0.
        task::fill(task, mm, out);
        (*out).oom_group = cgroup::oom_group::<W>(cgroup::memory_css(task));
        if task == 0 {
            (*out).tid = tid;
            (*out).has_task = 0;
        }
    }
}

/// Writes where a process is in its PID namespace (`task_active_pid_ns`, `pid_nr_ns`).
///
/// # Safety
/// `out` points into a reserved ring record.
#[inline(always)]
unsafe fn fill_namespace(task: u64, out: *mut Namespace) {
    let pid = field(field(task, TaskGroupLeader), TaskThreadPid);
    let level = field_or(pid, PidLevel, UNKNOWN_U32);
    let number = pid.wrapping_add(u64::from(level).wrapping_mul(offset(PidNumbersStride)));
    let namespace = field(number.wrapping_add(offset(PidNumbers)), UpidNs);
    let parent = field(task, TaskRealParent);
    // SAFETY: the record is ours; every field is written.
    unsafe {
        (*out).level = level;
        (*out).pid = field(number, PidNumbers);
        (*out).reaper_cgroup_id = cgroup::id(cgroup::memory_css(field(namespace, PidNsChildReaper)));
        (*out).parent_cgroup_id = cgroup::id(cgroup::memory_css(parent));
    }
}
