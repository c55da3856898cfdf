//! What another agent made of the same.

use super::compare::{brief, chose, killed, told};
use super::{Findings, diagnosis, incident};
use crate::truth::model::{Decision, Expect, Kill, Telling, Truth, Victim};
use serde_json::Value;
use std::collections::BTreeMap;

/// Records that one kill of one process makes in the small ring: call, decision, signal, mark, end, exit.
const RECORDS: u64 = 6;

/// Compares.
pub(super) fn compare(
    truth: &Truth,
    telling: &Telling,
    incidents: &[Value],
    stderr: &str,
    all: &mut Findings,
) {
    let Telling { name, expect } = telling;
    let mut findings = Findings::default();
    match *expect {
        Expect::All => told(truth, incidents, &mut findings),
        Expect::First(count) => {
            let kills = truth.kills.iter().take(count).cloned().collect();
            told(&Truth { kills, ..truth.clone() }, incidents, &mut findings);
        }
        Expect::Enclosed => told(&Truth { enclosed: true, ..truth.clone() }, incidents, &mut findings),
        Expect::LogGap { from, to } => told(&without_log(truth, from, to), incidents, &mut findings),
        Expect::Log => told(&logged(truth), incidents, &mut findings),
        Expect::SinceBoot { before, log } => since_boot(truth, before, log, incidents, &mut findings),
        Expect::LossyUntil(from) => lossy(truth, from, incidents, stderr, &mut findings),
    }
    diagnosis::compare(truth, Some(name), incidents, &mut findings);
    all.agents += 1;
    all.points_compared += findings.points_compared;
    all.diagnosis = findings.diagnosis.or_else(|| all.diagnosis.take());
    for wrong in findings.wrong {
        all.wrong(format!("the agent {name:?}: {wrong}"));
    }
}

/// What of the truth the kernel's log has.
fn logged(truth: &Truth) -> Truth {
    let kill = |kill: &Kill| Kill {
        total_pages: None,
        decision: Decision { points: None, ..kill.decision.clone() },
        candidates: Vec::new(),
        memory_back_ns: None,
        // Its report was suppressed.
        trigger: kill.trigger.clone().filter(|_| !kill.table.is_empty()),
        victims: kill
            .victims
            .iter()
            .map(|victim| Victim {
                // Only the report has it.
                cgroup: victim.cgroup.clone().filter(|_| !kill.table.is_empty()),
                ..victim.clone()
            })
            .collect(),
        ..kill.clone()
    };
    let sources = truth.sources.iter().filter(|source| *source != "kprobes").cloned().collect();
    Truth { kills: truth.kills.iter().map(kill).collect(), sources, ..truth.clone() }
}

/// What is left of the truth without the log of some of the kills.
fn without_log(truth: &Truth, from: usize, to: usize) -> Truth {
    let mut truth = truth.clone();
    for kill in truth.kills.iter_mut().take(to).skip(from) {
        (kill.report, kill.table, kill.log_gone) = (None, Vec::new(), true);
    }
    truth
}

/// What happened before it started is told from the log, once and first.
fn since_boot(truth: &Truth, before: usize, log: bool, incidents: &[Value], findings: &mut Findings) {
    let is_ours =
        |told: &&Value| killed(told) && truth.kills.iter().any(|kill| chose(told) == Some(kill.decision.pid));
    let level = |told: &Value| told.pointer("/evidence/level").and_then(Value::as_str).map(str::to_owned);
    let ours: Vec<Value> = incidents.iter().filter(is_ours).cloned().collect();
    let (past, later) = ours.split_at(before.min(ours.len()));
    let kills = |kills: &[Kill]| Truth { kills: kills.to_vec(), none_killable: 0, ..truth.clone() };
    let (first, rest) = truth.kills.split_at(before.min(truth.kills.len()));
    if first.is_empty() || rest.is_empty() {
        findings.wrong("no kill before its start, or none after it: the case proves nothing");
    }
    told(&logged(&kills(first)), past, findings);
    told(&if log { logged(&kills(rest)) } else { kills(rest) }, later, findings);
    // Whatever came before that, of other cases.
    let older = incidents.iter().position(|told| is_ours(&told)).unwrap_or(incidents.len());
    let from_log = incidents.iter().take(older + past.len());
    if !from_log.clone().all(|told| level(told).as_deref() == Some("kmsg")) {
        findings.wrong("what happened before its start is not told from the log alone, or not first");
    }
    let times: Vec<Option<u64>> =
        from_log.map(|told| told.get("boottime_ns").and_then(Value::as_u64)).collect();
    if !times.is_sorted() || times.contains(&None) {
        findings.wrong(format!("what happened before its start is not in order: {times:?}"));
    }
}

