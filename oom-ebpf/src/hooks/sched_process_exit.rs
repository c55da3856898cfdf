//! Tracepoint `sched:sched_process_exit`: the last thread of a victim is going.
//!
//! Up to 6.15 it fires after `exit_mm`, later before it (`do_exit`, kernel/exit.c). `signal->live` was counted
//! down before in both.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use oom_ebpf::{Exit, Kind};

use crate::{
    call::header,
    maps::{VICTIMS, reserve_event},
    task,
};

#[raw_tracepoint(tracepoint = "sched_process_exit")]
fn sched_process_exit(ctx: RawTracePointContext) -> i32 {
    let task: u64 = ctx.arg(0);
    let tgid = task::tgid(task);
    // SAFETY: the value may change under us; it is copied at once.
    let Some(victim) = unsafe { VICTIMS.get(tgid) }.copied() else { return 0 };
    if task::start_ns(task) != victim.start_ns {
        let _ = VICTIMS.remove(tgid);
        return 0;
    }
    if task::live_threads(task) != 0 || VICTIMS.remove(tgid).is_err() {
        return 0;
    }
    let Some(mut entry) = reserve_event::<Exit>() else { return 0 };
    let record = entry.as_mut_ptr();
    // SAFETY: the record is ours; every field is written.
    unsafe {
        (*record).header = header(Kind::Exit, victim.call);
        (*record).pid = tgid;
        (*record).tid = task::tid(task);
        (*record).start_ns = victim.start_ns;
    }
    entry.submit(0);
    0
}
