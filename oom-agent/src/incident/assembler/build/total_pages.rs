//! `totalpages` (`constrained_alloc`): from BPF, or from what the kernel's report prints.

use super::{Parts, invocation};
use crate::incident::model::{Limits, ScopeKind};
use crate::report::Report;
use std::collections::BTreeMap;

/// Limits from here on mean "no limit" (`PAGE_COUNTER_MAX`, in bytes and rounded to kB).
const NO_LIMIT_BYTES: u64 = 1 << 62;

pub(super) fn total_pages(parts: &Parts<'_>, kind: Option<ScopeKind>) -> Option<u64> {
    let decision = parts.pending.decision.as_ref().map(|decision| decision.total_pages);
    let told = decision.filter(|&pages| pages > 0).or_else(|| parts.pending.end?.total_pages);
    told.or_else(|| logged(parts, kind?))
}

fn logged(parts: &Parts<'_>, kind: ScopeKind) -> Option<u64> {
    let report = parts.report()?;
    let page_size = parts.config.page_size.max(1);
    match kind {
        ScopeKind::Memcg => {
            memcg(&report.limits, parts.config.total_swap_bytes).map(|bytes| bytes / page_size)
        }
        ScopeKind::Global | ScopeKind::Sysrq => {
            // totalram_pages() + total_swap_pages
            let present = number(report, "", " pages RAM")?;
            let reserved = number(report, "", " pages reserved")?;
            present.checked_sub(reserved)?.checked_add(swap_pages(report, page_size)?)
        }
        ScopeKind::Cpuset => {
            let nodes = report.kill.as_ref()?.mems_allowed.as_deref()?;
            nodes_present(parts, report, nodes)
        }
        ScopeKind::MemoryPolicy => {
            let nodes = report.kill.as_ref()?.nodemask.as_deref()?;
            nodes_present(parts, report, nodes)
        }
    }
}

/// `mem_cgroup_get_max`: `memory.max`, and the smaller of `memory.swap.max` and the machine's swap (as long as
/// swappiness is not 0, which the report does not tell).
fn memcg(limits: &Limits, total_swap_bytes: Option<u64>) -> Option<u64> {
    let memory = limits.memory_bytes.filter(|&bytes| bytes < NO_LIMIT_BYTES)?;
    let swap = match (limits.swap_bytes, total_swap_bytes) {
        (Some(0), _) | (_, Some(0)) => 0,
        (Some(limit), Some(total)) => limit.min(total),
        // What is used is there.
        (Some(limit), None) => limits.swap_usage_bytes.filter(|&used| used >= limit).map(|_| limit)?,
        (None, _) => return None,
    };
    memory.checked_add(swap)
}

fn swap_pages(report: &Report, page_size: u64) -> Option<u64> {
    number(report, "Total swap = ", "kB")?.checked_mul(1024).map(|bytes| bytes / page_size)
}

/// The number on a line of its own that the kernel prints with these words. No process can forge such a line: names
/// stand between other words.
fn number(report: &Report, before: &str, after: &str) -> Option<u64> {
    let number = |line: &str| line.trim().strip_prefix(before)?.strip_suffix(after)?.parse().ok();
    report.text.lines().find_map(number)
}

/// The sum of `node_present_pages` over these nodes, and swap. The report leaves out zones that the allocation cannot
/// use, so it tells all of them only for one that can use any.
fn nodes_present(parts: &Parts<'_>, report: &Report, nodes: &str) -> Option<u64> {
    let any_zone = |flag: &String| flag == "GFP_HIGHUSER_MOVABLE" || flag == "__GFP_MOVABLE";
    if report.lost_lines > 0 || !invocation(&parts.pending.logged)?.gfp_flags.iter().any(any_zone) {
        return None;
    }
    let page_size = parts.config.page_size.max(1);
    let mut present: BTreeMap<u64, u64> = BTreeMap::new();
    for line in report.text.lines() {
        let Some(rest) = line.trim().strip_prefix("Node ") else { continue };
        let Some((id, zone)) = rest.split_once(' ') else { continue };
        let size = zone.split(' ').find_map(|word| word.strip_prefix("present:")?.strip_suffix("kB"));
        let (Ok(id), Some(Ok(kb))) = (id.parse(), size.map(str::parse::<u64>)) else { continue };
        let sum = present.entry(id).or_default();
        *sum = sum.checked_add(kb.checked_mul(1024)? / page_size)?;
    }
    let mut pages = swap_pages(report, page_size)?;
    for id in node_list(nodes)? {
        pages = pages.checked_add(*present.get(&id)?)?;
    }
    Some(pages)
}

/// A node mask as the kernel prints it: `0-1,3`.
fn node_list(mask: &str) -> Option<Vec<u64>> {
    /// `MAX_NUMNODES` of the largest configurations.
    const MAX_NODES: u64 = 1024;
    let mut nodes = Vec::new();
    for part in mask.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last >= MAX_NODES {
            return None;
        }
        nodes.extend(first..=last);
    }
    nodes.sort_unstable();
    nodes.dedup();
    Some(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn limits(memory: u64, swap: Option<u64>, used: u64) -> Limits {
        Limits {
            memory_bytes: Some(memory),
            swap_bytes: swap,
            swap_usage_bytes: Some(used),
            ..Limits::default()
        }
    }

    #[test]
    fn a_memory_cgroup_counts_the_swap_that_it_can_use() {
        assert_eq!(memcg(&limits(GIB, Some(0), 0), None), Some(GIB));
        assert_eq!(memcg(&limits(GIB, Some(GIB), 0), Some(0)), Some(GIB), "no swap on this machine");
        assert_eq!(memcg(&limits(GIB, Some(GIB), 0), Some(4 * GIB)), Some(2 * GIB));
        assert_eq!(memcg(&limits(GIB, Some(u64::MAX), 0), Some(4 * GIB)), Some(5 * GIB));
        assert_eq!(
            memcg(&limits(GIB, Some(GIB), GIB), None),
            Some(2 * GIB),
            "all of it is in use, so it is there"
        );
        assert_eq!(memcg(&limits(GIB, Some(GIB), GIB - 1), None), None, "swap may be smaller than the limit");
        assert_eq!(
            memcg(&limits(GIB, None, 0), Some(GIB)),
            None,
            "cgroup v1 may limit memory and swap together"
        );
        assert_eq!(memcg(&limits(GIB, None, 0), Some(0)), Some(GIB));
        assert_eq!(memcg(&limits(u64::MAX, Some(0), 0), Some(0)), None);
    }

    #[test]
    fn node_masks() {
        assert_eq!(node_list("0"), Some(vec![0]));
        assert_eq!(node_list("0-2,5,1"), Some(vec![0, 1, 2, 5]));
        for bad in ["", "(null)", "3-1", "0-99999999", "1,"] {
            assert_eq!(node_list(bad), None, "{bad}");
        }
    }
}
