//! Memory on nodes that the allocation may not use.

use super::request::{Request, Standing, rank};
use super::{Code, Confidence, Verdict, counter};
use crate::incident::machine::Zone;
use crate::incident::model::{Incident, ScopeKind};
use crate::units::bytes;
use std::collections::BTreeMap;

/// The kernel says with its constraint that nodes were excluded (`constrained_alloc`). How much was free on them: older
/// kernels print their zones, all print the machine's sums.
pub(super) fn verdict(incident: &Incident) -> Option<Verdict> {
    let by = match incident.scope.kind? {
        ScopeKind::Cpuset => "A cpuset",
        ScopeKind::MemoryPolicy => "A NUMA policy",
        ScopeKind::Global | ScopeKind::Memcg | ScopeKind::Sysrq => return None,
    };
    let request = Request::of(incident);
    let (free, size, confidence) = printed(incident, &request).or_else(|| not_printed(incident, &request))?;
    let mut because = vec![format!("{} of {} free on other nodes", bytes(free), bytes(size))];
    let kept = incident.scope.kind == Some(ScopeKind::MemoryPolicy) || request.kept_to_its_cpuset();
    if let Some(list) = request.nodes.filter(|list| kept && request.allows(0).is_some() && list.len() <= 40) {
        let word = if list.contains([',', '-']) { "nodes" } else { "node" };
        because.push(format!("the allocation may only use {word} {list}"));
    }
    Some(Verdict {
        code: Code::NodesExcluded,
        confidence,
        title: format!("{by} kept the allocation off nodes with free memory"),
        because,
    })
}

/// Free memory above the high watermarks, and above what is kept there from those who can use higher zones, on nodes that
/// the report shows although the allocation may not use them.
fn printed(incident: &Incident, request: &Request<'_>) -> Option<(u64, u64, Confidence)> {
    let others = incident.zones.iter().filter(|zone| request.allows(zone.node) == Some(false));
    let above = |zone: &&Zone| {
        let kept = zone.lowmem_reserve_pages.last().map(|pages| pages.saturating_mul(request.page_size));
        zone.free_bytes
            .zip(zone.high_bytes)
            .is_some_and(|(free, high)| free > high.saturating_add(kept.unwrap_or(0)))
    };
    let (free, size) = others.filter(above).fold((0_u64, 0_u64), |(free, size), zone| {
        let add = |sum: u64, bytes: Option<u64>| sum.saturating_add(bytes.unwrap_or(0));
        (add(free, zone.free_bytes), add(size, zone.present_bytes))
    });
    (free > 0 && size > 0).then_some((free, size, Confidence::Certain))
}

/// The machine's sums less what the report shows. Their watermarks are taken to be as high as those of the nodes that are
/// shown, as a share of their size.
fn not_printed(incident: &Incident, request: &Request<'_>) -> Option<(u64, u64, Confidence)> {
    let on_allowed = |zone: &Zone| request.standing(zone) != Standing::OutOfReach;
    if incident.zones.is_empty() || !incident.zones.iter().all(on_allowed) {
        return None;
    }
    if !request.takes_any_zone() && !show_all(&incident.zones) {
        return None;
    }
    let sum = |of: fn(&Zone) -> Option<u64>| {
        incident.zones.iter().try_fold(0_u64, |sum, zone| sum.checked_add(of(zone)?))
    };
    let present = sum(|zone| zone.present_bytes)?;
    let free = counter(incident, "free")?.checked_sub(sum(|zone| zone.free_bytes)?)?;
    let size = counter(incident, "ram")?.checked_sub(present).filter(|&size| size > 0)?;
    let high = u128::from(sum(|zone| zone.high_bytes)?) * u128::from(size) / u128::from(present.max(1));
    (u128::from(free) > high).then_some((free, size, Confidence::Likely))
}

/// No zone above those that are shown is hidden on their nodes. From 6.1 on zones that are too high for the allocation are not
/// shown; what a zone keeps from allocations that could use them is a share of their size (`setup_per_zone_lowmem_reserve`).
fn show_all(zones: &[Zone]) -> bool {
    let mut highest: BTreeMap<u32, &Zone> = BTreeMap::new();
    for zone in zones {
        let known = highest.entry(zone.node).or_insert(zone);
        if rank(&known.name) < rank(&zone.name) {
            *known = zone;
        }
    }
    highest.values().all(|zone| zone.lowmem_reserve_pages.last() == Some(&0))
}
