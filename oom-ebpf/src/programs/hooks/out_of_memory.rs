//! `bool out_of_memory(struct oom_control *oc)`: begin and end of a call. mm/oom_kill.c

use aya_ebpf::{
    macros::{fentry, fexit, kprobe, kretprobe},
    programs::{FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};

use crate::{call, way::OnFunction};

#[fentry(function = "out_of_memory")]
fn enter_out_of_memory(ctx: FEntryContext) -> i32 {
    call::enter(ctx.arg(0));
    0
}

#[fexit(function = "out_of_memory")]
fn leave_out_of_memory(ctx: FExitContext) -> i32 {
    // The return value follows the arguments; a bool fills only its lowest byte.
    call::leave::<OnFunction>(u32::from(ctx.arg::<u8>(1)));
    0
}

#[kprobe]
fn k_enter_out_of_memory(ctx: ProbeContext) -> u32 {
    call::enter(ctx.arg(0).unwrap_or(0));
    0
}

#[kretprobe]
fn k_leave_out_of_memory(ctx: RetProbeContext) -> u32 {
    call::leave::<OnFunction>(u32::from(ctx.ret::<u8>()));
    0
}
