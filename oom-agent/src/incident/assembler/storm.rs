//! Calls that find nothing to kill come in storms: the same task asks again and again until its limit is raised.

use crate::incident::model::Incident;
use std::collections::VecDeque;

/// How long the same call is not told again.
const QUIET_NS: u64 = 5_000_000_000;
/// Storms at once.
pub(super) const MAX_STORMS: usize = 64;

/// What makes two such calls the same: scope and trigger.
#[derive(Clone, Debug, PartialEq)]
struct Key {
    cgroup: Option<String>,
    cgroup_id: Option<u64>,
    pid: Option<u32>,
    tid: Option<u32>,
    comm: Option<String>,
}

#[derive(Debug)]
struct Storm {
    key: Key,
    told_ns: u64,
    swallowed: u64,
}

/// Storms under way.
#[derive(Debug, Default)]
pub(super) struct Storms {
    storms: VecDeque<Storm>,
}

impl Storms {
    /// Whether to tell of this call. `Some`: yes, and how many equal ones were swallowed since the last that was told.
    pub(super) fn admit(&mut self, at_ns: u64, incident: &Incident, repeats: u64) -> Option<u64> {
        let trigger = incident.trigger.as_ref();
        let key = Key {
            cgroup: incident.scope.cgroup.clone(),
            cgroup_id: incident.scope.cgroup_id,
            pid: trigger.and_then(|trigger| trigger.pid),
            tid: trigger.and_then(|trigger| trigger.tid),
            comm: trigger.map(|trigger| trigger.comm.clone()),
        };
        let Some(storm) = self.storms.iter_mut().find(|storm| storm.key == key) else {
            if self.storms.len() >= MAX_STORMS {
                self.storms.pop_front();
            }
            self.storms.push_back(Storm { key, told_ns: at_ns, swallowed: 0 });
            return Some(repeats);
        };
        if at_ns.saturating_sub(storm.told_ns) < QUIET_NS {
            storm.swallowed = storm.swallowed.saturating_add(1).saturating_add(repeats);
            return None;
        }
        storm.told_ns = at_ns;
        Some(std::mem::take(&mut storm.swallowed).saturating_add(repeats))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.storms.len()
    }
}
