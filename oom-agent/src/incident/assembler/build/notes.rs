//! What is missing and why, in plain sentences.

use super::candidates::{Candidates, root_bonus};
use super::decision::Told;
use super::{Ending, Parts};
use crate::incident::assembler::marked::Marked;
use crate::incident::assembler::pending::Pending;
use crate::incident::fact::CgroupPath;
use crate::incident::model::Rule;
use crate::units;
use std::collections::BTreeMap;

/// Records known to be lost around this incident.
pub(super) fn lost_records(parts: &Parts<'_>, candidates_lost: Option<u64>) -> u64 {
    let pending = parts.pending;
    let names = pending.end.map_or(0, |end| end.names_lost.saturating_add(end.levels_lost));
    // A gap within the report is told by both. Where BPF tells of the whole call, what the log adds is no record.
    let log = if by_calls(parts) {
        0
    } else {
        parts.report().map_or(0, |report| report.lost_lines).max(pending.logged.lost)
    };
    // Without the call's end it is not known which are missing, only what was dropped here.
    let candidates = candidates_lost.unwrap_or(0).max(parts.scan.dropped);
    [candidates, names, log, pending.dropped].into_iter().fold(pending.lost, u64::saturating_add)
}

pub(super) fn notes(
    parts: &Parts<'_>,
    candidates: &Candidates,
    decision: Option<&Told>,
    total_pages: Option<u64>,
    by_files: bool,
) -> Vec<String> {
    let mut notes = Vec::new();
    match parts.ending {
        Ending::Complete | Ending::Late => {}
        Ending::Stopped => notes.push("The agent was stopped before the incident was complete.".to_owned()),
        Ending::Crowded => {
            notes.push("Too many incidents at once: this one was told before it was complete.".to_owned());
        }
    }
    if parts.pending.call.is_some() {
        records(parts, &mut notes);
        exits(parts, &mut notes);
    } else if parts.config.victims || parts.config.calls {
        notes.push("Only the kernel's log tells of this one: no BPF program saw it.".to_owned());
    }
    if by_calls(parts) {
        report(parts, by_files, &mut notes);
    } else {
        log(parts, &mut notes);
    }
    super::escalation::notes(parts, &mut notes);
    around(parts, &mut notes);
    scan(parts, candidates, &mut notes);
    if let Some(Told { task_origin, contradicts, decision, .. }) = decision {
        if *task_origin {
            notes.push("The chosen process is in swapoff, which goes before all points.".to_owned());
        }
        if *contradicts {
            notes.push(
                "The counters that were seen rank another process first: they changed while the kernel chose, so no \
                 runner-up is named."
                    .to_owned(),
            );
        }
        if decision.rule == Rule::AlreadyDying && parts.victims.is_empty() {
            notes.push("Nothing was killed: the chosen process had exited already.".to_owned());
        }
    }
    let weighs =
        |candidate: &crate::incident::model::Candidate| candidate.eligible && candidate.points.is_none();
    if total_pages.is_none() && candidates.list.iter().any(weighs) {
        notes.push(
            "How much memory oom_score_adj is a share of is not known: points of processes with one are missing."
                .to_owned(),
        );
    }
    let of_root = |it: &crate::incident::model::Candidate| it.uid == Some(0) && it.points.is_some();
    if root_bonus(parts) && candidates.list.iter().any(of_root) {
        notes.push(
            "Kernels up to 4.16 give root's processes up to 3 % less: their points are at most what is computed."
                .to_owned(),
        );
    }
    cut(parts, candidates, &mut notes);
    notes
}

