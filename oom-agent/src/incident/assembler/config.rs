//! What the assembler is told about its sources, and what it counts.

use crate::incident::badness::PAGE_SIZE;
use crate::incident::model::Level;

/// What the sources can tell.
#[expect(clippy::struct_excessive_bools, reason = "each names one source that is there or not")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How much the kernel lets us see.
    pub level: Level,
    /// Hooks and files in use, for the evidence.
    pub sources: Vec<String>,
    /// `out_of_memory` is seen from entry to return: calls, decisions, candidates and ends come from BPF.
    pub calls: bool,
    /// `oom_badness` is seen: a candidate without points is one that the kernel did not ask for points.
    pub kernel_points: bool,
    /// Victims come from BPF.
    pub victims: bool,
    /// Their exits too.
    pub exits: bool,
    /// When their memory is given back, too.
    pub memory_back: bool,
    /// The kernel's log is read.
    pub log: bool,
    /// How long an incident waits for what is missing after the last fact, nanoseconds.
    pub wait_ns: u64,
    /// The same for exits of victims and for their memory: to free tens of gigabytes takes seconds.
    pub exit_wait_ns: u64,
    /// How far apart the times of two log lines must be to differ. 0: they are as exact as the kernel's own.
    pub log_resolution_ns: u64,
    /// Bytes of a page.
    pub page_size: u64,
    /// The machine's `SwapTotal`, where known: a memory cgroup's `totalpages` counts the smaller of it and the
    /// cgroup's swap limit (`mem_cgroup_get_max`).
    pub total_swap_bytes: Option<u64>,
    /// Online CPUs: each may hold back a part of a counter.
    pub cpus: u32,
}

impl Config {
    /// What a level usually means: all of its sources work.
    pub fn new(level: Level) -> Self {
        let victims = matches!(level, Level::Tracepoint | Level::Full);
        Self {
            level,
            sources: Vec::new(),
            calls: level == Level::Full,
            kernel_points: level == Level::Full,
            victims,
            exits: victims,
            memory_back: level == Level::Full,
            log: true,
            wait_ns: 250_000_000,
            exit_wait_ns: 10_000_000_000,
            log_resolution_ns: 0,
            page_size: PAGE_SIZE,
            total_swap_bytes: None,
            cpus: 1,
        }
    }
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Incidents told.
    pub incidents: u64,
    /// Victims in them.
    pub victims: u64,
    /// Records, and log lines where the log is needed, that are lost or dropped and of which is known.
    pub lost_records: u64,
    /// Log lines that were missed where BPF tells of the kills: an incident that may lack something for it says so.
    pub lost_lines: u64,
    /// Log lines that were missed, wherever that matters.
    pub missed_lines: u64,
    /// Calls with nothing to kill, also those that were not told one by one.
    pub none_killable: u64,
}
