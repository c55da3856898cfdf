//! Tracepoints `compaction:mm_compaction_{begin,end}` (`compact_zone`, mm/compaction.c): summed up, never an event each.
//!
//! What `begin` hands over is not needed. The result is the last argument of `end`: the sixth up to 5.18, the fifth later.

use aya_ebpf::{EbpfContext as _, macros::raw_tracepoint, programs::RawTracePointContext};

use crate::{
    compaction,
    fields::{COMPACT_STATUS_ARG, COMPACT_SUCCESS},
    read::at,
};

#[raw_tracepoint(tracepoint = "mm_compaction_begin")]
fn compaction_begin(_ctx: RawTracePointContext) -> i32 {
    compaction::begin();
    0
}

#[raw_tracepoint(tracepoint = "mm_compaction_end")]
fn compaction_end(ctx: RawTracePointContext) -> i32 {
    // Read by the helper: the verifier follows no pointer into the arguments to which something was added.
    let status: u32 = at(ctx.as_ptr() as u64 + 8 * COMPACT_STATUS_ARG.load());
    compaction::end(u64::from(status) == COMPACT_SUCCESS.load());
    0
}
