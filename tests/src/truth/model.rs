//! What really happened, as `truth.json`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One case's truth.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// Name of the case.
    pub case: String,
    /// Why it was not run here. Then nothing else is filled in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub skip: Option<String>,
    /// `uname -r`.
    #[serde(default)]
    pub kernel: String,
    /// Online CPUs: the error of per-CPU counters grows with them.
    #[serde(default)]
    pub cpus: u32,
    /// Bytes of a page.
    #[serde(default)]
    pub page_bytes: u64,
    /// Where it comes from: `kmsg`, `ftrace`, `reclaim` (every round of it), `kprobes`, `memory.events`, `waitpid`.
    #[serde(default)]
    pub sources: Vec<String>,
    /// The kills, in order.
    #[serde(default)]
    pub kills: Vec<Kill>,
    /// Decisions that nothing can be killed.
    #[serde(default)]
    pub none_killable: u32,
    /// Threads that were marked as victims while they were dying anyway.
    #[serde(default)]
    pub already_dying: Vec<u32>,
    /// What contradicts itself or the intention: a case with any of these proves nothing.
    #[serde(default)]
    pub doubts: Vec<String>,
    /// Figures.
    #[serde(default)]
    pub measured: BTreeMap<String, u64>,
    /// What had to hold besides, as the runner saw it.
    #[serde(default)]
    pub checks: Vec<Check>,
    /// The case's cgroups and those above them, as they were right before anything was provoked.
    #[serde(default)]
    pub levels: BTreeMap<String, Level>,
    /// When each of the case's cgroups was made, microseconds since boot. The kernel gives its memory to another when it is gone.
    #[serde(default)]
    pub born: BTreeMap<String, u64>,
    /// `/proc/meminfo` at that time, bytes.
    #[serde(default)]
    pub meminfo: BTreeMap<String, u64>,
    /// Files of the machine's cgroups cannot be seen.
    #[serde(default)]
    pub enclosed: bool,
    /// More agents that saw the same, each with files of its own.
    #[serde(default)]
    pub tellings: Vec<Telling>,
    /// What led to it.
    #[serde(default)]
    pub why: Why,
    /// Totals of reclaim, of the case that looks at them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub totals: Option<Totals>,
}

/// Running totals of reclaim as the daemon told them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Before anything was provoked.
    pub before: Scrape,
    /// When it was over.
    pub after: Scrape,
}

/// One look at `/metrics`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scrape {
    /// When it was asked for, microseconds since boot.
    pub asked_us: u64,
    /// When the answer was there.
    pub answered_us: u64,
    /// Samples, by name and labels.
    pub values: BTreeMap<String, f64>,
}

/// What led to the kills: the case itself knows, since it did it. In the words of an incident's `diagnosis`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// What the diagnosis of the first incident has to begin with: one of these. Empty: this is not what the case is about.
    pub first: Vec<String>,
    /// What holds without doubt: nothing else may be called certain in any incident.
    pub certain: Vec<String>,
    /// Name of the agent that could see `first`. Absent: the one that traces all cases.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub agent: Option<String>,
    /// The case overloads the machine: between two looks at the clock long may pass.
    #[serde(default)]
    pub overloads: bool,
    /// Another agent detaches meanwhile: where its programs and this one's at the return of a function share a trampoline,
    /// tasks in that function return without running them (`bpf_tramp_image_put`, kernel/bpf/trampoline.c).
    #[serde(default)]
    pub others_leave: bool,
    /// When the whole machine stood still, from and to, `CLOCK_BOOTTIME` in nanoseconds.
    #[serde(default)]
    pub stood_still: Vec<[u64; 2]>,
}

impl Why {
    /// How long the machine ran between two moments, nanoseconds.
    pub fn moved_between(&self, one: u64, other: u64) -> u64 {
        let (from, to) = (one.min(other), one.max(other));
        let still =
            self.stood_still.iter().map(|[begin, end]| (*end).min(to).saturating_sub((*begin).max(from)));
        (to - from).saturating_sub(still.sum())
    }
}

/// A memory cgroup, from its files. Absent: no limit, or no such file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// Inode of its directory.
    pub id: u64,
    /// Whether it is the root, which has no limits.
    pub root: bool,
    /// `memory.current`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub usage_bytes: Option<u64>,
    /// `memory.max`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max_bytes: Option<u64>,
    /// `memory.high`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub high_bytes: Option<u64>,
    /// `memory.swap.max`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub swap_max_bytes: Option<u64>,
    /// `memory.oom.group`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub oom_group: Option<bool>,
    /// Directories in it.
    pub children: u64,
}

/// Something that has to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What, as a sentence.
    pub what: String,
    /// Whether it did.
    pub held: bool,
    /// What was found.
    pub found: String,
}

/// What one more agent told: `incidents.NAME.jsonl` and `agent.NAME.stderr`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Telling {
    /// Its name.
    pub name: String,
    /// How it is compared.
    pub expect: Expect,
}

