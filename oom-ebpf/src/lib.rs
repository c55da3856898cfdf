//! The wire contract between the BPF programs and the agent.
//!
//! Plain `repr(C)` records without implicit padding, in the machine's byte order: both sides run on the same
//! machine. Every record begins with a [`Header`]; [`Kind`] says what follows. Nothing here knows aya or the
//! kernel's own structures.
#![no_std]

mod escalation;
mod field;
mod wire_levels;

pub use escalation::*;
pub use field::{FIELDS, Field, Offsets};
pub use wire_levels::{CHILDREN, Child, LEVELS, Level};

/// Length of `task_struct.comm`, with its NUL.
pub const COMM_LEN: usize = 16;
/// Levels of a cgroup path that a record carries, leaf first. Deeper paths are cut at the root's end.
pub const PATH_DEPTH: usize = 12;
/// Bytes of one path component, with its NUL. A longer name is cut.
pub const NAME_LEN: usize = 96;
/// Length of the message that `oom_kill_process` was called with, with its NUL.
pub const MESSAGE_LEN: usize = 64;
/// A counter that this kernel does not have or that could not be read. It is not zero.
pub const UNKNOWN: i64 = i64::MIN;
/// An unsigned value that this kernel does not have or that could not be read.
pub const UNKNOWN_U64: u64 = u64::MAX;
/// The same in 32 bits.
pub const UNKNOWN_U32: u32 = u32::MAX;
/// Offset of a field that this kernel does not have: added to NULL or to an address of the kernel (or subtracted) it makes one
/// that cannot be read. On `x86_64` that is not canonical or the user's, with 4 and with 5 levels of page tables
/// (`copy_from_kernel_nofault_allowed`, arch/x86/mm/maccess.c). On arm64 it is in neither half of the address space, with 48 and
/// with 52 bits, and where the top byte is ignored (`TCR_TBI0`, `TCR_TBI1`, arch/arm64/mm/proc.S).
pub const ABSENT: u64 = 0x0180 << 48;

/// `PF_KTHREAD` of [`Task::flags`], include/linux/sched.h.
pub const PF_KTHREAD: u32 = 0x0020_0000;

/// Index of the small ring in the drop counters: what must never be lost.
pub const RING_EVENTS: u32 = 0;
/// Index of the bulk ring in the drop counters: candidates, cgroup names and how full cgroups are.
pub const RING_BULK: u32 = 1;

/// What a record is. The value stands in [`Header::kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// [`Call`]: the kernel is in its OOM path and something worth telling is happening.
    Call = 1,
    /// [`Candidate`]: the kernel looked at processes. One or more of them.
    Candidate = 2,
    /// [`CgroupName`]: path of a cgroup that candidates of this call name by id.
    CgroupName = 3,
    /// [`Decision`]: `oom_kill_process` was entered.
    Decision = 4,
    /// [`Victim`]: a process was marked as OOM victim, or killed because it shares a victim's memory.
    Victim = 5,
    /// [`Exit`]: a victim is gone.
    Exit = 6,
    /// [`End`]: `out_of_memory` returned.
    End = 7,
    /// [`Level`]: how full a memory cgroup is.
    Level = 8,
    /// [`Child`]: who filled it.
    Child = 9,
    /// [`MemoryBack`]: the memory of a victim was given back.
    MemoryBack = 10,
    /// [`Reaper`]: the OOM reaper came for a victim.
    Reaper = 11,
    /// [`Escalation`]: reclaim before a call.
    Escalation = 12,
}

impl Kind {
    /// The kind for a wire value, `None` for one that this agent does not know.
    pub const fn from_wire(value: u32) -> Option<Self> {
        Some(match value {
            1 => Self::Call,
            2 => Self::Candidate,
            3 => Self::CgroupName,
            4 => Self::Decision,
            5 => Self::Victim,
            6 => Self::Exit,
            7 => Self::End,
            8 => Self::Level,
            9 => Self::Child,
            10 => Self::MemoryBack,
            11 => Self::Reaper,
            12 => Self::Escalation,
            _ => return None,
        })
    }
}

/// What every record begins with.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Header {
    /// A [`Kind`].
    pub kind: u32,
    /// Explicit padding, 0.
    pub reserved: u32,
    /// Number of the OOM call (from 1). The kernel serialises them with `oom_lock`.
    pub call: u64,
    /// `CLOCK_BOOTTIME`, nanoseconds.
    pub time_ns: u64,
}

