//! What sources tell the assembler. One fact is one thing that happened in the kernel; nothing here is an incident yet.

use super::escalation::{Compacted, RetryZone, Skipped, Window};
pub use super::filled::{Child, FileCgroup, Files, Level, Of, Zones};
use super::model::{Memory, ScopeKind};
use crate::report;

/// Something that a source saw.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// The OOM path was entered and something worth telling is happening in it.
    Call(Box<Call>),
    /// Reclaim before that.
    Escalation(Box<Escalation>),
    /// The kernel looked at a process.
    Candidate(Box<Candidate>),
    /// Path of a cgroup that candidates name by id.
    CgroupName {
        /// Inode of the cgroup's directory.
        id: u64,
        /// Its path.
        path: CgroupPath,
    },
    /// How full a memory cgroup was: the full one, or one above it.
    Level(Box<Level>),
    /// How full a child of the full one was.
    Child(Box<Child>),
    /// What files said as soon as a kill was known.
    Files(Box<Files>),
    /// How full the machine's zones were afterwards.
    Zones(Box<Zones>),
    /// `oom_kill_process` was entered.
    Decision(Box<Decision>),
    /// A process was marked as victim or killed for sharing a victim's memory.
    Victim(Box<Victim>),
    /// A victim's last thread exited.
    Exit(Exit),
    /// `out_of_memory` returned.
    End(End),
    /// A victim's memory was given back.
    MemoryBack(MemoryBack),
    /// The OOM reaper came for a victim.
    Reaper(Reaper),
    /// Runs of BPF programs that the kernel skipped since the start. Said to an incident that waits in vain.
    Skipped(Box<Skipped>),
    /// Records of the small ring that were dropped in the kernel since the last time this was said.
    Lost {
        /// How many.
        records: u64,
    },
    /// Something from the kernel's log.
    Log(report::Event),
}

/// A process as a BPF program saw it.
#[expect(clippy::struct_excessive_bools, reason = "the kernel's flags, one by one")]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Task {
    /// tgid; 0 if the kernel gave only the thread.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// Real user id.
    pub uid: Option<u32>,
    /// Command name; invalid UTF-8 as `\xNN`.
    pub comm: String,
    /// `oom_score_adj`.
    pub oom_score_adj: Option<i32>,
    /// Start of the process, nanoseconds since boot: tells pids apart.
    pub start_ns: u64,
    /// Address of its memory: tells who shares it. 0: none, or unknown.
    pub mm: u64,
    /// Its memory cgroup's id.
    pub cgroup_id: Option<u64>,
    /// What it holds.
    pub memory: Memory,
    /// It has memory of its own. `None`: unknown.
    pub has_mm: Option<bool>,
    /// `PF_KTHREAD`.
    pub kernel_thread: bool,
    /// The machine's first process.
    pub init: bool,
    /// `MMF_OOM_SKIP`. `None`: unknown.
    pub oom_skip: Option<bool>,
    /// In `vfork`. `None`: unknown.
    pub vfork: Option<bool>,
    /// No live thread was left.
    pub exited: bool,
    /// A cgroup between it and the root has `memory.oom.group`: members may follow.
    pub oom_group: bool,
    /// Other processes may share its memory.
    pub shared_mm: bool,
    /// It is the first process of a PID namespace that is not the machine's; `Some(false)`: its namespace's first process is
    /// in the same memory cgroup. `None`: neither, or unknown. Victims only.
    pub namespace_init: Option<bool>,
}

/// A cgroup path that a BPF program saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CgroupPath {
    /// Begins with `/`.
    pub path: String,
    /// Too long for the record: `path` is not whole.
    pub cut: bool,
}

/// The OOM path was entered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Call {
    /// Number of the call. Facts with the same number belong together.
    pub call: u64,
    /// Entry, nanoseconds since boot.
    pub time_ns: u64,
    /// Who asked.
    pub trigger: Task,
    /// Its memory cgroup.
    pub trigger_cgroup: Option<CgroupPath>,
    /// What it asked for, where `oom_control` was seen.
    pub control: Option<Control>,
    /// Its reclaim before this call.
    pub reclaim: Option<Reclaim>,
}

/// `struct oom_control` at the entry of `out_of_memory`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Control {
    /// `gfp_mask`.
    pub gfp_mask: u32,
    /// `order`; -1 for sysrq.
    pub order: i32,
    /// A memory cgroup's limit was hit.
    pub is_memcg: bool,
    /// The cgroup whose limit was hit.
    pub scope_cgroup: Option<CgroupPath>,
    /// Its id.
    pub scope_cgroup_id: Option<u64>,
    /// `memory.current`.
    pub usage_bytes: Option<u64>,
    /// `memory.max`.
    pub limit_bytes: Option<u64>,
    /// `memory.swap.current`.
    pub swap_usage_bytes: Option<u64>,
    /// `memory.swap.max`.
    pub swap_limit_bytes: Option<u64>,
}

