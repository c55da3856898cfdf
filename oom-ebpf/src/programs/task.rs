//! `task_struct` to a wire record.

use oom_ebpf::{ABSENT, Namespace, PF_KTHREAD, Task, UNKNOWN, UNKNOWN_U32, UNKNOWN_U64};

use crate::{
    cgroup,
    fields::{
        CRED_UID, MM_FLAGS, MM_PGTABLES_BYTES, MM_RSS_STAT, MM_RSS_STRIDE, MM_TOTAL_VM, MM_USERS, PID_LEVEL,
        PID_NS_CHILD_REAPER, PID_NUMBERS, PID_NUMBERS_STRIDE, SIGNAL_LIVE, SIGNAL_OOM_SCORE_ADJ,
        SIGNAL_THREAD_HEAD, TASK_COMM, TASK_FLAGS, TASK_GROUP_LEADER, TASK_MM, TASK_PID, TASK_REAL_CRED,
        TASK_REAL_PARENT, TASK_SIGNAL, TASK_START_BOOTTIME, TASK_TGID, TASK_THREAD_NODE, TASK_THREAD_PID,
        TASK_VFORK_DONE, UPID_NS,
    },
    read::{Probe, Reader, at, field, field_or, words},
    walk::{Round, Walk},
};

/// Threads that are looked at for one that still has the mm (`find_lock_task_mm` looks at all).
const MAX_THREADS: u32 = 16;

/// `NR_MM_COUNTERS`: file, anonymous, swap entries, shmem (include/linux/mm_types_task.h).
const MM_COUNTERS: usize = 4;

/// The process id, 0 if unreadable.
#[inline(always)]
pub(crate) fn tgid(task: u64) -> u32 {
    field(task, &TASK_TGID)
}

/// The thread id, 0 if unreadable.
#[inline(always)]
pub(crate) fn tid(task: u64) -> u32 {
    field(task, &TASK_PID)
}

/// Start of the process (of its leader), nanoseconds since boot.
#[inline(always)]
pub(crate) fn start_ns(task: u64) -> u64 {
    field(field(task, &TASK_GROUP_LEADER), &TASK_START_BOOTTIME)
}

/// Threads of the process that have not exited.
#[inline(always)]
pub(crate) fn live_threads(task: u64) -> u32 {
    field(field(task, &TASK_SIGNAL), &SIGNAL_LIVE)
}

/// The mm of the task itself: of a marked one, which has its own, and of the trigger, of which it does not matter.
#[inline(always)]
pub(crate) fn own_mm(task: u64) -> u64 {
    field(task, &TASK_MM)
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
    if field::<u32>(task, &TASK_FLAGS) & PF_KTHREAD != 0 {
        return 0;
    }
    let head = field::<u64>(task, &TASK_SIGNAL).wrapping_add(SIGNAL_THREAD_HEAD.load());
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
        self.mm = field(self.node.wrapping_sub(TASK_THREAD_NODE.load()), &TASK_MM);
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
    let (offset, stride) = (MM_RSS_STAT.load(), MM_RSS_STRIDE.load());
    let mut counters = [UNKNOWN; MM_COUNTERS];
    if offset == ABSENT {
        return counters;
    }
    let first = mm.wrapping_add(offset);
    if stride == size_of::<i64>() as u64 {
        // Side by side: one read. (The verifier of 6.1 knows no array of `atomic_long_t`.)
        words(first, &mut counters);
    } else {
        for (index, counter) in counters.iter_mut().enumerate() {
            *counter = R::at(first.wrapping_add(index as u64 * stride));
        }
    }
    counters
}

/// Writes what is known of a task and of this mm, which is its or its threads'.
///
/// # Safety
/// `out` points into a reserved ring record.
#[inline(always)]
pub(crate) unsafe fn fill(task: u64, mm: u64, out: *mut Task) {
    // SAFETY: as here.
    unsafe {
        fill_but_mm::<Probe>(task, start_ns(task), cgroup::id(cgroup::memory_css(task)), out);
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
        fill_but_mm::<R>(task, R::field(task, &TASK_START_BOOTTIME), cgroup_id, out);
        let own = R::field(task, &TASK_MM);
        if own != 0 {
            fill_mm::<R>(own, out);
        } else {
            fill_mm::<Probe>(threads_mm::<W>(task), out);
        }
    }
}

