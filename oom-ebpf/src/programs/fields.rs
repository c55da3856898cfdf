//! Offsets of kernel fields and what else differs between kernels.
//!
//! Rust cannot emit CO-RE relocations, so the loader resolves these names from `/sys/kernel/btf/vmlinux` (its field
//! table has one row for each) before the verifier sees the programs: to it they are constants. What an absent field
//! guards is dead code, which costs it time: most guard nothing, and read as 0 if they are absent ([`ABSENT`]).

use aya_ebpf::Global;
use oom_ebpf::ABSENT;

macro_rules! fields {
    ($($name:ident)*) => {
        $(#[unsafe(no_mangle)] pub(crate) static $name: Global<u64> = Global::new(ABSENT);)*
    };
}

fields! {
    TASK_MM TASK_PID TASK_TGID TASK_COMM TASK_SIGNAL TASK_FLAGS TASK_REAL_CRED TASK_GROUP_LEADER TASK_START_BOOTTIME
    TASK_CGROUPS TASK_THREAD_NODE TASK_VFORK_DONE TASK_REAL_PARENT TASK_THREAD_PID
    PID_LEVEL PID_NUMBERS UPID_NS PID_NS_CHILD_REAPER
    SIGNAL_OOM_SCORE_ADJ SIGNAL_LIVE SIGNAL_THREAD_HEAD
    MM_RSS_STAT MM_PGTABLES_BYTES MM_TOTAL_VM MM_FLAGS MM_USERS
    CRED_UID CSS_SET_MEMORY CSS_CGROUP CSS_PARENT CSS_CHILDREN CSS_SIBLING CGROUP_KN KERNFS_PARENT KERNFS_NAME KERNFS_ID
    MEMCG_CSS MEMCG_USAGE MEMCG_MAX MEMCG_HIGH MEMCG_SWAP_USAGE MEMCG_SWAP_MAX MEMCG_OOM_GROUP
    OC_MEMCG OC_GFP_MASK OC_ORDER OC_TOTALPAGES OC_CHOSEN OC_CHOSEN_POINTS OC_CONSTRAINT
    CSS_SERIAL_NR ZONEREF_ZONE ZONE_NODE ZONE_NAME
}

/// Bytes between two counters of `mm_struct.rss_stat`: an `atomic_long_t` up to 6.1, a `percpu_counter` later.
#[unsafe(no_mangle)]
pub(crate) static MM_RSS_STRIDE: Global<u64> = Global::new(ABSENT);

/// Bytes between two numbers of a `struct pid`.
#[unsafe(no_mangle)]
pub(crate) static PID_NUMBERS_STRIDE: Global<u64> = Global::new(ABSENT);

/// 1 if entry and return of `out_of_memory` are hooked, so calls have a true begin and end.
#[unsafe(no_mangle)]
pub(crate) static CALLS_SEEN: Global<u64> = Global::new(0);

/// 1 if `mark_victim` hands over the task (from 6.9, backported to 5.10.262 and others), 0 if only its pid.
#[unsafe(no_mangle)]
pub(crate) static MARK_HAS_TASK: Global<u64> = Global::new(0);

/// `COMPACT_SUCCESS`, and the argument of `mm_compaction_end` that is compared with it; [`ABSENT`] if it is not known.
#[unsafe(no_mangle)]
pub(crate) static COMPACT_SUCCESS: Global<u64> = Global::new(ABSENT);
#[unsafe(no_mangle)]
pub(crate) static COMPACT_STATUS_ARG: Global<u64> = Global::new(ABSENT);