/// Reclaim by one task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reclaim {
    /// Rounds.
    pub rounds: u64,
    /// Time in them.
    pub ns: u64,
    /// Pages that they freed.
    pub reclaimed_pages: u64,
    /// Begin of the first, nanoseconds since boot.
    pub first_ns: u64,
    /// Pages that they looked at, as far as the kernel tells.
    pub scanned_pages: u64,
    /// Times that the allocation thought of compacting once more, as far as that is seen.
    pub compact_retries: u64,
}

/// Reclaim before a call, by whomever.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Escalation {
    /// Number of the call.
    pub call: u64,
    /// This kernel tells of pages that reclaim looks at.
    pub scans_told: bool,
    /// Runs of BPF programs that the kernel skipped in the last 60 s, at most.
    pub skipped: Skipped,
    /// All of them until the entry, since the start, at least.
    pub skipped_until: Skipped,
    /// Those of later, as of the last [`Fact::Skipped`], at most.
    pub skipped_since: Skipped,
    /// [`Reclaim::compact_retries`] is seen.
    pub compaction_seen: bool,
    /// Compaction by the task that asked, of late.
    pub compaction: Option<Compacted>,
    /// Zones that the page allocator gave up on for the task that asked.
    pub zones: Vec<RetryZone>,
    /// The last 10 s. `None`: not known, or the agent has only just started.
    pub last_10s: Option<Window>,
    /// The last 60 s.
    pub last_60s: Option<Window>,
}

/// The kernel looked at a process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Candidate {
    /// Number of the call.
    pub call: u64,
    /// The process.
    pub task: Task,
    /// What `oom_badness` returned; `Some(i64::MIN)` is its word for "not eligible". `None`: not called or not seen.
    pub points: Option<i64>,
}

/// `oom_kill_process` was entered.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Number of the call.
    pub call: u64,
    /// When, nanoseconds since boot.
    pub time_ns: u64,
    /// `oc->chosen`.
    pub chosen: Task,
    /// `oc->chosen_points`.
    pub points: i64,
    /// `oc->totalpages`.
    pub total_pages: u64,
    /// `oc->constraint`, if the agent knows the value.
    pub constraint: Option<ScopeKind>,
    /// The message that it was called with.
    pub message: String,
}

/// A process was marked as victim or killed for sharing a victim's memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Victim {
    /// Number of the call.
    pub call: u64,
    /// When, nanoseconds since boot.
    pub time_ns: u64,
    /// It was killed only for sharing the last marked one's memory.
    pub shares_mm: bool,
    /// When SIGKILL was sent to it in this call. `None`: it was dying anyway.
    pub killed_ns: Option<u64>,
    /// The process.
    pub task: Task,
    /// Its memory cgroup.
    pub cgroup: Option<CgroupPath>,
}

/// A victim's last thread exited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// When, nanoseconds since boot.
    pub time_ns: u64,
    /// tgid.
    pub pid: u32,
    /// Start of the process: tells pids apart.
    pub start_ns: u64,
}

/// A victim's memory was given back (`exit_mmap` returned).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryBack {
    /// Number of the call that killed it.
    pub call: u64,
    /// When, nanoseconds since boot.
    pub time_ns: u64,
    /// tgid of a victim that had it.
    pub pid: u32,
    /// Its start: tells pids apart.
    pub start_ns: u64,
    /// Its address, see [`Task::mm`].
    pub mm: u64,
    /// Id of the full cgroup of that call, if it is still there.
    pub scope_id: Option<u64>,
    /// Its `memory.current` then.
    pub usage_bytes: Option<u64>,
    /// Its `memory.max` then. From 2^62 on there is none. `None`: unknown.
    pub limit_bytes: Option<u64>,
}

/// The OOM reaper came for a victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reaper {
    /// When, nanoseconds since boot.
    pub time_ns: u64,
    /// The thread that was marked.
    pub tid: u32,
    /// What it did.
    pub what: Reaping,
}

/// What the OOM reaper did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaping {
    /// It began to take the memory.
    Started,
    /// It came to the end of a round.
    Finished,
    /// It could not, or nothing was left.
    Skipped,
}

/// `out_of_memory` returned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// Number of the call.
    pub call: u64,
    /// When, nanoseconds since boot.
    pub time_ns: u64,
    /// It returned false with nothing chosen: no killable process.
    pub none_killable: bool,
    /// Time in `out_of_memory`.
    pub duration_ns: u64,
    /// Processes evaluated.
    pub evaluated: u64,
    /// Candidate records lost in the kernel.
    pub candidates_lost: u64,
    /// Cgroup names lost in the kernel.
    pub names_lost: u64,
    /// [`Level`] and [`Child`] records lost in the kernel.
    pub levels_lost: u64,
    /// Calls in its scope without a killable process since the last one that was told, if this is one.
    pub repeats: u64,
    /// Such calls in scopes that no longer tell of them.
    pub repeats_elsewhere: u64,
    /// `oc->totalpages`, if it was computed.
    pub total_pages: Option<u64>,
    /// `oc->constraint`.
    pub constraint: Option<ScopeKind>,
}
