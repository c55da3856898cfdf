//! Memory that neither a kill nor reclaim frees.

use super::Found;
use super::view::{MOST, View, at_least, own, share};
use crate::incident::model::{ExemptReason, Incident, ScopeKind, Victim};
use crate::incident::verdict::Confidence;
use crate::units::bytes;

/// Little: so many percent of the whole.
const LITTLE: u64 = 10;
/// From here on it is worth naming.
const MUCH: u64 = 25;

/// tmpfs and shared memory belong to a file or a segment. What is mapped and unlinked goes with its last process, so it is
/// certain only where the kill was seen to give back little.
pub(super) fn tmpfs(view: &View<'_>) -> Option<Found> {
    let whole = view.whole?;
    let shmem = view.counter("shmem_bytes").filter(|&shmem| at_least(shmem, MOST, whole))?;
    let victims = &view.incident.victims;
    let mapped = victims.iter().filter_map(|victim| victim.memory.shmem_bytes).max();
    if mapped.is_some_and(|mapped| at_least(mapped, MOST, shmem)) {
        return None;
    }
    let back = given_back(view);
    if back.is_some_and(|back| at_least(back, MOST, shmem)) {
        return None;
    }
    let held = victims.iter().try_fold(0_u64, |sum, victim| sum.checked_add(private(victim)?));
    let little = |part: Option<u64>| part.is_some_and(|part| !at_least(part, LITTLE, whole));
    let seen = little(back) && little(held) && little(mapped) && !victims.is_empty();
    let mut found = if seen && view.counted_by_kernel() {
        let title = "The kill gave back little: tmpfs or shared memory fills it";
        Found::new(Confidence::Certain, title, TMPFS)
    } else if mapped.is_none() && !victims.is_empty() {
        Found::new(
            Confidence::Possible,
            "Tmpfs or shared memory fills it, which a kill may not give back",
            TMPFS,
        )
    } else {
        Found::new(
            Confidence::Likely,
            "Tmpfs or shared memory fills it, which a kill does not give back",
            TMPFS,
        )
    };
    found.because.push(format!("tmpfs and shared memory are {}", share(shmem, whole)));
    if let Some(held) = held.filter(|_| !victims.is_empty()) {
        let all = if victims.len() == 1 { "the victim" } else { "the victims" };
        found.because.push(format!("{all} held {} of anonymous memory", bytes(held)));
    }
    found.because.extend(back.map(|back| format!("{} came back", bytes(back))));
    Some(found)
}

const TMPFS: &str = "Delete files there (/dev/shm, /tmp, emptyDir with medium: Memory, which counts to the container's limit) \
                     or segments (ipcs -m), bound them (size=, sizeLimit), or raise the limit by their size.";

/// The pool of huge pages is taken from RAM for good, but pages above it (`nr_overcommit_hugepages`) go back when they are
/// freed: only what nobody uses is certain.
pub(super) fn huge_pages(view: &View<'_>) -> Option<Found> {
    let whole = view.whole.filter(|_| view.incident.scope.kind == Some(ScopeKind::Global))?;
    let machine = view.incident.state.as_ref().and_then(|state| state.machine.as_ref());
    let total = view.counter("hugetlb_bytes").or_else(|| machine?.hugetlb_bytes);
    let total = total.filter(|&total| at_least(total, MOST, whole))?;
    let free = view.counter("hugetlb_free_bytes").or_else(|| machine?.hugetlb_free_bytes);
    let idle = free.is_some_and(|free| at_least(free, MOST, whole)) && view.counted_by_kernel();
    let confidence = if idle { Confidence::Certain } else { Confidence::Likely };
    let title = "Most of the memory is set aside for huge pages, which no kill gives back";
    let advice = "Lower vm.nr_hugepages (and the pools of other sizes and nodes) to what is used; the pool counts neither in \
                  rss nor in points.";
    let mut found =
        Found::new(confidence, title, advice).because(format!("huge pages are {}", share(total, whole)));
    found.because.extend(free.map(|free| format!("{} of them free", bytes(free))));
    Some(found)
}

