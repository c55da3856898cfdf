//! What BPF saw against what the kernel's log says of the same call. Where they agree, as far as counters can, there is
//! nothing to say; else the incident carries both.
//!
//! Both read the same memory, at different times: BPF while the kernel looks at its candidates and when it marks its
//! victims, the log a little later. Where a process has grown or shrunk between, that is said as well: it is what was seen.

use super::{Parts, SYSRQ_ORDER, total_pages};
use crate::incident::assembler::marked::Process;
use crate::incident::fact;
use crate::incident::model::{Memory, ScopeKind};
use crate::report::{Invocation, Killed, OomKill, Report, TaskRow};
use std::collections::HashMap;
use std::fmt::Display;

/// Beginning of each note.
const DISAGREE: &str = "The kernel's log and BPF disagree";
/// The least that one CPU holds back of a counter: `percpu_counter_batch` is at least 32, and before 6.2 a thread did so
/// for up to 64 events (`TASK_RSS_EVENTS_THRESH`).
const BATCH: u64 = 64;
/// anon, file, shmem and swap.
const COUNTERS: u64 = 4;
/// Pages that the lowest page table maps, and the levels above it.
const PAGES_BY_TABLE: u64 = 512;
const LEVELS: u64 = 4;
/// The kernel writes a path that does not fit in another way; printk cuts what is longer than a record.
const LONG_PATH: usize = 900;

/// What is found.
struct Found {
    notes: Vec<String>,
    slack: Slack,
}

/// How far two readings of one counter may be apart.
#[derive(Clone, Copy)]
pub(super) struct Slack {
    memory_bytes: u64,
    tables_bytes: u64,
}

impl Slack {
    /// Both may be readings of the same moment.
    pub(super) fn covers(self, one: &Memory, other: &Memory) -> bool {
        let counters = |it: &Memory| [it.anon_bytes, it.file_bytes, it.shmem_bytes];
        counters(one).into_iter().zip(counters(other)).all(|(one, other)| !far(one, other, self.memory_bytes))
    }

    pub(super) fn new(cpus: u32, page_size: u64) -> Self {
        let cpus = u64::from(cpus.max(1));
        // `compute_batch_value` in lib/percpu_counter.c.
        let pages = COUNTERS.saturating_mul(BATCH.max(2 * cpus)).saturating_mul(cpus);
        Self {
            memory_bytes: pages.saturating_mul(page_size),
            tables_bytes: (pages / PAGES_BY_TABLE + LEVELS).saturating_mul(page_size),
        }
    }
}

/// In sentences, what is told in two ways.
pub(super) fn notes(parts: &Parts<'_>) -> Vec<String> {
    if !parts.config.calls || parts.pending.call.is_none() {
        return Vec::new();
    }
    let slack = Slack::new(parts.config.cpus, parts.page_size());
    let mut found = Found { notes: Vec::new(), slack };
    if let Some(report) = parts.report() {
        if let Some(invocation) = &report.invocation {
            trigger(parts, invocation, &mut found);
        }
        if let Some(kill) = &report.kill {
            decision(parts, kill, &mut found);
        }
        limits(parts, report, &mut found);
        candidates(parts, &report.tasks, &mut found);
    }
    for victim in parts.victims {
        if let Some(line) = &victim.line {
            self::victim(&victim.task, line, &mut found);
        }
    }
    found.notes
}

impl Found {
    /// Both are known and are not the same.
    fn differ<T: PartialEq + Display>(&mut self, what: &str, log: Option<T>, bpf: Option<T>) {
        if let (Some(log), Some(bpf)) = (log, bpf)
            && log != bpf
        {
            self.notes.push(format!("{DISAGREE} about {what}: {log} in the log, {bpf} by BPF."));
        }
    }

    /// Both are known and are further apart than two readings can be.
    fn apart(&mut self, what: &str, log: Option<u64>, bpf: Option<u64>, slack: u64) {
        if far(log, bpf, slack) {
            self.differ(what, log, bpf);
        }
    }

    fn paths(&mut self, what: &str, log: Option<&str>, bpf: Option<&fact::CgroupPath>) {
        let whole = |path: &&str| path.len() < LONG_PATH && path.starts_with('/');
        let bpf = bpf.filter(|path| !path.cut).map(|path| path.path.as_str());
        self.differ(what, log.filter(whole), bpf);
    }
}

fn far(log: Option<u64>, bpf: Option<u64>, slack: u64) -> bool {
    matches!((log, bpf), (Some(log), Some(bpf)) if log.abs_diff(bpf) > slack)
}

fn trigger(parts: &Parts<'_>, log: &Invocation, found: &mut Found) {
    let Some(entry) = &parts.pending.entry else { return };
    let control = entry.control.as_ref();
    let task = &entry.trigger;
    found.differ("the thread that asked", log.tid, Some(task.tid).filter(|&tid| tid > 0));
    let named = |name: &&str| !name.is_empty();
    let comm = Some(log.comm.as_str()).filter(named);
    found.differ("the name of the one that asked", comm, Some(task.comm.as_str()).filter(named));
    let hex = |mask: u32| format!("{mask:#x}");
    let gfp = control.map(|control| hex(control.gfp_mask));
    found.differ("the gfp flags", log.gfp_mask.map(hex), gfp);
    found.differ("the order", log.order, control.map(|control| control.order));
    found.differ("the oom_score_adj of the one that asked", log.oom_score_adj, task.oom_score_adj);
}

