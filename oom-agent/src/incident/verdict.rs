//! Why the allocation failed, from what the kernel's report and the counters say. Rules in the order in which the kernel
//! comes to its OOM killer.

use super::model::Incident;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One reason why there was no memory to give.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// For machines.
    pub code: Code,
    /// How sure it is.
    pub confidence: Confidence,
    /// One sentence.
    pub title: String,
    /// What it follows from, with the numbers.
    pub because: Vec<String>,
}

/// The reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// A memory cgroup's limit is reached.
    LimitReached,
    /// No zone that the allocation may use has free pages above its watermark.
    NoFreePages,
    /// There are enough free pages, but no block of the order.
    Fragmented,
    /// Swap is full, or there is none for what is left.
    SwapFull,
    /// Nodes with free memory were excluded by a cpuset or a NUMA policy.
    NodesExcluded,
    /// An operator ordered the kill.
    Ordered,
}

/// How sure a verdict or a diagnosis is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// It follows from what was seen.
    Certain,
    /// It follows unless something that was not seen says otherwise.
    Likely,
    /// One explanation among others.
    Possible,
}

/// The reasons, the deciding one first. Empty: not enough is known.
pub fn verdict(_incident: &Incident) -> Vec<Verdict> {
    Vec::new()
}
