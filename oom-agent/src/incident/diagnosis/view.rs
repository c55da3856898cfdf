//! What several rules ask of an incident.

use crate::incident::model::{Candidate, ExemptReason, Incident, Memory, Role, ScopeKind, Victim, limited};
use crate::incident::state::Source;
use crate::incident::verdict::{Code, Verdict};
use crate::units::bytes;

/// So much of the whole is most of it.
pub(super) const MOST: u64 = 50;

/// An incident, and what follows from all of its candidates.
pub(super) struct View<'a> {
    pub(super) incident: &'a Incident,
    /// Memory in use in the full memory cgroup (its limit, if that is not known), or what the machine has. `None`: not
    /// known, or the scope is some nodes, which no counter is about.
    pub(super) whole: Option<u64>,
    /// The candidate that held most, of those whose memory is in scope and their own.
    pub(super) largest: Option<(&'a Candidate, u64)>,
    /// Candidates that hold memory of their own.
    pub(super) holders: u64,
    /// What they hold together. What they share counts several times.
    pub(super) held: u64,
}

impl<'a> View<'a> {
    pub(super) fn of(incident: &'a Incident) -> Self {
        let mut view = Self { incident, whole: whole(incident), largest: None, holders: 0, held: 0 };
        for candidate in incident.candidates.iter().filter(|candidate| counts(candidate)) {
            let Some(own) = own(&candidate.memory).filter(|&own| own > 0) else { continue };
            view.holders += 1;
            view.held = view.held.saturating_add(own);
            if view.largest.is_none_or(|(_, most)| own > most) {
                view.largest = Some((candidate, own));
            }
        }
        view
    }

    /// A counter of the memory in scope, `NAME` of `NAME_bytes`.
    pub(super) fn counter(&self, name: &str) -> Option<u64> {
        self.incident.memory.get(name).copied()
    }

    /// The counters are the kernel's own of the moment of the kill. The report reads them when it is printed
    /// (`mem_cgroup_print_oom_meminfo`, mm/memcontrol.c), after the wait for `oom_lock`: where most of the limit is free by then,
    /// who filled it has left, and they say nothing certain of it.
    pub(super) fn counted_by_kernel(&self) -> bool {
        let left = |(usage, limit)| !at_least(usage, MOST, limit);
        matches!(self.incident.memory_source, Some(Source::Kernel | Source::Report))
            && !self.incident.limits.usage_bytes.zip(self.limit()).is_some_and(left)
    }

    pub(super) fn is_memcg(&self) -> bool {
        self.incident.scope.kind == Some(ScopeKind::Memcg)
    }

    /// The limit that was full.
    pub(super) fn limit(&self) -> Option<u64> {
        limited(self.incident.limits.memory_bytes).filter(|_| self.is_memcg())
    }

    pub(super) fn verdict(&self, code: Code) -> Option<&'a Verdict> {
        self.incident.verdict.iter().find(|verdict| verdict.code == code)
    }

    /// The process that was killed for the others, or instead of them.
    pub(super) fn victim(&self) -> Option<&'a Victim> {
        self.incident.victims.iter().find(|victim| victim.role == Role::Selected)
    }

    pub(super) fn is_victim(&self, pid: u32) -> bool {
        self.incident.victims.iter().any(|victim| victim.pid == pid)
    }

    /// Every process in scope was seen.
    pub(super) fn saw_everyone(&self) -> bool {
        let Incident { candidates, candidates_evaluated, candidates_lost, .. } = self.incident;
        *candidates_evaluated == Some(candidates.len() as u64) && candidates_lost.unwrap_or(0) == 0
    }

    /// How many processes are in scope.
    pub(super) fn processes(&self) -> u64 {
        let lost = self.incident.candidates_lost.unwrap_or(0);
        self.holders.saturating_add(lost)
    }

    /// The process that held most, victims or not, and how much.
    pub(super) fn largest_of_all(&self) -> Option<(u32, u64)> {
        let victims = self.incident.victims.iter();
        let victims = victims.filter_map(|victim| Some((victim.pid, own(&victim.memory)?)));
        let largest = self.largest.map(|(candidate, own)| (candidate.pid, own));
        // The candidate if it is one of the victims: of equals the last one is taken.
        victims.chain(largest).max_by_key(|(_, own)| *own)
    }

    /// `process 123 (the victim)`.
    pub(super) fn process(&self, pid: u32) -> String {
        let asked = self.incident.trigger.as_ref().is_some_and(|trigger| trigger.pid == Some(pid));
        let what = match (self.is_victim(pid), asked) {
            (true, _) => " (the victim)",
            (false, true) => " (which asked)",
            (false, false) => "",
        };
        format!("process {pid}{what}")
    }
}

