//! Tracepoint `oom:mark_victim`: every process that is marked as victim, members of a group kill too.
//!
//! Its argument is `int pid` on older kernels and `struct task_struct *task, uid_t uid` on newer ones, backported
//! to some: the loader asks BTF. It carries the thread that has the memory.

use aya_ebpf::{helpers::bpf_get_current_pid_tgid, macros::raw_tracepoint, programs::RawTracePointContext};
use aya_log_ebpf::info;
use oom_ebpf::HOW_MARKED;

use crate::{
    call::{announce, inside_or_begin},
    cgroup,
    fields::{CALLS_SEEN, MARK_HAS_TASK},
    hooks::exit_mmap,
    maps::{State, VICTIMS, VictimState, state},
    read::{current, through},
    task,
    victim::{self, Killed},
    walk::Walk,
    way::OnTracepoint,
};

#[raw_tracepoint(tracepoint = "mark_victim")]
fn mark_victim(ctx: RawTracePointContext) -> i32 {
    mark::<OnTracepoint>(&ctx)
}

/// What cannot be seen otherwise, to the log ring. For `--bpf-log` alone: the macro is a sixth of what it would stand in, and 7.3
/// follows every register through it even where it is never run (`compute_subprog_args`).
#[raw_tracepoint(tracepoint = "mark_victim")]
fn log_mark_victim(ctx: RawTracePointContext) -> i32 {
    let state = state();
    let tid = ctx.arg::<i32>(0) as u32;
    if MARK_HAS_TASK.load() == 0 && task_by_tid(state, tid) == 0 {
        info!(&ctx, "mark_victim: no task known for thread {}", tid);
    }
    0
}

#[inline(always)]
fn mark<W: Walk>(ctx: &RawTracePointContext) -> i32 {
    let state = state();
    let (task, tid) = if MARK_HAS_TASK.load() != 0 {
        (ctx.arg(0), 0)
    } else {
        let tid = ctx.arg::<i32>(0) as u32;
        (task_by_tid(state, tid), tid)
    };
    let task = through(&mut state.marked_task, task);
    if inside_or_begin::<W>(state, task) {
        marked::<W>(state, task, tid);
    }
    0
}

/// The task for a thread id: it was sent SIGKILL just before, or it was dying and is the chosen one or the trigger itself.
#[inline(always)]
fn task_by_tid(state: &State, tid: u32) -> u64 {
    if task::tid(state.signalled) == tid {
        state.signalled
    } else if task::tid(state.chosen) == tid {
        state.chosen
    } else if task::tid(current()) == tid {
        current()
    } else {
        0
    }
}

#[inline(always)]
fn marked<W: Walk>(state: &mut State, task: u64, tid: u32) {
    announce::<W>(state);
    let tgid = task::tgid(task);
    let start_ns = task::start_ns(task);
    // It has one, which stays (`mark_oom_victim`).
    let mm = task::own_mm(task);
    state.marked_mm = mm;
    state.marked_tgid = u64::from(tgid);
    if CALLS_SEEN.load() != 0 {
        exit_mmap::watch(state, mm, tgid, start_ns);
    }
    let killer = bpf_get_current_pid_tgid();
    // SAFETY: the value may change under us; its parts were written before this task came here.
    let killed_ns =
        unsafe { VICTIMS.get(tgid) }.map_or(0, |victim| victim.killed_ns(start_ns, killer, state.call));
    let killed_ns = through(&mut state.marked_killed_ns, killed_ns);
    if task != 0 && killed_ns == 0 {
        // It was dying anyway: its exit is wanted all the same. An LRU map makes room.
        let _ = VICTIMS.insert(
            tgid,
            VictimState { start_ns, killed_ns: 0, killer: 0, call: state.call, exited: 0 },
            0,
        );
    }
    let css = cgroup::memory_css(task);
    victim::tell::<W>(state.call, Killed { how: HOW_MARKED, ns: killed_ns }, task, tid, mm, css);
}
