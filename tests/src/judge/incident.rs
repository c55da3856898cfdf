//! One incident against one kill.

use super::{Findings, notes, points, recovery, state};
use crate::truth::model::{Kill, Report, Truth, Victim};
use serde_json::Value;

/// Compares. What the truth does not know is not compared.
pub(super) fn compare(truth: &Truth, kill: &Kill, incident: &Value, findings: &mut Findings) {
    let has_kprobes = truth.sources.iter().any(|source| source == "kprobes");
    let mut check = Check { pid: kill.decision.pid, incident, findings };
    let Kill {
        victims,
        trigger,
        scope,
        total_pages,
        decision,
        candidates: _,
        table: _,
        report,
        log_gone,
        ..
    } = kill;
    if has_kprobes {
        check.equal("/evidence/level", "full");
    }
    if scope.kind != "unknown" {
        check.equal("/scope/kind", scope.kind.as_str());
    }
    // Below the full level, only the kernel's report has the path, and nothing the id: absent, but never wrong.
    if has_kprobes || trigger.is_some() || incident.pointer("/scope/cgroup").is_some() {
        check.known("/scope/cgroup", scope.cgroup.as_deref());
    }
    if has_kprobes || incident.pointer("/scope/cgroup_id").is_some() {
        check.known("/scope/cgroup_id", scope.cgroup_id);
    }
    if scope.kind != "memcg" && scope.kind != "unknown" && incident.pointer("/scope/cgroup").is_some() {
        check.fail("scope.cgroup is there, but no memory cgroup's limit was hit");
    }
    if scope.kind != "memcg" && scope.kind != "unknown" && incident.pointer("/limits").is_some() {
        check.fail("there are limits, but no memory cgroup's was hit");
    }
    if let Some(trigger) = trigger {
        check.known("/trigger/pid", trigger.pid);
        check.equal("/trigger/tid", trigger.tid);
        check.known("/trigger/comm", trigger.comm.as_deref().map(text));
        check.equal("/trigger/gfp_mask", trigger.gfp_mask);
        check.equal("/trigger/order", trigger.order);
    }
    check.known("/total_pages", *total_pages);
    check.equal("/decision/rule", decision.rule.as_str());
    check.equal("/decision/pid", decision.pid);
    check.known("/decision/points", decision.points);
    reason(&scope.kind, &mut check);
    self::report(report.as_ref(), *log_gone, &mut check);
    self::victims(truth, victims, &mut check);
    points::compare(truth, kill, incident, findings);
    recovery::compare(truth, kill, incident, findings);
    state::compare(truth, kill, incident, findings);
}

/// Why the allocation failed, as far as the way that the kernel came by says it.
fn reason(scope: &str, check: &mut Check<'_>) {
    match scope {
        "memcg" => check.equal("/verdict/0/code", "limit_reached"),
        "sysrq" => check.equal("/verdict/0/code", "ordered"),
        // What the zones say is in the kernel's report only.
        "global" | "cpuset" | "memory_policy" => {
            let code = check.incident.pointer("/verdict/0/code").and_then(Value::as_str);
            if let Some(code @ ("limit_reached" | "ordered")) = code {
                check.fail(&format!("verdict is {code}, but the scope is {scope}"));
            }
        }
        _ => {}
    }
}

struct Check<'a> {
    pid: u32,
    incident: &'a Value,
    findings: &'a mut Findings,
}

impl Check<'_> {
    fn fail(&mut self, what: &str) {
        self.findings.wrong(format!("kill of {}: {what}", self.pid));
    }

    fn equal(&mut self, pointer: &str, expected: impl Into<Value>) {
        let (expected, found) = (expected.into(), self.incident.pointer(pointer));
        if found != Some(&expected) {
            let name = pointer.trim_start_matches('/').replace('/', ".");
            let found = found.map_or("absent".to_owned(), Value::to_string);
            self.fail(&format!("{name} is {found}, not {expected}"));
        }
    }

    fn known(&mut self, pointer: &str, expected: Option<impl Into<Value>>) {
        if let Some(expected) = expected {
            self.equal(pointer, expected);
        }
    }
}

