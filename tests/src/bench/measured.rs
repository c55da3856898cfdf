//! What is measured in the guest, and read on the host.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The same kills for all tools (`peers.json`).
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Peers {
    /// `uname -r`.
    pub kernel: String,
    /// Each alone.
    pub tools: Vec<Costs>,
    /// All together.
    pub scenarios: Vec<Outcome>,
}

/// What a tool costs, alone.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Costs {
    /// Its name.
    pub tool: String,
    /// Why it does not run here. Then nothing else is filled in.
    pub error: Option<String>,
    /// From its start to its own word that it traces, milliseconds, after the page cache was dropped.
    pub cold_ms: f64,
    /// The same with what it needs in the page cache.
    pub warm_ms: f64,
    /// Resident memory by then. `None`: it had none yet, so it was looked at too early.
    pub attached_kib: Option<u64>,
    /// Resident memory after all kills.
    pub end_kib: u64,
    /// Most resident memory.
    pub peak_kib: u64,
    /// Time on a processor while nothing is killed, microseconds a second.
    pub idle_us_per_s: f64,
    /// Time on a processor for a kill, microseconds.
    pub us_per_kill: f64,
    /// From `oom_kill_process` to the line: the middle one and the longest, of how many.
    pub to_line_us: Option<[f64; 2]>,
    /// How many these are.
    pub timed: usize,
    /// From there until the call had returned and the memory was back.
    pub wait_us: Option<f64>,
    /// From that moment to the line.
    pub after_wait_us: Option<[f64; 2]>,
}

/// What came of a scenario.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// Its name.
    pub scenario: String,
    /// Why it could not be made.
    pub error: Option<String>,
    /// Who really died.
    pub truth: Vec<Victim>,
    /// How much vmstat's `oom_kill` grew.
    pub vmstat: u64,
    /// By tool.
    pub tools: BTreeMap<String, Score>,
}

/// A process that the kernel killed, and the memory cgroup that it was put in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Victim {
    /// Process id.
    pub pid: u32,
    /// Path of the cgroup.
    pub cgroup: String,
}

/// How well a tool told a scenario.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Score {
    /// True victims that were told.
    pub found: usize,
    /// Victims that were not.
    pub false_ones: usize,
    /// How often one was told again.
    pub doubled: usize,
    /// True victims with the right cgroup; absent if the tool names none at all.
    pub placed: Option<usize>,
    /// Where there is only a counter.
    pub counted: Option<u64>,
    /// Resident memory before and after.
    pub resident_kib: [u64; 2],
}

/// Time inside `out_of_memory` with so many processes (`cost.json` is a list of them).
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Cost {
    /// Processes to choose from.
    pub tasks: u32,
    /// Microseconds inside `out_of_memory`, of the fastest kill, by what was on.
    pub us: BTreeMap<String, f64>,
    /// Of the incidents: processes that the kernel looked at.
    pub evaluated: u64,
    /// Those of them that were lost.
    pub lost: u64,
    /// Those of them that are listed.
    pub listed: u64,
    /// Of each program, in one kill.
    pub programs: BTreeMap<String, Stats>,
    /// Time to make the processes.
    pub making_ms: f64,
}

/// What the kernel counts of BPF programs of one name.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Stats {
    /// Nanoseconds in them.
    pub run_time_ns: u64,
    /// How often they ran.
    pub run_cnt: u64,
}
