//! `totalpages` (`constrained_alloc`): from BPF, or from what the kernel's report prints.

use super::{Parts, invocation, scope};
use crate::incident::badness;
use crate::incident::model::ScopeKind;
use crate::report::{Machine, Report};
use std::collections::BTreeMap;

pub(super) fn total_pages(parts: &Parts<'_>, kind: Option<ScopeKind>) -> Option<u64> {
    let decision = parts.pending.decision.as_ref().map(|decision| decision.total_pages);
    let told = decision.filter(|&pages| pages > 0).or_else(|| parts.pending.end?.total_pages);
    told.or_else(|| logged(parts, kind?))
}

pub(super) fn logged(parts: &Parts<'_>, kind: ScopeKind) -> Option<u64> {
    let report = parts.report()?;
    let page_size = parts.page_size();
    match kind {
        ScopeKind::Memcg => {
            badness::memcg_total_bytes(&scope::reported_limits(report), parts.config.total_swap_bytes)
                .map(|bytes| bytes / page_size)
        }
        ScopeKind::Global | ScopeKind::Sysrq => {
            // totalram_pages() + total_swap_pages
            let Machine { ram_bytes, reserved_bytes, swap_total_bytes, .. } = report.machine;
            let ram = ram_bytes?.checked_sub(reserved_bytes?)?;
            Some(ram.checked_add(swap_total_bytes?)? / page_size)
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

/// The sum of `node_present_pages` over these nodes, and swap. The report leaves out zones that the allocation cannot
/// use, so it tells all of them only for one that can use any.
fn nodes_present(parts: &Parts<'_>, report: &Report, nodes: &str) -> Option<u64> {
    let any_zone = |flag: &String| flag == "GFP_HIGHUSER_MOVABLE" || flag == "__GFP_MOVABLE";
    if report.lost_lines > 0 || !invocation(&parts.pending.logged)?.gfp_flags.iter().any(any_zone) {
        return None;
    }
    let page_size = parts.page_size();
    let mut present: BTreeMap<u64, u64> = BTreeMap::new();
    for line in report.text.lines() {
        let Some(rest) = line.trim().strip_prefix("Node ") else { continue };
        let Some((id, zone)) = rest.split_once(' ') else { continue };
        let size = zone.split(' ').find_map(|word| word.strip_prefix("present:")?.strip_suffix("kB"));
        let (Ok(id), Some(Ok(kb))) = (id.parse(), size.map(str::parse::<u64>)) else { continue };
        let sum = present.entry(id).or_default();
        *sum = sum.checked_add(kb.checked_mul(1024)? / page_size)?;
    }
    let mut pages = report.machine.swap_total_bytes? / page_size;
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

    #[test]
    fn node_masks() {
        assert_eq!(node_list("0"), Some(vec![0]));
        assert_eq!(node_list("0-2,5,1"), Some(vec![0, 1, 2, 5]));
        for bad in ["", "(null)", "3-1", "0-99999999", "1,"] {
            assert_eq!(node_list(bad), None, "{bad}");
        }
    }
}
