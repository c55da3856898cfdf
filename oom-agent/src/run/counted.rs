//! What the kernel counted, compared with what was told.

use crate::{
    incident::{
        counted::{Within, by_cgroup},
        model::Incident,
    },
    source::{
        cgroupfs::Tree,
        counters::{Counter, Counters},
    },
    store::Counted as Stored,
};
use std::{collections::BTreeMap, path::Path};

/// Cgroups that are compared, at most.
const MOST: usize = 4096;

/// The kernel's counters and ours.
#[derive(Debug)]
pub(super) struct Counted {
    counters: Counters,
    /// What the machine's counter was when nothing had been told. Absent: not known yet.
    base: Option<u64>,
    told: Within,
    machine: Option<u64>,
    unexplained: Option<i64>,
    cgroups: BTreeMap<String, Cgroup>,
}

/// One cgroup's.
#[derive(Debug, Default)]
struct Cgroup {
    /// What was told of it since the agent was started.
    told: Within,
    /// Its counter's inode, and what it was when nothing had been told.
    base: Option<(u64, i64)>,
    unexplained: i64,
    /// The last comparison saw it.
    seen: bool,
}

impl Counted {
    /// `stored`: how far the last run in this boot was.
    pub(super) fn new(root: &Path, stored: Option<Stored>) -> Self {
        Self {
            counters: Counters::new(root),
            base: stored.map(|stored| stored.base),
            told: stored.map(|stored| stored.told).unwrap_or_default(),
            machine: None,
            unexplained: None,
            cgroups: BTreeMap::new(),
        }
    }

    /// An incident is told.
    pub(super) fn tell(&mut self, incident: &Incident) {
        self.told = self.told.and(Within::of(incident));
        for (cgroup, within) in by_cgroup(incident) {
            if self.cgroups.len() < MOST || self.cgroups.contains_key(cgroup) {
                let known = self.cgroups.entry(cgroup.to_owned()).or_default();
                known.told = known.told.and(within);
            }
        }
    }

    /// What a restarted agent is to go on with, when these are told too.
    pub(super) fn stored_with(&self, incidents: &[Incident]) -> Option<Stored> {
        let told = incidents.iter().fold(self.told, |told, incident| told.and(Within::of(incident)));
        Some(Stored { base: self.base?, told })
    }

    /// What the counter was at another time of this machine says nothing.
    pub(super) fn forget_base(&mut self) {
        self.base = None;
    }

    /// Reads the machine's counter. Before everything that tells of kills is read.
    pub(super) fn read(&mut self) {
        self.machine = self.counters.machine();
    }

    /// Compares: nothing is in the making. `paths`: the memory cgroups that there are. Sentences about those whose counters
    /// differ from now on.
    pub(super) fn compare(&mut self, tree: Option<&Tree>, paths: &[String]) -> Vec<String> {
        if let Some(machine) = self.machine {
            let base = *self.base.get_or_insert_with(|| machine.saturating_sub(self.told.least));
            self.unexplained = Some(self.told.unexplained(machine.saturating_sub(base)));
        }
        let mut words = Vec::new();
        let Some(tree) = tree else { return words };
        for path in paths {
            if let Some(counter) = tree.kills(path) {
                words.extend(self.cgroup(path, counter));
            }
        }
        // Those that are gone will not be compared again.
        self.cgroups.retain(|_, cgroup| std::mem::take(&mut cgroup.seen));
        words
    }

    fn cgroup(&mut self, path: &str, Counter { inode, kills }: Counter) -> Option<String> {
        if self.cgroups.len() >= MOST && !self.cgroups.contains_key(path) {
            return None;
        }
        let cgroup = self.cgroups.entry(path.to_owned()).or_default();
        cgroup.seen = true;
        let kills = i64::try_from(kills).unwrap_or(i64::MAX);
        let least = i64::try_from(cgroup.told.least).unwrap_or(i64::MAX);
        let known = cgroup.base.filter(|(known, _)| *known == inode);
        // What was before is not compared.
        let (_, base) = *cgroup.base.insert(known.unwrap_or((inode, kills - least)));
        let unexplained = cgroup.told.unexplained(u64::try_from(kills - base).unwrap_or(0));
        let before = std::mem::replace(&mut cgroup.unexplained, unexplained);
        let Within { least, most } = cgroup.told;
        (unexplained != before && unexplained != 0).then(|| {
            let told = if least == most { least.to_string() } else { format!("{least} to {most}") };
            format!(
                "the kernel counted {} kills in {}, of which incidents tell {told}",
                kills - base,
                crate::sink::escape::escape(path)
            )
        })
    }

