//! `int oom_evaluate_task(struct task_struct *task, void *arg)`: every candidate. mm/oom_kill.c

use aya_ebpf::{
    macros::{fexit, kprobe, kretprobe},
    programs::{FExitContext, ProbeContext, RetProbeContext},
};

use crate::{
    call::under_way,
    candidates::evaluated,
    read::{Probe, Typed, through},
    way::OnFunction,
};

/// With loads: a machine-wide OOM looks at every process, with a lock held.
#[fexit(function = "oom_evaluate_task")]
fn t_leave_oom_evaluate_task(ctx: FExitContext) -> i32 {
    if let Some(state) = under_way() {
        evaluated::<Typed, OnFunction>(state, ctx.arg(0));
    }
    0
}

/// Where the verifier does not know the types of all fields, or wants to see checks for NULL (kernels built by Clang), or where
/// a field is absent: it adds no such offset to a typed argument (`check_reg_sane_offset`, kernel/bpf/verifier.c).
#[fexit(function = "oom_evaluate_task")]
fn leave_oom_evaluate_task(ctx: FExitContext) -> i32 {
    if let Some(state) = under_way() {
        let task = through(&mut state.evaluating, ctx.arg(0));
        evaluated::<Probe, OnFunction>(state, task);
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
        evaluated::<Probe, OnFunction>(state, task);
    }
    0
}
