//! The kernel's arithmetic of who is killed (`mm/oom_kill.c`: `oom_badness`, `oom_evaluate_task`), the same since 5.9. Before,
//! the least was one point; up to 4.16 root's processes had 3 % less.
//!
//! Points are pages: resident pages, swap entries and page tables, plus `oom_score_adj` thousandths of
//! `totalpages`. Integer division comes first, as in the kernel: below 1,000 pages in total the adj has no weight.

use super::fact::Task;
use super::model::{ExemptReason, Limits, Memory};

/// Bytes of a page where nothing else is known.
pub const PAGE_SIZE: u64 = 4096;
/// `OOM_SCORE_ADJ_MIN`: exempts a process.
pub const OOM_SCORE_ADJ_MIN: i32 = -1000;
/// `OOM_SCORE_ADJ_MAX`.
pub const OOM_SCORE_ADJ_MAX: i32 = 1000;

/// What one step of `oom_score_adj` weighs, in pages.
fn adj_unit(total_pages: u64) -> i64 {
    i64::try_from(total_pages / 1000).unwrap_or(i64::MAX)
}

/// Resident bytes: the parts where all of them are known, else the sum where only that is.
pub fn rss_bytes(memory: &Memory) -> Option<u64> {
    match (memory.anon_bytes, memory.file_bytes, memory.shmem_bytes) {
        (Some(anon), Some(file), Some(shmem)) => anon.checked_add(file)?.checked_add(shmem),
        _ => memory.rss_bytes,
    }
}

/// The part of the points that a process holds, in pages. `None` if one of the counters is unknown.
pub fn held_pages(memory: &Memory, page_size: u64) -> Option<i64> {
    let page_size = page_size.max(1);
    let pages = (rss_bytes(memory)? / page_size)
        .checked_add(memory.swap_bytes? / page_size)?
        .checked_add(memory.pgtables_bytes? / page_size)?;
    i64::try_from(pages).ok()
}

/// Points as `oom_badness` counts them. `None` if a counter is unknown, or `total_pages` is and matters.
pub fn points(memory: &Memory, oom_score_adj: i32, total_pages: Option<u64>, page_size: u64) -> Option<i64> {
    let held = held_pages(memory, page_size)?;
    if oom_score_adj == 0 {
        return Some(held);
    }
    Some(held.saturating_add(i64::from(oom_score_adj).saturating_mul(adj_unit(total_pages?))))
}

/// The memory that a cgroup's points are a share of, in bytes: `memory.max`, and the smaller of `memory.swap.max` and the
/// machine's swap (`mem_cgroup_get_max`), as long as swappiness is not 0, which the report does not tell.
///
/// With cgroup v1 the swap's limit is what that of memory and swap together leaves (up to 4.x `mem_cgroup_get_limit`: the
/// smaller of memory's limit with all swap and that of both, which is the same).
pub fn memcg_total_bytes(limits: &Limits, total_swap_bytes: Option<u64>) -> Option<u64> {
    let Limits { memory_bytes, usage_bytes, memsw_bytes, memsw_usage_bytes, .. } = *limits;
    let memory = memory_bytes?;
    let v1_limit = memsw_bytes.map(|both| both.saturating_sub(memory));
    let v1_used = memsw_usage_bytes.zip(usage_bytes).map(|(both, memory)| both.saturating_sub(memory));
    let swap_limit = limits.swap_bytes.or(v1_limit);
    let swap_used = limits.swap_usage_bytes.or(v1_used);
    let swap = match (swap_limit, swap_used, total_swap_bytes) {
        (Some(0), _, _) | (_, _, Some(0)) => 0,
        (Some(limit), _, Some(total)) => limit.min(total),
        // What is used is there.
        (Some(limit), Some(used), None) if used >= limit => limit,
        // No limit, where a usage is printed.
        (None, Some(_), Some(total)) => total,
        (Some(_), _, None) | (None, _, _) => return None,
    };
    memory.checked_add(swap)
}

/// Why the kernel passes over this process, in the order in which it asks. `None`: nothing that was seen exempts it.
pub fn exempt_reason(task: &Task) -> Option<ExemptReason> {
    if task.init {
        Some(ExemptReason::Init)
    } else if task.kernel_thread {
        Some(ExemptReason::KernelThread)
    } else if task.has_mm == Some(false) {
        Some(ExemptReason::NoMm)
    } else if task.oom_score_adj == Some(OOM_SCORE_ADJ_MIN) {
        Some(ExemptReason::AdjMin)
    } else if task.oom_skip == Some(true) {
        Some(ExemptReason::AlreadyReaped)
    } else if task.vfork == Some(true) {
        Some(ExemptReason::Vfork)
    } else {
        None
    }
}

/// The highest `oom_score_adj` with which the chosen process would have had fewer points than the runner-up, so
/// that the runner-up would have been killed instead.
///
/// With equal points the kernel takes the one scanned last; to be sure, fewer are asked for. -1000 always exempts and
/// is the answer where nothing above it is enough.
pub fn adj_to_spare(points: i64, oom_score_adj: i32, runner_up_points: i64, total_pages: u64) -> i32 {
    let unit = i128::from(adj_unit(total_pages));
    if unit == 0 {
        return OOM_SCORE_ADJ_MIN;
    }
    let held = i128::from(points) - i128::from(oom_score_adj) * unit;
    let highest = (i128::from(runner_up_points) - 1 - held).div_euclid(unit);
    let highest = highest.clamp(i128::from(OOM_SCORE_ADJ_MIN), i128::from(OOM_SCORE_ADJ_MAX));
    i32::try_from(highest).unwrap_or(OOM_SCORE_ADJ_MIN)
}

#[cfg(test)]
mod tests;
