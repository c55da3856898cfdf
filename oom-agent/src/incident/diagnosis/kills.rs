//! How many died, who went on, and how often.

use super::Found;
use super::view::{View, at_least, own, share};
use crate::incident::model::{ExemptReason, Role};
use crate::incident::verdict::Confidence;
use crate::units::{count, nanoseconds};

/// The chosen one held so many percent of what all that died held: one kill would have given back nearly the same.
const NEARLY_ALL: u64 = 80;
/// From the third on it is no accident.
const AGAIN: u64 = 3;
/// So many at once are a storm.
const STORM: u64 = 5;
/// In a storm kills come faster than this, on average. What is started again takes longer.
const STORM_SECONDS: f64 = 2.0;
/// So few may be what started the victim and waits for it.
const FEW: u64 = 2;
/// Parts of a path that a container runtime makes.
const CONTAINERS: [&str; 7] = ["kubepods", "docker", "libpod", "containerd", "crio-", "/lxc", "buildkit"];

/// `memory.oom.group`, where one process held nearly all.
pub(super) fn group_kill_large(view: &View<'_>) -> Option<Found> {
    let chosen = own(&view.victim()?.memory)?;
    let group: Vec<_> = view.incident.victims.iter().filter(|victim| victim.role == Role::Group).collect();
    let others =
        group.iter().try_fold(0_u64, |sum, victim| Some(sum.saturating_add(own(&victim.memory)?)))?;
    let all = others.saturating_add(chosen);
    if group.is_empty() || !at_least(chosen, NEARLY_ALL, all) {
        return None;
    }
    // One more is often only the shell that started it.
    let confidence = if group.len() > 1 { Confidence::Likely } else { Confidence::Possible };
    let title = "The whole cgroup was killed where one process would have done: memory.oom.group is set";
    let advice = "Right if its processes cannot do without each other. Else unset memory.oom.group: singleProcessOOMKill: true in \
                  the kubelet's configuration (since 1.32), OOMPolicy=continue in systemd.";
    Some(
        Found::new(confidence, title, advice)
            .because(format!("the chosen one held {} of what died", share(chosen, all)))
            .because(format!("{} more died with it", count(group.len() as u64))),
    )
}

/// A process of a container died, others in the same cgroup live. Had it been the container's first process, all would be
/// gone: that one has the smallest process id, unless ids have wrapped.
pub(super) fn child_killed(view: &View<'_>) -> Option<Found> {
    let [victim] = view.incident.victims.as_slice() else { return None };
    let home = victim.cgroup.as_deref().filter(|path| CONTAINERS.iter().any(|part| path.contains(part)))?;
    if victim.role != Role::Selected {
        return None;
    }
    // The kernel's report has no cgroups of tasks; all of the full one's are in it.
    let full = view.incident.scope.cgroup.as_deref().filter(|_| view.is_memcg());
    let lives = view.incident.candidates.iter().filter(|other| {
        let gone = matches!(other.exempt_reason, Some(ExemptReason::NoMm | ExemptReason::AlreadyReaped));
        other.pid != victim.pid && !gone && other.cgroup.as_deref().or(full) == Some(home)
    });
    let (mut number, mut first) = (0_u64, u32::MAX);
    for other in lives {
        number += 1;
        first = first.min(other.pid);
    }
    if first > victim.pid {
        return None;
    }
    let title = "One process of the container was killed, not the container";
    let advice = "It does not show as OOMKilled, and nothing restarts it but its parent. See that the parent notices, or set \
                  memory.oom.group (Kubernetes on cgroup v2: singleProcessOOMKill: false, the default) to have all restarted.";
    let others = format!("{} of its cgroup live on, an older one among them", count(number));
    // Of two, one is often the shell that started the other and goes with it.
    let confidence = if number > FEW { Confidence::Likely } else { Confidence::Possible };
    Some(Found::new(confidence, title, advice).because(others))
}

/// Kills in the same place and the seconds from the first to this one.
fn again(view: &View<'_>) -> Option<(u64, f64)> {
    let recovery = view.incident.recovery.as_ref()?;
    recovery.kill_number.zip(recovery.kills_seconds)
}

fn is_storm((kills, seconds): (u64, f64)) -> bool {
    kills >= STORM && seconds <= STORM_SECONDS * (kills - 1) as f64
}

pub(super) fn storm(view: &View<'_>) -> Option<Found> {
    let (kills, seconds) = again(view).filter(|&again| is_storm(again))?;
    let title = "Many kills at once in the same place";
    let advice = "Each gave back too little. The limit is far too small for what runs in it, or something starts processes \
                  faster than they die. The kernel's log lacks most of the reports (10 in 5 s).";
    Some(Found::new(Confidence::Certain, title, advice).because(format!(
        "kill number {} within {}",
        count(kills),
        time(seconds)
    )))
}

/// That it was started again in between is not seen.
pub(super) fn restart_loop(view: &View<'_>) -> Option<Found> {
    let (kills, seconds) = again(view).filter(|&again| again.0 >= AGAIN && !is_storm(again))?;
    let title = "Killed again and again in the same place";
    let advice = "A restart does not help: it needs the same again. Raise the limit (Kubernetes: resources.limits.memory) or \
                  make it need less; until then a longer pause between restarts spares the machine.";
    Some(Found::new(Confidence::Likely, title, advice).because(format!(
        "kill number {} within {}",
        count(kills),
        time(seconds)
    )))
}

fn time(seconds: f64) -> String {
    nanoseconds((seconds * 1e9) as u64)
}
