//! How the memory in scope had grown before the kill, in one sentence and a curve.

use super::Page;
use crate::incident::growth::{Growth, Shape};
use crate::incident::model::{Incident, limited};
use crate::sink::text::{Line, Prose, Tone};
use crate::units;

/// Columns of a curve, at most.
const COLUMNS: usize = 30;
/// From nothing to everything.
const LEVELS: [char; 8] = ['_', '.', ':', '-', '=', '+', '*', '#'];

pub(super) fn lines(incident: &Incident, page: &Page) -> Vec<Line> {
    let Some(growth) = &incident.growth else { return Vec::new() };
    let Some((oldest, _)) = growth.samples.first() else { return Vec::new() };
    let long = seconds(*oldest);
    let mut prose = Prose::new();
    match (growth.shape, growth.bytes_per_second, growth.seconds) {
        (Some(Shape::Full), ..) => prose.say(Tone::Plain, &format!("nearly full for {long} or longer")),
        (shape, Some(rate), Some(run)) => {
            let rate = units::bytes(rate.max(0.0) as u64);
            let how = match shape {
                Some(Shape::Steady) => "grew steadily, ",
                Some(Shape::Burst) => "grew suddenly, ",
                Some(Shape::Uneven) => "grew unevenly, at the end ",
                Some(Shape::Full) | None => "grew ",
            };
            prose.say(Tone::Plain, &format!("{how}{rate}/s for {}", seconds(run)))
        }
        _ => prose.say(Tone::Plain, &format!("did not grow in {long}")),
    };
    if let Some(last) = growth.seconds_from_90_percent {
        prose.say(Tone::Plain, &format!(", from 90 % to the kill in {}", seconds(last)));
    }
    if let Some(pages @ 1..) = growth.file_refaults {
        let pages = units::plural(pages, "file page", "file pages");
        prose.say(Tone::Plain, &format!(", {pages} read again after eviction"));
    }
    for (pages, way) in [(growth.swapped_out_pages, "out"), (growth.swapped_in_pages, "in")] {
        if let Some(pages @ 1..) = pages {
            let pages = units::plural(pages, "page", "pages");
            prose.say(Tone::Plain, &format!(", {pages} swapped {way} on the machine"));
        }
    }
    if growth.samples.len() > 2 && !page.whole {
        prose.say(Tone::Plain, " ").atom(Tone::Plain, &curve(growth, limit(incident)));
    }
    prose.wrap(page.prose())
}

fn seconds(seconds: f64) -> String {
    units::nanoseconds((seconds.max(0.0) * 1e9) as u64)
}

/// What the top of the curve stands for, if it is known.
fn limit(incident: &Incident) -> Option<u64> {
    limited(incident.limits.memory_bytes).filter(|limit| *limit > 0)
}

/// One character for each part of the time, which are equally long: the most that was in use in it.
fn curve(growth: &Growth, limit: Option<u64>) -> String {
    let (Some(first), Some(last)) = (growth.samples.first(), growth.samples.last()) else {
        return String::new();
    };
    let most = growth.samples.iter().map(|sample| sample.1).max().unwrap_or(0);
    let top = limit.unwrap_or(0).max(most).max(1);
    let columns = growth.samples.len().min(COLUMNS);
    let time = first.0 - last.0;
    let mut parts: Vec<Option<u64>> = vec![None; columns];
    for (age, bytes) in &growth.samples {
        let share = if time > 0.0 { (first.0 - age) / time } else { 1.0 };
        let at = ((share * columns as f64) as usize).min(columns - 1);
        parts[at] = parts[at].max(Some(*bytes));
    }
    // Where nothing was sampled it is as it was before.
    let mut level = LEVELS[0];
    let draw = |bytes: Option<u64>| {
        if let Some(bytes) = bytes {
            let steps = LEVELS.len() as u128;
            let at = u128::from(bytes) * steps / (u128::from(top) + 1);
            level = LEVELS[at.min(steps - 1) as usize];
        }
        level
    };
    parts.into_iter().map(draw).collect()
}

#[cfg(test)]
mod tests;