/// A process as the kernel sees it at that moment, raw: what it means is decoded by the agent, where it can be
/// tested. A read that the kernel refuses gives 0; a field that this kernel does not have gives an `UNKNOWN`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Task {
    /// `tgid`: what a user calls the process id, in the initial PID namespace.
    pub pid: u32,
    /// `pid` of the thread.
    pub tid: u32,
    /// `real_cred->uid`, [`UNKNOWN_U32`] if unknown.
    pub uid: u32,
    /// `signal->oom_score_adj`.
    pub adj: i16,
    /// 0: only [`Task::tid`] is known (`mark_victim(int pid)` on older kernels).
    pub has_task: u16,
    /// `comm` of the thread, NUL-terminated, any bytes.
    pub comm: [u8; COMM_LEN],
    /// `group_leader->start_boottime`: tells pids apart.
    pub start_ns: u64,
    /// Id of the memory cgroup (inode of its directory), 0 if unknown.
    pub cgroup_id: u64,
    /// Address of its mm, or of the first of its threads' that has one; 0: none.
    pub mm: u64,
    /// `mm->flags` (first word), or [`UNKNOWN_U64`].
    pub mm_flags: u64,
    /// `vfork_done`, or [`UNKNOWN_U64`].
    pub vfork_done: u64,
    /// `real_parent->mm`; 0 where `vfork_done` is NULL, since it matters nowhere then (`in_vfork`, include/linux/sched/mm.h).
    pub parent_mm: u64,
    /// `PF_*`.
    pub flags: u32,
    /// `signal->live`: threads that have not exited.
    pub live: u32,
    /// `mm->mm_users`.
    pub mm_users: u32,
    /// Not 0: its memory cgroup or one above it has `memory.oom.group`. Victims only.
    pub oom_group: u32,
    /// Pages, or [`UNKNOWN`].
    pub anon_pages: i64,
    /// Pages, or [`UNKNOWN`].
    pub file_pages: i64,
    /// Pages, or [`UNKNOWN`].
    pub shmem_pages: i64,
    /// Swap entries (pages), or [`UNKNOWN`].
    pub swap_pages: i64,
    /// Bytes of page tables, or [`UNKNOWN`].
    pub pgtables_bytes: i64,
    /// Address space in pages, or [`UNKNOWN`].
    pub total_vm_pages: i64,
}

/// A cgroup path, leaf first.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Path {
    /// Not 0: the path is deeper than [`PATH_DEPTH`].
    pub rest: u64,
    /// NUL-terminated names up to the first empty one, which is the root's. One of `NAME_LEN - 1` bytes may be cut.
    pub names: [[u8; NAME_LEN]; PATH_DEPTH],
}

/// What reclaim did for one task, in one series (a pause of more than 10 s begins a new one).
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Reclaim {
    /// Direct and memcg reclaim rounds.
    pub rounds: u64,
    /// Time in them.
    pub ns: u64,
    /// Pages that they freed.
    pub reclaimed_pages: u64,
    /// Begin of the first round, `CLOCK_BOOTTIME` nanoseconds.
    pub first_ns: u64,
    /// Pages that they looked at (`mm_vmscan_lru_shrink_inactive`).
    pub scanned_pages: u64,
    /// `compact_retry`.
    pub compact_retries: u64,
}

/// The OOM path was entered (announced when the first thing worth telling happens in it).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Call {
    /// [`Kind::Call`]; `time_ns` is the entry into `out_of_memory`, or the first victim where that is not seen.
    pub header: Header,
    /// The task whose allocation failed (`current`).
    pub trigger: Task,
    /// 1 if `oom_control` was seen and the fields below mean something.
    pub has_control: u32,
    /// `oc->gfp_mask`.
    pub gfp_mask: u32,
    /// `oc->order`; -1 for sysrq.
    pub order: i32,
    /// 1 if `oc->memcg` is set: a memory cgroup's limit.
    pub is_memcg: u32,
    /// Explicit padding, 0.
    pub reserved: u32,
    /// 1 if [`Call::reclaim`] was seen.
    pub has_reclaim: u32,
    /// Id of `oc->memcg`'s cgroup, 0 if none.
    pub scope_id: u64,
    /// `memory.current` of that cgroup in pages, or [`UNKNOWN_U64`].
    pub usage_pages: u64,
    /// `memory.max` in pages, or [`UNKNOWN_U64`].
    pub limit_pages: u64,
    /// `memory.swap.current` in pages, or [`UNKNOWN_U64`] (cgroup v1 counts memory+swap and is left out).
    pub swap_usage_pages: u64,
    /// `memory.swap.max` in pages, or [`UNKNOWN_U64`].
    pub swap_limit_pages: u64,
    /// The trigger's own reclaim before this call.
    pub reclaim: Reclaim,
    /// Path of the trigger's memory cgroup.
    pub trigger_path: Path,
    /// Path of `oc->memcg`'s cgroup.
    pub scope_path: Path,
}

