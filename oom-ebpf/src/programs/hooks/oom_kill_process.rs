//! `void oom_kill_process(struct oom_control *oc, const char *message)`: the decision. mm/oom_kill.c

use aya_ebpf::{
    macros::{fentry, kprobe},
    programs::{FEntryContext, ProbeContext},
};
use oom_ebpf::Field::{OcChosen, OcChosenPoints, OcConstraint, OcTotalpages};
use oom_ebpf::{Decision, Kind};

use crate::{
    call::{announce, header, inside},
    candidates, levels,
    maps::reserve_event,
    read::{field, string, through},
    task,
    walk::Walk,
    way::OnFunction,
};

#[fentry(function = "oom_kill_process")]
fn enter_oom_kill_process(ctx: FEntryContext) -> i32 {
    decided::<OnFunction>(ctx.arg(0), ctx.arg(1));
    0
}

#[kprobe]
fn k_enter_oom_kill_process(ctx: ProbeContext) -> u32 {
    decided::<OnFunction>(ctx.arg(0).unwrap_or(0), ctx.arg(1).unwrap_or(0));
    0
}

#[inline(always)]
fn decided<W: Walk>(oc: u64, message: u64) {
    let Some(state) = inside() else { return };
    state.chosen = field(oc, OcChosen);
    let mm = through(&mut state.looked_mm, task::mm::<W>(state.chosen));
    announce::<W>(state);
    levels::send::<W>(state);
    // Not at the end of the call: programs at its return may be skipped (`Pending::is_of`).
    candidates::send(state);
    let points = field(oc, OcChosenPoints);
    let total_pages = field(oc, OcTotalpages);
    let constraint = field(oc, OcConstraint);
    let Some(mut entry) = reserve_event::<Decision>() else { return };
    let record = entry.as_mut_ptr();
    // SAFETY: the record is ours; every field is written.
    unsafe {
        (*record).header = header(Kind::Decision, state.call);
        task::fill(state.chosen, mm, &raw mut (*record).chosen);
        (*record).points = points;
        (*record).total_pages = total_pages;
        (*record).constraint = constraint;
        (*record).reserved = 0;
        string(message, &raw mut (*record).message);
    }
    entry.submit(0);
}
