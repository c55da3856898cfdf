//! `task_struct` to a wire record.

use oom_ebpf::Field::{
    CredUid, MmFlags, MmPgtablesBytes, MmRssStat, MmRssStride, MmTotalVm, MmUsers, SignalLive,
    SignalOomScoreAdj, SignalThreadHead, TaskComm, TaskFlags, TaskGroupLeader, TaskMm, TaskPid, TaskRealCred,
    TaskRealParent, TaskSignal, TaskStartBoottime, TaskTgid, TaskThreadNode, TaskVforkDone,
};
use oom_ebpf::{ABSENT, PF_KTHREAD, Task, UNKNOWN, UNKNOWN_U32, UNKNOWN_U64};

use crate::{
    cgroup,
    fields::offset,
    read::{Probe, Reader, at, field},
    walk::{Round, Walk},
};

/// Threads that are looked at for one that still has the mm (`find_lock_task_mm` looks at all).
const MAX_THREADS: u32 = 16;

/// `NR_MM_COUNTERS`: file, anonymous, swap entries, shmem (include/linux/mm_types_task.h).
const MM_COUNTERS: usize = 4;

/// The process id, 0 if unreadable.
#[inline(always)]
pub(crate) fn tgid(task: u64) -> u32 {
    field(task, TaskTgid)
}

/// The thread id, 0 if unreadable.
#[inline(always)]
pub(crate) fn tid(task: u64) -> u32 {
    field(task, TaskPid)
}

/// Start of the process (of its leader), nanoseconds since boot.
#[inline(always)]
pub(crate) fn start_ns(task: u64) -> u64 {
    field(field(task, TaskGroupLeader), TaskStartBoottime)
}

/// Threads of the process that have not exited.
#[inline(always)]
pub(crate) fn live_threads(task: u64) -> u32 {
    field(field(task, TaskSignal), SignalLive)
}

/// The mm of the task itself: of a marked one, which has its own, and of the trigger, of which it does not matter.
#[inline(always)]
pub(crate) fn own_mm(task: u64) -> u64 {
    field(task, TaskMm)
}

/// The mm of the task or of the first of its threads that still has one (`find_lock_task_mm`): a leader may have exited.
#[inline(always)]
pub(crate) fn mm<W: Walk>(task: u64) -> u64 {
    let own = own_mm(task);
    if own != 0 { own } else { threads_mm::<W>(task) }
}

/// The mm of the first of its threads that has one, of a task that has none.
#[inline(always)]
fn threads_mm<W: Walk>(task: u64) -> u64 {
    if field::<u32>(task, TaskFlags) & PF_KTHREAD != 0 {
        return 0;
    }
    let head = field::<u64>(task, TaskSignal).wrapping_add(offset(SignalThreadHead));
    // `list_head.next` is its first word.
    let mut threads = Threads { head, node: at(head), mm: 0 };
    W::rounds::<_, MAX_THREADS>(&mut threads);
    threads.mm
}

/// A walk along a process's threads.
struct Threads {
    head: u64,
    node: u64,
    /// Of the one that it ended at.
    mm: u64,
}

impl Round for Threads {
    #[inline(always)]
    fn next<W: Walk>(&mut self, _index: u32) -> bool {
        if self.node == 0 || self.node == self.head {
            return false;
        }
        self.mm = field(self.node.wrapping_sub(offset(TaskThreadNode)), TaskMm);
        if self.mm != 0 {
            return false;
        }
        self.node = at(self.node);
        true
    }
}

/// `mm->rss_stat`, in the kernel's order.
#[inline(always)]
fn counters<R: Reader>(mm: u64) -> [i64; MM_COUNTERS] {
    let (start, stride) = (offset(MmRssStat), offset(MmRssStride));
    if start == ABSENT {
        return [UNKNOWN; MM_COUNTERS];
    }
    let first = mm.wrapping_add(start);
    if stride == size_of::<i64>() as u64 {
        // Side by side: one read. (The verifier of 6.1 knows no array of `atomic_long_t`.)
        at(first)
    } else {
        [0, 1, 2, 3].map(|index: u64| R::at(first.wrapping_add(index * stride)))
    }
}

/// Writes what is known of a task and of this mm, which is its or its threads'.
///
/// # Safety
/// `out` points into a reserved ring record.
#[inline(always)]
pub(crate) unsafe fn fill(task: u64, mm: u64, out: *mut Task) {
    // SAFETY: as here.
    unsafe {
        fill_but_mm::<Probe>(
            task,
            [tgid(task), tid(task)],
            start_ns(task),
            cgroup::id(cgroup::memory_css(task)),
            out,
        );
        fill_mm::<Probe>(mm, out);
    }
}

/// The same of a candidate, which is not NULL and that this reader may read, with the id of its memory cgroup. It is a leader:
/// `select_bad_process` (mm/oom_kill.c) looks at processes, by `for_each_process` or `mem_cgroup_scan_tasks` (mm/memcontrol.c).
///
/// # Safety
/// `out` points into a reserved ring record.
#[inline(always)]
pub(crate) unsafe fn fill_by<R: Reader, W: Walk>(task: u64, cgroup_id: u64, out: *mut Task) {
    // SAFETY: as here.
    unsafe {
        let pid = R::field(task, TaskTgid);
        fill_but_mm::<R>(task, [pid, pid], R::field(task, TaskStartBoottime), cgroup_id, out);
        let own = R::field(task, TaskMm);
        if own != 0 {
            fill_mm::<R>(own, out);
        } else {
            fill_mm::<Probe>(threads_mm::<W>(task), out);
        }
    }
}

#[inline(always)]
unsafe fn fill_but_mm<R: Reader>(
    task: u64,
    [tgid, tid]: [u32; 2],
    start_ns: u64,
    cgroup_id: u64,
    out: *mut Task,
) {
    let signal = R::field(task, TaskSignal);
    let vfork_done = R::field_or(task, TaskVforkDone, UNKNOWN_U64);
    // SAFETY: the record is ours; every field but those of the mm is written.
    unsafe {
        (*out).pid = tgid;
        (*out).tid = tid;
        (*out).uid = R::field_or(R::field(task, TaskRealCred), CredUid, UNKNOWN_U32);
        (*out).adj = R::field(signal, SignalOomScoreAdj);
        (*out).has_task = 1;
        R::bytes(task.wrapping_add(offset(TaskComm)), &raw mut (*out).comm);
        (*out).start_ns = start_ns;
        (*out).cgroup_id = cgroup_id;
        (*out).vfork_done = vfork_done;
        (*out).parent_mm = 0;
        if vfork_done != 0 {
            (*out).parent_mm = R::field(R::field(task, TaskRealParent), TaskMm);
        }
        (*out).flags = R::field(task, TaskFlags);
        (*out).live = R::field(signal, SignalLive);
        (*out).oom_group = 0;
    }
}

#[inline(always)]
unsafe fn fill_mm<R: Reader>(mm: u64, out: *mut Task) {
    let [file, anon, swap, shmem] = counters::<R>(mm);
    // SAFETY: the record is ours; every field of the mm is written.
    unsafe {
        (*out).mm = mm;
        (*out).mm_flags = R::field_or(mm, MmFlags, UNKNOWN_U64);
        (*out).mm_users = R::field(mm, MmUsers);
        (*out).file_pages = file;
        (*out).anon_pages = anon;
        (*out).swap_pages = swap;
        (*out).shmem_pages = shmem;
        (*out).pgtables_bytes = R::field_or(mm, MmPgtablesBytes, UNKNOWN);
        (*out).total_vm_pages = R::field_or(mm, MmTotalVm, UNKNOWN);
    }
}
