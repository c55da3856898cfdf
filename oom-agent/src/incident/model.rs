//! The incident: what every sink gets and what `--format json` prints.
//!
//! The JSON names are a contract (`docs/incident.schema.json` is generated from these types). A field that is
//! `None` was not seen: it is absent in the JSON and shown as missing, never as zero. Memory is in bytes, times
//! are in nanoseconds; points and `total_pages` are the kernel's own pages.

use super::diagnosis::Diagnosis;
use super::escalation::Escalation;
use super::growth::Growth;
use super::identity::Identity;
use super::machine::{Slab, Zone};
use super::recovery::Recovery;
use super::state::{Source, State};
use super::verdict::Verdict;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Version of the JSON shape.
pub const SCHEMA: u32 = 1;

/// One decision of the kernel's OOM killer and everything that is known about it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Incident {
    /// Version of this shape: 1.
    pub schema: u32,
    /// Unique and sortable by time: boot-relative time, boot id and number.
    pub id: String,
    /// Name of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Boot id of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// Wall-clock time, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The time as the log wrote it, where that is not an instant: without a year or a time zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_time: Option<String>,
    /// Begin of the OOM path in nanoseconds since boot (`CLOCK_BOOTTIME`; the log's own clock where only a log was read).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boottime_ns: Option<u64>,
    /// `uname -r`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_release: Option<String>,
    /// Which limit was hit.
    pub scope: Scope,
    /// Who asked for memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Trigger>,
    /// Bytes of a page, where the kernel's report tells, or where they are not 4096; else take 4096.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_size_bytes: Option<u64>,
    /// The kernel's `totalpages`: the memory that `oom_score_adj` is a share of. Not the victim's size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_pages: Option<u64>,
    /// The memory cgroup's limits and what was used of them.
    #[serde(skip_serializing_if = "Limits::is_empty", default)]
    pub limits: Limits,
    /// Every process that the kernel looked at, most points first, exempt ones last.
    pub candidates: Vec<Candidate>,
    /// How many processes the kernel looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidates_evaluated: Option<u64>,
    /// How many of them are missing in `candidates`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidates_lost: Option<u64>,
    /// What the kernel decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// Every process that died of it.
    pub victims: Vec<Victim>,
    /// Reclaim before the kill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escalation: Option<Escalation>,
    /// How the memory in scope had grown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub growth: Option<Growth>,
    /// How full everything was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// Break-down of the memory in scope: `NAME_bytes` with the names of cgroup v2's `memory.stat`;
    /// of the machine also `ram_bytes`, what of it is not the page allocator's (`reserved_bytes`), `swap_total_bytes` and
    /// `swap_free_bytes`.
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty", default)]
    pub memory: std::collections::BTreeMap<Cow<'static, str>, u64>,
    /// Where `memory` is from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_source: Option<Source>,
    /// The machine's zones, from the kernel's report of an OOM that is not a memory cgroup's.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub zones: Vec<Zone>,
    /// Slab caches that cannot be reclaimed, largest first, where the kernel's report has them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub unreclaimable_slabs: Vec<Slab>,
    /// Why the allocation failed, the deciding reason first.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub verdict: Vec<Verdict>,
    /// How many kills the kernel counted for it (`oom_kill` in `/proc/vmstat` and `memory.events`): one for each `Killed
    /// process` line of its log. The first victim of a group is counted twice, unless its memory was gone by the second
    /// time; who only shares memory, or was dying before, is not counted. Absent: not all lines were seen.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub counted_kills: Option<u64>,
    /// Time between entry into and return from `out_of_memory`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_path_ns: Option<u64>,
    /// Time from the first kill to the last victim's exit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_ns: Option<u64>,
    /// Memory and swap that the victims held when they were killed and that went with them (shared memory counted once, tmpfs not at all).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freed_bytes: Option<u64>,
    /// Whether it helped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
    /// What led to it and what helps, most useful first.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub diagnosis: Vec<Diagnosis>,
    /// What it is made of and what is missing.
    pub evidence: Evidence,
    /// The kernel's own text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_log: Option<String>,
}

