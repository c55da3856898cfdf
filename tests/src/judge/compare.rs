//! One case: every kill has its incident, and nothing else has one.

use super::{Findings, diagnosis, incident};
use crate::truth::model::{Check, Kill, Truth};
use serde_json::Value;

/// What the agent may hold once attached, and may have held before. Locked into memory are its whole program (with the
/// store, HTTP, TLS and the page) and the small ring: together some 6 MiB.
const ATTACHED_KIB: u64 = 10 << 10;
const PEAK_KIB: u64 = 28 << 10;
/// What the agent may grow by during a burst, once warm: 800 kills. Where it does not get to run for a while, what waited in the
/// rings is in its memory at once, and the allocator keeps that; incidents that were kept would be ten times as much.
const GROWTH_KIB: u64 = 2048;

/// Compares.
pub(super) fn compare(truth: &Truth, incidents: &[Value]) -> Findings {
    let mut findings = Findings { kills: truth.kills.len(), ..Findings::default() };
    for doubt in &truth.doubts {
        findings.wrong(format!("the truth itself is doubtful: {doubt}"));
    }
    if truth.kills.is_empty() && truth.none_killable == 0 && truth.checks.is_empty() {
        findings.wrong("the truth is empty: nothing was provoked");
    }
    for Check { what, held, found } in &truth.checks {
        findings.checks += 1;
        if !held {
            findings.wrong(format!("not so: {what}: {found}"));
        }
    }
    told(truth, incidents, &mut findings);
    diagnosis::compare(truth, None, incidents, &mut findings);
    memory(truth, &mut findings);
    findings
}

/// A case in which processes exit by themselves all the time.
const FORK_BOMB: &str = "why_fork_bomb";

/// Every kill has its incident, nothing else has one, and nothing was lost.
pub(super) fn told(truth: &Truth, incidents: &[Value], findings: &mut Findings) {
    let mut left: Vec<&Value> = incidents.iter().collect();
    for kill in &truth.kills {
        match left.iter().position(|incident| chose(incident) == Some(kill.decision.pid) && killed(incident))
        {
            Some(index) => incident::compare(truth, kill, left.remove(index), findings),
            None => findings.wrong(format!("no incident for {}", name(kill))),
        }
    }
    let before = left.len();
    left.retain(|incident| rule(incident) != Some("none_killable"));
    let told = before - left.len();
    if (truth.none_killable > 0) != (told > 0) {
        let times = truth.none_killable;
        findings.wrong(format!("nobody could be killed {times} times, {told} incidents say so"));
    }
    left.retain(|incident| !is_known_dying(truth, incident));
    for incident in &left {
        findings.wrong(format!("an incident that was none: {}", brief(incident)));
    }
    for incident in incidents {
        match incident.pointer("/evidence/lost_records").and_then(Value::as_u64) {
            Some(0) => {}
            lost => findings.wrong(format!("evidence.lost_records is {lost:?}: {}", brief(incident))),
        }
    }
}

fn memory(truth: &Truth, findings: &mut Findings) {
    let measured = |name: &str| truth.measured.get(name).copied();
    let after = measured("agent_rss_after_kib");
    let bars = [
        ("agent_rss_attached_kib", measured("agent_rss_attached_kib"), ATTACHED_KIB),
        ("agent_hwm_attached_kib", measured("agent_hwm_attached_kib"), PEAK_KIB),
        ("agent_hwm_after_kib", measured("agent_hwm_after_kib"), PEAK_KIB),
    ];
    // Elsewhere than in a VM, the agent may be an unoptimised build.
    let is_vm = truth.sources.iter().any(|source| source == "kprobes");
    for (name, value, bar) in bars.into_iter().filter(|_| is_vm) {
        if value.is_some_and(|value| value > bar) {
            findings.wrong(format!("{name} is {value:?}, more than {bar}"));
        }
    }
    if let (Some(warm), Some(after)) = (measured("agent_rss_warm_kib"), after)
        && after > warm + GROWTH_KIB
    {
        findings.wrong(format!("the agent grew from {warm} to {after} KiB during the burst"));
    }
}

/// A process that was dying anyway got access to the reserves: no kill, but the kernel marked it.
fn is_known_dying(truth: &Truth, incident: &Value) -> bool {
    let tids = incident.get("victims").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let is_dying = |victim: &Value| {
        let tid = victim.get("tid").and_then(Value::as_u64);
        truth.already_dying.iter().any(|dying| Some(u64::from(*dying)) == tid)
    };
    // Where hundreds come and go the chosen one may exit by itself: nothing is killed, and the log names no victim.
    let vanished = truth.case == FORK_BOMB && tids.is_empty();
    let known = !tids.is_empty() && tids.iter().all(is_dying);
    rule(incident) == Some("already_dying") && (vanished || known)
}

pub(super) fn rule(incident: &Value) -> Option<&str> {
    incident.pointer("/decision/rule")?.as_str()
}

pub(super) fn killed(incident: &Value) -> bool {
    !matches!(rule(incident), Some("none_killable" | "already_dying"))
}

/// The chosen process: by the decision, or by the selected victim where no decision was seen.
pub(super) fn chose(incident: &Value) -> Option<u32> {
    let selected = || {
        let victims = incident.get("victims")?.as_array()?;
        victims
            .iter()
            .find(|v| v.get("role").and_then(Value::as_str) == Some("selected"))?
            .get("pid")?
            .as_u64()
    };
    let decided = incident.pointer("/decision/pid").and_then(Value::as_u64);
    decided.or_else(selected).and_then(|pid| u32::try_from(pid).ok())
}

fn name(kill: &Kill) -> String {
    let victim = kill.victims.first();
    let comm = victim.and_then(|v| v.comm.as_deref()).map(incident::text).unwrap_or_default();
    format!("the kill of {} ({comm:?})", kill.decision.pid)
}

/// An incident in a line.
pub(super) fn brief(incident: &Value) -> String {
    let text = incident.to_string();
    let end = text.char_indices().nth(300).map_or(text.len(), |(end, _)| end);
    text.get(..end).unwrap_or_default().to_owned()
}