fn decision(parts: &Parts<'_>, kill: &OomKill, found: &mut Found) {
    let control = parts.pending.entry.as_ref().and_then(|entry| entry.control.as_ref());
    let decision = parts.pending.decision.as_ref();
    let sysrq = control.is_none_or(|control| control.order == SYSRQ_ORDER);
    // Before it was computed it is 0, which means another thing.
    let constraint = decision.filter(|decision| decision.total_pages > 0 && !sysrq);
    let constraint = constraint.and_then(|decision| decision.constraint);
    found.differ("the constraint", kill.constraint.map(name), constraint.map(name));
    let scope = control.and_then(|control| control.scope_cgroup.as_ref());
    found.paths("the cgroup whose limit was hit", kill.oom_memcg.as_deref(), scope);
    let Some(decision) = decision else { return };
    let chosen = Process::of(&decision.chosen);
    if !chosen.logged_as(kill.pid) {
        found.differ("the chosen process", Some(kill.pid), Some(chosen.pid()));
        return;
    }
    found.differ("the user of the chosen process", kill.uid, decision.chosen.uid);
    let victim = parts.victims.iter().find(|victim| victim.process().is(chosen));
    let cgroup = victim.and_then(|victim| victim.cgroup.as_ref());
    found.paths("the chosen one's cgroup", kill.task_memcg.as_deref(), cgroup);
}

fn name(constraint: ScopeKind) -> &'static str {
    match constraint {
        ScopeKind::Global | ScopeKind::Sysrq => "none",
        ScopeKind::Memcg => "memcg",
        ScopeKind::Cpuset => "cpuset",
        ScopeKind::MemoryPolicy => "memory policy",
    }
}

fn limits(parts: &Parts<'_>, report: &Report, found: &mut Found) {
    let entry = parts.pending.entry.as_ref();
    if let Some(control) = entry.and_then(|entry| entry.control.as_ref()).filter(|it| it.is_memcg) {
        found.differ("the memory limit", report.limits.memory_bytes, control.limit_bytes);
        found.differ("the swap limit", report.limits.swap_bytes, control.swap_limit_bytes);
        return;
    }
    let decision = parts.pending.decision.as_ref().filter(|decision| decision.total_pages > 0);
    if let Some(decision) = decision.filter(|it| it.constraint == Some(ScopeKind::Global)) {
        let log = total_pages::logged(parts, ScopeKind::Global);
        found.differ("totalpages", log, Some(decision.total_pages));
    }
}

/// One note for all of them: there may be thousands.
fn candidates(parts: &Parts<'_>, rows: &[TaskRow], found: &mut Found) {
    let rows: HashMap<u32, &TaskRow> = rows.iter().map(|row| (row.tgid, row)).collect();
    let (mut compared, mut apart, mut first) = (0_u64, 0_u64, None);
    for candidate in &parts.scan.candidates {
        let task = &candidate.task;
        let Some(row) = rows.get(&task.pid) else { continue };
        compared += 1;
        let mut its = Found { notes: Vec::new(), slack: found.slack };
        let Slack { memory_bytes, tables_bytes } = found.slack;
        let (log, bpf) = (&row.memory, &task.memory);
        its.apart("resident bytes", resident(log), resident(bpf), memory_bytes);
        its.apart("swap bytes", log.swap_bytes, bpf.swap_bytes, memory_bytes);
        its.apart("page table bytes", log.pgtables_bytes, bpf.pgtables_bytes, tables_bytes);
        its.differ("oom_score_adj", Some(row.oom_score_adj), task.oom_score_adj);
        its.differ("the user", Some(row.uid), task.uid);
        if let Some(note) = its.notes.into_iter().next() {
            apart += 1;
            first.get_or_insert((task.pid, note));
        }
    }
    if let Some((pid, note)) = first {
        let what = note.strip_prefix(DISAGREE).unwrap_or(&note);
        found.notes.push(format!(
            "{DISAGREE} about {apart} of {compared} candidates. The first is {pid}:{} Processes run on while the kernel \
             prints.",
            what.strip_prefix(" about").unwrap_or(what)
        ));
    }
}

fn resident(memory: &Memory) -> Option<u64> {
    let Memory { anon_bytes, file_bytes, shmem_bytes, rss_bytes, .. } = *memory;
    let kinds = || anon_bytes?.checked_add(file_bytes?)?.checked_add(shmem_bytes?);
    kinds().or(rss_bytes)
}

fn victim(task: &fact::Task, line: &Killed, found: &mut Found) {
    let pid = if task.pid == 0 { task.tid } else { task.pid };
    let Slack { memory_bytes, tables_bytes } = found.slack;
    let what = |name: &str| format!("{name} of victim {pid}");
    let (log, bpf) = (&line.memory, &task.memory);
    found.apart(&what("anonymous bytes"), log.anon_bytes, bpf.anon_bytes, memory_bytes);
    found.apart(&what("file bytes"), log.file_bytes, bpf.file_bytes, memory_bytes);
    found.apart(&what("shared memory bytes"), log.shmem_bytes, bpf.shmem_bytes, memory_bytes);
    found.apart(&what("page table bytes"), log.pgtables_bytes, bpf.pgtables_bytes, tables_bytes);
    found.differ(&what("the oom_score_adj"), line.oom_score_adj, task.oom_score_adj);
    found.differ(&what("the user"), line.uid, task.uid);
}

#[cfg(test)]
mod tests {
    use super::Slack;

    #[test]
    fn many_cpus_hold_back_more() {
        let slack = |cpus| Slack::new(cpus, 4096).memory_bytes / 4096;
        assert_eq!((slack(1), slack(2), slack(32), slack(64)), (256, 512, 8192, 4 * 128 * 64));
        assert_eq!(slack(0), slack(1));
    }
}
