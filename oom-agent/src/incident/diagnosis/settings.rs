//! What an order or a setting decided.

use super::Found;
use super::view::{View, share};
use crate::incident::model::{ExemptReason, Rule};
use crate::incident::verdict::{Code, Confidence};
use crate::units::{count, plural};

/// How `check_panic_on_oom` begins its panic; `%s panic_on_oom is enabled` follows.
const PANIC: &str = "Kernel panic - not syncing: Out of memory: ";
/// How `out_of_memory` panics when nobody is left.
const DEADLOCKED: &str = "Kernel panic - not syncing: System is deadlocked on memory";

pub(super) fn ordered(view: &View<'_>) -> Option<Found> {
    let verdict = view.verdict(Code::Ordered)?;
    let advice = "It is no lack of memory: find out who pressed sysrq-f or wrote f to /proc/sysrq-trigger. \
                  kernel.sysrq without 64 switches the keys off, not the file.";
    let title = "An operator ordered the kill (sysrq-f)";
    Some(Found { because: verdict.because.clone(), ..Found::new(verdict.confidence, title, advice) })
}

pub(super) fn panic_on_oom(view: &View<'_>) -> Option<Found> {
    if rule(view) != Some(Rule::Panic) || says(view, DEADLOCKED) {
        return None;
    }
    let advice = "With vm.panic_on_oom=0 the kernel kills a process instead. If the panic is wanted, kernel.panic above 0 \
                  makes the machine restart by itself.";
    let (confidence, because) = if says(view, PANIC) {
        (Confidence::Certain, "the panic names panic_on_oom")
    } else {
        (Confidence::Likely, "the kernel panicked for lack of memory")
    };
    Some(
        Found::new(confidence, "The machine panicked because vm.panic_on_oom is set", advice)
            .because(because.to_owned()),
    )
}

pub(super) fn everything_exempt(view: &View<'_>) -> Option<Found> {
    let deadlocked = rule(view) == Some(Rule::Panic) && says(view, DEADLOCKED);
    if rule(view) != Some(Rule::NoneKillable) && !deadlocked {
        return None;
    }
    if view.incident.candidates_evaluated == Some(0) && view.saw_everyone() && view.is_memcg() {
        let title = "Nothing could be killed: no process is in the memory cgroup that is full";
        let advice = "What fills it belongs to no process in it: files in tmpfs, or memory of processes that have left. \
                      Delete those files or raise the limit.";
        return Some(
            Found::new(Confidence::Certain, title, advice).because("the kernel found no process".to_owned()),
        );
    }
    let protected =
        view.incident.candidates.iter().filter(|it| it.exempt_reason == Some(ExemptReason::AdjMin)).count();
    let advice = if protected > 0 {
        "Take the oom_score_adj of -1000 (systemd: OOMScoreAdjust=) from a process that may die, or raise the limit: as it \
         is, allocations fail or hang."
    } else {
        "Somebody must be left that may be killed, with an oom_score_adj above -1000; or raise the limit."
    };
    let title = "Nobody could be killed";
    let mut found = Found::new(Confidence::Certain, title, advice)
        .because("the kernel found no process that it may kill".to_owned());
    if protected > 0 {
        let processes = plural(protected as u64, "process has", "processes have");
        found.because.push(format!("{processes} an oom_score_adj of -1000"));
    }
    if let (Some((largest, own)), Some(whole)) = (view.largest, view.whole) {
        found.because.push(format!("{} held {}", view.process(largest.pid), share(own, whole)));
    }
    Some(found)
}

pub(super) fn allocating_task(view: &View<'_>) -> Option<Found> {
    if rule(view) != Some(Rule::AllocatingTask) {
        return None;
    }
    let title = "The one that asked for memory was killed, since vm.oom_kill_allocating_task is set";
    let advice = "With vm.oom_kill_allocating_task=0 the kernel kills the process with the most points. Who was killed says \
                  nothing about who filled the memory.";
    let mut found = Found::new(Confidence::Certain, title, advice)
        .because("the kernel gives the setting as its reason".to_owned());
    if let Some((largest, own)) = view.largest
        && !view.is_victim(largest.pid)
    {
        let of = view.whole.map_or_else(|| crate::units::bytes(own), |whole| share(own, whole));
        let all = count(view.holders);
        found.because.push(format!("process {} held most, {of}, of {all} processes", largest.pid));
    }
    Some(found)
}

fn rule(view: &View<'_>) -> Option<Rule> {
    view.incident.decision.as_ref().map(|decision| decision.rule)
}

/// A line of the kernel's text begins so. The lines are the kernel's; a name that a user chose stands at no line's begin
/// with such words before it.
fn says(view: &View<'_>, begin: &str) -> bool {
    view.incident.kernel_log.as_deref().is_some_and(|text| text.lines().any(|line| line.starts_with(begin)))
}
