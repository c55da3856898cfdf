//! Limits: too small, at the wrong level, swap.

use super::Found;
use super::view::{View, at_least, child, share};
use crate::incident::growth::Shape;
use crate::incident::model::{Incident, NO_LIMIT};
use crate::incident::state::MachineState;
use crate::incident::verdict::{Code, Confidence, page_size};
use crate::units::{bytes, nanoseconds};

/// File pages that were read again after eviction, in percent of the limit, within the samples (ten minutes at most): a
/// quarter of all that fits was thrown out although it was needed. A cgroup that reads large files once has none of it.
const REFAULTS: u64 = 25;
/// So many percent that reclaim cannot free without swap: what is needed all the time fills it alone.
const ALL: u64 = 90;

/// Near the limit all the time. A cgroup that reads files is, too; so this alone says nothing.
pub(super) fn below_working_set(view: &View<'_>) -> Option<Found> {
    let growth = view.incident.growth.as_ref().filter(|growth| growth.shape == Some(Shape::Full))?;
    let limit = view.limit()?;
    let page = page_size(view.incident);
    let again = growth.file_refaults.map(|pages| pages.saturating_mul(page));
    let anon = view.counter("anon_bytes")?.saturating_add(view.counter("shmem_bytes").unwrap_or(0));
    let seconds = growth.samples.first().map(|(before, _)| *before)?;
    let near =
        format!("near the limit of {} for at least {}", bytes(limit), nanoseconds((seconds * 1e9) as u64));
    let title = "The limit is smaller than what is used all the time";
    let advice = "Raise the limit (Kubernetes: resources.limits.memory) or make it need less: smaller heap, caches, fewer \
                  workers. Usage just below the limit is normal only where most of it is file cache.";
    if let Some(again) = again.filter(|again| at_least(*again, REFAULTS, limit)) {
        let squeezed = format!("{} of files read again soon after eviction", bytes(again));
        return Some(Found::new(Confidence::Likely, title, advice).because(near).because(squeezed));
    }
    // A leak over hours looks the same in the last ten minutes.
    at_least(anon, ALL, limit).then(|| {
        let what = format!("{} are anonymous memory and tmpfs", share(anon, limit));
        Found::new(Confidence::Possible, title, advice).because(near).because(what)
    })
}

/// A level above the victim's own cgroup was full. That its own has no limit is certain only if it was read.
pub(super) fn pod_limit_only(view: &View<'_>) -> Option<Found> {
    let full = view.incident.scope.cgroup.as_deref().filter(|_| view.is_memcg())?;
    let own = child(full, view.victim()?.cgroup.as_deref()?)?;
    let state = view.incident.state.as_ref();
    let read = state.and_then(|state| state.children.iter().find(|child| child.cgroup == own)?.max_bytes);
    let is_pod = full.rsplit('/').next().is_some_and(is_pod);
    let (what, below) = if is_pod { ("pod", "container") } else { ("memory cgroup above", "victim's own") };
    let title = format!("The limit of the {what} was full, not the {below}'s");
    let title =
        if is_pod { title } else { "A limit above the victim's own memory cgroup was full".to_owned() };
    let advice = if is_pod {
        "Give every container its own resources.limits.memory, so that the one that grows is the one that dies. tmpfs and \
         emptyDir with medium: Memory count to the pod, too."
    } else {
        "Give the cgroups below it limits of their own, so that the one that grows is the one that dies."
    };
    let (confidence, because) = match read {
        Some(NO_LIMIT..) => (Confidence::Certain, "the victim's own cgroup below it has no limit".to_owned()),
        // Its own could not be reached before the one above it.
        Some(max) if view.limit().is_some_and(|limit| max >= limit) => {
            (Confidence::Certain, format!("the victim's own cgroup below it may use {}", bytes(max)))
        }
        Some(_) => return None,
        None => (Confidence::Possible, "whether the victim's own cgroup has a limit was not seen".to_owned()),
    };
    let limit = view.limit().map(|limit| format!("the limit that was full is {}", bytes(limit)));
    let mut found = Found::new(confidence, title, advice);
    found.because.extend(limit);
    Some(found.because(because))
}

/// The directory of a pod: `kubepods-burstable-pod<uid>.slice`, `pod<uid>`.
fn is_pod(name: &str) -> bool {
    let name = name.strip_suffix(".slice").unwrap_or(name);
    let uid = name.rsplit_once("-pod").map(|(_, uid)| uid).or_else(|| name.strip_prefix("pod"));
    // 32 hex digits, with or without what separates them.
    uid.is_some_and(|uid| {
        let digits = uid.bytes().filter(u8::is_ascii_hexdigit).count();
        digits == 32 && uid.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'-' | b'_'))
    })
}

pub(super) fn swap_exhausted(view: &View<'_>) -> Option<Found> {
    let (confidence, because) = match view.verdict(Code::SwapFull) {
        Some(verdict) => (verdict.confidence, verdict.because.clone()),
        None => machine_swap(view)?,
    };
    let (title, advice) = if view.is_memcg() {
        (
            "The swap that it may use was full, so only RAM was left",
            "Raise memory.max or memory.swap.max, or make it need less. If usage only ever rises, more swap makes the kill \
             later and the time before it slower.",
        )
    } else {
        (
            "Swap was full, so anonymous memory had nowhere to go",
            "See who is swapped out (VmSwap in /proc/PID/status). More swap or RAM helps if the need is real, not against a \
             leak. With zram or zswap the copy is still in RAM.",
        )
    };
    let mut found = Found::new(confidence, title, advice);
    found.because = because;
    if let Some(whole) = view.whole
        && let Some((pid, own)) =
            view.largest_of_all().filter(|(_, own)| at_least(*own, super::view::MOST, whole))
    {
        found.because.push(format!("{} held {}", view.process(pid), share(own, whole)));
    }
    Some(found)
}

/// A memory cgroup that may swap, on a machine whose swap is full.
fn machine_swap(view: &View<'_>) -> Option<(Confidence, Vec<String>)> {
    let Incident { limits, state, .. } = view.incident;
    // cgroup v1 has no limit of swap alone.
    if !view.is_memcg() || limits.swap_bytes == Some(0) || limits.memsw_bytes.is_some() {
        return None;
    }
    let MachineState { swap_total_bytes, swap_free_bytes, .. } = state.as_ref()?.machine.as_ref()?;
    let (total, free) = swap_total_bytes.filter(|&total| total > 0).zip(*swap_free_bytes)?;
    (free <= total / 100).then(|| {
        (Confidence::Likely, vec![format!("{} of the machine's {} of swap free", bytes(free), bytes(total))])
    })
}