/// Which limit was hit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Scope {
    /// Absent: unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<ScopeKind>,
    /// The memory cgroup whose limit was hit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// Its id (inode of its directory).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup_id: Option<u64>,
    /// Whose that cgroup is: `container`, `pod`, `unit`.
    #[serde(flatten)]
    pub identity: Identity,
    /// Memory nodes that the allocation's NUMA policy allows, as the kernel writes lists (`0-1,4`). Absent: no policy, or unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodemask: Option<String>,
    /// Memory nodes that the cpuset of the task that asked allows. Absent in a memory cgroup's OOM, where nodes play no part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mems_allowed: Option<String>,
}

/// `enum oom_constraint` and what user space can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScopeKind {
    /// The whole machine (`CONSTRAINT_NONE`).
    Global,
    /// A memory cgroup's limit (`CONSTRAINT_MEMCG`).
    Memcg,
    /// The memory nodes that a cpuset allows (`CONSTRAINT_CPUSET`).
    Cpuset,
    /// The memory nodes that a NUMA policy allows (`CONSTRAINT_MEMORY_POLICY`).
    MemoryPolicy,
    /// An operator's `sysrq-f`.
    Sysrq,
}

/// Who asked for memory: the task whose allocation failed. Often not the victim.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trigger {
    /// Process id (tgid).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Thread id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tid: Option<u32>,
    /// Command name.
    pub comm: String,
    /// Its memory cgroup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// Whose that cgroup is: `container`, `pod`, `unit`.
    #[serde(flatten)]
    pub identity: Identity,
    /// The allocation's flags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gfp_mask: Option<u32>,
    /// Their names, where the kernel's report gave them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub gfp_flags: Vec<String>,
    /// log2 of the pages asked for; -1 for sysrq.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<i32>,
    /// Its `oom_score_adj`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i32>,
}

/// From here on a limit in bytes is the kernel's word for "none": `PAGE_COUNTER_MAX`, `LONG_MAX` bytes in whole pages.
pub const NO_LIMIT: u64 = 1 << 62;

/// A limit in bytes, if it is one.
pub fn limited(bytes: Option<u64>) -> Option<u64> {
    bytes.filter(|bytes| *bytes < NO_LIMIT)
}

/// Limits of the memory cgroup that was full, and what was used of them at the kill. One from 2^62 on is none; an absent one was not
/// seen. Absent as a whole where no memory cgroup was full.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Limits {
    /// `memory.max` in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// `memory.current` in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_bytes: Option<u64>,
    /// `memory.swap.max` in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap_bytes: Option<u64>,
    /// `memory.swap.current` in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap_usage_bytes: Option<u64>,
    /// `memory.memsw.limit_in_bytes`: cgroup v1's limit of memory and swap together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memsw_bytes: Option<u64>,
    /// `memory.memsw.usage_in_bytes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memsw_usage_bytes: Option<u64>,
    /// `memory.kmem.limit_in_bytes`: cgroup v1's limit of kernel memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kmem_bytes: Option<u64>,
    /// `memory.kmem.usage_in_bytes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kmem_usage_bytes: Option<u64>,
}

impl Limits {
    /// Nothing of it is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Memory of one process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Memory {
    /// Anonymous pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anon_bytes: Option<u64>,
    /// File pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_bytes: Option<u64>,
    /// Shared memory and tmpfs pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shmem_bytes: Option<u64>,
    /// anon, file and shmem together, where only the sum is known (task tables before 6.12).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_bytes: Option<u64>,
    /// Swap entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap_bytes: Option<u64>,
    /// Page tables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pgtables_bytes: Option<u64>,
    /// Address space.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_vm_bytes: Option<u64>,
}

/// A process that the kernel looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Candidate {
    /// Process id (tgid).
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Command name.
    pub comm: String,
    /// Real user id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Its memory cgroup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// Whose that cgroup is: `container`, `pod`, `unit`.
    #[serde(flatten)]
    pub identity: Identity,
    /// What it held.
    #[serde(flatten)]
    pub memory: Memory,
    /// Its `oom_score_adj`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i32>,
    /// Points as `oom_badness` counts them, in pages; may be negative. Absent for exempt ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub points: Option<i64>,
    /// Where the points are from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub points_source: Option<PointsSource>,
    /// The kernel could have killed it.
    pub eligible: bool,
    /// Why it could not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exempt_reason: Option<ExemptReason>,
}

/// Where points are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PointsSource {
    /// `oom_badness` returned them.
    Kernel,
    /// The same formula over the counters that were seen.
    Computed,
}

