//! What the kernel tried before it killed: reclaim, for the task that asked, the cgroup and the machine.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Reclaim before the kill.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Escalation {
    /// Direct and memcg reclaim rounds of the task that asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reclaim_rounds: Option<u64>,
    /// Time it spent in them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger_stall_ns: Option<u64>,
    /// Pages that it looked at in them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scanned_pages: Option<u64>,
    /// Pages that they freed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reclaimed_pages: Option<u64>,
    /// Time from the first of these rounds to the kill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_seconds: Option<f64>,
    /// Zones that the page allocator gave up on, as it saw them last (`should_reclaim_retry`, `mm/page_alloc.c`).
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub zones: Vec<RetryZone>,
    /// Times that an allocation of order above 0 asked whether to compact once more (`should_compact_retry`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compact_retries: Option<u64>,
    /// Compaction by the task that asked, up to this (without a pause of 10 s). Absent: not seen, or a single page was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compaction: Option<Compacted>,
    /// The last 10 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_10s: Option<Window>,
    /// The last 60 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_60s: Option<Window>,
    /// How long tasks waited for memory (PSI), from files that were read at the kill: `state.files_read_after_ns` later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pressure: Option<Pressures>,
}

impl Escalation {
    /// Reclaim was seen, or seen not to happen.
    pub fn saw_reclaim(&self) -> bool {
        let Self { reclaim_rounds, zones, last_10s, last_60s, .. } = self;
        reclaim_rounds.is_some() || !zones.is_empty() || last_10s.is_some() || last_60s.is_some()
    }
}

/// Pressure stall information. Absent: this kernel has none, or it is switched off (`psi=0`, `cgroup.pressure`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pressures {
    /// Tasks of the full memory cgroup and below it (`memory.pressure`, v2 only).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<Pressure>,
    /// All tasks (`/proc/pressure/memory`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<Pressure>,
}

/// Waits for memory: reclaim, refaults, throttling (`kernel/sched/psi.c`). The averages are percent of time, running ones
/// over the last 10, 60 and 300 s, and computed every 2 s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pressure {
    /// Percent of the time in which at least one task waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub some_avg10: Option<f64>,
    /// The same over 60 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub some_avg60: Option<f64>,
    /// The same over 300 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub some_avg300: Option<f64>,
    /// That time altogether, since boot or since the cgroup was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub some_total_ns: Option<u64>,
    /// Percent of the time in which all tasks that were not idle waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_avg10: Option<f64>,
    /// The same over 60 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_avg60: Option<f64>,
    /// The same over 300 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_avg300: Option<f64>,
    /// That time altogether.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_total_ns: Option<u64>,
}

/// The time right before the OOM path was entered. It begins where a bucket of the kernel side begins, every 1.07 s
/// (2^30 ns of `CLOCK_BOOTTIME`), so it is up to that much shorter than its name says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Window {
    /// How long it is. Much shorter than its name says where the agent has not run for so long.
    pub seconds: f64,
    /// Reclaim for the limit of the cgroup that was full, by all tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<Work>,
    /// Direct reclaim on the machine: tasks that waited for memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direct: Option<Work>,
    /// Reclaim for the limits of all memory cgroups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memcg: Option<Work>,
    /// kswapd.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kswapd: Option<Kswapd>,
    /// How often reclaim had to wait for writeback or for others (`reclaim_throttle`). Absent: not seen (before 5.16).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttled: Option<u64>,
    /// Time in that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttled_ns: Option<u64>,
    /// Compaction by tasks whose allocation wanted several pages in one piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compaction: Option<Compacted>,
    /// Compaction in the background.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kcompactd: Option<Compacted>,
}

/// Runs of compaction, each over one zone (`compact_zone`, `mm/compaction.c`), and what came of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Compacted {
    /// Runs that ended.
    pub runs: u64,
    /// Time in them.
    pub ns: u64,
    /// Those that made a block of the size (`COMPACT_SUCCESS`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub succeeded: Option<u64>,
}

