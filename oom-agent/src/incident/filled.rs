//! What sources tell of how full everything was.

use super::escalation::Pressures;
use super::machine::Zone;
use super::state::MachineState;
use std::collections::BTreeMap;

/// A memory cgroup's counters, read in the kernel as it decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// Number of the call.
    pub call: u64,
    /// 0: the full one, 1: its parent, and so on. Machine-wide: 0 is the root.
    pub depth: usize,
    /// Its id.
    pub id: Option<u64>,
    /// The root: it has no use and no limits of its own.
    pub root: bool,
    /// `memory.current`.
    pub usage_bytes: Option<u64>,
    /// `memory.max`. From 2^62 on there is none. `None`: unknown.
    pub max_bytes: Option<u64>,
    /// `memory.high`. The same.
    pub high_bytes: Option<u64>,
    /// `memory.swap.current`.
    pub swap_usage_bytes: Option<u64>,
    /// `memory.swap.max`. From 2^62 on there is none. `None`: unknown.
    pub swap_max_bytes: Option<u64>,
    /// `memory.oom.group`.
    pub oom_group: Option<bool>,
    /// Of the first: how many children were looked at.
    pub children: Option<u64>,
    /// Those of them that were told of: they use something.
    pub children_sent: u64,
    /// It has more than were looked at.
    pub children_rest: bool,
}

/// A child of the full memory cgroup. Machine-wide: of the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Child {
    /// Number of the call.
    pub call: u64,
    /// Its id.
    pub id: Option<u64>,
    /// Its own name.
    pub name: String,
    /// The name was too long for the record.
    pub cut: bool,
    /// `memory.current`.
    pub usage_bytes: Option<u64>,
    /// `memory.max`. From 2^62 on there is none. `None`: unknown.
    pub max_bytes: Option<u64>,
    /// `memory.swap.current`.
    pub swap_usage_bytes: Option<u64>,
}

impl Child {
    /// What it uses, swap too.
    pub fn size(&self) -> u64 {
        self.usage_bytes.unwrap_or(0).saturating_add(self.swap_usage_bytes.unwrap_or(0))
    }
}

/// Which incident files were read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// The call of that number.
    Call(u64),
    /// The report that names this process as the chosen one; `None`: that chose none.
    Report(Option<u32>),
}

/// What files said.
#[derive(Clone, Debug, PartialEq)]
pub struct Files {
    /// Whose they are.
    pub of: Of,
    /// When they had been read, nanoseconds since boot. `None`: they were not, since too many kills came at once.
    pub read_ns: Option<u64>,
    /// The full cgroup and those above it, as far as they were still there, the full one first.
    pub levels: Vec<FileCgroup>,
    /// The largest children of the full one, or of the root; largest first.
    pub children: Vec<FileCgroup>,
    /// How many children it has. `None`: not counted, or too many to.
    pub children_total: Option<u64>,
    /// The machine.
    pub machine: Option<MachineState>,
    /// How long tasks waited for memory.
    pub pressure: Pressures,
}

/// One memory cgroup's files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileCgroup {
    /// Its path.
    pub cgroup: String,
    /// Inode of its directory.
    pub id: Option<u64>,
    /// `memory.current`; v1: `memory.usage_in_bytes`.
    pub usage_bytes: Option<u64>,
    /// `memory.max`; v1: `memory.limit_in_bytes`. From 2^62 on there is none. `None`: unknown.
    pub max_bytes: Option<u64>,
    /// `memory.high`. The same.
    pub high_bytes: Option<u64>,
    /// `memory.swap.current`.
    pub swap_usage_bytes: Option<u64>,
    /// `memory.swap.max`. From 2^62 on there is none. `None`: unknown.
    pub swap_max_bytes: Option<u64>,
    /// `memory.oom.group`.
    pub oom_group: Option<bool>,
    /// `memory.stat`, bytes and events, with the names that it has there; v1: the `total_` ones, without that.
    pub stat: BTreeMap<String, u64>,
}

/// Zones as `/proc/zoneinfo` had them once a victim of a machine-wide kill had given its memory back.
#[derive(Clone, Debug, PartialEq)]
pub struct Zones {
    /// Number of the call.
    pub call: u64,
    /// When they had been read, nanoseconds since boot.
    pub read_ns: u64,
    /// All of them.
    pub zones: Vec<Zone>,
}
