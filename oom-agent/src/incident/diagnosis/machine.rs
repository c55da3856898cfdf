//! What the page allocator says of the machine, and many small processes.

use super::Found;
use super::view::{MOST, View, at_least, share};
use crate::incident::verdict::{Code, Confidence};
use crate::units::{bytes, count};

/// So many processes are many. Machines with hundreds of daemons have them, too: what they hold together decides. A cgroup
/// of 32 MiB is full of about 100 that do nothing.
const MANY: u64 = 50;
/// A process that holds more percent of it all than this is not small.
const SMALL: u64 = 10;
/// So many percent of them have the same name: one program, or what forked itself.
const ALIKE: u64 = 80;

pub(super) fn fragmentation(view: &View<'_>) -> Option<Found> {
    let verdict = view.verdict(Code::Fragmented)?;
    let title = "There was free memory, but not in pieces that are large enough";
    let advice = "A higher vm.min_free_kbytes or vm.compaction_proactiveness (by 5.10) keeps larger blocks free; look for \
                  what asks for contiguous pages, often a driver or many threads at once.";
    Some(Found { because: verdict.because.clone(), ..Found::new(verdict.confidence, title, advice) })
}

pub(super) fn nodes_imbalanced(view: &View<'_>) -> Option<Found> {
    let verdict = view.verdict(Code::NodesExcluded)?;
    let title = "Only some memory nodes were full: others had free memory";
    let advice = "Allow more nodes (cpuset.mems; numactl --preferred or --interleave in place of --membind), or put less on \
                  these. The victim may hold nothing on them.";
    Some(Found { because: verdict.because.clone(), ..Found::new(verdict.confidence, title, advice) })
}

/// Many processes, none of them large, that hold most of the memory, with what the kernel needs for them. Whether one
/// program forked without end or has been given too many workers cannot be told.
pub(super) fn fork_bomb(view: &View<'_>) -> Option<Found> {
    let whole = view.whole?;
    let processes = view.processes();
    if processes < MANY || view.holders == 0 {
        return None;
    }
    let (_, most) = view.largest_of_all()?;
    // Those that were lost are as large as those that were seen: none is larger than the victim.
    let all = u128::from(view.held) * u128::from(processes) / u128::from(view.holders);
    let all = u64::try_from(all).unwrap_or(u64::MAX);
    let kernel = super::kernel_memory::total(view).unwrap_or(0);
    if at_least(most, SMALL, whole) || !at_least(all.saturating_add(kernel), MOST, whole) {
        return None;
    }
    let alike = most_alike(view);
    let confidence =
        if at_least(alike, ALIKE, view.holders) { Confidence::Likely } else { Confidence::Possible };
    let title = "Many small processes filled the memory: a fork bomb, or too many workers";
    let advice = "Limit their number: pids.max (systemd TasksMax=, the kubelet's podPidsLimit), or fewer workers. Each kill \
                  gives back little, so more kills follow.";
    let mut found = Found::new(confidence, title, advice)
        .because(format!("{} processes, the largest holds {}", count(processes), bytes(most)))
        .because(format!("together they hold {}", share(all.min(whole), whole)));
    if kernel > 0 {
        found.because.push(format!("{} more are the kernel's for them", bytes(kernel)));
    }
    if confidence == Confidence::Likely {
        found.because.push(format!("{} of {} have the same name", count(alike), count(view.holders)));
    }
    Some(found)
}

/// How many candidates have the name that most of them have, if that is more than half (Boyer and Moore's vote).
fn most_alike(view: &View<'_>) -> u64 {
    let names = || view.incident.candidates.iter().filter(|it| it.eligible).map(|it| it.comm.as_str());
    let (mut name, mut lead) = ("", 0_u64);
    for next in names() {
        if lead == 0 {
            name = next;
        }
        if next == name {
            lead += 1;
        } else {
            lead -= 1;
        }
    }
    names().filter(|other| *other == name).count() as u64
}
