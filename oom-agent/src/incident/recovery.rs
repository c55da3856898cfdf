//! What a kill gave back, and whether it helped.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// After the kill. Times are from the first SIGKILL on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Recovery {
    /// Until the memory of the last victim was given back (return from `exit_mmap`; before it the process only exits).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_back_ns: Option<u64>,
    /// Until there was seen to be room for what was asked for below the limit of the full cgroup. It is looked at when
    /// a victim's memory has been given back. Absent: not seen, or no memory cgroup was full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below_limit_ns: Option<u64>,
    /// Where no memory cgroup was full: until a zone that the allocation may use was seen to have more free than its `min`
    /// watermark and what is kept from such allocations (`__zone_watermark_ok`), so that the page could be had. Files are
    /// looked at (`/proc/zoneinfo`) as soon as the agent knows that a victim's memory has been given back: it may have been
    /// earlier. Absent: not seen, there was room at the kill already, or more than one page was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub above_watermark_ns: Option<u64>,
    /// Usage of the full cgroup when the last victim's memory was given back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_after_bytes: Option<u64>,
    /// How much less that is than at the kill. Others may have taken some of it in between. Absent: not seen, or it is not
    /// less.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given_back_bytes: Option<u64>,
    /// What the OOM reaper did: it comes for victims that take longer than 2 s to exit. Kernels before 5.18 that have no such
    /// delay reap every victim.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub reaper: Vec<Reaped>,
    /// This is the n-th kill in the same place: the full memory cgroup, or the victim's where none was full. Where
    /// it is unknown what was full, the last place of kills in the victim's. A container's id is no part of it, so that
    /// it is the same after a restart. Kills belong together if none of them is more than 10 minutes after the one before.
    /// Absent for the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kill_number: Option<u64>,
    /// Time from the first of these kills to this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kills_seconds: Option<f64>,
}

/// The OOM reaper and one victim (`oom_reap_task`, `mm/oom_kill.c`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reaped {
    /// The victim.
    pub pid: u32,
    /// When it began, from the kill on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_ns: Option<u64>,
    /// How long it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ns: Option<u64>,
    /// Whether it could take the memory. `None`: it began, and its end was not seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done: Option<bool>,
}
