//! `task_struct` to a wire record.

use aya_ebpf::helpers::bpf_probe_read_kernel_buf;
use oom_ebpf::{
    BIT_EXITED, BIT_EXITING, BIT_FLAGS_KNOWN, BIT_HAS_MM, BIT_INIT, BIT_KTHREAD, BIT_OOM_GROUP, BIT_OOM_SKIP,
    BIT_OOM_VICTIM, BIT_PID_ONLY, BIT_SHARED_MM, BIT_VFORK, Task, UNKNOWN,
};

use crate::{
    cgroup,
    fields::{
        CRED_UID, MM_FLAGS, MM_PGTABLES_BYTES, MM_RSS_STAT, MM_RSS_STRIDE, MM_TOTAL_VM, MM_USERS, SIGNAL_FLAGS,
        SIGNAL_LIVE, SIGNAL_NR_THREADS, SIGNAL_OOM_MM, SIGNAL_OOM_SCORE_ADJ, SIGNAL_THREAD_HEAD, TASK_COMM, TASK_FLAGS,
        TASK_GROUP_LEADER, TASK_MM, TASK_PID, TASK_REAL_CRED, TASK_REAL_PARENT, TASK_SIGNAL, TASK_START_BOOTTIME,
        TASK_TGID, TASK_THREAD_NODE, TASK_VFORK_DONE,
    },
    read::{address, at, field, pointer},
};

/// `PF_EXITING`, include/linux/sched.h.
const PF_EXITING: u32 = 0x0000_0004;
/// `PF_KTHREAD`, include/linux/sched.h.
const PF_KTHREAD: u32 = 0x0020_0000;
/// `SIGNAL_GROUP_EXIT`, include/linux/sched/signal.h.
const SIGNAL_GROUP_EXIT: u32 = 0x0000_0004;
/// `MMF_OOM_SKIP`, include/linux/sched/coredump.h (mm_types.h from 6.8): the same bit from 5.10 to 7.3.
const MMF_OOM_SKIP: u64 = 1 << 21;
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
    field(task, &TASK_TGID).unwrap_or(0)
}

/// The thread id, 0 if unreadable.
#[inline(always)]
pub(crate) fn tid(task: u64) -> u32 {
    field(task, &TASK_PID).unwrap_or(0)
}

/// Start of the process (of its leader), nanoseconds since boot.
#[inline(always)]
pub(crate) fn start_ns(task: u64) -> u64 {
    pointer(pointer(task, &TASK_GROUP_LEADER), &TASK_START_BOOTTIME)
}

/// Live threads of the process (`signal->live`).
#[inline(always)]
pub(crate) fn live_threads(task: u64) -> Option<u32> {
    field(pointer(task, &TASK_SIGNAL), &SIGNAL_LIVE)
}

/// The mm of the task or of the first of its threads that still has one (`find_lock_task_mm`): a leader may have exited.
#[inline(always)]
pub(crate) fn mm(task: u64) -> u64 {
    let own = pointer(task, &TASK_MM);
    if own != 0 || field::<u32>(task, &TASK_FLAGS).unwrap_or(0) & PF_KTHREAD != 0 {
        return own;
    }
    let Some(head) = address(pointer(task, &TASK_SIGNAL), &SIGNAL_THREAD_HEAD) else { return 0 };
    // `list_head.next` is its first word.
    let mut node = at::<u64>(head).unwrap_or(0);
    for _ in 0..MAX_THREADS {
        if node == 0 || node == head {
            return 0;
        }
        let thread = node.wrapping_sub(u64::from(TASK_THREAD_NODE.load()));
        let mm = pointer(thread, &TASK_MM);
        if mm != 0 {
            return mm;
        }
        node = at::<u64>(node).unwrap_or(0);
    }
    0
}

#[inline(always)]
fn counter(mm: u64, index: u64) -> i64 {
    match address(mm, &MM_RSS_STAT) {
        Some(first) => at(first + index * u64::from(MM_RSS_STRIDE.load())).unwrap_or(UNKNOWN),
        None => UNKNOWN,
    }
}

/// `in_vfork`, include/linux/sched/mm.h.
#[inline(always)]
fn in_vfork(task: u64, mm: u64) -> bool {
    pointer(task, &TASK_VFORK_DONE) != 0 && mm != 0 && pointer(pointer(task, &TASK_REAL_PARENT), &TASK_MM) == mm
}