/// Records were lost: nothing may be invented, and the sum has to be right.
fn lossy(truth: &Truth, from: usize, incidents: &[Value], stderr: &str, findings: &mut Findings) {
    let comms: BTreeMap<u64, Option<String>> = truth
        .kills
        .iter()
        .flat_map(|kill| &kill.victims)
        .map(|victim| (victim.pid.into(), victim.comm.as_deref().map(incident::text)))
        .collect();
    let mut seen = BTreeMap::new();
    for told in incidents {
        let victims = victims_of(told);
        for victim in victims {
            let pid = victim.get("pid").and_then(Value::as_u64).unwrap_or_default();
            let comm = victim.get("comm").and_then(Value::as_str);
            if comms.contains_key(&pid) {
                *seen.entry(pid).or_insert(0) += 1;
            }
            match comms.get(&pid) {
                None => findings.wrong(format!("a victim that was none: {victim}")),
                Some(expected) if expected.as_deref() != comm => {
                    findings.wrong(format!("victim {pid} is called {comm:?}, not {expected:?}"));
                }
                Some(_) => {}
            }
        }
        // Who was chosen is the one who died, even if half of it is missing.
        if let (true, Some(pid)) = (killed(told), chose(told))
            && victims.iter().all(|victim| victim.get("pid").and_then(Value::as_u64) != Some(pid.into()))
            && !truth.kills.iter().any(|kill| kill.decision.pid == pid)
        {
            findings.wrong(format!("chosen was none who died: {}", brief(told)));
        }
    }
    for (pid, times) in seen.iter().filter(|(_, times)| **times > 1) {
        findings.wrong(format!("victim {pid} is told {times} times"));
    }
    // The log may tell of a kill that BPF has lost.
    let log_only = |told: &&Value| told.pointer("/evidence/level").and_then(Value::as_str) == Some("kmsg");
    let saved: usize = incidents.iter().filter(log_only).map(|told| victims_of(told).len()).sum();
    let said = incidents.iter().filter_map(|told| told.pointer("/evidence/lost_records")?.as_u64()).max();
    let untold = (comms.len() + saved - seen.len()) as u64;
    if untold == 0 {
        findings.wrong("nothing was lost: the case proves nothing");
    }
    if said.unwrap_or(0) == 0 {
        findings.wrong(format!("{untold} victims are not told, but no incident says that records were lost"));
    }
    match summed(stderr) {
        Some(sum) if (untold..=(untold + 2) * RECORDS).contains(&sum) => {
            if said > Some(sum) {
                findings.wrong(format!("an incident says {said:?} lost, the summary {sum}"));
            }
        }
        sum => findings.wrong(format!("{untold} victims are not told, the summary has {sum:?} lost records")),
    }
    let later: Vec<u32> =
        truth.kills.iter().skip(from).flat_map(|kill| &kill.victims).map(|victim| victim.pid).collect();
    if later.is_empty() {
        findings.wrong("no kill came after the loss: the case proves nothing");
    }
    for kill in truth.kills.iter().skip(from) {
        match incidents.iter().find(|told| killed(told) && chose(told) == Some(kill.decision.pid)) {
            Some(told) => incident::compare(truth, kill, told, findings),
            None => findings.wrong(format!("no incident for {}, killed after the loss", kill.decision.pid)),
        }
    }
}