/// What an agent has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// All kills, fully.
    All,
    /// The first so many kills, fully, and no more.
    First(usize),
    /// All kills, fully but for what files of the machine's cgroups say.
    Enclosed,
    /// All kills, as far as the kernel's log tells of them.
    Log,
    /// All kills; of the first so many the agent has only the kernel's log, as it was not there yet. Whatever else the log
    /// holds may be told before.
    SinceBoot {
        /// How many happened before its start.
        before: usize,
        /// Of the others too.
        log: bool,
    },
    /// All kills; of those from `from` up to `to` the kernel's log had gone before the agent read it.
    LogGap {
        /// The first.
        from: usize,
        /// The one after the last.
        to: usize,
    },
    /// Records were lost: nothing untrue, what is lost is said, and all kills from this one on are told fully.
    LossyUntil(usize),
}

/// One decision of the kernel that killed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kill {
    /// Who died of it.
    pub victims: Vec<Victim>,
    /// Who asked. Absent where the kernel's report was suppressed and nothing else tells.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trigger: Option<Trigger>,
    /// Which limit.
    pub scope: Scope,
    /// `oc->totalpages`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub total_pages: Option<u64>,
    /// Which one and by which rule.
    pub decision: Decision,
    /// Whom `oom_badness` was asked about, with its answers. Empty where it could not be seen.
    #[serde(default)]
    pub candidates: Vec<Candidate>,
    /// The task table of the kernel's report. Empty where there was none.
    #[serde(default)]
    pub table: Vec<Row>,
    /// The rest of the kernel's report. Absent where it printed none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub report: Option<Report>,
    /// It was printed, and gone before the agent read it.
    #[serde(default)]
    pub log_gone: bool,
    /// When the last victim's memory was given back (return from `exit_mmap`), nanoseconds since boot.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub memory_back_ns: Option<u64>,
    /// What was found once the victims were gone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub afterwards: Option<Afterwards>,
}

/// What was found after a kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Afterwards {
    /// The how manieth in this cgroup.
    pub kill_number: u64,
    /// What is used of the cgroup's limit.
    pub usage_bytes: u64,
}

/// What only the kernel's report tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Names of the gfp flags.
    pub gfp_flags: Vec<String>,
    /// The first counter of the break-down of the memory: its name in an incident, and bytes.
    pub counter: Option<(String, u64)>,
    /// Its `oom-kill:` line.
    pub summary: String,
    /// `memory` and `swap`: usage and limit, bytes.
    #[serde(default)]
    pub counters: BTreeMap<String, (u64, u64)>,
    /// The memory cgroup's break-down: names in an incident, and bytes.
    #[serde(default)]
    pub stats: BTreeMap<String, u64>,
}

/// A process that died.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Victim {
    /// Process (tgid).
    pub pid: u32,
    /// Thread that the kernel marked or sent the signal to.
    pub tid: u32,
    /// Command name: any bytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub comm: Option<Vec<u8>>,
    /// `selected`, `group`, `shared_memory`.
    pub role: String,
    /// Real user id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub uid: Option<u32>,
    /// `oom_score_adj`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub oom_score_adj: Option<i32>,
    /// Its memory cgroup.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cgroup: Option<String>,
    /// anon, file, shmem in kB as in its `Killed process` line.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rss_kb: Option<[u64; 3]>,
}

/// The task whose allocation failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// Process, where known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pid: Option<u32>,
    /// Thread.
    pub tid: u32,
    /// Command name: any bytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub comm: Option<Vec<u8>>,
    /// `gfp_mask`.
    pub gfp_mask: u32,
    /// `order`; -1 for sysrq.
    pub order: i32,
}

/// Which limit was hit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// `global`, `memcg`, `cpuset`, `memory_policy`, `sysrq`.
    pub kind: String,
    /// The memory cgroup whose limit was hit.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cgroup: Option<String>,
    /// Inode of its directory.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cgroup_id: Option<u64>,
}

/// Which process was chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// `highest_points`, `allocating_task`, `sysrq`.
    pub rule: String,
    /// Process (tgid).
    pub pid: u32,
    /// `oc->chosen_points`. Absent where nothing shows it, or where the rule does not use points.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub points: Option<i64>,
}

/// A call of `oom_badness`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Process.
    pub pid: u32,
    /// What it returned; absent: `LONG_MIN`, not eligible.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub points: Option<i64>,
}

/// A row of the task table, in pages except `pgtables_bytes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Process (the table's tgid).
    pub pid: u32,
    /// Resident pages of all kinds.
    pub rss: u64,
    /// Page tables, bytes.
    pub pgtables_bytes: u64,
    /// Swap entries.
    pub swapents: u64,
    /// `oom_score_adj`.
    pub oom_score_adj: i32,
}
