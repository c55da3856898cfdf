//! What a kill gave back, and how often the same place was hit.

use super::reclaim::OVERLOADED_US;
use super::{Findings, says};
use crate::truth::model::{Afterwards, Kill, Truth};
use serde_json::Value;

/// Between the return from `exit_mmap` as the agent's program and as a kretprobe see it: 33 ms were seen under emulation.
const TIME_NS: u64 = 100_000_000;
/// An incident waits 10 s for memory: what comes just before may or may not be in it.
const WAIT_NS: u64 = 9_500_000_000;
/// Pages that each CPU may hold in reserve for a cgroup (`MEMCG_CHARGE_BATCH`), or not yet have freed.
const CPU_PAGES: u64 = 128;

/// Compares, as far as the truth knows.
pub(super) fn compare(truth: &Truth, kill: &Kill, incident: &Value, findings: &mut Findings) {
    let pid = kill.decision.pid;
    let at = |name: &str| incident.pointer(&format!("/recovery/{name}"));
    let mut fail = |what: String| findings.wrong(format!("kill of {pid}: {what}"));
    if let Some(back) = kill.memory_back_ns {
        let killed = incident.get("victims").and_then(Value::as_array).into_iter().flatten();
        let first = killed.filter_map(|victim| victim.get("killed_boottime_ns")?.as_u64()).min();
        let told = at("memory_back_ns").and_then(Value::as_u64).zip(first).map(|(after, kill)| kill + after);
        let not_seen = says(incident, "not seen to be given back") || says(incident, "not seen in time");
        // A task may be preempted between the two looks (from 7.0 on), and stand in a queue.
        let apart = if truth.why.overloads { 1000 * OVERLOADED_US } else { TIME_NS };
        match told {
            Some(told) if truth.why.moved_between(told, back) <= apart => {}
            Some(told) => fail(format!("its memory was back at {back} ns, not at {told}")),
            // The record may be among those.
            None if incident.pointer("/evidence/lost_records").and_then(Value::as_u64) > Some(0) => {}
            // The kernel did not run programs while another task was preempted in them (from 7.0 on): the one at the return from
            // `exit_mmap` may be among those, and the incident says that it did not see it, or not even the exit.
            None if not_seen && says(incident, "were skipped by the kernel meanwhile") => {}
            // The victim hangs. The kernel goes on without it, and so does the agent; the case asks the kernel's log for the reaper.
            None if says(incident, "before the kernel's reaper was done") => {}
            // Neither program at a return may have run: the victims are not all known without the one, nor when, without the other.
            None if truth.why.others_leave
                && (says(incident, "The end of the OOM path was not seen")
                    || says(incident, "not seen to be given back")) => {}
            None if first.is_some_and(|first| back < first + WAIT_NS) => {
                fail(format!(
                    "its memory was back at {back} ns, of which nothing is told: {:?}, {:?}",
                    incident.get("recovery"),
                    incident.pointer("/evidence/notes")
                ));
            }
            None => {}
        }
    }
    let above = at("above_watermark_ns").and_then(Value::as_u64);
    let wide = matches!(kill.scope.kind.as_str(), "global" | "cpuset" | "memory_policy");
    // No zone is looked at before a victim's memory is back; with one victim that is the last, too.
    let back = at("memory_back_ns").and_then(Value::as_u64).filter(|_| kill.victims.len() == 1);
    if above.is_some() && (!wide || back.is_some_and(|back| above < Some(back))) {
        fail(format!("free memory above the watermark after {above:?}, memory back after {back:?}"));
    }
    let Some(Afterwards { kill_number, usage_bytes }) = kill.afterwards else { return };
    let number = at("kill_number").and_then(Value::as_u64);
    if number != (kill_number > 1).then_some(kill_number) {
        fail(format!("it is the kill number {kill_number} of its place, not {number:?}"));
    }
    if kill.memory_back_ns.is_none() {
        return;
    }
    let off = CPU_PAGES * truth.page_bytes * u64::from(truth.cpus);
    let usage = at("usage_after_bytes").and_then(Value::as_u64);
    if usage.is_none_or(|usage| usage.abs_diff(usage_bytes) > off) {
        fail(format!("{usage_bytes} bytes were in use afterwards, not {usage:?}"));
    }
    let before = incident.pointer("/limits/usage_bytes").and_then(Value::as_u64);
    let given = at("given_back_bytes").and_then(Value::as_u64);
    if given.is_none() || given != before.zip(usage).and_then(|(before, after)| before.checked_sub(after)) {
        fail(format!("{given:?} bytes given back, of {before:?} that were in use"));
    }
    // With room for a page at the entry it is not said when there was room.
    let limit = incident.pointer("/limits/memory_bytes").and_then(Value::as_u64);
    let room = before.zip(limit).is_some_and(|(before, limit)| before + truth.page_bytes <= limit);
    let told = at("below_limit_ns").is_some() || room;
    if !told || (at("below_limit_ns").is_some() && at("below_limit_ns") != at("memory_back_ns")) {
        fail(format!("there was room when the memory was back, not after {:?}", at("below_limit_ns")));
    }
}
