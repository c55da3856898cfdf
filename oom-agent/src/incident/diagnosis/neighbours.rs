//! Who filled the memory is not who was killed, or not who asked.

use super::Found;
use super::view::{MOST, View, at_least, child, counted, own, share};
use crate::incident::model::{ExemptReason, Incident, Rule, ScopeKind, Victim};
use crate::incident::state::{CHILDREN, Source, State};
use crate::incident::verdict::Confidence;
use crate::units::bytes;

/// The other one holds so many times what the victim held.
const TIMES: u64 = 3;
/// The other cgroup uses so many times what the victim's uses, which counts all that is charged to it.
const CGROUP_TIMES: u64 = 2;
/// With more cgroups than this below the full one, no single one is looked for.
const MOST_CGROUPS: usize = 32;
/// The other one counts at least so many percent of the chosen one. Counters that were read one after the other differ by
/// less, and so do those that each CPU keeps for itself (`percpu_counter`); up to 4.16 root's memory counts 3 % less.
const LARGER: u64 = 110;

/// Most is held by a process, or by a cgroup, that goes on. What processes share counts for each, so it is not certain.
pub(super) fn innocent_victim(view: &View<'_>) -> Option<Found> {
    let whole = view.whole?;
    let victim = view.victim()?;
    let died =
        view.incident.victims.iter().filter_map(|victim| own(&victim.memory)).fold(0, u64::saturating_add);
    own(&victim.memory)?;
    by_process(view, whole, died).or_else(|| by_cgroup(view, whole, victim, died))
}

const ADVICE: &str = "Look at who filled it, not at the victim. A limit of its own on each (Kubernetes: \
                      resources.limits.memory on every container) makes the one that grows the one that dies.";

fn by_process(view: &View<'_>, whole: u64, died: u64) -> Option<Found> {
    let (largest, most) = view.largest?;
    if view.is_victim(largest.pid) || !at_least(most, MOST, whole) || died.saturating_mul(TIMES) > most {
        return None;
    }
    let adj = largest.oom_score_adj.map(|adj| format!(", oom_score_adj {adj}")).unwrap_or_default();
    let title = "Another process filled the memory, not the one that was killed";
    let found = Found::new(Confidence::Likely, title, ADVICE)
        .because(format!("{} held {}{adj}", view.process(largest.pid), share(most, whole)))
        .because(format!("the victim held {}", victims_part(view, died)));
    Some(found)
}

/// By the children of the full cgroup, or of the root.
fn by_cgroup(view: &View<'_>, whole: u64, victim: &Victim, died: u64) -> Option<Found> {
    let Incident { scope, state, .. } = view.incident;
    let full = match scope.kind? {
        ScopeKind::Memcg => scope.cgroup.as_deref()?,
        ScopeKind::Global => "/",
        ScopeKind::Cpuset | ScopeKind::MemoryPolicy | ScopeKind::Sysrq => return None,
    };
    let home = child(full, victim.cgroup.as_deref()?)?;
    let (largest, most, at_home) = read(state.as_ref(), home, died).or_else(|| summed(view, full, home))?;
    if largest == home || !at_least(most, MOST, whole) || at_home.saturating_mul(CGROUP_TIMES) > most {
        return None;
    }
    let title = "Another memory cgroup filled the memory, not the victim's";
    Some(
        Found::new(Confidence::Likely, title, ADVICE)
            .because(format!("the largest cgroup below the full level used {}", share(most, whole)))
            .because(format!("the victim's used {} at most", bytes(at_home))),
    )
}

/// The largest child, its usage, and that of the victim's.
fn read<'a>(state: Option<&'a State>, home: &str, died: u64) -> Option<(&'a str, u64, u64)> {
    let state = state?;
    let children = &state.children;
    let (largest, most) = children.iter().find_map(|child| Some((child, child.usage_bytes?)))?;
    let own = children.iter().find(|child| child.cgroup == home);
    // One that is not among the largest is no larger than the least of them, and none is left out of a short list but those that
    // use nothing.
    let least = || {
        if children.len() < CHILDREN {
            Some(0)
        } else {
            state.children_total.and(children.last()?.usage_bytes)
        }
    };
    let usage = own.map_or_else(least, |own| own.usage_bytes)?;
    let at_home = match own.map(|own| own.source) {
        Some(Source::Kernel) => usage.max(died),
        // The victim was gone by then, or not yet.
        Some(Source::Report | Source::Files) | None => usage.saturating_add(died),
    };
    Some((&largest.cgroup, most, at_home))
}

