//! `int oom_evaluate_task(struct task_struct *task, void *arg)`: every candidate. mm/oom_kill.c

use aya_ebpf::{
    bindings::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    macros::{fexit, kprobe, kretprobe},
    programs::{FExitContext, ProbeContext, RetProbeContext},
};
use oom_ebpf::{Candidate, CgroupName, Header, Kind};

use crate::{
    call::{header, under_way},
    cgroup,
    maps::{NAMES, State, reserve_bulk},
    read::{Probe, Reader, Typed},
    task,
};

/// The agent is woken once for so many records of the bulk ring, counted over all calls: they may outrun the ring before
/// a call ends, and most calls end without a word.
const WAKE_EVERY: u64 = 256;

/// With loads: a machine-wide OOM looks at every process, with a lock held.
#[fexit(function = "oom_evaluate_task")]
fn t_leave_oom_evaluate_task(ctx: FExitContext) -> i32 {
    if let Some(state) = under_way() {
        evaluated::<Typed>(state, ctx.arg(0));
    }
    0
}

/// Where the verifier does not know the types of all fields, or wants to see checks for NULL (kernels built by Clang).
#[fexit(function = "oom_evaluate_task")]
fn leave_oom_evaluate_task(ctx: FExitContext) -> i32 {
    if let Some(state) = under_way() {
        evaluated::<Probe>(state, ctx.arg(0));
    }
    0
}

#[kprobe]
fn k_enter_oom_evaluate_task(ctx: ProbeContext) -> u32 {
    if let Some(state) = under_way() {
        state.evaluating = ctx.arg(0).unwrap_or(0);
    }
    0
}

#[kretprobe]
fn k_leave_oom_evaluate_task(_ctx: RetProbeContext) -> u32 {
    if let Some(state) = under_way() {
        let task = state.evaluating;
        evaluated::<Probe>(state, task);
    }
    0
}

#[inline(always)]
fn evaluated<R: Reader>(state: &mut State, task: u64) {
    state.evaluated += 1;
    let css = cgroup::memory_css_by::<R>(task);
    let cgroup_id = cgroup::id_by::<R>(css);
    name(state, css, cgroup_id);
    let Some(mut entry) = reserve_bulk::<Candidate>() else {
        state.candidates_lost += 1;
        return;
    };
    let record = entry.as_mut_ptr();
    // SAFETY: the record is ours; every field is written.
    unsafe {
        // Thousands of them: none asks for the time.
        (*record).header =
            Header { kind: Kind::Candidate as u32, reserved: 0, call: state.call, time_ns: state.begin_ns };
        task::fill_by::<R>(task, cgroup_id, &raw mut (*record).task);
        (*record).has_points = u32::from(state.scored == task);
        (*record).points = state.points;
        (*record).reserved = 0;
    }
    state.scored = 0;
    entry.submit(wake(state));
}

/// How to submit one more record to the bulk ring.
#[inline(always)]
fn wake(state: &mut State) -> u64 {
    state.bulk += 1;
    u64::from(if state.bulk % WAKE_EVERY == 0 { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP })
}

/// Sends the path of a memory cgroup, once a call.
#[inline(always)]
fn name(state: &mut State, css: u64, id: u64) {
    // Most follow another one of their cgroup.
    if id == 0 || id == state.named {
        return;
    }
    state.named = id;
    // SAFETY: the value may change under us, it is one word.
    if unsafe { NAMES.get(id) }.is_some_and(|call| *call == state.call) {
        return;
    }
    let Some(mut entry) = reserve_bulk::<CgroupName>() else {
        // The next one may have room.
        state.named = 0;
        state.names_lost += 1;
        return;
    };
    let record = entry.as_mut_ptr();
    // SAFETY: the record is ours; every field is written.
    unsafe {
        (*record).header = header(Kind::CgroupName, state.call);
        (*record).id = id;
        cgroup::path(css, &raw mut (*record).path);
    }
    entry.submit(wake(state));
    // Fails only for a full map, and an LRU map makes room: then the name is sent again.
    let _ = NAMES.insert(id, state.call, 0);
}
