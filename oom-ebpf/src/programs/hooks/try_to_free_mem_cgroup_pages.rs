//! `unsigned long try_to_free_mem_cgroup_pages(struct mem_cgroup *memcg, ...)`: which cgroup a round is for. Up to 7.0
//! the tracepoints do not say. mm/vmscan.c

use aya_ebpf::{
    macros::{fentry, kprobe},
    programs::{FEntryContext, ProbeContext},
};

use crate::reclaim;

#[fentry(function = "try_to_free_mem_cgroup_pages")]
fn enter_try_to_free_mem_cgroup_pages(ctx: FEntryContext) -> i32 {
    reclaim::for_cgroup(ctx.arg(0));
    0
}

#[kprobe]
fn k_enter_try_to_free_mem_cgroup_pages(ctx: ProbeContext) -> u32 {
    reclaim::for_cgroup(ctx.arg(0).unwrap_or(0));
    0
}
