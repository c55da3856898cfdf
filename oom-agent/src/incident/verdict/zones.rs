//! The zones that the allocation may use: too little free memory, or none in one piece.

use super::request::{Request, Standing};
use super::{Code, Confidence, Verdict, counter, page_size};
use crate::incident::machine::Zone;
use crate::incident::model::{Incident, ScopeKind};
use crate::units::{bytes, count, maybe_bytes};

/// What is said about single zones begins so.
pub(super) const ZONE: &str = "zone";
/// So many zones are named, the others counted.
const NAMED: usize = 4;

pub(super) fn verdict(incident: &Incident) -> Option<Verdict> {
    let request = Request::of(incident);
    let order = request.order?;
    let standings: Vec<(&Zone, Standing)> = incident
        .zones
        .iter()
        .map(|zone| (zone, request.standing(zone)))
        .filter(|(_, standing)| *standing != Standing::OutOfReach)
        .collect();
    let any = |wanted: Standing| standings.iter().any(|(_, standing)| *standing == wanted);
    if standings.is_empty() || any(Standing::Unknown) || any(Standing::Enough) {
        return None;
    }
    let sure = request.is_known() && whole(incident, &request) && !reserve_decides(&standings);
    if any(Standing::NoBlock) {
        // A zone with a block and enough pages is no witness.
        if any(Standing::BelowHigh) || any(Standing::AboutHigh) {
            return None;
        }
        let mut because = described(&standings, page_size(incident));
        because.insert(0, format!("{} in one piece were asked for", bytes(page_size(incident) << order)));
        return Some(Verdict {
            code: Code::Fragmented,
            confidence: if sure { Confidence::Certain } else { Confidence::Likely },
            title: format!(
                "There was free memory above the watermarks, but no free block of {} pages",
                count(1 << order)
            ),
            because,
        });
    }
    let confidence = if any(Standing::AboutHigh) {
        // With order 0 nothing else can have failed; with more, something that the report does not show.
        if order > 0 {
            return None;
        }
        Confidence::Possible
    } else if any(Standing::BelowHigh) || !sure {
        Confidence::Likely
    } else {
        Confidence::Certain
    };
    let mut because = described(&standings, page_size(incident));
    if confidence != Confidence::Certain && (any(Standing::BelowHigh) || any(Standing::AboutHigh)) {
        because
            .push("the report is printed after the allocation failed; some had come back by then".to_owned());
    }
    because.extend(no_swap(incident));
    let title = match confidence {
        Confidence::Possible => {
            "Free memory had fallen to the watermarks in every zone that the allocation may use"
        }
        Confidence::Certain | Confidence::Likely => {
            "No zone that the allocation may use had free pages above its watermark"
        }
    };
    Some(Verdict { code: Code::NoFreePages, confidence, title: title.to_owned(), because })
}

/// All of the machine's zones are in the report, or those that are not were excluded by the kernel's own word. The report
/// leaves out nodes that the task may not use (`show_mem_node_skip`: those outside of the node mask, or without one those
/// that `current->mems_allowed` does not have) and, from 6.1 on, zones that the allocation may not.
fn whole(incident: &Incident, request: &Request<'_>) -> bool {
    match incident.scope.kind {
        Some(ScopeKind::MemoryPolicy) => return true,
        Some(ScopeKind::Cpuset) => return request.kept_to_its_cpuset(),
        _ => {}
    }
    let present: Option<u64> =
        incident.zones.iter().try_fold(0_u64, |sum, zone| sum.checked_add(zone.present_bytes?));
    present.is_some() && present == counter(incident, "ram")
}

/// High-order atomic reserves are given up before the OOM killer is called (`unreserve_highatomic_pageblock`), and counted
/// larger than they are: with them it is not certain.
fn reserve_decides(standings: &[(&Zone, Standing)]) -> bool {
    standings.iter().any(|(zone, standing)| {
        *standing == Standing::BelowReserve && zone.reserved_highatomic_bytes.is_some_and(|bytes| bytes > 0)
    })
}

fn described(standings: &[(&Zone, Standing)], page_size: u64) -> Vec<String> {
    let mut out: Vec<String> =
        standings.iter().take(NAMED).map(|(zone, standing)| describe(zone, *standing, page_size)).collect();
    if let more @ 1.. = standings.len().saturating_sub(NAMED) {
        out.push(format!("{ZONE}s: {more} more, no better"));
    }
    out
}

fn describe(zone: &Zone, standing: Standing, page_size: u64) -> String {
    let (free, min) = (maybe_bytes(zone.free_bytes), maybe_bytes(zone.min_bytes));
    let rest = match standing {
        Standing::BelowReserve => "the rest is kept for others".to_owned(),
        Standing::NoBlock => {
            format!("in blocks of at most {}", maybe_bytes(zone.largest_free_block(page_size)))
        }
        Standing::BelowHigh | Standing::AboutHigh => {
            format!("high watermark {}", maybe_bytes(zone.high_bytes))
        }
        Standing::OutOfReach | Standing::BelowMin | Standing::Enough | Standing::Unknown => String::new(),
    };
    let comma = if rest.is_empty() { "" } else { ", " };
    // The name is one of the kernel's, or it would have no standing.
    format!("{ZONE} {} of node {}: {free} free, min {min}{comma}{rest}", zone.name, zone.node)
}

/// Without swap, anonymous memory stays where it is.
fn no_swap(incident: &Incident) -> Option<String> {
    if counter(incident, "swap_total")? > 0 {
        return None;
    }
    let anon = counter(incident, "active_anon")?.checked_add(counter(incident, "inactive_anon")?)?;
    let ram = counter(incident, "ram")?.checked_sub(counter(incident, "reserved")?)?;
    (anon > ram / 2)
        .then(|| format!("without swap {} of anonymous memory and tmpfs cannot be reclaimed", bytes(anon)))
}
