//! Tracepoints `oom:reclaim_retry_zone` and `oom:compact_retry`: what the page allocator thinks of trying again.
//! mm/page_alloc.c

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use oom_ebpf::Field::{ZoneName, ZoneNode, ZonerefZone};
use oom_ebpf::{RetryZone, ZONE_NAME_LEN};

use crate::{
    read::{field, string},
    reclaim,
};

/// `(struct zoneref *zoneref, int order, unsigned long reclaimable, unsigned long available, unsigned long min_wmark,
/// int no_progress_loops, bool wmark_check)`
#[raw_tracepoint(tracepoint = "reclaim_retry_zone")]
fn reclaim_retry_zone(ctx: RawTracePointContext) -> i32 {
    let zone = field(ctx.arg(0), ZonerefZone);
    let mut seen = RetryZone {
        node: field(zone, ZoneNode),
        no_progress_loops: ctx.arg::<i32>(5) as u32,
        reclaimable_pages: ctx.arg(2),
        available_pages: ctx.arg(3),
        min_watermark_pages: ctx.arg(4),
        enough: u32::from(ctx.arg::<u8>(6) != 0),
        reserved: 0,
        name: [0; ZONE_NAME_LEN],
    };
    // SAFETY: it is here.
    unsafe { string(field(zone, ZoneName), &raw mut seen.name) };
    reclaim::retry_zone(zone, &seen);
    0
}

#[raw_tracepoint(tracepoint = "compact_retry")]
fn compact_retry(_ctx: RawTracePointContext) -> i32 {
    reclaim::compact_retry();
    0
}