/// A process that `oom_evaluate_task` looked at. A record of the bulk ring is a [`Header`] ([`Kind::Candidate`]; `time_ns` is that of
/// the call) and several of them.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Candidate {
    /// The process. Its cgroup's path comes in a [`CgroupName`] of the same call.
    pub task: Task,
    /// What `oom_badness` returned (`i64::MIN`: not eligible). Means something only with [`Candidate::has_points`].
    pub points: i64,
    /// 1 if `oom_badness` was called for it and its result was seen.
    pub has_points: u32,
    /// Explicit padding, 0.
    pub reserved: u32,
}

/// The path of a cgroup by its id.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct CgroupName {
    /// [`Kind::CgroupName`].
    pub header: Header,
    /// Inode of the cgroup's directory.
    pub id: u64,
    /// Its path.
    pub path: Path,
}

/// `oom_kill_process` was entered.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Decision {
    /// [`Kind::Decision`].
    pub header: Header,
    /// `oc->chosen`.
    pub chosen: Task,
    /// `oc->chosen_points`.
    pub points: i64,
    /// `oc->totalpages`.
    pub total_pages: u64,
    /// `oc->constraint`: 0 none, 1 cpuset, 2 memory policy, 3 memcg (`enum oom_constraint`).
    pub constraint: u32,
    /// Explicit padding, 0.
    pub reserved: u32,
    /// The message it was called with; tells `oom_kill_allocating_task` apart.
    pub message: [u8; MESSAGE_LEN],
}

/// A process in its PID namespace. Zeroes where it cannot be read.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Namespace {
    /// `pid->level`: 0 for the machine's own; [`UNKNOWN_U32`] if unknown.
    pub level: u32,
    /// Its process id there.
    pub pid: u32,
    /// Memory cgroup of the namespace's first process (`child_reaper`), see [`Task::cgroup_id`].
    pub reaper_cgroup_id: u64,
    /// Memory cgroup of the parent.
    pub parent_cgroup_id: u64,
}

/// [`Victim::how`]: the `mark_victim` tracepoint.
pub const HOW_MARKED: u32 = 1;
/// [`Victim::how`]: SIGKILL from the OOM path to a process that shares the last marked victim's memory.
pub const HOW_SHARES_MM: u32 = 2;

/// A process that dies of this call.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Victim {
    /// [`Kind::Victim`].
    pub header: Header,
    /// `HOW_*`.
    pub how: u32,
    /// Explicit padding, 0.
    pub reserved: u32,
    /// Where it is in its PID namespace.
    pub namespace: Namespace,
    /// When SIGKILL was sent to it in this call, `CLOCK_BOOTTIME` nanoseconds; 0 if it was dying anyway.
    pub killed_ns: u64,
    /// The process; `tid` is the thread that the kernel marked.
    pub task: Task,
    /// Path of its memory cgroup.
    pub path: Path,
}

/// The last thread of a victim exited (`sched_process_exit`; from 6.16 on that is just before the memory is given back).
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Exit {
    /// [`Kind::Exit`]; `call` is that of the kill.
    pub header: Header,
    /// `tgid`.
    pub pid: u32,
    /// Explicit padding, 0.
    pub reserved: u32,
    /// Start of the process, see [`Task::start_ns`].
    pub start_ns: u64,
}

/// The memory of a victim was given back: `exit_mmap` returned.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct MemoryBack {
    /// [`Kind::MemoryBack`]; `call` is that of the kill.
    pub header: Header,
    /// `tgid` of the victim that was marked last with this memory.
    pub pid: u32,
    /// Explicit padding, 0.
    pub reserved: u32,
    /// Its start, see [`Task::start_ns`].
    pub start_ns: u64,
    /// Address of the mm, see [`Task::mm`].
    pub mm: u64,
    /// Id of the full cgroup of that call; 0: there was none, or it is gone.
    pub scope_id: u64,
    /// Its `memory.current` in pages, or [`UNKNOWN_U64`].
    pub usage_pages: u64,
    /// Its `memory.max` in pages, or [`UNKNOWN_U64`].
    pub limit_pages: u64,
}

/// [`Reaper::what`]: it begins to take the memory (`start_task_reaping`).
pub const REAPER_STARTED: u32 = 1;
/// [`Reaper::what`]: it has done a round (`finish_task_reaping`).
pub const REAPER_FINISHED: u32 = 2;
/// [`Reaper::what`]: it could not, or there was nothing left to take (`skip_task_reaping`).
pub const REAPER_SKIPPED: u32 = 3;

