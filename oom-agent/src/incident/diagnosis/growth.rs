//! How memory came to be full, from its recent history; and what is said without one.

use super::Found;
use super::view::{MOST, View, at_least, share};
use crate::incident::growth::{Growth, Shape};
use crate::incident::model::Level;
use crate::incident::verdict::Confidence;
use crate::units::{bytes, nanoseconds, plural};

/// A rise over fewer samples is as well a start: programs fill their caches and heaps.
const LEAK_SAMPLES: usize = 15;
/// A rise by less than so many percent of the whole is what a busy program does.
const LEAK_RISE: u64 = 10;
/// With fewer samples it is not known that it was lower for long: the cgroup or the agent may be new.
const BURST_SAMPLES: usize = 5;
/// Longer ago is not "within seconds": samples are further apart where little had changed.
const MOMENT: f64 = 60.0;
/// Without a shape (too few samples): from half of the whole to all of it within so many seconds is a burst.
const BURST_SECONDS: f64 = 20.0;

/// Only a curve can tell a leak, and never for certain: a program that fills up to what it needs looks the same.
pub(super) fn steady_leak(view: &View<'_>) -> Option<Found> {
    let growth = view.incident.growth.as_ref().filter(|growth| growth.shape == Some(Shape::Steady))?;
    let (rate, seconds) = growth.bytes_per_second.filter(|&rate| rate > 0.0).zip(growth.seconds)?;
    let whole = view.whole?;
    // Both are rounded.
    let run = growth.samples.iter().filter(|(before, _)| *before <= seconds + 0.01);
    let samples = run.clone().count();
    let first = run.map(|(_, bytes)| *bytes).next()?;
    let risen = whole.saturating_sub(first);
    let confidence = if samples >= LEAK_SAMPLES && at_least(risen, LEAK_RISE, whole) {
        Confidence::Likely
    } else {
        Confidence::Possible
    };
    let advice = "Find what keeps the memory: a heap profile, or what grows with time or requests in it (caches, queues, \
                  connections). A higher limit only makes it later.";
    let title = "Memory grew at a steady rate until it was full: a leak";
    let mut found = Found::new(confidence, title, advice).because(format!(
        "{} to {} in {}, {} a second, over {samples} samples",
        bytes(first),
        bytes(whole),
        time(seconds),
        bytes(rate as u64),
    ));
    found.because.extend(holder(view, whole));
    if confidence == Confidence::Possible {
        found.because.push("it was seen for too short a time to tell it from a start".to_owned());
    }
    Some(found)
}

pub(super) fn burst(view: &View<'_>) -> Option<Found> {
    let growth = view.incident.growth.as_ref()?;
    let whole = view.whole?;
    // The last time that it was half of it or less.
    let low = |(_, bytes): &&(f64, u64)| at_least(whole, 200, *bytes);
    let (seconds, before) = *growth.samples.iter().rev().find(low)?;
    let is_one = match growth.shape {
        Some(shape) => shape == Shape::Burst,
        None => seconds <= BURST_SECONDS,
    };
    if !is_one {
        return None;
    }
    let confidence =
        if growth.samples.len() >= BURST_SAMPLES { Confidence::Likely } else { Confidence::Possible };
    let title = if seconds <= MOMENT {
        "Memory grew to the limit within seconds"
    } else {
        "Memory grew to the limit at once"
    };
    let advice = if view.is_memcg() {
        "Have it take less at once (batch size, parallel requests, heap), or set the limit for the peak, not the average. On \
         cgroup v2 a memory.high below the limit slows it down first."
    } else {
        "Have it take less at once (batch size, parallel jobs), or give it a memory cgroup with a limit, so that it fills \
         that and not the machine."
    };
    let mut found = Found::new(confidence, title, advice).because(format!(
        "{} in use {} before the kill, then {}",
        bytes(before),
        time(seconds),
        bytes(whole)
    ));
    found.because.extend(holder(view, whole));
    if confidence == Confidence::Possible {
        found.because.push(format!("only {} samples: a leak cannot be told from it", growth.samples.len()));
    }
    Some(found)
}

/// One process held most of it, and that is all that is known.
pub(super) fn large_process(view: &View<'_>) -> Option<Found> {
    let whole = view.whole?;
    let because = holder(view, whole)?;
    let title =
        "One process held most of the memory; a leak, a peak and a need that large cannot be told apart";
    let advice = if view.is_memcg() {
        "Compare with its usual size. Larger each time: look for a leak. Much larger for a moment: make the peak smaller. \
         Always about so large: raise the limit (Kubernetes: resources.limits.memory)."
    } else {
        "Compare with its usual size. Larger each time: look for a leak. Otherwise give it a memory cgroup with a limit, so \
         that it cannot fill the machine, or the machine more memory."
    };
    Some(Found::new(Confidence::Likely, title, advice).because(because).because(no_curve(view)))
}

/// Names what is missing.
#[expect(clippy::unnecessary_wraps, reason = "it is a row of the table")]
pub(super) fn not_enough_evidence(view: &View<'_>) -> Option<Found> {
    let incident = view.incident;
    let missing = [
        (incident.scope.kind.is_none(), "which limit was full"),
        (view.whole.is_none() && incident.scope.kind.is_some(), "how much was in use"),
        (incident.memory.is_empty(), "what the memory was"),
        (incident.candidates.is_empty(), "the processes in it"),
        (incident.candidates_lost.is_some_and(|lost| lost > 0), "some of the processes"),
    ];
    let missing: Vec<&str> = missing.iter().filter(|(is, _)| *is).map(|(_, what)| *what).collect();
    let mut because = Vec::new();
    if !missing.is_empty() {
        because.push(format!("not seen: {}", missing.join(", ")));
    }
    let spread = view.whole.zip(view.largest_of_all()).filter(|_| missing.is_empty());
    let title = match spread {
        Some((whole, (pid, own))) => {
            because.push(format!("the largest, {}, held {}", view.process(pid), share(own, whole)));
            "No single process filled the memory; what did cannot be told"
        }
        None => "What filled the memory cannot be told",
    };
    because.push(no_curve(view));
    let advice = if incident.evidence.level == Level::Log {
        "Let oom-agent run on the machine: it keeps the last minutes of every limit, sees who was compared, and does not depend \
         on the kernel's report, which may be cut or left out."
    } else {
        "Compare with memory.stat and the processes as they are now. With some minutes of history, which the agent keeps while it \
         runs, more can be said."
    };
    Some(Found { because, ..Found::new(Confidence::Possible, title, advice) })
}

/// Who held most, if it is most of the memory.
fn holder(view: &View<'_>, whole: u64) -> Option<String> {
    let (pid, own) = view.largest_of_all().filter(|(_, own)| at_least(*own, MOST, whole))?;
    Some(format!("{} held {}", view.process(pid), share(own, whole)))
}

/// What the history lacks.
fn no_curve(view: &View<'_>) -> String {
    match &view.incident.growth {
        None if view.incident.evidence.level == Level::Log => "how it grew is in no log".to_owned(),
        None => "how it grew was not seen: there are no samples of it".to_owned(),
        Some(Growth { samples, shape: None, .. }) => {
            format!("{} say too little of how it grew", plural(samples.len() as u64, "sample", "samples"))
        }
        Some(Growth { shape: Some(Shape::Full), .. }) => "it was near the limit all the time".to_owned(),
        Some(Growth { shape: Some(_), .. }) => "usage went up and down before".to_owned(),
    }
}

/// Seconds for people.
fn time(seconds: f64) -> String {
    nanoseconds((seconds * 1e9) as u64)
}
