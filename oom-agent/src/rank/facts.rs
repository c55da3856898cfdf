//! What is known of a machine before anybody is killed: processes, cgroups, settings. `None`: could not be read.

use crate::incident::fact::Task;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Everything that a ranking is made from.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// `uname -n`.
    pub node: Option<String>,
    /// `uname -r`.
    pub kernel_release: Option<String>,
    /// Bytes of a page.
    pub page_size: u64,
    /// `totalram_pages()`: `MemTotal` of /proc/meminfo.
    pub ram_bytes: Option<u64>,
    /// `total_swap_pages`: `SwapTotal`.
    pub swap_bytes: Option<u64>,
    /// `MemAvailable`.
    pub available_bytes: Option<u64>,
    /// `SwapFree`.
    pub swap_free_bytes: Option<u64>,
    /// `vm.swappiness`.
    pub swappiness: Option<i64>,
    /// `vm.oom_kill_allocating_task`.
    pub oom_kill_allocating_task: Option<i64>,
    /// `vm.panic_on_oom`.
    pub panic_on_oom: Option<i64>,
    /// The cgroup that was asked about, then those above it. Empty: the machine was.
    pub levels: Vec<Level>,
    /// Cgroups with `memory.oom.group`, among those of the processes and above them.
    pub oom_groups: BTreeSet<String>,
    /// Where the scan of a cgroup comes to a process: place of its cgroup in the tree, place in it. Later ones win where
    /// points are equal.
    pub places: BTreeMap<u32, (usize, usize)>,
    /// All that could be read.
    pub processes: Vec<Process>,
    /// What could not.
    pub unread: Unread,
    /// Why there may be processes that cannot even be counted, in words.
    pub hidden: Vec<String>,
}

impl Facts {
    /// No process is missing.
    pub fn all_seen(&self) -> bool {
        self.unread.unreadable == 0 && self.hidden.is_empty()
    }
}

/// A process.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// As `oom_badness` looks at it. What /proc does not show (`MMF_OOM_SKIP`, vfork) is unknown.
    pub task: Task,
    /// Its memory cgroup.
    pub cgroup: Option<String>,
    /// When it started, in clock ticks since boot: `for_each_process` goes in this order.
    pub start_ticks: u64,
    /// `/proc/PID/oom_score`.
    pub oom_score: Option<i64>,
}

/// Processes without facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Unread {
    /// Processes that this user may not look at.
    pub unreadable: u64,
    /// Processes that ended while they were looked at.
    pub vanished: u64,
}

/// A limit: bytes, or cgroup v2's word for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Bound {
    /// So many bytes.
    Bytes(u64),
    /// No limit.
    Max(Max),
}

/// `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Max {
    /// No limit.
    Max,
}

impl Bound {
    /// No limit.
    pub const NONE: Self = Self::Max(Max::Max);

    /// The limit in bytes, if there is one.
    pub const fn bytes(self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Max(Max::Max) => None,
        }
    }
}

/// A memory cgroup with what limits it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Level {
    /// Its path.
    pub cgroup: String,
    /// `memory.max`; v1: `memory.limit_in_bytes`. `"max"`: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_max_bytes: Option<Bound>,
    /// `memory.current`; v1: `memory.usage_in_bytes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_bytes: Option<u64>,
    /// `memory.swap.max`. Absent on v1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap_max_bytes: Option<Bound>,
    /// v1: `memory.memsw.limit_in_bytes`, memory and swap together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memsw_max_bytes: Option<Bound>,
    /// v1: `memory.memsw.usage_in_bytes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memsw_usage_bytes: Option<u64>,
    /// `memory.oom.group`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_group: Option<bool>,
    /// v1: `oom_kill_disable` of `memory.oom_control`: whoever asks waits, nobody is killed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_kill_disable: Option<bool>,
    /// v1: `memory.swappiness`.
    #[serde(skip)]
    pub swappiness: Option<i64>,
    /// v1 up to 5.10: without `memory.use_hierarchy` the cgroups below it are none of its business.
    #[serde(skip)]
    pub alone: bool,
}

impl Level {
    /// Bytes until a limit of its own is reached. `None`: it has none, or it is not known.
    pub fn headroom_bytes(&self) -> Option<u64> {
        let left = |max: Option<Bound>, used: Option<u64>| Some(max?.bytes()?.saturating_sub(used?));
        let memory = left(self.memory_max_bytes, self.usage_bytes);
        let both = left(self.memsw_max_bytes, self.memsw_usage_bytes);
        [memory, both].into_iter().flatten().min()
    }

    /// Its limit in bytes, if it has one.
    pub fn limit_bytes(&self) -> Option<u64> {
        self.memory_max_bytes?.bytes()
    }
}

/// Whether `cgroup` is `above` or below it.
pub(super) fn is_within(cgroup: &str, above: &str) -> bool {
    let above = above.trim_end_matches('/');
    cgroup.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::state::upwards;

    #[test]
    fn cgroups_are_within_those_above_them_only() {
        for (cgroup, above, within) in [
            ("/a/b", "/a", true),
            ("/a", "/a", true),
            ("/ab", "/a", false),
            ("/a", "/", true),
            ("/", "/", true),
            ("/", "/a", false),
        ] {
            assert_eq!(is_within(cgroup, above), within, "{cgroup} {above}");
        }
        assert_eq!(upwards("/a/b").collect::<Vec<_>>(), ["/a/b", "/a", "/"]);
        assert_eq!(upwards("/").collect::<Vec<_>>(), ["/"]);
    }

    #[test]
    fn headroom_is_to_the_nearer_limit_and_unknown_is_not_zero() {
        let level = |max, usage| Level { memory_max_bytes: max, usage_bytes: usage, ..Level::default() };
        assert_eq!(level(Some(Bound::Bytes(100)), Some(60)).headroom_bytes(), Some(40));
        assert_eq!(level(Some(Bound::Bytes(100)), Some(160)).headroom_bytes(), Some(0));
        assert_eq!(level(Some(Bound::NONE), Some(60)).headroom_bytes(), None);
        assert_eq!(level(Some(Bound::Bytes(100)), None).headroom_bytes(), None);
        assert_eq!(level(None, Some(60)).headroom_bytes(), None);
        let v1 = Level {
            memsw_max_bytes: Some(Bound::Bytes(120)),
            memsw_usage_bytes: Some(110),
            ..level(Some(Bound::Bytes(100)), Some(60))
        };
        assert_eq!(v1.headroom_bytes(), Some(10));
    }
}