/// Records of the small ring.
fn records(parts: &Parts<'_>, notes: &mut Vec<String>) {
    let pending = parts.pending;
    if pending.again {
        notes.push(
            "Its first part was told in an earlier incident: these victims came after it was given up."
                .to_owned(),
        );
        return;
    }
    if pending.entry.is_none() {
        notes.push(
            "The entry into the OOM path was not seen: who asked, and for what, is unknown.".to_owned(),
        );
    }
    if parts.config.victims && parts.victims.is_empty() && (!parts.config.calls || pending.lost > 0) {
        notes.push("Records were lost: whether anything was killed was not seen.".to_owned());
    }
    if parts.config.calls {
        if pending.decision.is_none() && parts.victims.iter().any(Marked::was_killed) {
            notes.push(
                "The kernel's decision was not seen: by which rule the victim was chosen is unknown."
                    .to_owned(),
            );
        }
        if pending.end.is_none() {
            notes.push(
                "The end of the OOM path was not seen: how long it took and how many processes were looked at is \
                 unknown."
                    .to_owned(),
            );
        }
    }
    if pending.lost > 0 {
        let lost = pending.lost;
        notes.push(format!(
            "{lost} records were lost around this incident: there may have been more victims."
        ));
    }
    if pending.dropped > 0 {
        notes.push(format!("{} more victims or log lines did not fit.", pending.dropped));
    }
}

/// Process ids that are named in one note: of a large group they would fill pages.
const NAMED: usize = 8;

/// Victims by what is said of them.
fn by<'a>(
    victims: impl Iterator<Item = &'a Marked>,
    words: impl Fn(&Marked) -> &'static str,
) -> BTreeMap<&'static str, String> {
    let mut all: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for victim in victims {
        all.entry(words(victim)).or_default().push(victim.process().pid().to_string());
    }
    let named = |pids: Vec<String>| match pids.len().checked_sub(NAMED) {
        None | Some(0) => pids.join(", "),
        Some(more) => format!("{} and {more} more", pids.get(..NAMED).unwrap_or_default().join(", ")),
    };
    all.into_iter().map(|(words, pids)| (words, named(pids))).collect()
}

fn exits(parts: &Parts<'_>, notes: &mut Vec<String>) {
    if !parts.config.exits {
        if !parts.victims.is_empty() {
            notes.push("Exits are not seen on this machine: how long recovery took is unknown.".to_owned());
        }
        return;
    }
    let before = notes.len();
    let when = |victim: &Marked| match parts.ending {
        _ if parts.pending.is_reaped(victim) => "before the kernel's reaper was done with it",
        Ending::Complete | Ending::Late => "in time",
        Ending::Stopped | Ending::Crowded => "yet",
    };
    let inside = |victim: &&Marked| victim.exit_expected();
    for (when, pids) in by(parts.victims.iter().filter(inside), when) {
        notes.push(format!("exit of {pids} not seen {when}"));
    }
    let held = |victim: &&Marked| {
        parts.config.memory_back && !victim.exit_expected() && !victim.shares_mm && victim.back_expected()
    };
    for (when, pids) in by(parts.victims.iter().filter(held), when) {
        notes.push(format!("memory of {pids} not seen to be given back {when}"));
    }
    let skipped = parts.pending.skipped_since().exits;
    if skipped > 0 && notes.len() > before {
        notes.push(format!(
            "Up to {} of the programs that see exits were skipped by the kernel meanwhile (a task was preempted in one): what was \
             not seen may have happened.",
            units::plural(skipped, "run", "runs")
        ));
    }
}

/// BPF tells of the whole call.
fn by_calls(parts: &Parts<'_>) -> bool {
    parts.config.calls && parts.pending.call.is_some()
}

/// The kernel's log, where BPF tells of the call: it has the break-down of the memory besides. `by_files`: files have one too.
fn report(parts: &Parts<'_>, by_files: bool, notes: &mut Vec<String>) {
    let Pending { logged, end, again, .. } = parts.pending;
    // For a process that was dying anyway the kernel prints nothing.
    let killed = parts.victims.iter().any(Marked::was_killed);
    if *again || !(killed || end.is_some_and(|end| end.none_killable)) {
        return;
    }
    let missing = if by_files {
        "the break-down of the memory is that of files, read when the victim may have been gone"
    } else {
        "the break-down of the memory is unknown"
    };
    let lined = parts.victims.iter().any(|victim| victim.line.is_some());
    match &logged.report {
        _ if !parts.config.log => {
            notes.push(format!("The kernel's log is not read, so its report is missing: {missing}."));
        }
        Some(report) if report.lost_lines > 0 || !super::ended(report) => {
            notes.push("The kernel's report is not whole: lines are missing in it.".to_owned());
        }
        Some(_) => {}
        None if logged.gap => {
            notes.push(format!("The kernel's log has a gap here, its report may be lost: {missing}."));
        }
        None if lined => notes.push(format!(
            "The kernel printed no report for this kill (it is limited to 10 in 5 s): {missing}."
        )),
        None => notes.push(format!("The kernel's log did not tell of this in time: {missing}.")),
    }
}

