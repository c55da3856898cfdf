//! How the memory in scope had grown before the kill.
//!
//! # Layout
//! - [`Growth`], [`Shape`]: what an incident tells of it.
//! - [`history`]: recent samples of every cgroup that has a limit, and of the machine, in memory of a fixed size.
//! - `curve`: samples to [`Growth`].

mod curve;
pub mod history;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The recent history of the full memory cgroup, or of the machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Growth {
    /// Seconds before the OOM path was entered, and bytes in use then (`memory.current`; of the machine `MemTotal` less
    /// `MemAvailable`). Oldest first. The last one is the usage at the kill itself (0 seconds), where it is known.
    pub samples: Vec<(f64, u64)>,
    /// How fast it grew at the end: over the longest run up to the kill that never fell (by more than a hundredth), less
    /// the flat part at its begin. Where the usage at the kill was not seen, it is taken to be the limit. Absent: too few
    /// samples, or it did not grow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<f64>,
    /// How long that run lasted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Time from 90 % of the limit (of the machine: of its memory) to the kill, where the samples reach back that far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_from_90_percent: Option<f64>,
    /// What the curve looks like. Absent: too few samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape: Option<Shape>,
    /// File pages that were read again soon after they had been evicted, over all
    /// samples (`workingset_refault_file`). Counted only while more than 80 % of the limit is in use; absent before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_refaults: Option<u64>,
    /// Pages that the machine wrote to swap since the oldest sample that is kept (`pswpout`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swapped_out_pages: Option<u64>,
    /// Pages that it read back since then (`pswpin`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swapped_in_pages: Option<u64>,
}

/// What a curve looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// At about the same rate for at least five samples, up to the kill: never further from the straight line than 15 % of
    /// what it grew by, and by at least a tenth of what was in use at the end.
    Steady,
    /// At least half of what was in use at the kill came after the last but one sample.
    Burst,
    /// At least 90 % of the limit in all of at least three samples.
    Full,
    /// None of these in at least five samples: up and down, or slowly and then fast.
    Uneven,
}