fn whole(incident: &Incident) -> Option<u64> {
    match incident.scope.kind? {
        ScopeKind::Memcg => {
            let limit = limited(incident.limits.memory_bytes);
            incident.limits.usage_bytes.or(limit)
        }
        ScopeKind::Global => {
            let counter = |name: &str| incident.memory.get(name).copied();
            let reported = || counter("ram_bytes")?.checked_sub(counter("reserved_bytes")?);
            reported().or_else(|| incident.state.as_ref()?.machine.as_ref()?.total_bytes)
        }
        // The counters are the machine's, but only some nodes were full.
        // Of an order nothing was full.
        ScopeKind::Cpuset | ScopeKind::MemoryPolicy | ScopeKind::Sysrq => None,
    }
    .filter(|&whole| whole > 0)
}

/// Its memory is its own, and in scope.
fn counts(candidate: &Candidate) -> bool {
    match candidate.exempt_reason {
        None | Some(ExemptReason::AdjMin | ExemptReason::Init) => true,
        Some(
            ExemptReason::AlreadyReaped
            | ExemptReason::Vfork
            | ExemptReason::KernelThread
            | ExemptReason::OtherNode
            | ExemptReason::NoMm,
        ) => false,
    }
}

/// Memory in RAM that is a process's own: anonymous memory. What it maps of files and shared memory others may map, too; where
/// only the sum is known (task tables before 6.12), it is that.
pub(super) fn own(memory: &Memory) -> Option<u64> {
    memory.anon_bytes.or(memory.rss_bytes)
}

/// What `oom_badness` counts of a process.
pub(super) fn counted(memory: &Memory) -> Option<u64> {
    let split =
        || Some(memory.anon_bytes?.saturating_add(memory.file_bytes?).saturating_add(memory.shmem_bytes?));
    let resident = memory.rss_bytes.or_else(split)?;
    Some(resident.saturating_add(memory.swap_bytes?).saturating_add(memory.pgtables_bytes?))
}

/// `part` is at least so many percent of `whole`.
pub(super) fn at_least(part: u64, percent: u64, whole: u64) -> bool {
    whole > 0 && u128::from(part) * 100 >= u128::from(whole) * u128::from(percent)
}

/// `30 MiB of 40 MiB (75 %)`.
pub(super) fn share(part: u64, whole: u64) -> String {
    let (part_text, whole_text) = (bytes(part), bytes(whole));
    match u128::from(part) * 100 / u128::from(whole.max(1)) {
        // Memory that is counted twice or charged elsewhere.
        101.. => format!("{part_text} of {whole_text}"),
        percent => format!("{part_text} of {whole_text} ({percent} %)"),
    }
}

/// The cgroup right below `full` in which `path` is. `None`: it is not below.
pub(super) fn child<'p>(full: &str, path: &'p str) -> Option<&'p str> {
    let full = full.trim_end_matches('/');
    let below = path.strip_prefix(full)?.strip_prefix('/')?;
    let name = below.split('/').next().filter(|name| !name.is_empty())?;
    path.get(..full.len() + 1 + name.len())
}
