//! Tracepoints `vmscan:mm_vmscan_{direct,memcg}_reclaim_{begin,end}`, `mm_vmscan_lru_shrink_inactive` and
//! `mm_vmscan_throttled`: summed up here, never an event each.
//!
//! The arguments of the first four moved in 7.1; the only one needed, `nr_reclaimed`, is the first of `end` on all.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use oom_ebpf::Field::TaskFlags;

use crate::{
    read::{current, field},
    reclaim::{self, Round},
};

/// `PF_KSWAPD`, include/linux/sched.h: the same from 4.17 to 7.3.
const PF_KSWAPD: u32 = 0x0002_0000;

#[raw_tracepoint(tracepoint = "mm_vmscan_direct_reclaim_begin")]
fn direct_reclaim_begin(_ctx: RawTracePointContext) -> i32 {
    reclaim::begin(Round::Direct);
    0
}

#[raw_tracepoint(tracepoint = "mm_vmscan_memcg_reclaim_begin")]
fn memcg_reclaim_begin(_ctx: RawTracePointContext) -> i32 {
    reclaim::begin(Round::Memcg);
    0
}

#[raw_tracepoint(tracepoint = "mm_vmscan_direct_reclaim_end")]
fn direct_reclaim_end(ctx: RawTracePointContext) -> i32 {
    reclaim::end(ctx.arg(0));
    0
}

#[raw_tracepoint(tracepoint = "mm_vmscan_memcg_reclaim_end")]
fn memcg_reclaim_end(ctx: RawTracePointContext) -> i32 {
    reclaim::end(ctx.arg(0));
    0
}

/// `(int nid, unsigned long nr_scanned, unsigned long nr_reclaimed, ...)`
#[raw_tracepoint(tracepoint = "mm_vmscan_lru_shrink_inactive")]
fn lru_shrink_inactive(ctx: RawTracePointContext) -> i32 {
    let pages: u64 = ctx.arg(1);
    if !reclaim::scanned(pages) && field::<u32>(current(), TaskFlags) & PF_KSWAPD != 0 {
        let reclaimed: u64 = ctx.arg(2);
        // SAFETY: fields of a map's value.
        reclaim::count(|machine, add| unsafe {
            add(&raw mut (*machine).kswapd_scanned_pages, pages);
            add(&raw mut (*machine).kswapd_reclaimed_pages, reclaimed);
        });
    }
    0
}

/// `(int nid, int usec_timeout, int usec_delayed, int reason)`, from 5.16 on.
#[raw_tracepoint(tracepoint = "mm_vmscan_throttled")]
fn throttled(ctx: RawTracePointContext) -> i32 {
    let delayed_us = ctx.arg::<i32>(2) as u32;
    // SAFETY: fields of a map's value.
    reclaim::count(|machine, add| unsafe {
        add(&raw mut (*machine).throttled, 1);
        add(&raw mut (*machine).throttled_ns, u64::from(delayed_us) * 1000);
    });
    0
}
