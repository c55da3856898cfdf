//! The facts of one incident, as the incident.
//!
//! The rule of this folder: what was lost is never claimed. A field is set only if every fact that it depends on came.

mod candidates;
mod counted;
mod crosscheck;
mod decision;
mod escalation;
mod memory;
mod notes;
mod page_size;
mod recovery;
mod scope;
mod state;
mod total_pages;
mod trigger;
mod victims;

use super::Config;
use super::levels::Filled;
use super::marked::Marked;
use super::names::Names;
use super::pending::{Logged, Pending};
use super::scans::Scan;
use crate::incident::model::{Evidence, Incident, Level, SCHEMA};
use crate::incident::state::Source;
use crate::incident::verdict::verdict;
use crate::report::{PAGE_SIZE, Report};

/// `order` of a sysrq-f (`is_sysrq_oom`).
const SYSRQ_ORDER: i32 = -1;

/// Why an incident is told now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Nothing is waited for.
    Complete,
    /// The wait for what is missing is over.
    Late,
    /// The agent stops.
    Stopped,
    /// There are too many at once.
    Crowded,
}

/// Everything that an incident is made of.
struct Parts<'a> {
    config: &'a Config,
    pending: &'a Pending,
    victims: &'a [Marked],
    scan: &'a Scan,
    filled: &'a Filled,
    ending: Ending,
}

impl Parts<'_> {
    fn report(&self) -> Option<&Report> {
        self.pending.logged.report.as_deref()
    }

    /// Bytes of a page: as the report says, which may be another machine's.
    fn page_size(&self) -> u64 {
        self.report().and_then(|report| report.page_size).unwrap_or(self.config.page_size).max(1)
    }

    /// The same, where it is not what everybody takes it for, or the report says it.
    fn told_page_size(&self) -> Option<u64> {
        let told = self.report().and_then(|report| report.page_size);
        told.or_else(|| Some(self.config.page_size).filter(|size| *size != PAGE_SIZE))
    }

    /// BPF saw the whole call, and no record of the small ring is known to be lost.
    fn saw_all(&self) -> bool {
        let Pending { entry, end, lost, dropped, again, .. } = self.pending;
        self.config.calls && entry.is_some() && end.is_some() && *lost == 0 && *dropped == 0 && !*again
    }

    /// The task table of the report is whole.
    fn whole_table(&self) -> Option<&Report> {
        self.report().filter(|report| report.has_table && report.lost_lines == 0 && ended(report))
    }
}

fn ended(report: &Report) -> bool {
    use crate::report::Outcome;
    report.kill.is_some() || matches!(report.outcome, Outcome::NoneKillable | Outcome::Panic)
}

/// Makes the incident. The edge adds what is not in the facts: id, node, boot id and wall-clock time.
pub(super) fn incident(
    config: &Config,
    names: &mut Names,
    mut pending: Pending,
    (scan, filled): (&Scan, &Filled),
    ending: Ending,
) -> Incident {
    let mut marked = std::mem::take(&mut pending.victims);
    for (time_ns, killed) in std::mem::take(&mut pending.logged.lines) {
        marked.push(Marked::logged(time_ns, killed));
    }
    for (time_ns, pid, comm) in std::mem::take(&mut pending.logged.sharing) {
        marked.push(Marked::sharing(time_ns, pid, comm));
    }
    if let Some(report) = &mut pending.logged.report {
        page_size::correct(report, &marked, config);
    }
    victims::fill(&mut marked, &pending, scan);
    let parts = Parts { config, pending: &pending, victims: &marked, scan, filled, ending };

    let scope = scope::scope(&parts);
    let total_pages = total_pages::total_pages(&parts, scope.kind);
    let rule = decision::rule(&parts);
    let candidates = candidates::candidates(&parts, names, scope.kind, total_pages, rule);
    let decision = decision::decision(&parts, rule, &candidates, total_pages);
    let victims = victims::victims(&parts);
    let report = parts.report();
    let limits = scope::limits(&parts);
    let mut memory = report.map(memory::memory).unwrap_or_default();
    let mut memory_source = Source::Report;
    let mut doubt = None;
    if memory.is_empty() {
        (memory, doubt) = state::memory(&parts, &scope, &limits);
        memory_source = Source::Files;
    }
    let by_files = !memory.is_empty() && memory_source == Source::Files;
    let mut notes = notes::notes(&parts, &candidates, decision.as_ref(), total_pages, by_files);
    state::notes(&parts, &mut notes);
    notes.extend(doubt.map(str::to_owned));
    notes.extend(crosscheck::notes(&parts));
    // No BPF program saw it, whatever others saw.
    let log_only = config.calls && pending.call.is_none();
    let mut incident = Incident {
        schema: SCHEMA,
        id: String::new(),
        node: None,
        boot_id: None,
        time: None,
        log_time: None,
        boottime_ns: begin(&parts),
        kernel_release: invocation(&pending.logged).and_then(|invocation| invocation.kernel_release.clone()),
        trigger: trigger::trigger(&parts),
        page_size_bytes: parts.told_page_size(),
        total_pages,
        candidates_evaluated: candidates.evaluated,
        candidates_lost: candidates.lost,
        escalation: escalation::escalation(&parts),
        memory_source: (!memory.is_empty()).then_some(memory_source),
        memory,
        zones: report.map(|report| report.zones.clone()).unwrap_or_default(),
        unreclaimable_slabs: report.map(|report| report.unreclaimable_slabs.clone()).unwrap_or_default(),
        verdict: Vec::new(),
        counted_kills: counted::kills(&parts, &victims),
        oom_path_ns: pending.end.map(|end| end.duration_ns),
        recovery_ns: victims::recovery_ns(&parts),
        freed_bytes: victims::freed_bytes(&parts),
        recovery: recovery::recovery(&parts),
        growth: None,
        state: state::state(&parts, &scope, &limits),
        limits,
        diagnosis: Vec::new(),
        evidence: Evidence {
            level: if log_only { Level::Kmsg } else { config.level },
            log_ns: pending.logged.invoked_ns,
            sources: if log_only { vec!["kmsg".to_owned()] } else { config.sources.clone() },
            lost_records: notes::lost_records(&parts, candidates.lost),
            notes,
        },
        kernel_log: None,
        candidates: candidates.list,
        decision: decision.map(|told| told.decision),
        scope,
        victims,
    };
    incident.verdict = verdict(&incident);
    let above = recovery::above_watermark_ns(&parts, &incident);
    if above.is_some() {
        incident.recovery.get_or_insert_default().above_watermark_ns = above;
    }
    let text = pending.logged.report.map(|report| report.text);
    incident.kernel_log = text.filter(|text| !text.is_empty());
    incident
}

fn invocation(logged: &Logged) -> Option<&crate::report::Invocation> {
    logged.report.as_ref()?.invocation.as_ref()
}

/// Begin of the OOM path, as early as it was seen.
fn begin(parts: &Parts<'_>) -> Option<u64> {
    let Pending { entry, decision, end, logged, .. } = parts.pending;
    let marked = parts.victims.iter().filter(|_| parts.pending.call.is_some());
    entry
        .as_ref()
        .map(|entry| entry.time_ns)
        .or_else(|| end.map(|end| end.time_ns.saturating_sub(end.duration_ns)))
        .or_else(|| decision.as_ref().map(|decision| decision.time_ns))
        .or_else(|| marked.map(|victim| victim.time_ns).min())
        .or(logged.time_ns)
}
