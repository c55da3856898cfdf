//! The kernel's own counters of kills, compared with what incidents tell.
//!
//! `__oom_kill_process` (`mm/oom_kill.c`) counts a kill (`OOM_KILL` in `/proc/vmstat`, `MEMCG_OOM_KILL` in the victim's memory
//! cgroup) and then prints its `Killed process` line. It is called once for the selected one, and once for each member of a
//! group (`oom_kill_memcg_member`), among them the selected one again: the second time it does nothing if that one has let go
//! of its memory by then. Processes that share a victim's memory are only sent the signal, and those that were dying before
//! are only marked.

use super::model::{Incident, Role, Victim};

/// A number of which the kernel leaves open what it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Within {
    /// At least.
    pub least: u64,
    /// At most.
    pub most: u64,
}

impl Within {
    /// What the kernel counts for an incident.
    pub fn of(incident: &Incident) -> Self {
        match incident.counted_kills {
            Some(kills) => Self { least: kills, most: kills },
            None => Self::of_victims(&incident.victims),
        }
    }

    /// The same, if all that is known are its victims.
    pub fn of_victims(victims: &[Victim]) -> Self {
        let count = |role| victims.iter().filter(|victim| victim.role == role).count() as u64;
        let members = count(Role::Group);
        let least = count(Role::Selected) + members;
        Self { least, most: least + u64::from(members > 0) }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { least: self.least.saturating_add(other.least), most: self.most.saturating_add(other.most) }
    }

    /// How much more the kernel counted than this explains; below 0: how much less. 0 if it may be just that.
    pub fn unexplained(self, counted: u64) -> i64 {
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        if counted > self.most {
            signed(counted - self.most)
        } else {
            -signed(self.least.saturating_sub(counted))
        }
    }

    /// How much is open.
    pub fn open(self) -> u64 {
        self.most - self.least
    }
}

/// What the kernel counts of an incident in each memory cgroup: that of each victim, where it is known.
pub fn by_cgroup(incident: &Incident) -> Vec<(&str, Within)> {
    let group = incident.victims.iter().any(|victim| victim.role == Role::Group);
    let alone = Within::of_victims(&incident.victims).least;
    // The one that is counted twice, or may be.
    let again = match incident.counted_kills {
        Some(kills) => Within { least: kills.saturating_sub(alone), most: kills.saturating_sub(alone) },
        None => Within { least: 0, most: u64::from(group) },
    };
    let count = |victim: &Victim| match victim.role {
        Role::Selected => Within { least: 1, most: 1 }.and(again),
        Role::Group => Within { least: 1, most: 1 },
        Role::SharedMemory | Role::AlreadyDying => Within::default(),
    };
    let victims = incident.victims.iter();
    victims.filter_map(|victim| Some((victim.cgroup.as_deref()?, count(victim)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::samples;

    fn incident(roles: &[Role], counted_kills: Option<u64>) -> Incident {
        let victim = samples::memcg().victims[0].clone();
        let victims = roles.iter().map(|role| Victim { role: *role, ..victim.clone() }).collect();
        Incident { victims, counted_kills, ..Incident::default() }
    }

    #[test]
    fn what_the_kernel_counts() {
        use Role::{AlreadyDying, Group, Selected, SharedMemory};
        let within = |least, most| Within { least, most };
        for (name, roles, counted, expected) in [
            ("one", &[Selected][..], Some(1), within(1, 1)),
            ("one, the log not read", &[Selected], None, within(1, 1)),
            ("a group, its first counted twice", &[Selected, Group, Group], Some(4), within(4, 4)),
            ("a group, its first gone by then", &[Selected, Group, Group], Some(3), within(3, 3)),
            ("a group, the log not read", &[Selected, Group, Group], None, within(3, 4)),
            ("sharers", &[Selected, SharedMemory, SharedMemory], Some(1), within(1, 1)),
            ("sharers, the log not read", &[Selected, SharedMemory], None, within(1, 1)),
            ("a group with sharers", &[Selected, Group, SharedMemory], None, within(2, 3)),
            ("dying before", &[AlreadyDying], None, within(0, 0)),
            ("nothing to kill", &[], Some(0), within(0, 0)),
        ] {
            let incident = incident(roles, counted);
            assert_eq!(Within::of(&incident), expected, "{name}");
            let sum = by_cgroup(&incident).iter().fold(Within::default(), |sum, (_, it)| sum.and(*it));
            assert_eq!(sum, expected, "{name}, by cgroup");
        }
    }

    #[test]
    fn what_is_not_explained() {
        for (least, most, counted, expected) in [
            (0, 0, 0, 0),
            (5, 5, 5, 0),
            (5, 5, 7, 2),
            (5, 5, 4, -1),
            (3, 4, 3, 0),
            (3, 4, 4, 0),
            (3, 4, 5, 1),
            (3, 4, 2, -1),
            (0, 0, u64::MAX, i64::MAX),
        ] {
            let within = Within { least, most };
            assert_eq!(within.unexplained(counted), expected, "{within:?} {counted}");
        }
    }

    #[test]
    fn the_selected_ones_cgroup_has_the_second_count() {
        let mut group = incident(&[Role::Selected, Role::Group], Some(3));
        group.victims[1].cgroup = Some("/other".into());
        group.victims.push(Victim { cgroup: None, ..group.victims[1].clone() });
        group.counted_kills = Some(4);
        let counted = by_cgroup(&group);
        assert_eq!(counted.len(), 2, "the third one's is not known");
        assert_eq!(
            (counted[0].1, counted[1]),
            (Within { least: 2, most: 2 }, ("/other", Within { least: 1, most: 1 }))
        );
    }
}
