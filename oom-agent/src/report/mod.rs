//! The kernel's OOM report as text, read without ever failing. Pure: lines in, [`Event`]s out.
//!
//! # Layout
//! - [`mod@line`]: one record of `/dev/kmsg`.
//! - [`parser`]: the state machine over messages; `open`: the report that it is in; `pieces`: lines in several records.
//! - `invocation`, `memory`, `zone`, `table`, `kill`, `chosen`: the lines, one topic a file; `scan`: what they share.

mod chosen;
mod invocation;
mod kill;
pub mod line;
mod memory;
mod open;
pub mod parser;
mod pieces;
mod scan;
mod table;
#[cfg(test)]
mod tests;
mod zone;

use crate::incident::machine::{Slab, Zone};
use crate::incident::model::{Limits, Memory, ScopeKind};
use std::collections::BTreeMap;

/// Bytes of the pages that the task table counts in, where the report does not say ([`Report::page_size`]): 4 KiB on all
/// but some arm64 and ppc64 kernels.
pub const PAGE_SIZE: u64 = 4096;

/// Something that the kernel's log said about OOM. In the order of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The log's own clock, nanoseconds since boot (it drifts from `CLOCK_BOOTTIME` by milliseconds).
    pub time_ns: Option<u64>,
    /// What it said.
    pub what: What,
}

/// What the log said.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// `NAME invoked oom-killer`: a report begins (its rest may follow interleaved).
    Invoked(Box<Invocation>),
    /// A report (`dump_header` and what follows) ended with its `oom-kill:` line, with "no killable processes" or with a panic.
    Report(Box<Report>),
    /// `Killed process` in any of its shapes. Never rate-limited by the kernel.
    Killed(Box<Killed>),
    /// `Tasks in PATH are going to be killed due to memory.oom.group set`.
    GroupKill {
        /// The cgroup.
        cgroup: String,
    },
    /// `oom_reaper: reaped process`.
    Reaped {
        /// Its tid.
        pid: u32,
        /// Its command name.
        comm: String,
    },
    /// `oom_reaper: unable to reap`: the victim's memory stays.
    NotReaped {
        /// Its tid.
        pid: u32,
        /// Its command name.
        comm: String,
    },
    /// `OOM victim PID (NAME) is already exiting. Skip killing the task`: the chosen one, or a member of a group that is
    /// killed, for which no `Killed process` follows (5.10 has it, 4.19 not).
    Exiting {
        /// The thread that was chosen.
        pid: u32,
        /// Its command name.
        comm: String,
    },
    /// `Kill process PID (NAME) sharing same memory`: killed with the victim of the line before (3.10; 4.19 kills it
    /// silently).
    Sharing {
        /// The process.
        pid: u32,
        /// Its command name.
        comm: String,
    },
    /// `oom_kill_process: N callbacks suppressed`: before this, kills had no report (10 in 5 s have one).
    Suppressed {
        /// How many reports.
        reports: u64,
    },
    /// Log lines are missing here: the reader was too slow (`EPIPE`) or the ring was overwritten.
    Gap {
        /// How many records, where known.
        records: Option<u64>,
    },
}

/// `NAME invoked oom-killer: gfp_mask=..., order=..., oom_score_adj=...` and the `CPU:` line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invocation {
    /// Command name of the task that asked (raw bytes unescaped from the log's `\xNN`; invalid UTF-8 kept as `\xNN`).
    pub comm: String,
    /// Its thread id, from the `CPU:` line.
    pub tid: Option<u32>,
    /// Flags.
    pub gfp_mask: Option<u32>,
    /// Their names as printed, without the `GFP_..` parentheses: `GFP_KERNEL|__GFP_ZERO` becomes two entries.
    pub gfp_flags: Vec<String>,
    /// Order; -1 for sysrq.
    pub order: Option<i32>,
    /// `oom_score_adj`.
    pub oom_score_adj: Option<i32>,
    /// `Comm: ... Not tainted RELEASE`: the kernel's release.
    pub kernel_release: Option<String>,
    /// `nodemask=` (4.9 to 4.20; later in the `oom-kill:` line). 4.9 prints the cpuset's nodes where there is no mask.
    pub nodemask: Option<String>,
    /// `cpuset=` of the task that asked (up to 4.20): the last part of its path, `/` for the root.
    pub cpuset: Option<String>,
    /// `mems_allowed=` on the same line.
    pub mems_allowed: Option<String>,
}

/// One report, from `dump_header` to the `oom-kill:` line or, before 5.0, the `Kill process` line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The line it began with. `None`: it was cut off.
    pub invocation: Option<Invocation>,
    /// `memory: usage .. limit .. failcnt` and `swap:`.
    pub limits: Limits,
    /// `memory+swap:`, cgroup v1's limit of both together.
    pub memsw: Counter,
    /// `kmem:`, cgroup v1's limit of kernel memory.
    pub kmem: Counter,
    /// `Memory cgroup stats for PATH`: of the cgroup whose limit was hit. Before 5.2 its descendants' follow, which are
    /// kept in the text only.
    pub stats_cgroup: Option<String>,
    /// Counters of the memory in scope, memory in bytes: the cgroup's with their names as printed, or the machine's
    /// (`Mem-Info:`) with the names that `memory.stat` has for them.
    pub stats: BTreeMap<String, u64>,
    /// What the machine has, in a report that is not a memory cgroup's.
    pub machine: Machine,
    /// Its zones.
    pub zones: Vec<Zone>,
    /// Bytes of a page: the size of the smallest block in the buddy lists. `None`: taken for [`PAGE_SIZE`].
    pub page_size: Option<u64>,
    /// Slab caches that cannot be reclaimed, in the order of the report.
    pub unreclaimable_slabs: Vec<Slab>,
    /// Whether a task table was printed (`vm.oom_dump_tasks`).
    pub has_table: bool,
    /// Its rows.
    pub tasks: Vec<TaskRow>,
    /// The `oom-kill:` line. Before 5.0: what other lines say of the same.
    pub kill: Option<OomKill>,
    /// The `Kill process` line (before 5.0).
    pub chosen: Option<Chosen>,
    /// How it ended.
    pub outcome: Outcome,
    /// Log lines lost inside of it.
    pub lost_lines: u64,
    /// The report's own text, one message a line, control characters escaped.
    pub text: String,
}

