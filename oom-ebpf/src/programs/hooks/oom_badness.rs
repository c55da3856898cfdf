//! `long oom_badness(struct task_struct *p, unsigned long totalpages)`: the kernel's own points. mm/oom_kill.c
//!
//! Readers of `/proc/PID/oom_score` call it too, so it counts only inside a call. 5.10 inlines it into
//! `oom_evaluate_task`: then it attaches and never fires.

use aya_ebpf::{
    macros::{fexit, kprobe, kretprobe},
    programs::{FExitContext, ProbeContext, RetProbeContext},
};

use crate::call::inside;

#[fexit(function = "oom_badness")]
fn leave_oom_badness(ctx: FExitContext) -> i32 {
    if let Some(state) = inside() {
        state.scored = ctx.arg(0);
        state.points = ctx.arg(2);
    }
    0
}

#[kprobe]
fn k_enter_oom_badness(ctx: ProbeContext) -> u32 {
    if let Some(state) = inside() {
        state.scoring = ctx.arg(0).unwrap_or(0);
    }
    0
}

#[kretprobe]
fn k_leave_oom_badness(ctx: RetProbeContext) -> u32 {
    if let Some(state) = inside() {
        state.scored = state.scoring;
        state.points = ctx.ret();
    }
    0
}
