//! How full everything was at the kill: the memory cgroups from the full one up to the root, who filled it, the machine.

use super::identity::Identity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Counters by name: `NAME_bytes` with the names of cgroup v2's `memory.stat`.
pub type Counters = BTreeMap<Cow<'static, str>, u64>;

/// The largest children of a cgroup that are told.
pub const CHILDREN: usize = 10;

/// Where counters are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The kernel's own counters, read by BPF inside the OOM path.
    Kernel,
    /// The kernel's report.
    Report,
    /// Files in cgroupfs and procfs, read as soon as the kill was known: the victim may have been gone by then.
    Files,
}

/// What was used, of what, by whom, when the kernel decided.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct State {
    /// The full memory cgroup first, then each one above it up to the root. Empty: not a memory cgroup's OOM, or not seen.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub cgroups: Vec<CgroupState>,
    /// The largest children of the full cgroup (of the root, if the machine was full), largest first, ten at most.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub children: Vec<CgroupState>,
    /// How many children it has. More than `children` holds: the others are smaller. The kernel counts those that were removed
    /// while something of theirs was still in use. Absent: unknown, or more than 256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub children_total: Option<u64>,
    /// The machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineState>,
    /// Where counters were read from files: how long after the kernel entered its OOM path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files_read_after_ns: Option<u64>,
}

/// A cgroup, then those above it; the root last.
pub fn upwards(cgroup: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(cgroup), |this| {
        let (up, _) = this.rsplit_once('/').filter(|_| *this != "/")?;
        Some(if up.is_empty() { "/" } else { up })
    })
}

/// One memory cgroup. The root has no limits, and on v2 no usage. A limit from 2^62 on is none; an absent one was
/// not seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CgroupState {
    /// Its path.
    pub cgroup: String,
    /// Inode of its directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup_id: Option<u64>,
    /// Whose that cgroup is: `container`, `pod`, `unit`.
    #[serde(flatten)]
    pub identity: Identity,
    /// Where usage and limits are from.
    pub source: Source,
    /// `memory.current`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_bytes: Option<u64>,
    /// `memory.max`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// `memory.high`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high_bytes: Option<u64>,
    /// `memory.swap.current`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap_usage_bytes: Option<u64>,
    /// `memory.swap.max`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap_max_bytes: Option<u64>,
    /// `memory.oom.group`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_group: Option<bool>,
    /// What the usage is made of. Of the full cgroup this is the incident's own `memory`.
    #[serde(skip_serializing_if = "Counters::is_empty", default)]
    pub memory: Counters,
    /// Where `memory` is from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_source: Option<Source>,
}

impl CgroupState {
    /// Of which nothing is known yet.
    pub fn new(cgroup: &str, cgroup_id: Option<u64>, source: Source) -> Self {
        Self {
            cgroup: cgroup.to_owned(),
            cgroup_id,
            identity: Identity::default(),
            source,
            usage_bytes: None,
            max_bytes: None,
            high_bytes: None,
            swap_usage_bytes: None,
            swap_max_bytes: None,
            oom_group: None,
            memory: Counters::new(),
            memory_source: None,
        }
    }
}

/// What of the machine's state the kernel's report does not have (`/proc/meminfo`, `/proc/sys/vm`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MachineState {
    /// `MemTotal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
    /// `MemAvailable`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_bytes: Option<u64>,
    /// `SwapTotal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap_total_bytes: Option<u64>,
    /// `SwapFree`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap_free_bytes: Option<u64>,
    /// `Committed_AS`: what has been promised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub committed_bytes: Option<u64>,
    /// `CommitLimit`: what may be promised, where `vm.overcommit_memory` is 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_limit_bytes: Option<u64>,
    /// `vm.overcommit_memory`: 0 heuristic, 1 always, 2 never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overcommit_memory: Option<u64>,
    /// Memory set aside for huge pages of all sizes (`Hugetlb`), used or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hugetlb_bytes: Option<u64>,
    /// What of it no one uses (`HugePages_Free` of the default size).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hugetlb_free_bytes: Option<u64>,
    /// `Shmem`: tmpfs and shared memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shmem_bytes: Option<u64>,
}
