//! What led to the kill and what helps: a table of rules over a finished incident.
//!
//! A rule says only what follows from evidence in the incident, with its numbers, and how sure it is.

use super::model::Incident;
use super::verdict::Confidence;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One explanation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnosis {
    /// For machines.
    pub code: Code,
    /// How sure it is.
    pub confidence: Confidence,
    /// One sentence, without its full stop.
    pub title: String,
    /// What it follows from, with the numbers.
    pub because: Vec<String>,
    /// What helps, one or two sentences.
    pub advice: String,
    /// Section of docs/oom-killer.md that explains it.
    pub docs: String,
}

/// The explanations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// Memory grew at a steady rate up to the limit.
    SteadyLeak,
    /// Memory grew to the limit within seconds.
    Burst,
    /// The limit is smaller than what is used all the time.
    LimitBelowWorkingSet,
    /// The pod's limit was full, the container has none.
    PodLimitOnly,
    /// Who asked, or died, is not who filled the memory.
    NoisyNeighbour,
    /// `oom_score_adj` decided: another held more.
    AdjDecided,
    /// What filled the memory does not go with a process.
    KillDidNotHelp,
    /// Swap was full.
    SwapExhausted,
    /// Locked, unevictable or pinned memory.
    NothingReclaimable,
    /// Free memory, but no block that is large enough.
    Fragmentation,
    /// Other nodes had free memory.
    NodesImbalanced,
    /// Kernel memory or page tables out of proportion.
    KernelMemory,
    /// Many small processes.
    ForkBomb,
    /// Nobody could be killed.
    EverythingExempt,
    /// `vm.oom_kill_allocating_task`.
    AllocatingTask,
    /// `vm.panic_on_oom`.
    PanicOnOom,
    /// A whole cgroup was killed where one process held nearly all.
    GroupKillLarge,
    /// A process of a container was killed, and the container goes on without it.
    ChildKilled,
    /// Killed again and again in the same place.
    RestartLoop,
    /// Many kills at once.
    Storm,
    /// An operator ordered it.
    Ordered,
    /// It cannot be told, and this is missing.
    NotEnoughEvidence,
}

/// The explanations, most useful first. Never empty.
pub fn diagnose(_incident: &Incident) -> Vec<Diagnosis> {
    Vec::new()
}
