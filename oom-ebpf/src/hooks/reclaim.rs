//! Tracepoints `vmscan:mm_vmscan_{direct,memcg}_reclaim_{begin,end}`: summed up here by thread, never an event each.
//!
//! Their arguments moved in 7.1; the only one needed, `nr_reclaimed`, is the first of `end` on all.

use aya_ebpf::{helpers::bpf_get_current_pid_tgid, macros::raw_tracepoint, programs::RawTracePointContext};
use oom_ebpf::Reclaim;

use crate::{
    maps::{RECLAIM, ReclaimState},
    read::now,
};

/// A longer pause begins a new series.
const SERIES_NS: u64 = 10_000_000_000;

#[raw_tracepoint(tracepoint = "mm_vmscan_direct_reclaim_begin")]
fn direct_reclaim_begin(_ctx: RawTracePointContext) -> i32 {
    begin();
    0
}

#[raw_tracepoint(tracepoint = "mm_vmscan_memcg_reclaim_begin")]
fn memcg_reclaim_begin(_ctx: RawTracePointContext) -> i32 {
    begin();
    0
}

#[raw_tracepoint(tracepoint = "mm_vmscan_direct_reclaim_end")]
fn direct_reclaim_end(ctx: RawTracePointContext) -> i32 {
    end(ctx.arg(0));
    0
}

#[raw_tracepoint(tracepoint = "mm_vmscan_memcg_reclaim_end")]
fn memcg_reclaim_end(ctx: RawTracePointContext) -> i32 {
    end(ctx.arg(0));
    0
}

#[inline(always)]
fn begin() {
    let tid = bpf_get_current_pid_tgid() as u32;
    let now = now();
    if let Some(reclaim) = RECLAIM.get_ptr_mut(tid) {
        // SAFETY: only the thread itself writes its entry, and it does not reclaim twice at once.
        let reclaim = unsafe { &mut *reclaim };
        if now.saturating_sub(reclaim.end_ns) > SERIES_NS {
            reclaim.total = Reclaim { rounds: 0, ns: 0, reclaimed_pages: 0, first_ns: now };
        }
        reclaim.begin_ns = now;
        return;
    }
    let first = ReclaimState {
        begin_ns: now,
        end_ns: now,
        total: Reclaim { rounds: 0, ns: 0, reclaimed_pages: 0, first_ns: now },
    };
    // An LRU map makes room.
    let _ = RECLAIM.insert(tid, first, 0);
}

#[inline(always)]
fn end(reclaimed_pages: u64) {
    let Some(reclaim) = RECLAIM.get_ptr_mut(bpf_get_current_pid_tgid() as u32) else { return };
    // SAFETY: as in `begin`.
    let reclaim = unsafe { &mut *reclaim };
    if reclaim.begin_ns == 0 {
        return;
    }
    let now = now();
    reclaim.total.rounds += 1;
    reclaim.total.ns += now.saturating_sub(reclaim.begin_ns);
    reclaim.total.reclaimed_pages += reclaimed_pages;
    reclaim.begin_ns = 0;
    reclaim.end_ns = now;
}