fn victims_of(incident: &Value) -> &[Value] {
    incident.get("victims").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The number before `LOST` in the summary.
fn summed(stderr: &str) -> Option<u64> {
    let (before, _) = stderr.lines().last()?.split_once(" LOST")?;
    let number = before.rsplit(", ").next()?;
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn truth(pids: std::ops::Range<u32>) -> Truth {
        let victim = |pid| Victim { pid, tid: pid, role: "selected".into(), ..Victim::default() };
        let decision = |pid| Decision { rule: "highest_points".into(), pid, points: None };
        let kills = pids
            .map(|pid| Kill { victims: vec![victim(pid)], decision: decision(pid), ..Kill::default() })
            .collect();
        Truth { kills, ..Truth::default() }
    }

    fn incident(pid: u32, lost: u64) -> Value {
        json!({"decision": {"rule": "highest_points", "pid": pid}, "scope": {"kind": ""},
               "diagnosis": [{"code": "storm", "confidence": "likely"}],
               "victims": [{"pid": pid, "tid": pid, "role": "selected"}], "evidence": {"lost_records": lost, "notes": ["The kernel printed no report."]}})
    }

    fn wrong(incidents: &[Value], summary: &str) -> Vec<String> {
        let telling = Telling { name: "x".into(), expect: Expect::LossyUntil(3) };
        let mut truth = truth(1..5);
        truth.kills.iter_mut().for_each(|kill| kill.scope.kind = "unknown".into());
        let mut findings = Findings::default();
        compare(&truth, &telling, incidents, summary, &mut findings);
        findings.wrong
    }

    #[test]
    fn loss_that_is_said_passes() {
        let told = [incident(1, 0), incident(4, 9)];
        assert_eq!(wrong(&told, "2 incidents in 1 s: 2 victims, 9 records LOST"), Vec::<String>::new());
    }

    #[test]
    fn silence_invention_and_wrong_sums_fail() {
        let summary = "2 incidents in 1 s: 2 victims, 9 records LOST";
        assert_eq!(wrong(&[incident(1, 0), incident(4, 0)], summary).len(), 1, "no incident says it");
        assert_eq!(wrong(&[incident(1, 9), incident(4, 0), incident(7, 0)], summary).len(), 1, "7 lives");
        assert_eq!(wrong(&[incident(1, 9), incident(1, 0), incident(4, 0)], summary).len(), 1, "1 died once");
        assert_eq!(wrong(&[incident(1, 9), incident(3, 0)], summary).len(), 1, "4 came after the loss");
        let told = [incident(1, 9), incident(4, 0)];
        assert_eq!(wrong(&told, "2 incidents in 1 s: 2 victims, no records lost").len(), 1);
        assert_eq!(wrong(&told, "2 incidents in 1 s: 2 victims, 1,009 records LOST").len(), 1);
        assert!(!wrong(&(1..5).map(|pid| incident(pid, 9)).collect::<Vec<_>>(), summary).is_empty());
    }

    #[test]
    fn what_was_before_is_told_once_first_and_from_the_log() {
        let told = |pid: u32, level: &str, at: u64| {
            let mut told = incident(pid, 0);
            told["evidence"]["level"] = json!(level);
            told["boottime_ns"] = json!(at);
            told
        };
        let telling = Telling { name: "x".into(), expect: Expect::SinceBoot { before: 2, log: false } };
        let wrong = |incidents: &[Value]| {
            let mut truth = truth(1..5);
            truth.kills.iter_mut().for_each(|kill| kill.scope.kind = "unknown".into());
            let mut findings = Findings::default();
            compare(&truth, &telling, incidents, "", &mut findings);
            findings.wrong.len()
        };
        let older = told(99, "kmsg", 1);
        let [one, two] = [told(1, "kmsg", 2), told(2, "kmsg", 3)];
        let [three, four] = [told(3, "full", 4), told(4, "full", 5)];
        let all = |list: &[&Value]| list.iter().map(|told| (*told).clone()).collect::<Vec<_>>();
        assert_eq!(wrong(&all(&[&older, &one, &two, &three, &four])), 0);
        assert_eq!(wrong(&all(&[&one, &two, &three, &four])), 0, "the log holds no more");
        for bad in [
            all(&[&older, &one, &three, &four]),
            all(&[&older, &one, &two, &two, &three, &four]),
            all(&[&older, &one, &two, &three, &three, &four]),
            all(&[&older, &two, &one, &three, &four]),
            all(&[&one, &older, &two, &three, &four]),
            all(&[&older, &told(1, "full", 2), &two, &three, &four]),
            all(&[&told(99, "full", 1), &one, &two, &three, &four]),
        ] {
            assert_ne!(wrong(&bad), 0, "{bad:?}");
        }
    }
}