/// The same from what the candidates hold.
fn summed<'a>(view: &View<'a>, full: &str, home: &str) -> Option<(&'a str, u64, u64)> {
    let mut sums: Vec<(&str, u64)> = Vec::new();
    for candidate in &view.incident.candidates {
        let held = own(&candidate.memory);
        let place = candidate.cgroup.as_deref().and_then(|path| child(full, path));
        let (Some(place), Some(held)) = (place, held) else { continue };
        if let Some((_, sum)) = sums.iter_mut().find(|(other, _)| *other == place) {
            *sum = sum.saturating_add(held);
        } else if sums.len() < MOST_CGROUPS {
            sums.push((place, held));
        } else {
            return None;
        }
    }
    let at_home = sums.iter().find(|(place, _)| *place == home).map_or(0, |(_, sum)| *sum);
    sums.into_iter().max_by_key(|(_, sum)| *sum).map(|(place, sum)| (place, sum, at_home))
}

fn victims_part(view: &View<'_>, died: u64) -> String {
    match view.incident.victims.len() {
        0 | 1 => bytes(died),
        all => format!("{}, with {} more that died", bytes(died), all - 1),
    }
}

/// Several cgroups share the limit that was full; one of them filled it, and another one's allocation failed.
pub(super) fn shared_limit(view: &View<'_>) -> Option<Found> {
    let whole = view.whole?;
    let full = view.incident.scope.cgroup.as_deref().filter(|_| view.is_memcg())?;
    let trigger = view.incident.trigger.as_ref()?;
    let victim = view.victim()?;
    let asked = child(full, trigger.cgroup.as_deref()?)?;
    let home = child(full, victim.cgroup.as_deref()?)?;
    let held = own(&victim.memory).filter(|&held| at_least(held, MOST, whole))?;
    (asked != home && trigger.pid != Some(victim.pid)).then(|| {
        let title = "One memory cgroup filled the limit that it shares with the one that asked";
        Found::new(Confidence::Likely, title, ADVICE)
            .because(format!("the victim held {}", share(held, whole)))
            .because("the process that asked is in another cgroup below the same limit".to_owned())
    })
}

/// The chosen one has a higher `oom_score_adj` than one that counts more memory: with equal ones the other would have had
/// more points. This follows from `oom_badness` and the kernel's counters.
pub(super) fn adj_decided(view: &View<'_>) -> Option<Found> {
    let decision = view.incident.decision.as_ref().filter(|it| it.rule == Rule::HighestPoints)?;
    let chosen = view.incident.candidates.iter().find(|it| Some(it.pid) == decision.pid && it.eligible)?;
    // Without points it went first for another reason (`oom_task_origin`).
    let (own, adj, points) = (counted(&chosen.memory)?, chosen.oom_score_adj?, decision.points?);
    let spared = view.incident.candidates.iter().filter(|other| {
        (other.eligible || other.exempt_reason == Some(ExemptReason::AdjMin))
            && other.oom_score_adj.is_some_and(|other| other < adj)
            && other.points.is_none_or(|other| other <= points)
            && !view.is_victim(other.pid)
    });
    let larger = spared.filter_map(|other| Some((other, counted(&other.memory)?)));
    let (other, most) =
        larger.max_by_key(|(_, most)| *most).filter(|(_, most)| at_least(*most, LARGER, own))?;
    let other_adj = other.oom_score_adj?;
    let title = "the victim did not hold most, its oom_score_adj decided: another process held more";
    let advice = "If the wrong one died, change the adj: OOMScoreAdjust= in systemd. In Kubernetes it follows from the QoS \
                  class: a memory request near the real need protects. It moves the kill, it frees nothing.";
    Some(
        Found::new(Confidence::Certain, title, advice)
            .because(format!("the chosen one: {}, oom_score_adj {adj}", bytes(own)))
            .because(format!("process {}: {}, oom_score_adj {other_adj}", other.pid, bytes(most))),
    )
}
