//! The kernel's OOM report as text, read without ever failing. Pure: lines in, [`Event`]s out.
//!
//! # Layout
//! - [`mod@line`]: one log line: its timestamp and its message, whatever wrote the log.
//! - [`parser`]: the state machine over messages; `open`: the report that it is in; `pieces`: lines in several records.
//! - `invocation`, `memory`, `table`, `kill`: the lines, one topic a file; `scan`: what they share.

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

use crate::incident::machine::{Slab, Zone};
use crate::incident::model::{Limits, Memory, ScopeKind};
use std::collections::BTreeMap;

/// Bytes of the pages that the task table counts in. The report does not say; it is 4 KiB on all but some arm64 and
/// ppc64 kernels.
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
}

/// One report, from `dump_header` to the `oom-kill:` line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The line it began with. `None`: it was cut off.
    pub invocation: Option<Invocation>,
    /// `memory: usage .. limit .. failcnt` and `swap:`.
    pub limits: Limits,
    /// `Memory cgroup stats for PATH`.
    pub stats_cgroup: Option<String>,
    /// Counters of the memory in scope, memory in bytes: the cgroup's with their names as printed, or the machine's
    /// (`Mem-Info:`) with the names that `memory.stat` has for them.
    pub stats: BTreeMap<String, u64>,
    /// What the machine has, in a report that is not a memory cgroup's.
    pub machine: Machine,
    /// Its zones.
    pub zones: Vec<Zone>,
    /// Slab caches that cannot be reclaimed, in the order of the report.
    pub unreclaimable_slabs: Vec<Slab>,
    /// Whether a task table was printed (`vm.oom_dump_tasks`).
    pub has_table: bool,
    /// Its rows.
    pub tasks: Vec<TaskRow>,
    /// The `oom-kill:` line.
    pub kill: Option<OomKill>,
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

/// `oom-kill:constraint=...`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OomKill {
    /// The constraint. The kernel has no word for sysrq here: see [`Invocation::order`].
    pub constraint: Option<ScopeKind>,
    /// `nodemask=`.
    pub nodemask: Option<String>,
    /// `cpuset=`.
    pub cpuset: Option<String>,
    /// `mems_allowed=`.
    pub mems_allowed: Option<String>,
    /// `oom_memcg=`: the cgroup whose limit was hit.
    pub oom_memcg: Option<String>,
    /// `task_memcg=`: the victim's cgroup.
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
    /// The message before `: Killed process`, e.g. `Out of memory (oom_kill_allocating_task)`.
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
}