/// `unevictable`: `mlock`, `SHM_LOCK`, ramfs, `memfd_secret`. Reclaim does not look at it (`folio_evictable`).
pub(super) fn locked(view: &View<'_>) -> Option<Found> {
    let whole = view.whole?;
    let locked = view.counter("unevictable_bytes").filter(|&locked| at_least(locked, MUCH, whole))?;
    let confidence = match (at_least(locked, MOST, whole), view.counted_by_kernel()) {
        (true, true) => Confidence::Certain,
        (true, false) => Confidence::Likely,
        (false, _) => Confidence::Possible,
    };
    let title = if confidence == Confidence::Possible {
        "Much of the memory is locked or unevictable: reclaim cannot touch it"
    } else {
        "Most of the memory is locked or unevictable: reclaim cannot touch it"
    };
    let advice = "See who locks (VmLck in /proc/PID/status: mlock, mlockall) and bound it (RLIMIT_MEMLOCK, systemd \
                  LimitMEMLOCK=), or leave room beside it. It goes with its process; files in ramfs stay.";
    let mut found =
        Found::new(confidence, title, advice).because(format!("unevictable is {}", share(locked, whole)));
    if let Some((pid, most)) = view.largest_of_all().filter(|(_, most)| at_least(*most, MOST, locked)) {
        found.because.push(format!("{} held {}", view.process(pid), bytes(most)));
    }
    Some(found)
}

/// Anonymous memory is charged to where it was first touched and stays there when its process moves (cgroup v2). Those that
/// exit are no candidates any more, so this is not certain.
pub(super) fn left_behind(view: &View<'_>) -> Option<Found> {
    let whole = view.whole.filter(|_| view.is_memcg())?;
    let anon = view.counter("anon_bytes")?;
    let exiting = |reason| matches!(reason, Some(ExemptReason::NoMm | ExemptReason::AlreadyReaped));
    if !view.saw_everyone() || view.incident.candidates.iter().any(|it| exiting(it.exempt_reason)) {
        return None;
    }
    let mut everyone = view.incident.candidates.iter();
    let held = everyone.try_fold(0_u64, |sum, it| Some(sum.saturating_add(own(&it.memory)?)))?;
    let nobodys = anon.checked_sub(held).filter(|&rest| at_least(rest, MOST, whole))?;
    let title = "Most of the memory belongs to no process in the memory cgroup that is full";
    let advice = "It was charged by processes that have moved to another cgroup or are just exiting. Start processes in their \
                  cgroup instead of moving them there; it goes when they end.";
    Some(
        Found::new(Confidence::Possible, title, advice)
            .because(format!("anonymous memory of nobody in it is {}", share(nobodys, whole))),
    )
}

/// File cache was there and did not go: dirty, being written, pinned, or kept by `memory.min`.
pub(super) fn file_cache(view: &View<'_>) -> Option<Found> {
    let whole = view.whole?;
    // The lists, without tmpfs, which is among the anonymous pages there.
    let cache = view.counter("inactive_file_bytes")?.saturating_add(view.counter("active_file_bytes")?);
    if !at_least(cache, MOST, whole) {
        return None;
    }
    let waiting = view.counter("file_dirty_bytes").unwrap_or(0);
    let waiting = waiting.saturating_add(view.counter("file_writeback_bytes").unwrap_or(0));
    let title = "Most of the memory is file cache that reclaim did not get";
    let advice = if at_least(waiting, MOST, cache) {
        "It waits to be written: look at the disk, lower vm.dirty_bytes and vm.dirty_background_bytes, or raise the limit \
         where much is written at once."
    } else {
        "It may be pinned (RDMA, io_uring, VFIO), in use all the time, or kept by memory.min. Compare pgscan with pgsteal in \
         memory.stat."
    };
    Some(
        Found::new(Confidence::Possible, title, advice)
            .because(format!("file cache is {}", share(cache, whole)))
            .because(format!("{} of it dirty or being written", bytes(waiting.min(cache)))),
    )
}

/// The victim's memory was back, and the cgroup still full. Others may have taken it at once.
pub(super) fn little_given_back(view: &View<'_>) -> Option<Found> {
    let limit = view.limit()?;
    // Shared memory goes after `exit_mmap` has returned: its file is closed by a task work (`fput`).
    let mut shared = view.incident.victims.iter().filter_map(|victim| victim.memory.shmem_bytes);
    if shared.any(|shared| at_least(shared, LITTLE, limit)) {
        return None;
    }
    let back = given_back(view).filter(|&back| !at_least(back, LITTLE, limit))?;
    let after =
        view.incident.recovery.as_ref()?.usage_after_bytes.filter(|&it| at_least(it, 100 - LITTLE, limit))?;
    let title = "The kill gave back little, and the memory is still nearly full";
    let advice = "The next kill is near. Look at what else is in it, or raise the limit.";
    Some(
        Found::new(Confidence::Likely, title, advice)
            .because(format!("{} came back", bytes(back)))
            .because(format!("{} after it", share(after, limit))),
    )
}

fn given_back(view: &View<'_>) -> Option<u64> {
    let Incident { recovery, victims, .. } = view.incident;
    recovery.as_ref()?.given_back_bytes.filter(|_| !victims.is_empty())
}

/// What goes with a process: anonymous memory. Swap is not RAM.
fn private(victim: &Victim) -> Option<u64> {
    victim.memory.anon_bytes
}