/// What the kernel's report says is in the incident, or the incident says that there was none.
fn report(expected: Option<&Report>, gone: bool, check: &mut Check<'_>) {
    let notes: Vec<String> = notes(check.incident).map(str::to_owned).collect();
    for note in notes.iter().filter(|note| note.contains("disagree")) {
        check.fail(&format!("the log and BPF tell of the same kernel, but: {note}"));
    }
    let log = check.incident.pointer("/kernel_log").and_then(Value::as_str).map(str::to_owned);
    let Some(Report { gfp_flags, counter, summary, .. }) = expected else {
        if let Some(log) = log {
            let first = log.lines().next().unwrap_or_default();
            check.fail(&format!("it has a report that the kernel did not print: {first}"));
        }
        let words = if gone { "log has a gap here" } else { "printed no report" };
        if !notes.iter().any(|note| note.contains(words)) {
            check.fail(&format!("it does not say that the kernel's {words:?}: {notes:?}"));
        }
        return;
    };
    check.equal("/trigger/gfp_flags", gfp_flags.as_slice());
    match counter {
        Some((name, bytes)) => check.equal(&format!("/memory/{name}"), *bytes),
        None => check.fail("the kernel's report has no break-down of the memory: the case proves nothing"),
    }
    // Who chose the names in it may have chosen bytes that are escaped in another way.
    let plain = summary.split('\\').next().unwrap_or_default();
    if plain.is_empty() || !log.as_deref().is_some_and(|log| log.contains(plain)) {
        check.fail(&format!("kernel_log has no line {plain:?}: {log:?}"));
    }
}

fn victims(truth: &Truth, expected: &[Victim], check: &mut Check<'_>) {
    let found = check.incident.get("victims").and_then(Value::as_array).cloned().unwrap_or_default();
    let pid_of = |value: &Value| value.get("pid").and_then(Value::as_u64);
    for victim in expected {
        let matching: Vec<usize> =
            (0..found.len()).filter(|i| found.get(*i).and_then(pid_of) == Some(victim.pid.into())).collect();
        let [index] = matching.as_slice() else {
            check.fail(&format!("{} victims with the pid {}, not one", matching.len(), victim.pid));
            continue;
        };
        let at = |name: &str| format!("/victims/{index}/{name}");
        check.equal(&at("tid"), victim.tid);
        check.equal(&at("role"), victim.role.as_str());
        check.known(&at("comm"), victim.comm.as_deref().map(text));
        check.known(&at("uid"), victim.uid);
        check.known(&at("oom_score_adj"), victim.oom_score_adj);
        check.known(&at("cgroup"), victim.cgroup.as_deref());
        if let Some(rss_kb) = victim.rss_kb {
            for (name, kb) in ["anon_bytes", "file_bytes", "shmem_bytes"].iter().zip(rss_kb) {
                let bytes = check.incident.pointer(&at(name)).and_then(Value::as_u64);
                if bytes.is_none_or(|bytes| bytes.abs_diff(kb << 10) > points::tolerance_bytes(truth)) {
                    check.fail(&format!("victim {}: {name} is {bytes:?}, the log has {kb} kB", victim.pid));
                }
            }
        }
    }
    for extra in found.iter().filter(|v| !expected.iter().any(|e| pid_of(v) == Some(e.pid.into()))) {
        check.fail(&format!("a victim that was none: {extra}"));
    }
}

/// A command name as the incident has to show it: text as it is, bytes that are no UTF-8 as `\xNN`.
pub(super) fn text(bytes: &[u8]) -> String {
    let shown = |chunk: std::str::Utf8Chunk<'_>| {
        let invalid: Vec<String> = chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")).collect();
        chunk.valid().to_owned() + &invalid.concat()
    };
    bytes.utf8_chunks().map(shown).collect()
}