    /// For the metrics: the machine's counter, what of it no incident explains, how much is open, and how many cgroups
    /// differ.
    pub(super) fn totals(&self) -> Totals {
        let differ = self.cgroups.values().filter(|cgroup| cgroup.unexplained != 0).count() as u64;
        Totals {
            kills: self.machine,
            unexplained: self.unexplained,
            open: self.told.open(),
            cgroups_that_differ: differ,
        }
    }
}

pub(super) use crate::sink::metrics::KernelKills as Totals;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        incident::model::{Role, Victim},
        kernel::host::{
            cgroup::{Cgroups, Layout, Memory},
            test_root::TestRoot,
        },
        sink::samples,
    };

    fn kill(cgroup: &str) -> Incident {
        let victim = Victim {
            cgroup: Some(cgroup.into()),
            role: Role::Selected,
            ..samples::memcg().victims[0].clone()
        };
        Incident { victims: vec![victim], counted_kills: None, ..Incident::default() }
    }

    /// Sets both counters and compares.
    fn now(counted: &mut Counted, root: &TestRoot, machine: u64, a: u64) -> (Option<i64>, u64, Vec<String>) {
        let write = |name: &str, kills: u64| {
            std::fs::write(root.path().join(name), format!("oom_kill {kills}\n")).unwrap();
        };
        write("proc/vmstat", machine);
        write("cg/a/memory.events.local", a);
        let cgroups = Cgroups { layout: Layout::Unified, memory: Memory::V2("/cg".into()) };
        let tree = Tree::find(root.path(), &cgroups);
        counted.counters = Counters::new(root.path());
        counted.read();
        let words = counted.compare(tree.as_ref(), &["/a".to_owned(), "/gone".to_owned()]);
        let totals = counted.totals();
        (totals.unexplained, totals.cgroups_that_differ, words)
    }

    fn root() -> TestRoot {
        TestRoot::new().file("proc/vmstat", "").file("cg/a/memory.events.local", "")
    }

    #[test]
    fn what_was_before_the_first_start_is_not_compared() {
        let (root, mut counted) = (root(), Counted::new(Path::new("/"), None));
        // Recovered from the log.
        counted.tell(&kill("/a"));
        let nothing = (Some(0), 0, vec![]);
        assert_eq!(now(&mut counted, &root, 7, 3), nothing);
        counted.tell(&kill("/a"));
        assert_eq!(now(&mut counted, &root, 8, 4), nothing);
        // One that nobody saw.
        let words = vec!["the kernel counted 3 kills in /a, of which incidents tell 2".to_owned()];
        assert_eq!(now(&mut counted, &root, 9, 5), (Some(1), 1, words));
        assert_eq!(now(&mut counted, &root, 9, 5), (Some(1), 1, vec![]), "said once");
        counted.tell(&kill("/a"));
        assert_eq!(now(&mut counted, &root, 9, 5), nothing);
        counted.tell(&kill("/a"));
        assert_eq!(now(&mut counted, &root, 9, 5).0, Some(-1), "told twice");
    }

    #[test]
    fn a_restart_goes_on_where_the_last_run_was() {
        let (root, mut first) = (root(), Counted::new(Path::new("/"), None));
        now(&mut first, &root, 7, 3);
        first.tell(&kill("/a"));
        // Two more while it did not run, one of which the log still tells.
        let mut second = Counted::new(Path::new("/"), first.stored_with(&[kill("/a")]));
        assert_eq!(now(&mut second, &root, 10, 6).0, Some(1));
    }

    #[test]
    fn a_cgroup_made_anew_counts_anew() {
        let (root, mut counted) = (root(), Counted::new(Path::new("/"), None));
        now(&mut counted, &root, 1, 1);
        counted.tell(&kill("/a"));
        let file = root.path().join("cg/a/memory.events.local");
        // The old one is kept, so that its inode is not used again.
        std::fs::rename(&file, root.path().join("old")).unwrap();
        assert_eq!(now(&mut counted, &root, 2, 1), (Some(0), 0, vec![]));
    }
}