#[inline(always)]
unsafe fn fill_but_mm<R: Reader>(task: u64, start_ns: u64, cgroup_id: u64, out: *mut Task) {
    let signal = R::field(task, &TASK_SIGNAL);
    let vfork_done = R::field_or(task, &TASK_VFORK_DONE, UNKNOWN_U64);
    // SAFETY: the record is ours; every field but those of the mm is written.
    unsafe {
        (*out).pid = R::field(task, &TASK_TGID);
        (*out).tid = R::field(task, &TASK_PID);
        (*out).uid = R::field_or(R::field(task, &TASK_REAL_CRED), &CRED_UID, UNKNOWN_U32);
        (*out).adj = R::field(signal, &SIGNAL_OOM_SCORE_ADJ);
        (*out).has_task = 1;
        R::bytes(task.wrapping_add(TASK_COMM.load()), &raw mut (*out).comm);
        (*out).start_ns = start_ns;
        (*out).cgroup_id = cgroup_id;
        (*out).vfork_done = vfork_done;
        (*out).parent_mm = 0;
        if vfork_done != 0 {
            (*out).parent_mm = R::field(R::field(task, &TASK_REAL_PARENT), &TASK_MM);
        }
        (*out).flags = R::field(task, &TASK_FLAGS);
        (*out).live = R::field(signal, &SIGNAL_LIVE);
        (*out).oom_group = 0;
    }
}

#[inline(always)]
unsafe fn fill_mm<R: Reader>(mm: u64, out: *mut Task) {
    let [file, anon, swap, shmem] = counters::<R>(mm);
    // SAFETY: the record is ours; every field of the mm is written.
    unsafe {
        (*out).mm = mm;
        (*out).mm_flags = R::field_or(mm, &MM_FLAGS, UNKNOWN_U64);
        (*out).mm_users = R::field(mm, &MM_USERS);
        (*out).file_pages = file;
        (*out).anon_pages = anon;
        (*out).swap_pages = swap;
        (*out).shmem_pages = shmem;
        (*out).pgtables_bytes = R::field_or(mm, &MM_PGTABLES_BYTES, UNKNOWN);
        (*out).total_vm_pages = R::field_or(mm, &MM_TOTAL_VM, UNKNOWN);
    }
}

/// Writes what is known of a task that may be unknown, of which the kernel gave the thread id.
///
/// # Safety
/// `out` points into a reserved ring record.
#[inline(always)]
pub(crate) unsafe fn fill_victim<W: Walk>(task: u64, tid: u32, mm: u64, out: *mut Task) {
    // SAFETY: as here.
    unsafe {
        // From NULL everything reads as 0.
        fill(task, mm, out);
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
pub(crate) unsafe fn fill_namespace(task: u64, out: *mut Namespace) {
    let pid = field(field(task, &TASK_GROUP_LEADER), &TASK_THREAD_PID);
    let level = field_or(pid, &PID_LEVEL, UNKNOWN_U32);
    let number = pid.wrapping_add(u64::from(level).wrapping_mul(PID_NUMBERS_STRIDE.load()));
    let namespace = field(number.wrapping_add(PID_NUMBERS.load()), &UPID_NS);
    let parent = field(task, &TASK_REAL_PARENT);
    // SAFETY: the record is ours; every field is written.
    unsafe {
        (*out).level = level;
        (*out).pid = field(number, &PID_NUMBERS);
        (*out).reaper_cgroup_id = cgroup::id(cgroup::memory_css(field(namespace, &PID_NS_CHILD_REAPER)));
        (*out).parent_cgroup_id = cgroup::id(cgroup::memory_css(parent));
    }
}
