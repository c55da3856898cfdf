//! What the kill gave back, and when.

use super::{Parts, victims};
use crate::incident::assembler::marked::Marked;
use crate::incident::fact::{Control, MemoryBack, Reaping};
use crate::incident::machine::Zone;
use crate::incident::model::{Incident, ScopeKind};
use crate::incident::recovery::{Reaped, Recovery};
use crate::incident::verdict::request::{Request, Standing};

pub(super) fn recovery(parts: &Parts<'_>) -> Option<Recovery> {
    let after = after(parts).unwrap_or_default();
    let recovery = Recovery { reaper: reaper(parts), ..after };
    (recovery != Recovery::default()).then_some(recovery)
}

/// What the memory that came back tells. `None`: not all victims are known, so neither is the first or the last of them.
fn after(parts: &Parts<'_>) -> Option<Recovery> {
    if !victims::all_known(parts) {
        return None;
    }
    let killed = || parts.victims.iter().filter(|victim| victim.killed_ns.is_some());
    let first = killed().filter_map(|victim| victim.killed_ns).min()?;
    let entry = parts.pending.entry.as_ref();
    let control = entry.and_then(|entry| entry.control.as_ref());
    let all = killed().map(|victim| victim.back).collect::<Option<Vec<MemoryBack>>>();
    let last = all.into_iter().flatten().max_by_key(|back| back.time_ns);
    let usage = last.zip(control).and_then(|(back, control)| usage(&back, control));
    Some(Recovery {
        memory_back_ns: last.and_then(|back| back.time_ns.checked_sub(first)),
        below_limit_ns: control.and_then(|control| below_limit_ns(parts, control, first)),
        usage_after_bytes: usage,
        given_back_bytes: control.and_then(|control| control.usage_bytes?.checked_sub(usage?)),
        ..Recovery::default()
    })
}

/// Usage of the full cgroup, if it is that cgroup's.
fn usage(back: &MemoryBack, control: &Control) -> Option<u64> {
    let same = back.scope_id.is_some() && back.scope_id == control.scope_cgroup_id;
    back.usage_bytes.filter(|_| same)
}

/// Until there was room for what was asked for, as far as was looked: the kernel's own condition (`mem_cgroup_margin`
/// in `mem_cgroup_out_of_memory`). Where there was room at the kill, another limit was hit: cgroup v1's of memory and
/// swap together.
fn below_limit_ns(parts: &Parts<'_>, control: &Control, first_ns: u64) -> Option<u64> {
    let pages = 1_u64.checked_shl(u32::try_from(control.order).ok()?)?;
    let request = pages.checked_mul(parts.config.page_size)?;
    let fits = |usage: u64, limit: u64| usage.checked_add(request).is_some_and(|sum| sum <= limit);
    if fits(control.usage_bytes?, control.limit_bytes?) {
        return None;
    }
    let room = |back: &&MemoryBack| {
        usage(back, control).zip(back.limit_bytes).is_some_and(|(usage, limit)| fits(usage, limit))
    };
    let time = parts.pending.backs.iter().filter(room).map(|back| back.time_ns).min()?;
    time.checked_sub(first_ns)
}

/// Until the page could be had, as far as was looked. `incident` is all but this.
pub(super) fn above_watermark_ns(parts: &Parts<'_>, incident: &Incident) -> Option<u64> {
    use ScopeKind::{Cpuset, Global, MemoryPolicy};
    let kind = incident.scope.kind.filter(|kind| matches!(kind, Global | Cpuset | MemoryPolicy));
    let request = Request::of(incident);
    // Which blocks are free is not in that file.
    if kind.is_none() || request.order != Some(0) || !victims::all_known(parts) {
        return None;
    }
    let room = |zone: &Zone| {
        matches!(request.standing(zone), Standing::BelowHigh | Standing::AboutHigh | Standing::Enough)
    };
    if incident.zones.iter().any(room) {
        return None;
    }
    let first = parts.victims.iter().filter_map(|victim| victim.killed_ns).min()?;
    let looks = parts.pending.zones.iter().filter(|look| look.zones.iter().any(room));
    looks.map(|look| look.read_ns).min()?.checked_sub(first)
}

/// What the OOM reaper did with the victims, as its tracepoints tell it, or its lines in the log.
fn reaper(parts: &Parts<'_>) -> Vec<Reaped> {
    parts.victims.iter().filter_map(|victim| reaped(parts, victim)).collect()
}

fn reaped(parts: &Parts<'_>, victim: &Marked) -> Option<Reaped> {
    let process = victim.process();
    let logged = &parts.pending.logged;
    let mut done = None;
    let (mut begun_ns, mut ended_ns) = (None, None);
    for record in parts.pending.reaper.iter().filter(|record| record.tid == process.tid) {
        match record.what {
            Reaping::Started => {
                begun_ns = begun_ns.or(Some(record.time_ns));
                done = None;
            }
            Reaping::Finished => {
                ended_ns = Some(record.time_ns);
                done = Some(true);
            }
            Reaping::Skipped => done = done.or(Some(false)),
        }
    }
    if logged.reaped.iter().any(|pid| process.logged_as(*pid)) {
        done = Some(true);
    } else if logged.not_reaped.iter().any(|pid| process.logged_as(*pid)) {
        done = Some(false);
    }
    (done.is_some() || begun_ns.is_some()).then(|| Reaped {
        pid: process.pid(),
        after_ns: begun_ns.zip(victim.killed_ns).and_then(|(begin, kill)| begin.checked_sub(kill)),
        duration_ns: ended_ns.zip(begun_ns).and_then(|(end, begin)| end.checked_sub(begin)),
        done,
    })
}