/// Rounds of reclaim and what came of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Work {
    /// Rounds that ended in the window.
    pub rounds: u64,
    /// Time in them.
    pub ns: u64,
    /// Pages looked at. Absent: this kernel does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scanned_pages: Option<u64>,
    /// Pages freed.
    pub reclaimed_pages: u64,
}

/// The kernel's background reclaim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Kswapd {
    /// Times it began to work (`mm_vmscan_kswapd_wake`): after a sleep, or at once where there is more to do.
    pub wakes: u64,
    /// Times it went back to sleep.
    pub sleeps: u64,
    /// Pages looked at. Absent: this kernel does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scanned_pages: Option<u64>,
    /// Pages freed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reclaimed_pages: Option<u64>,
}

/// A zone as `reclaim_retry_zone` saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RetryZone {
    /// NUMA node.
    pub node: u32,
    /// `DMA`, `DMA32`, `Normal`, `Movable`...
    pub name: String,
    /// Pages that could still be reclaimed.
    pub reclaimable_pages: u64,
    /// The same with what is free.
    pub available_pages: u64,
    /// The watermark.
    pub min_watermark_pages: u64,
    /// Rounds without progress (16 are the end, `MAX_RECLAIM_RETRIES`).
    pub no_progress_loops: u32,
    /// Whether all of `available` would have been enough.
    pub enough: bool,
}

/// Reclaim on the machine since the agent attached to it: the same sums as in a [`Window`], for ever. `None`: not seen here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Direct reclaim.
    pub direct: Option<Work>,
    /// Reclaim for the limits of memory cgroups.
    pub memcg: Option<Work>,
    /// kswapd.
    pub kswapd: Option<Kswapd>,
    /// Waits in reclaim.
    pub throttled: Option<u64>,
    /// Time in them.
    pub throttled_ns: Option<u64>,
    /// Zones that the page allocator looked at after a round of direct reclaim (`should_reclaim_retry`).
    pub retry_zones: Option<u64>,
    /// Times that an allocation asked whether to compact once more (`should_compact_retry`).
    pub compact_retries: Option<u64>,
    /// Compaction by tasks.
    pub compaction: Option<Compacted>,
    /// Compaction in the background.
    pub kcompactd: Option<Compacted>,
    /// Runs of programs that the kernel skipped. `None`: it does not count them.
    pub skipped: Option<Skipped>,
    /// Rounds of reclaim that could not be counted.
    pub missed_rounds: u64,
    /// Runs of compaction that could not be counted.
    pub missed_compactions: u64,
}

/// Runs of BPF programs that the kernel skipped since another task was in the same one on that CPU, by what they see: it is not
/// known what they would have (`bpf_prog_inc_misses_counter`, `kernel/bpf/syscall.c`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Rounds of reclaim, and what the page allocator does between them.
    pub rounds: u64,
    /// Pages that reclaim looks at.
    pub scans: u64,
    /// kswapd's sleeps and wakes.
    pub kswapd: u64,
    /// Waits in reclaim.
    pub throttled: u64,
    /// Runs of compaction.
    pub compactions: u64,
    /// Kills: calls of the OOM killer, candidates, victims, signals.
    pub kills: u64,
    /// Exits, memory that is given back, the reaper.
    pub exits: u64,
}

impl Skipped {
    /// Those that came after `before`.
    #[must_use]
    pub const fn since(&self, before: &Self) -> Self {
        let Self { rounds, scans, kswapd, throttled, compactions, kills, exits } = *self;
        Self {
            rounds: rounds.saturating_sub(before.rounds),
            scans: scans.saturating_sub(before.scans),
            kswapd: kswapd.saturating_sub(before.kswapd),
            throttled: throttled.saturating_sub(before.throttled),
            compactions: compactions.saturating_sub(before.compactions),
            kills: kills.saturating_sub(before.kills),
            exits: exits.saturating_sub(before.exits),
        }
    }

    /// Of what an [`Escalation`] tells.
    #[must_use]
    pub const fn of_escalation(&self) -> u64 {
        self.rounds + self.scans + self.kswapd + self.throttled + self.compactions
    }
}
