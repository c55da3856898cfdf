//! Tracepoints `oom:{start,finish,skip}_task_reaping`: the OOM reaper comes for a victim that takes long to exit
//! (`oom_reap_task`, mm/oom_kill.c; `OOM_REAPER_DELAY` is 2 s). It reaps nobody but victims, so all of it is told.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use oom_ebpf::{Kind, REAPER_FINISHED, REAPER_SKIPPED, REAPER_STARTED, Reaper};

use crate::{call::header, maps::reserve_event};

#[raw_tracepoint(tracepoint = "start_task_reaping")]
fn start_task_reaping(ctx: RawTracePointContext) -> i32 {
    tell(ctx.arg::<i32>(0) as u32, REAPER_STARTED);
    0
}

#[raw_tracepoint(tracepoint = "finish_task_reaping")]
fn finish_task_reaping(ctx: RawTracePointContext) -> i32 {
    tell(ctx.arg::<i32>(0) as u32, REAPER_FINISHED);
    0
}

#[raw_tracepoint(tracepoint = "skip_task_reaping")]
fn skip_task_reaping(ctx: RawTracePointContext) -> i32 {
    tell(ctx.arg::<i32>(0) as u32, REAPER_SKIPPED);
    0
}

#[inline(always)]
fn tell(tid: u32, what: u32) {
    let Some(mut entry) = reserve_event::<Reaper>() else { return };
    let record = entry.as_mut_ptr();
    // SAFETY: the record is ours; every field is written.
    unsafe {
        (*record).header = header(Kind::Reaper, 0);
        (*record).tid = tid;
        (*record).what = what;
    }
    entry.submit(0);
}