/// The kernel's log, where it is needed.
fn log(parts: &Parts<'_>, notes: &mut Vec<String>) {
    let logged = &parts.pending.logged;
    if !parts.config.log {
        notes.push("The kernel's log is not read: scope, decision and candidates are unknown.".to_owned());
        return;
    }
    let killed = parts.victims.iter().any(Marked::was_killed);
    let lined = parts.victims.iter().any(|victim| victim.line.is_some());
    match &logged.report {
        None if logged.gap && (lined || !killed) => notes.push(
            "The kernel's log has a gap here: its report (scope, limits, candidates) is lost.".to_owned(),
        ),
        None if lined => notes.push(
            "The kernel printed no report for this kill (it is limited to 10 in 5 s): scope, limits and candidates are \
             unknown."
                .to_owned(),
        ),
        None if killed => notes.push(
            "The kernel's log did not tell of this kill in time: scope, limits and candidates are unknown.".to_owned(),
        ),
        None => {}
        Some(report) => {
            if report.lost_lines > 0 || !super::ended(report) {
                notes.push("The kernel's report is not whole: lines are missing in it.".to_owned());
            }
            if !report.has_table {
                notes.push("The report has no task table: candidates are unknown.".to_owned());
            }
            if super::ended(report) && report.kill.is_some() && parts.victims.is_empty() && !logged.exiting {
                notes.push("The log does not say whether the chosen process was killed.".to_owned());
            }
        }
    }
    let unnamed = parts.victims.iter().filter(|victim| victim.line_expected()).count();
    if lined && unnamed > 0 {
        notes.push(format!("The kernel's log does not name {unnamed} of the victims."));
    }
}

/// What the log says before and after the report.
fn around(parts: &Parts<'_>, notes: &mut Vec<String>) {
    let logged = &parts.pending.logged;
    // Where BPF sees every kill, those without a report say so themselves.
    if logged.suppressed > 0 && !parts.config.victims {
        let left_out = logged.suppressed;
        notes.push(format!(
            "The kernel left out {left_out} reports before this one: it prints at most 10 in 5 s."
        ));
    }
    for pid in &logged.not_reaped {
        notes.push(format!("The kernel could not reap {pid}: its memory stays until it exits."));
    }
}

fn scan(parts: &Parts<'_>, candidates: &Candidates, notes: &mut Vec<String>) {
    if let (Some(lost @ 1..), Some(evaluated)) = (candidates.lost, candidates.evaluated) {
        notes.push(format!(
            "{lost} of {evaluated} candidates were lost: no runner-up is named, it may be among them."
        ));
    }
    if candidates.nodes_unknown && !candidates.list.is_empty() {
        notes.push(
            "Which candidates have memory on the nodes in question was not seen: no runner-up is named."
                .to_owned(),
        );
    }
    if candidates.unnamed > 0 && parts.pending.end.is_some_and(|end| end.names_lost > 0) {
        notes.push(format!("Names of cgroups were lost: {} candidates have none.", candidates.unnamed));
    }
}

fn cut(parts: &Parts<'_>, candidates: &Candidates, notes: &mut Vec<String>) {
    let is_cut = |path: &Option<CgroupPath>| path.as_ref().is_some_and(|path| path.cut);
    let entry = parts.pending.entry.as_ref();
    let scope = entry.and_then(|entry| entry.control.as_ref()).is_some_and(|c| is_cut(&c.scope_cgroup));
    let trigger = entry.is_some_and(|entry| is_cut(&entry.trigger_cgroup));
    let victim = parts.victims.iter().any(|victim| is_cut(&victim.cgroup));
    if scope || trigger || victim || candidates.cut {
        notes.push("A cgroup's path was too long for its record: it is cut.".to_owned());
    }
}
