//! Tracepoints `vmscan:mm_vmscan_kswapd_{wake,sleep}`: counted.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};

use crate::reclaim;

#[raw_tracepoint(tracepoint = "mm_vmscan_kswapd_wake")]
fn kswapd_wake(_ctx: RawTracePointContext) -> i32 {
    // SAFETY: a field of a map's value.
    reclaim::count(|machine, add| unsafe { add(&raw mut (*machine).kswapd_wakes, 1) });
    0
}

#[raw_tracepoint(tracepoint = "mm_vmscan_kswapd_sleep")]
fn kswapd_sleep(_ctx: RawTracePointContext) -> i32 {
    // SAFETY: a field of a map's value.
    reclaim::count(|machine, add| unsafe { add(&raw mut (*machine).kswapd_sleeps, 1) });
    0
}