/// Writes what is known of a task.
///
/// # Safety
/// `out` points into a reserved ring record.
#[inline(always)]
pub(crate) unsafe fn fill(task: u64, out: *mut Task) {
    let signal = pointer(task, &TASK_SIGNAL);
    let flags = field::<u32>(task, &TASK_FLAGS).unwrap_or(0);
    let mm = mm(task);
    let css = cgroup::memory_css(task);
    let tgid = tgid(task);
    let mut bits = 0;
    if mm != 0 {
        bits |= BIT_HAS_MM;
        if let Some(mm_flags) = field::<u64>(mm, &MM_FLAGS) {
            bits |= BIT_FLAGS_KNOWN;
            if mm_flags & MMF_OOM_SKIP != 0 {
                bits |= BIT_OOM_SKIP;
            }
            if in_vfork(task, mm) {
                bits |= BIT_VFORK;
            }
        }
        let users = field::<u32>(mm, &MM_USERS).unwrap_or(0);
        if users > field::<u32>(signal, &SIGNAL_NR_THREADS).unwrap_or(u32::MAX) {
            bits |= BIT_SHARED_MM;
        }
    }
    if flags & PF_KTHREAD != 0 {
        bits |= BIT_KTHREAD;
    }
    if tgid == 1 {
        bits |= BIT_INIT;
    }
    if pointer(signal, &SIGNAL_OOM_MM) != 0 {
        bits |= BIT_OOM_VICTIM;
    }
    if flags & PF_EXITING != 0 || field::<u32>(signal, &SIGNAL_FLAGS).unwrap_or(0) & SIGNAL_GROUP_EXIT != 0 {
        bits |= BIT_EXITING;
    }
    if field::<u32>(signal, &SIGNAL_LIVE) == Some(0) {
        bits |= BIT_EXITED;
    }
    if cgroup::has_oom_group(css) {
        bits |= BIT_OOM_GROUP;
    }
    // SAFETY: the record is ours; every field is written.
    unsafe {
        (*out).pid = tgid;
        (*out).tid = tid(task);
        (*out).uid = field(pointer(task, &TASK_REAL_CRED), &CRED_UID).unwrap_or(u32::MAX);
        (*out).adj = field(signal, &SIGNAL_OOM_SCORE_ADJ).unwrap_or(0);
        (*out).bits = bits;
        (*out).start_ns = start_ns(task);
        (*out).cgroup_id = cgroup::id(css);
        (*out).anon_pages = counter(mm, MM_ANONPAGES);
        (*out).file_pages = counter(mm, MM_FILEPAGES);
        (*out).shmem_pages = counter(mm, MM_SHMEMPAGES);
        (*out).swap_pages = counter(mm, MM_SWAPENTS);
        (*out).pgtables_bytes = field(mm, &MM_PGTABLES_BYTES).unwrap_or(UNKNOWN);
        (*out).total_vm_pages = field(mm, &MM_TOTAL_VM).unwrap_or(UNKNOWN);
        (*out).comm[0] = 0;
        if let Some(comm) = address(task, &TASK_COMM) {
            if bpf_probe_read_kernel_buf(comm as *const u8, &mut (*out).comm).is_err() {
                (*out).comm[0] = 0;
            }
        }
    }
}

/// Writes a task of which the kernel gave only the thread id.
///
/// # Safety
/// `out` points into a reserved ring record.
#[inline(always)]
pub(crate) unsafe fn fill_pid_only(tid: u32, out: *mut Task) {
    // SAFETY: the record is ours; every field is written.
    unsafe {
        (*out).pid = 0;
        (*out).tid = tid;
        (*out).uid = u32::MAX;
        (*out).adj = 0;
        (*out).bits = BIT_PID_ONLY;
        (*out).start_ns = 0;
        (*out).cgroup_id = 0;
        (*out).anon_pages = UNKNOWN;
        (*out).file_pages = UNKNOWN;
        (*out).shmem_pages = UNKNOWN;
        (*out).swap_pages = UNKNOWN;
        (*out).pgtables_bytes = UNKNOWN;
        (*out).total_vm_pages = UNKNOWN;
        (*out).comm = [0; 16];
    }
}
