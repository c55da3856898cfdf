//! What the kill cost and gave back.

use super::{Page, words};
use crate::incident::model::{Incident, Level, Role, Rule, ScopeKind};
use crate::incident::recovery::{Reaped, Recovery};
use crate::sink::text::{Line, Prose, Tone};
use crate::sink::units;

/// Label where the kernel killed nothing.
const NO_KILL: &str = "No kill";

pub(super) fn label(incident: &Incident) -> &'static str {
    match incident.decision.as_ref().map(|decision| decision.rule) {
        Some(Rule::NoneKillable | Rule::Panic) if incident.victims.is_empty() => NO_KILL,
        _ => "Kill",
    }
}

/// What the kill took and gave back. Where only a log tells of it, nothing but what the kills before it say.
pub(super) fn lines(incident: &Incident, page: &Page) -> Vec<Line> {
    let mut lines = Vec::new();
    if !words::log_alone(incident) {
        lines.extend(cost(incident, page));
    }
    let recovery = incident.recovery.clone().unwrap_or_default();
    let more: Vec<String> = reaper(&recovery.reaper).into_iter().chain(again(incident, &recovery)).collect();
    let mut prose = Prose::new();
    prose.say(Tone::Plain, &more.join("; "));
    lines.extend(prose.wrap(page.prose()));
    lines
}

fn cost(incident: &Incident, page: &Page) -> Vec<Line> {
    let mut prose = Prose::new();
    prose.say(Tone::Plain, &format!("{} in the OOM path", units::maybe_nanoseconds(incident.oom_path_ns)));
    if label(incident) == NO_KILL {
        return prose.wrap(page.prose());
    }
    let dead = incident.victims.iter().filter(|victim| victim.exited_boottime_ns.is_some()).count();
    let exit = match (&incident.victims[..], dead) {
        ([], _) => "exit not seen".to_owned(),
        // No log tells of exits, however long one waits.
        ([_], 0) if incident.evidence.level == Level::Log => "exit not seen".to_owned(),
        ([_], 0) => "exit not seen yet".to_owned(),
        ([only], _) => match only.exit_after_ns.or(incident.recovery_ns) {
            Some(ns) => format!("exit after {}", units::nanoseconds(ns)),
            None if only.role == Role::AlreadyDying => "exited".to_owned(),
            None => "exit after ?".to_owned(),
        },
        (all, dead) if dead == all.len() => match incident.recovery_ns {
            Some(ns) => format!("all {} exited after {}", all.len(), units::nanoseconds(ns)),
            None => format!("all {} exited", all.len()),
        },
        (all, dead) => format!("{dead} of {} exits seen", all.len()),
    };
    prose.say(Tone::Plain, &format!(", {exit}, {}", given_back(incident)));
    prose.wrap(page.prose())
}

/// What was measured, else what the victims had.
fn given_back(incident: &Incident) -> String {
    let Recovery { memory_back_ns, usage_after_bytes, above_watermark_ns, .. } =
        incident.recovery.clone().unwrap_or_default();
    if let Some((ns, after)) = memory_back_ns.zip(usage_after_bytes) {
        let (ns, before) = (units::nanoseconds(ns), units::maybe_bytes(incident.limits.usage_bytes));
        return format!("memory back after {ns}: usage from {before} to {}", units::bytes(after));
    }
    let after = memory_back_ns.map(|ns| format!(" after {}", units::nanoseconds(ns))).unwrap_or_default();
    let above = above_watermark_ns.map(|ns| format!(", enough free again after {}", units::nanoseconds(ns)));
    format!("{} given back{after}{}", units::maybe_bytes(incident.freed_bytes), above.unwrap_or_default())
}

fn reaper(all: &[Reaped]) -> Option<String> {
    let [Reaped { pid, after_ns, duration_ns: _, done }, others @ ..] = all else { return None };
    let whose = match others.len() {
        0 => pid.to_string(),
        more => format!("{pid} and {more} more"),
    };
    let what = if *done == Some(false) { "could not take the memory of" } else { "came for the memory of" };
    let after = after_ns.map(|ns| format!(" {} after the kill", units::nanoseconds(ns))).unwrap_or_default();
    Some(format!("the OOM reaper {what} {whose}{after}"))
}

/// "the 4th kill here in 6 min".
fn again(incident: &Incident, recovery: &Recovery) -> Option<String> {
    let number = recovery.kill_number?;
    let place = if incident.scope.kind == Some(ScopeKind::Memcg) { "here" } else { "in the victim's cgroup" };
    let within = recovery.kills_seconds.filter(|seconds| *seconds >= 0.0);
    let within = within.map(|seconds| format!(" in {}", units::nanoseconds((seconds * 1e9) as u64)));
    Some(format!("the {} kill {place}{}", ordinal(number), within.unwrap_or_default()))
}

fn ordinal(number: u64) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinals_are_english() {
        let told: Vec<_> = [1, 2, 3, 4, 11, 12, 13, 21, 102, 111, 1013].map(ordinal).into();
        let expected =
            ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th", "1013th"];
        assert_eq!(told, expected);
    }
}
