//! A memory cgroup's limits (`try_charge_memcg`, before 5.14 `try_charge`, in `mm/memcontrol.c`): the charge of the pages
//! would exceed a limit, reclaim in the cgroup did not help, and `mem_cgroup_out_of_memory` was called.

use super::{Code, Confidence, Verdict, page_size, request};
use crate::incident::model::{Incident, NO_LIMIT};
use crate::units::bytes;

/// Pages of swap with which the kernel is seen to give up from 6.12 on: 58 of 5120, 62 of 2048.
const SWAP_LEFT: u64 = 64;

pub(super) fn verdicts(incident: &Incident) -> Vec<Verdict> {
    [Some(limit_reached(incident)), swap_full(incident)].into_iter().flatten().collect()
}

/// That the kernel came this way says that a limit was reached; the numbers say how far it can be seen. They are printed
/// (or read) after the last charge failed: an earlier victim may have given back memory since then.
fn limit_reached(incident: &Incident) -> Verdict {
    let limits = &incident.limits;
    let mut because = Vec::new();
    let order = request::order(incident).unwrap_or(0);
    let charge = page_size(incident) << order;
    // `mem_cgroup_oom` is given the order of the next power of two (`get_order` in `try_charge`, 5.10 to 7.3): so many
    // pages it was at least.
    let least = page_size(incident) * (if order > 1 { (1 << (order - 1)) + 1 } else { 1 << order });
    let known = [
        ("", limits.usage_bytes, limits.memory_bytes),
        // cgroup v1 has it besides. Its limit of kernel memory ends in -ENOMEM and never in an OOM kill (up to 5.10
        // `__memcg_kmem_charge`; later nothing enforces it).
        (" of memory and swap together", limits.memsw_usage_bytes, limits.memsw_bytes),
    ];
    let reached = known.into_iter().find_map(|(what, usage, limit)| {
        let (usage, limit) = usage.zip(limit)?;
        (usage.saturating_add(least) > limit).then_some((what, usage, limit))
    });
    let (what, confidence) = match (reached, limits.usage_bytes, limits.memory_bytes) {
        (Some((what, usage, limit)), _, _) => {
            because.push(format!("{} of {} used", bytes(usage), bytes(limit)));
            because.push(format!("{} more would exceed it", bytes(charge)));
            (what, Confidence::Certain)
        }
        (None, Some(usage), Some(limit)) if limit < NO_LIMIT => {
            because.push(format!("{} of {} used when it was printed", bytes(usage), bytes(limit)));
            ("", Confidence::Likely)
        }
        (None, Some(usage), _) => {
            because.push(format!("{} used, which limit was reached is not known", bytes(usage)));
            ("", Confidence::Likely)
        }
        (None, None, Some(limit)) => {
            because.push(format!("its limit is {}, its usage is not known", bytes(limit)));
            ("", Confidence::Likely)
        }
        (None, None, None) => {
            because.push("the kernel says so; usage and limit are not known".to_owned());
            ("", Confidence::Likely)
        }
    };
    if limits.swap_bytes == Some(0) && limits.swap_usage_bytes.unwrap_or(0) == 0 {
        because.push("no swap is allowed in it".to_owned());
    }
    Verdict { code: Code::LimitReached, confidence, title: format!("{}{what}", title(incident)), because }
}

/// Which level of the hierarchy it was, as the victim sees it.
fn title(incident: &Incident) -> String {
    let own = incident.victims.first().and_then(|victim| victim.cgroup.as_deref());
    let full = incident.scope.cgroup.as_deref();
    let levels = own.zip(full).and_then(|(own, full)| {
        let below = own.strip_prefix(full.trim_end_matches('/'))?;
        (below.is_empty() || below.starts_with('/')).then(|| below.matches('/').count())
    });
    match levels {
        Some(0) => "The victim's own memory cgroup had reached its limit".to_owned(),
        Some(1) => "The memory cgroup above the victim's had reached its limit".to_owned(),
        Some(levels) => format!("The memory cgroup {levels} levels above the victim's had reached its limit"),
        None => "A memory cgroup had reached its limit".to_owned(),
    }
}

/// `memory.swap.max`: with swap that is full, reclaim in the cgroup cannot free anonymous memory.
fn swap_full(incident: &Incident) -> Option<Verdict> {
    let limits = &incident.limits;
    let limit = limits.swap_bytes.filter(|&limit| limit > 0)?;
    let usage = limits.swap_usage_bytes?;
    let left = (SWAP_LEFT * page_size(incident)).clamp(limit / 50, limit / 10);
    (usage >= limit - left).then(|| Verdict {
        code: Code::SwapFull,
        confidence: if usage >= limit { Confidence::Certain } else { Confidence::Likely },
        title: "The swap that it may use was full, so anonymous memory could not be reclaimed".to_owned(),
        because: vec![format!("{} of {} of swap used", bytes(usage), bytes(limit))],
    })
}
