//! `task_struct` to a wire record.

use oom_ebpf::{Namespace, PF_KTHREAD, Task, UNKNOWN, UNKNOWN_U32, UNKNOWN_U64};

use crate::{
    cgroup,
    fields::{
        CRED_UID, MM_FLAGS, MM_PGTABLES_BYTES, MM_RSS_STAT, MM_RSS_STRIDE, MM_TOTAL_VM, MM_USERS, PID_LEVEL,
        PID_NS_CHILD_REAPER, PID_NUMBERS, PID_NUMBERS_STRIDE, SIGNAL_LIVE, SIGNAL_OOM_SCORE_ADJ,
        SIGNAL_THREAD_HEAD, TASK_COMM, TASK_FLAGS, TASK_GROUP_LEADER, TASK_MM, TASK_PID, TASK_REAL_CRED,
        TASK_REAL_PARENT, TASK_SIGNAL, TASK_START_BOOTTIME, TASK_TGID, TASK_THREAD_NODE, TASK_THREAD_PID,
        TASK_VFORK_DONE, UPID_NS,
    },
    read::{at, bytes, field, pointer},
};

/// Threads that are looked at for one that still has the mm (`find_lock_task_mm` looks at all).
const MAX_THREADS: usize = 16;

/// Indices of `mm_struct.rss_stat`, include/linux/mm_types_task.h.
const MM_FILEPAGES: u64 = 0;
const MM_ANONPAGES: u64 = 1;
const MM_SWAPENTS: u64 = 2;
const MM_SHMEMPAGES: u64 = 3;

/// The process id, 0 if unreadable.
#[inline(always)]
pub(crate) fn tgid(task: u64) -> u32 {
    field(task, &TASK_TGID, 0)
}

/// The thread id, 0 if unreadable.
#[inline(always)]
pub(crate) fn tid(task: u64) -> u32 {
    field(task, &TASK_PID, 0)
}

/// Start of the process (of its leader), nanoseconds since boot.
#[inline(always)]
pub(crate) fn start_ns(task: u64) -> u64 {
    pointer(pointer(task, &TASK_GROUP_LEADER), &TASK_START_BOOTTIME)
}

/// Threads of the process that have not exited.
#[inline(always)]
pub(crate) fn live_threads(task: u64) -> u32 {
    field(pointer(task, &TASK_SIGNAL), &SIGNAL_LIVE, 0)
}

/// The mm of the task or of the first of its threads that still has one (`find_lock_task_mm`): a leader may have exited.
#[inline(always)]
pub(crate) fn mm(task: u64) -> u64 {
    let own = pointer(task, &TASK_MM);
    if own != 0 || field::<u32>(task, &TASK_FLAGS, 0) & PF_KTHREAD != 0 {
        return own;
    }
    let head = SIGNAL_THREAD_HEAD.load();
    let link = TASK_THREAD_NODE.load();
    let head = pointer(task, &TASK_SIGNAL).wrapping_add(u64::from(head));
    // `list_head.next` is its first word. An absent offset makes an address that cannot be read.
    let mut node = at::<u64>(head);
    for _ in 0..MAX_THREADS {
        if node == 0 || node == head {
            return 0;
        }
        let mm = pointer(node.wrapping_sub(u64::from(link)), &TASK_MM);
        if mm != 0 {
            return mm;
        }
        node = at(node);
    }
    0
}

#[inline(always)]
fn counter(mm: u64, index: u64) -> i64 {
    let stride = u64::from(MM_RSS_STRIDE.load());
    field(mm + index * stride, &MM_RSS_STAT, UNKNOWN)
}

/// Writes what is known of a task.
///
/// # Safety
/// `out` points into a reserved ring record.
#[inline(always)]
pub(crate) unsafe fn fill(task: u64, out: *mut Task) {
    let signal = pointer(task, &TASK_SIGNAL);
    let mm = mm(task);
    // SAFETY: the record is ours; every field is written.
    unsafe {
        (*out).pid = tgid(task);
        (*out).tid = tid(task);
        (*out).uid = field(pointer(task, &TASK_REAL_CRED), &CRED_UID, UNKNOWN_U32);
        (*out).adj = field(signal, &SIGNAL_OOM_SCORE_ADJ, 0);
        (*out).has_task = 1;
        bytes(task + u64::from(TASK_COMM.load()), &raw mut (*out).comm);
        (*out).start_ns = start_ns(task);
        (*out).cgroup_id = cgroup::id(cgroup::memory_css(task));
        (*out).mm = mm;
        (*out).mm_flags = field(mm, &MM_FLAGS, UNKNOWN_U64);
        (*out).vfork_done = field(task, &TASK_VFORK_DONE, UNKNOWN_U64);
        (*out).parent_mm = pointer(pointer(task, &TASK_REAL_PARENT), &TASK_MM);
        (*out).flags = field(task, &TASK_FLAGS, 0);
        (*out).live = field(signal, &SIGNAL_LIVE, 0);
        (*out).mm_users = field(mm, &MM_USERS, 0);
        (*out).oom_group = 0;
        (*out).anon_pages = counter(mm, MM_ANONPAGES);
        (*out).file_pages = counter(mm, MM_FILEPAGES);
        (*out).shmem_pages = counter(mm, MM_SHMEMPAGES);
        (*out).swap_pages = counter(mm, MM_SWAPENTS);
        (*out).pgtables_bytes = field(mm, &MM_PGTABLES_BYTES, UNKNOWN);
        (*out).total_vm_pages = field(mm, &MM_TOTAL_VM, UNKNOWN);
    }
}

/// Writes what is known of a task that may be unknown, of which the kernel gave the thread id.
///
/// # Safety
/// `out` points into a reserved ring record.
#[inline(always)]
pub(crate) unsafe fn fill_victim(task: u64, tid: u32, out: *mut Task) {
    // SAFETY: as here.
    unsafe {
        // From NULL everything reads as 0.
        fill(task, out);
        (*out).oom_group = cgroup::oom_group(cgroup::memory_css(task));
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
    let pid = pointer(pointer(task, &TASK_GROUP_LEADER), &TASK_THREAD_PID);
    let level = field(pid, &PID_LEVEL, UNKNOWN_U32);
    // An unknown level makes an address that cannot be read.
    let number = pid.wrapping_add(u64::from(level).wrapping_mul(u64::from(PID_NUMBERS_STRIDE.load())));
    let namespace = pointer(number.wrapping_add(u64::from(PID_NUMBERS.load())), &UPID_NS);
    let parent = pointer(task, &TASK_REAL_PARENT);
    // SAFETY: the record is ours; every field is written.
    unsafe {
        (*out).level = level;
        (*out).pid = field(number, &PID_NUMBERS, 0);
        (*out).reaper_cgroup_id = cgroup::id(cgroup::memory_css(pointer(namespace, &PID_NS_CHILD_REAPER)));
        (*out).parent_cgroup_id = cgroup::id(cgroup::memory_css(parent));
    }
}
