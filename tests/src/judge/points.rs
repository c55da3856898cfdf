//! Candidates, and what their points are made of.

use super::Findings;
use crate::truth::model::{Kill, Row, Truth};
use serde_json::Value;

/// Pages by which two readings of one counter may differ: each CPU may hold back a batch of 32 to 64 pages
/// (`percpu_counter_batch`, `SPLIT_RSS_COUNTING`) in each of four counters.
pub(super) fn tolerance(cpus: u32) -> u64 {
    64 * 4 * u64::from(cpus.max(1))
}

/// The same in bytes.
pub(super) fn tolerance_bytes(truth: &Truth) -> u64 {
    tolerance(truth.cpus) * truth.page_bytes
}

/// Compares the candidates with the kernel's, and their points with the formula.
pub(super) fn compare(truth: &Truth, kill: &Kill, incident: &Value, findings: &mut Findings) {
    let pid = kill.decision.pid;
    let found = incident.get("candidates").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let at = |pid: u32| found.iter().find(|c| c.get("pid").and_then(Value::as_u64) == Some(pid.into()));
    for expected in &kill.candidates {
        let Some(candidate) = at(expected.pid) else {
            findings.wrong(format!("kill of {pid}: candidate {} is missing", expected.pid));
            continue;
        };
        let points = candidate.get("points").and_then(Value::as_i64);
        let eligible = candidate.get("eligible").and_then(Value::as_bool);
        let source = candidate.get("points_source").and_then(Value::as_str);
        if points != expected.points || eligible != Some(expected.points.is_some()) {
            let kernel = expected.points;
            findings.wrong(format!(
                "kill of {pid}: candidate {} has {points:?} points (eligible {eligible:?}), the kernel gave {kernel:?}",
                expected.pid
            ));
        } else if points.is_some() && source != Some("kernel") {
            findings.wrong(format!("kill of {pid}: candidate {}: points from {source:?}", expected.pid));
        } else {
            findings.points_compared += 1;
        }
    }
    let is_judged = |pid: u64| kill.candidates.iter().any(|c| u64::from(c.pid) == pid);
    for candidate in found {
        let Some(its) = candidate.get("pid").and_then(Value::as_u64) else {
            findings.wrong(format!("kill of {pid}: a candidate without a pid"));
            continue;
        };
        let eligible = candidate.get("eligible") == Some(&Value::Bool(true));
        if !kill.candidates.is_empty() && eligible && !is_judged(its) {
            findings.wrong(format!("kill of {pid}: candidate {its} was never evaluated"));
        }
    }
    if kill.candidates.is_empty() {
        by_table(truth, kill, found, findings);
    }
    formula(truth, kill, incident, found, findings);
}

/// Where `oom_badness` cannot be seen: the table has who was looked at, and what its points are made of.
fn by_table(truth: &Truth, kill: &Kill, found: &[Value], findings: &mut Findings) {
    if kill.decision.rule == "allocating_task" {
        return;
    }
    for row in &kill.table {
        let candidate = found.iter().find(|c| c.get("pid").and_then(Value::as_u64) == Some(row.pid.into()));
        let Some(candidate) = candidate else {
            // The table also lists who was not looked at: on other nodes.
            if matches!(kill.scope.kind.as_str(), "memcg" | "global" | "sysrq") {
                findings.wrong(format!("kill of {}: candidate {} is missing", kill.decision.pid, row.pid));
            }
            continue;
        };
        let points = candidate.get("points").and_then(Value::as_i64);
        let Some(total) = kill.total_pages else { continue };
        // The row of a leader that has exited is its thread's, as is its memory: the process is the same.
        let table = badness(*row, total, truth.page_bytes);
        match points {
            Some(points) => {
                let off = points.abs_diff(table);
                findings.table_off = findings.table_off.max(Some(off));
                if off > tolerance(truth.cpus) {
                    findings
                        .wrong(format!("candidate {} has {points} points, by the table {table}", row.pid));
                }
            }
            None if row.oom_score_adj == -1000 => {}
            None => findings.wrong(format!("candidate {} has no points, by the table {table}", row.pid)),
        }
        if row.pid == kill.decision.pid && points != kill.decision.points {
            let chosen = kill.decision.points;
            findings.wrong(format!("the chosen {} has {points:?} points, the kernel's {chosen:?}", row.pid));
        }
    }
}

/// `oom_badness` (`mm/oom_kill.c`) over a row of the table.
fn badness(row: Row, total_pages: u64, page_bytes: u64) -> i64 {
    let pages = (row.rss + row.swapents + row.pgtables_bytes / page_bytes.max(1)).cast_signed();
    pages + i64::from(row.oom_score_adj) * (total_pages / 1000).cast_signed()
}

/// The points have to be what the incident's own figures add up to.
fn formula(truth: &Truth, kill: &Kill, incident: &Value, found: &[Value], findings: &mut Findings) {
    let Some(total) = incident.get("total_pages").and_then(Value::as_u64) else { return };
    for candidate in found {
        let bytes = |name: &str| candidate.get(name).and_then(Value::as_u64);
        let kinds = [bytes("anon_bytes"), bytes("file_bytes"), bytes("shmem_bytes")];
        let rss = kinds.into_iter().sum::<Option<u64>>().or(bytes("rss_bytes"));
        let points = candidate.get("points").and_then(Value::as_i64);
        let adj = candidate.get("oom_score_adj").and_then(Value::as_i64);
        let (Some(points), Some(adj), Some(rss)) = (points, adj, rss) else { continue };
        let (Some(swap), Some(tables)) = (bytes("swap_bytes"), bytes("pgtables_bytes")) else { continue };
        let computed = ((rss + swap + tables) / truth.page_bytes.max(1)).cast_signed()
            + adj * (total / 1000).cast_signed();
        let off = points.abs_diff(computed);
        findings.formula_off = findings.formula_off.max(Some(off));
        if off > tolerance(truth.cpus) {
            let pid = candidate.get("pid").and_then(Value::as_u64);
            findings.wrong(format!(
                "kill of {}: candidate {pid:?} has {points} points, its memory and adj make {computed}",
                kill.decision.pid
            ));
        }
    }
}