/// The OOM reaper came for a victim.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Reaper {
    /// [`Kind::Reaper`]; `call` is 0.
    pub header: Header,
    /// The thread that was marked.
    pub tid: u32,
    /// `REAPER_*`.
    pub what: u32,
}

/// [`End::chosen`]: nothing was chosen.
pub const CHOSEN_NONE: u32 = 0;
/// [`End::chosen`]: a process was chosen.
pub const CHOSEN_TASK: u32 = 1;
/// [`End::chosen`]: the scan was given up since an earlier victim is still dying.
pub const CHOSEN_ABORTED: u32 = 2;

/// `out_of_memory` returned. Sent for calls that were announced, and for those that found nothing to kill.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct End {
    /// [`Kind::End`].
    pub header: Header,
    /// What `out_of_memory` returned.
    pub result: u32,
    /// `CHOSEN_*`.
    pub chosen: u32,
    /// Time between entry and return.
    pub duration_ns: u64,
    /// Processes that `oom_evaluate_task` was called for.
    pub evaluated: u32,
    /// [`Candidate`] records that could not be sent.
    pub candidates_lost: u32,
    /// [`CgroupName`] records that could not be sent.
    pub names_lost: u32,
    /// If this one found nothing to kill: calls in its scope that did so too and were not announced since the last one that was.
    pub repeats: u32,
    /// `oc->totalpages`.
    pub total_pages: u64,
    /// `oc->constraint`.
    pub constraint: u32,
    /// [`Level`] and [`Child`] records that could not be sent.
    pub levels_lost: u32,
    /// As [`End::repeats`], in scopes that no longer tell of them.
    pub repeats_elsewhere: u32,
    /// Explicit padding, 0.
    pub reserved: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record without implicit padding has the size of its parts.
    #[test]
    fn records_have_no_implicit_padding() {
        const HEADER: usize = 24;
        const TASK: usize = 16 + COMM_LEN + 6 * 8 + 4 * 4 + 6 * 8;
        const PATH: usize = 8 + PATH_DEPTH * NAME_LEN;
        assert_eq!(size_of::<Header>(), HEADER);
        assert_eq!(size_of::<Task>(), TASK);
        assert_eq!(size_of::<Path>(), PATH);
        assert_eq!(size_of::<Call>(), HEADER + TASK + 6 * 4 + 5 * 8 + 48 + 2 * PATH);
        assert_eq!(size_of::<Candidate>(), TASK + 16);
        assert_eq!(size_of::<CgroupName>(), HEADER + 8 + PATH);
        assert_eq!(size_of::<Decision>(), HEADER + TASK + 24 + MESSAGE_LEN);
        assert_eq!(size_of::<Namespace>(), 8 + 2 * 8);
        assert_eq!(size_of::<Victim>(), HEADER + 8 + 24 + 8 + TASK + PATH);
        assert_eq!(size_of::<Exit>(), HEADER + 16);
        assert_eq!(size_of::<MemoryBack>(), HEADER + 8 + 5 * 8);
        assert_eq!(size_of::<Reaper>(), HEADER + 8);
        assert_eq!(size_of::<End>(), HEADER + 8 + 8 + 16 + 8 + 8 + 8);
        assert_eq!((size_of::<Work>(), size_of::<Compacted>()), (4 * 8, 3 * 8));
        assert_eq!((size_of::<Reclaim>(), size_of::<CgroupBucket>()), (6 * 8, 2 * 8));
        assert_eq!(size_of::<Compaction>(), 3 * 8 + 24);
        assert_eq!(size_of::<Machine>(), 2 * 32 + 2 * 24 + 10 * 8);
        assert_eq!(size_of::<Totals>(), size_of::<Machine>() + 2 * 8);
        assert_eq!(size_of::<RetryZone>(), 5 * 8 + ZONE_NAME_LEN);
        assert_eq!(
            size_of::<Escalation>(),
            HEADER + 8 + 32 + size_of::<Machine>() + 3 * 8 + size_of::<Compaction>() + size_of::<Retry>()
        );
        assert_eq!(size_of::<Retry>(), 4 * 8 + RETRY_ZONES * 56);
    }

    #[test]
    fn kinds_round_trip() {
        for value in 0..20 {
            match Kind::from_wire(value) {
                Some(kind) => assert_eq!(kind as u32, value),
                None => assert!(value == 0 || value > 12),
            }
        }
    }
}
