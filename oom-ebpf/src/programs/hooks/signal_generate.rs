//! Tracepoint `signal:signal_generate`: SIGKILL from the OOM path, also to processes that only share a victim's memory.
//!
//! `__oom_kill_process` sends it with `SEND_SIG_PRIV` before it marks the victim, so the victim's exit may even be seen
//! before the mark (from 6.16 on `sched_process_exit` comes before `exit_mm`, which the mark holds up by `task_lock`):
//! it is watched from here on.

use aya_ebpf::{helpers::bpf_get_current_pid_tgid, macros::raw_tracepoint, programs::RawTracePointContext};
use oom_ebpf::HOW_SHARES_MM;

use crate::{
    call::inside,
    cgroup,
    fields::CALLS_SEEN,
    maps::{State, VICTIMS, VictimState, state},
    read::{now, through},
    task,
    victim::{self, Killed},
    walk::Walk,
    way::OnTracepoint,
};

const SIGKILL: i32 = 9;
/// `SEND_SIG_PRIV`, include/linux/sched/signal.h: the kernel itself sends it.
const SEND_SIG_PRIV: u64 = 1;

#[raw_tracepoint(tracepoint = "signal_generate")]
fn signal_generate(ctx: RawTracePointContext) -> i32 {
    sent::<OnTracepoint>(&ctx)
}

#[inline(always)]
fn sent<W: Walk>(ctx: &RawTracePointContext) -> i32 {
    if ctx.arg::<i32>(0) != SIGKILL || ctx.arg::<u64>(1) != SEND_SIG_PRIV {
        return 0;
    }
    let task: u64 = ctx.arg(2);
    if CALLS_SEEN.load() != 0 {
        if let Some(state) = inside() {
            killed::<W>(state, task);
        }
    } else {
        killed::<W>(state(), task);
    }
    0
}

#[inline(always)]
fn killed<W: Walk>(state: &mut State, task: u64) {
    let tgid = task::tgid(task);
    let start_ns = task::start_ns(task);
    let killer = bpf_get_current_pid_tgid();
    let now = now();
    // SAFETY: the value may change under us; a torn one is at worst told twice.
    let known = unsafe { VICTIMS.get(tgid) }
        .is_some_and(|victim| victim.killed_ns(start_ns, killer, state.call) != 0);
    if !known {
        let victim = VictimState { start_ns, killed_ns: now, killer, call: state.call, exited: 0 };
        // An LRU map makes room.
        let _ = VICTIMS.insert(tgid, victim, 0);
    }
    state.signalled = task;
    if state.owner != killer {
        return;
    }
    let css = cgroup::memory_css(task);
    let mm = through(&mut state.looked_mm, task::mm::<W>(task));
    // The first mark of a kill comes after its signal, those who share the memory are signalled after the mark.
    if known || state.marked_mm == 0 || u64::from(tgid) == state.marked_tgid || mm != state.marked_mm {
        return;
    }
    victim::tell::<W>(state.call, Killed { how: HOW_SHARES_MM, ns: now }, task, 0, state.marked_mm, css);
}
