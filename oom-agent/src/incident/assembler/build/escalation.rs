//! What the kernel tried before.

use super::Parts;
use crate::incident::escalation::{Escalation, Pressures, Skipped};
use crate::incident::fact;
use crate::incident::fact::Reclaim;

/// What was seen of reclaim and waits before the call. `None`: nothing.
pub(super) fn escalation(parts: &Parts<'_>) -> Option<Escalation> {
    let entry = parts.pending.entry.as_ref();
    let all = parts.pending.escalation.as_deref();
    let own = entry
        .and_then(|entry| entry.reclaim)
        .filter(|_| all.is_none_or(|all| all.skipped.rounds + all.skipped.scans == 0));
    let pressure = parts.pending.logged.files.as_deref().map(|files| files.pressure);
    let pressure = pressure.filter(|pressure| *pressure != Pressures::default());
    if own.is_none() && all.is_none_or(is_empty) && pressure.is_none() {
        return None;
    }
    let first_ns = own.filter(|own| own.rounds > 0 && own.first_ns > 0).map(|own| own.first_ns);
    let killed = parts.victims.iter().filter_map(|victim| victim.killed_ns).min();
    let kill_ns = killed.or(entry.map(|entry| entry.time_ns));
    let window_ns = kill_ns.zip(first_ns).and_then(|(kill, first)| kill.checked_sub(first));
    let order = entry.and_then(|entry| entry.control.as_ref()).map(|control| control.order);
    let compaction_seen = all.is_some_and(|all| all.compaction_seen);
    Some(Escalation {
        reclaim_rounds: own.map(|own| own.rounds),
        trigger_stall_ns: own.map(|own| own.ns),
        scanned_pages: own.and_then(|own| scanned(&own, all)),
        reclaimed_pages: own.map(|own| own.reclaimed_pages),
        window_seconds: window_ns.map(|ns| ns as f64 / 1e9),
        zones: all.map(|all| all.zones.clone()).unwrap_or_default(),
        compact_retries: own
            .filter(|own| {
                compaction_seen && (own.compact_retries > 0 || order.is_some_and(|order| order > 0))
            })
            .map(|own| own.compact_retries),
        compaction: all
            .and_then(|all| all.compaction)
            .filter(|it| it.runs > 0 || order.is_some_and(|order| order > 0)),
        last_10s: all.and_then(|all| all.last_10s.clone()),
        last_60s: all.and_then(|all| all.last_60s.clone()),
        pressure,
    })
}

/// What is missing of it, in words.
pub(super) fn notes(parts: &Parts<'_>, notes: &mut Vec<String>) {
    let Some(skipped) = parts.pending.escalation.as_deref().map(|all| all.skipped) else { return };
    let sums = skipped.of_escalation();
    if sums > 0 {
        notes.push(format!(
            "Up to {sums} runs of the programs that sum up reclaim were skipped by the kernel (a task was preempted in one): what \
             they would have counted is left out."
        ));
    }
    let Skipped { kills, exits, .. } = skipped;
    if kills + exits > 0 {
        notes.push(format!(
            "Up to {} runs of the programs that see kills and exits were skipped by the kernel shortly before: one that shares \
             memory, or an exit, may be missing.",
            kills + exits
        ));
    }
}

fn is_empty(all: &fact::Escalation) -> bool {
    all.zones.is_empty() && all.last_10s.is_none() && all.last_60s.is_none()
}

/// No page is looked at outside of a round.
fn scanned(own: &Reclaim, all: Option<&fact::Escalation>) -> Option<u64> {
    let told = all.is_some_and(|all| all.scans_told);
    (told || own.rounds == 0 || own.scanned_pages > 0).then_some(own.scanned_pages)
}
