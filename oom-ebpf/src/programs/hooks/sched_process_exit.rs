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
    let Some(victim) = VICTIMS.get_ptr_mut(tgid) else { return 0 };
    // SAFETY: a map value; two threads that are last at the same time may both tell, which the agent takes for one.
    let victim = unsafe { &mut *victim };
    if task::start_ns(task) != victim.start_ns || task::live_threads(task) != 0 || victim.exited != 0 {
        return 0;
    }
    victim.exited = 1;
    let Some(mut entry) = reserve_event::<Exit>() else { return 0 };
    let record = entry.as_mut_ptr();
    // SAFETY: the record is ours; every field is written.
    unsafe {
        (*record).header = header(Kind::Exit, victim.call);
        (*record).pid = tgid;
        (*record).reserved = 0;
        (*record).start_ns = victim.start_ns;
    }
    entry.submit(0);
    0
}
