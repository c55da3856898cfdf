//! How the memory in scope had grown before the kill.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The recent history of the full memory cgroup, or of the machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Growth {
    /// Seconds before the OOM path was entered, and bytes in use then (`memory.current`; of the machine `MemTotal` less
    /// `MemAvailable`). Oldest first.
    pub samples: Vec<(f64, u64)>,
    /// How fast it grew at the end: of the longest run up to the kill that never fell. Absent: too few samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<f64>,
    /// How long that run lasted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Time from 90 % of the limit (of the machine: of its memory) to the kill, where the samples reach back that far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_from_90_percent: Option<f64>,
    /// What the curve looks like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape: Option<Shape>,
    /// File pages that were read again soon after they had been evicted, over all samples (`workingset_refault_file`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_refaults: Option<u64>,
}

/// What a curve looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// At about the same rate for at least five samples, up to the kill.
    Steady,
    /// Most of it within the last two samples.
    Burst,
    /// Near the limit all the time.
    Full,
    /// Up and down.
    Uneven,
}
