//! Why the allocation failed, from what the kernel's report and the counters say. Rules in the order in which the kernel
//! comes to its OOM killer.
//!
//! # Layout
//! - this file: the verdicts and their order.
//! - `limit`: a memory cgroup's limits.
//! - `zones`: the page allocator's watermarks and blocks.
//! - [`request`]: what the allocation may use, and how each zone stands to it.
//! - `nodes`: memory that was out of reach.

mod limit;
mod nodes;
pub mod request;
#[cfg(test)]
mod tests;
mod zones;

use super::model::{Incident, ScopeKind};
use crate::report::PAGE_SIZE;
use crate::units;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Pages are not larger on any machine that Linux runs on.
const MOST_PAGE_SIZE: u64 = 256 << 10;
/// `order` of a sysrq-f (`is_sysrq_oom`).
const SYSRQ_ORDER: i32 = -1;

/// One reason why there was no memory to give.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// For machines.
    pub code: Code,
    /// How sure it is.
    pub confidence: Confidence,
    /// One sentence, without its full stop.
    pub title: String,
    /// What it follows from, with the numbers.
    pub because: Vec<String>,
}

/// The reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// A memory cgroup's limit is reached.
    LimitReached,
    /// No zone that the allocation may use has free pages above its watermark.
    NoFreePages,
    /// There are enough free pages, but no block of the order.
    Fragmented,
    /// Swap is full, or there is none for what is left.
    SwapFull,
    /// Nodes with free memory were excluded by a cpuset or a NUMA policy.
    NodesExcluded,
    /// An operator ordered the kill.
    Ordered,
}

/// How sure a verdict or a diagnosis is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// It follows from what was seen.
    Certain,
    /// It follows unless something that was not seen says otherwise.
    Likely,
    /// One explanation among others.
    Possible,
}

impl Verdict {
    /// What it follows from, without what a table of the zones shows as well.
    pub fn because_beside_zones(&self) -> impl Iterator<Item = &str> {
        let by_zone = matches!(self.code, Code::NoFreePages | Code::Fragmented);
        self.because
            .iter()
            .map(String::as_str)
            .filter(move |part| !(by_zone && part.starts_with(zones::ZONE)))
    }
}

/// The reasons, the deciding one first. Empty: not enough is known.
///
/// Nothing in the sentences is a name that a user chose.
pub fn verdict(incident: &Incident) -> Vec<Verdict> {
    let order = incident.trigger.as_ref().and_then(|trigger| trigger.order);
    match incident.scope.kind {
        _ if order == Some(SYSRQ_ORDER) => vec![ordered()],
        Some(ScopeKind::Sysrq) => vec![ordered()],
        Some(ScopeKind::Memcg) => limit::verdicts(incident),
        Some(ScopeKind::Global | ScopeKind::Cpuset | ScopeKind::MemoryPolicy) => of_pages(incident),
        // Before 5.0 no line names the constraint. A memory cgroup's report has no zones (`dump_header`).
        None if order.is_some() && !incident.zones.is_empty() => of_pages(incident),
        None => Vec::new(),
    }
}

/// The page allocator had nothing to give (`__alloc_pages_may_oom`).
fn of_pages(incident: &Incident) -> Vec<Verdict> {
    let parts = [zones::verdict(incident), nodes::verdict(incident), swap_full(incident)];
    parts.into_iter().flatten().collect()
}

/// `is_sysrq_oom`: nothing had to fail for it.
fn ordered() -> Verdict {
    Verdict {
        code: Code::Ordered,
        confidence: Confidence::Certain,
        title: "No allocation failed: an operator ordered the kill (sysrq-f)".to_owned(),
        because: vec!["order -1".to_owned()],
    }
}

/// Reclaim can only free anonymous memory while there is swap to write it to (`can_reclaim_anon_pages`, before 5.14
/// `get_nr_swap_pages() > 0`), or a slower node to demote it to (from 5.15 on, where `numa/demotion_enabled` is set: it is not
/// by itself).
fn swap_full(incident: &Incident) -> Option<Verdict> {
    let total = counter(incident, "swap_total").filter(|&total| total > 0)?;
    let free = counter(incident, "swap_free")?;
    // Exits give back some while the report is printed.
    (free <= total / 100).then(|| Verdict {
        code: Code::SwapFull,
        confidence: if free == 0 { Confidence::Certain } else { Confidence::Likely },
        title: "Swap was full, so anonymous memory could not be reclaimed".to_owned(),
        because: vec![format!("{} of {} of swap free", units::bytes(free), units::bytes(total))],
    })
}

/// Bytes of a page. What no machine has is not believed.
pub fn page_size(incident: &Incident) -> u64 {
    incident.page_size_bytes.filter(|size| (1..=MOST_PAGE_SIZE).contains(size)).unwrap_or(PAGE_SIZE)
}

/// A counter of the kernel's report.
fn counter(incident: &Incident, name: &str) -> Option<u64> {
    incident.memory.get(&*format!("{name}_bytes")).copied()
}