/// `show_mem`: what the machine has. RAM less what is reserved, and swap, are the kernel's `totalpages` of a machine-wide
/// OOM (`constrained_alloc`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// `pages RAM`: present memory.
    pub ram_bytes: Option<u64>,
    /// `pages reserved`: what of it the page allocator does not manage.
    pub reserved_bytes: Option<u64>,
    /// `Total swap`.
    pub swap_total_bytes: Option<u64>,
    /// `Free swap`.
    pub swap_free_bytes: Option<u64>,
    /// `pages in swap cache`.
    pub swap_cache_bytes: Option<u64>,
    /// `pages cma reserved`.
    pub cma_bytes: Option<u64>,
    /// `pages hwpoisoned`.
    pub hwpoisoned_bytes: Option<u64>,
    /// `hugepages_total`: all nodes' and sizes' that were printed.
    pub hugetlb_bytes: Option<u64>,
    /// `hugepages_free`: what of it nobody uses.
    pub hugetlb_free_bytes: Option<u64>,
}

/// A `page_counter` (before 4.0 a `res_counter`) of a cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// What is used.
    pub usage_bytes: Option<u64>,
    /// Its limit. `None`: no limit, or not printed.
    pub limit_bytes: Option<u64>,
}

/// `Kill process PID (NAME) score N or sacrifice child` (up to 5.0): whom the kernel chose. If one of its children may
/// be killed, that dies instead (`oom_kill_process`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// `Out of memory`, `Memory cgroup out of memory` and the like.
    pub message: String,
    /// The chosen thread.
    pub pid: u32,
    /// Command name.
    pub comm: String,
    /// Its points in thousandths of `totalpages`.
    pub score: u64,
}

/// How a report ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// It stops in the middle: cut off.
    #[default]
    Unknown,
    /// A kill follows.
    Kill,
    /// `Out of memory and no killable processes...`
    NoneKillable,
    /// `Kernel panic - not syncing: Out of memory`.
    Panic,
}

/// `oom-kill:constraint=...`. Kernels before 5.0 say the same in several lines; what none of them says is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OomKill {
    /// The constraint. The kernel has no word for sysrq here: see [`Invocation::order`]. Before 5.0 no line names it: it
    /// is [`ScopeKind::Memcg`] if a cgroup's limit was hit and [`ScopeKind::Global`] if neither a cpuset nor a node mask
    /// could be the reason (`constrained_alloc`).
    pub constraint: Option<ScopeKind>,
    /// `nodemask=`.
    pub nodemask: Option<String>,
    /// `cpuset=`.
    pub cpuset: Option<String>,
    /// `mems_allowed=`.
    pub mems_allowed: Option<String>,
    /// `oom_memcg=`: the cgroup whose limit was hit.
    pub oom_memcg: Option<String>,
    /// `task_memcg=`: the victim's cgroup; before 5.0 that of [`Report::chosen`].
    pub task_memcg: Option<String>,
    /// `task=`.
    pub comm: String,
    /// `pid=` (the thread group leader's as printed by `dump_oom_summary`).
    pub pid: u32,
    /// `uid=`.
    pub uid: Option<u32>,
}

/// A row of the task table. Only user processes with memory are in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskRow {
    /// Thread whose mm was printed.
    pub pid: u32,
    /// Process.
    pub tgid: u32,
    /// Real user id.
    pub uid: u32,
    /// In bytes.
    pub memory: Memory,
    /// `oom_score_adj`.
    pub oom_score_adj: i32,
    /// Command name.
    pub comm: String,
}

/// `Killed process PID (NAME) total-vm:...`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Killed {
    /// `Memory cgroup out of memory` (true), `Out of memory` (false), unknown (`None`).
    pub is_memcg: Option<bool>,
    /// The message before `: Killed process`, e.g. `Out of memory (oom_kill_allocating_task)`. Up to 5.0 that of
    /// [`Killed::chosen`].
    pub message: String,
    /// The thread with the memory (`__oom_kill_process` prints `task_pid_nr(victim)`).
    pub pid: u32,
    /// Command name.
    pub comm: String,
    /// In bytes.
    pub memory: Memory,
    /// `UID:`.
    pub uid: Option<u32>,
    /// `oom_score_adj:`.
    pub oom_score_adj: Option<i32>,
    /// The `Kill process` line before it (up to 5.0). With another pid than this line's: that one's child or another
    /// thread of it.
    pub chosen: Option<Chosen>,
}
