//! Tracepoints `compaction:mm_compaction_{begin,end}` (`compact_zone`, mm/compaction.c): summed up, never an event each.
//!
//! What `begin` hands over is not needed. The result is the last argument of `end`: the sixth up to 5.18, the fifth later.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};

use crate::{
    compaction,
    fields::{COMPACT_STATUS_ARG, COMPACT_SUCCESS},
};

#[raw_tracepoint(tracepoint = "mm_compaction_begin")]
fn compaction_begin(_ctx: RawTracePointContext) -> i32 {
    compaction::begin();
    0
}

#[raw_tracepoint(tracepoint = "mm_compaction_end")]
fn compaction_end(ctx: RawTracePointContext) -> i32 {
    let status = if COMPACT_STATUS_ARG.load() == 5 { ctx.arg::<i32>(5) } else { ctx.arg::<i32>(4) };
    compaction::end(status as u32 == COMPACT_SUCCESS.load());
    0
}