/// Why the kernel passes over a process (`oom_evaluate_task`, `oom_badness`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExemptReason {
    /// `oom_score_adj` is -1000.
    AdjMin,
    /// `MMF_OOM_SKIP`: its memory was reaped already.
    AlreadyReaped,
    /// In `vfork`: the memory is its parent's.
    Vfork,
    /// A kernel thread.
    KernelThread,
    /// The machine's first process.
    Init,
    /// Its memory is on other nodes than the allocation may use (`oom_cpuset_eligible`).
    OtherNode,
    /// It has no memory (left): exiting.
    NoMm,
}

/// What the kernel decided and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Decision {
    /// By which rule.
    pub rule: Rule,
    /// Process id (tgid) of the chosen one. Kernels up to 5.0 may kill a child of it instead: then no victim has this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Thread id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tid: Option<u32>,
    /// Command name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comm: Option<String>,
    /// Its points.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub points: Option<i64>,
    /// The eligible process with the next most points. In incidents not one that shares the chosen one's memory, which dies with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runner_up_pid: Option<u32>,
    /// How many points it had more than that one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub margin_points: Option<i64>,
    /// The highest `oom_score_adj` with which the runner-up would have been killed instead. Absent too where that died of the
    /// same kill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adj_to_spare: Option<i32>,
}

impl Decision {
    /// Of which only the rule is known.
    pub fn by(rule: Rule) -> Self {
        Self {
            rule,
            pid: None,
            tid: None,
            comm: None,
            points: None,
            runner_up_pid: None,
            margin_points: None,
            adj_to_spare: None,
        }
    }
}

/// By which rule the kernel decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Most points.
    HighestPoints,
    /// `vm.oom_kill_allocating_task`: whoever asked.
    AllocatingTask,
    /// A process that was dying anyway got access to the reserves, nothing was killed.
    AlreadyDying,
    /// Most points, on an operator's order.
    Sysrq,
    /// Nothing could be killed.
    NoneKillable,
    /// The machine panicked (`vm.panic_on_oom` or nothing left to kill).
    Panic,
}

/// A process that died of the decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Victim {
    /// Process id (tgid).
    pub pid: u32,
    /// The thread that the kernel marked.
    pub tid: u32,
    /// Command name.
    pub comm: String,
    /// Real user id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Why it had to die.
    pub role: Role,
    /// It was the first process of its container (of its PID namespace), with which the container ends. `false`: the container
    /// goes on without it. Absent: unknown, or no PID namespace of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub main_process: Option<bool>,
    /// Its memory cgroup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// Whose that cgroup is: `container`, `pod`, `unit`.
    #[serde(flatten)]
    pub identity: Identity,
    /// What it held.
    #[serde(flatten)]
    pub memory: Memory,
    /// Its `oom_score_adj`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i32>,
    /// When SIGKILL was sent, nanoseconds since boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub killed_boottime_ns: Option<u64>,
    /// When its last thread exited, nanoseconds since boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exited_boottime_ns: Option<u64>,
    /// Time between them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_after_ns: Option<u64>,
}

/// Why a process had to die.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The kernel chose it, or (up to 5.0) killed it in place of its parent, which it chose.
    Selected,
    /// A member of a cgroup with `memory.oom.group`.
    Group,
    /// It shares the selected one's memory.
    SharedMemory,
    /// It was dying before.
    AlreadyDying,
}

/// What the incident is made of and what is missing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// How much the kernel let us see.
    pub level: Level,
    /// Hooks and files that contributed, e.g. `fentry:out_of_memory`, `kmsg`.
    pub sources: Vec<String>,
    /// Stamp of the kernel's line `invoked oom-killer`, in nanoseconds since boot by the log's own clock: which report it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_ns: Option<u64>,
    /// Records known to be lost around this incident.
    pub lost_records: u64,
    /// What is missing and why, in words.
    pub notes: Vec<String>,
}

/// How much the kernel let us see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Only a log file.
    #[default]
    Log,
    /// Only the running kernel's log.
    Kmsg,
    /// Victims and reclaim from BPF tracepoints, the rest from the kernel's log.
    Tracepoint,
    /// Everything from BPF, and with it what only the kernel's report has.
    Full,
}
