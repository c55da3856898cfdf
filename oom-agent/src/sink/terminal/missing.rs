//! What was not seen, and what the rest is made of.

use super::Page;
use crate::incident::model::{Incident, Level, Role, Rule, ScopeKind};
use crate::sink::text::{Line, Prose, Tone};
use crate::sink::{escape, units};

pub(super) fn lines(incident: &Incident, page: &Page) -> Vec<Line> {
    let mut parts: Vec<String> = Vec::new();
    let gaps = gaps(incident);
    if !gaps.is_empty() {
        parts.push(format!("not seen: {}", gaps.join(", ")));
    }
    if let lost @ 1.. = incident.evidence.lost_records {
        parts.push(format!("{} lost around this incident", units::plural(lost, "record", "records")));
    }
    parts.extend(incident.evidence.notes.iter().map(|note| escape::escape(note).into_owned()));
    if parts.is_empty() {
        parts.push("nothing".to_owned());
    }
    let mut lines = Vec::new();
    for part in parts {
        let mut prose = Prose::new();
        prose.say(Tone::Plain, &part);
        lines.extend(prose.wrap(page.prose()));
    }
    lines
}

/// What the incident should have and has not.
fn gaps(incident: &Incident) -> Vec<String> {
    let rule = incident.decision.as_ref().map(|decision| decision.rule);
    let kill = !matches!(rule, Some(Rule::NoneKillable | Rule::Panic));
    let compared = matches!(rule, Some(Rule::HighestPoints | Rule::Sysrq | Rule::NoneKillable) | None);
    let exits = incident
        .victims
        .iter()
        .filter(|victim| victim.exited_boottime_ns.is_none() && victim.role != Role::AlreadyDying)
        .count() as u64;
    let no_points = incident.candidates.iter().filter(|it| it.eligible && it.points.is_none()).count() as u64;
    let limits = &incident.limits;
    let checks = [
        (incident.scope.kind.is_none(), "which limit was hit".to_owned()),
        (
            incident.scope.kind == Some(ScopeKind::Memcg)
                && (limits.memory_bytes.is_none() || limits.usage_bytes.is_none()),
            "the cgroup's usage or limit".to_owned(),
        ),
        (incident.trigger.is_none(), "who asked".to_owned()),
        (incident.decision.is_none(), "the decision".to_owned()),
        (
            compared && incident.candidates.is_empty() && incident.candidates_evaluated != Some(0),
            "the candidates".to_owned(),
        ),
        (no_points > 0, format!("points of {}", units::plural(no_points, "candidate", "candidates"))),
        (
            incident.candidates_lost.is_some_and(|lost| lost > 0),
            units::plural(incident.candidates_lost.unwrap_or(0), "candidate", "candidates"),
        ),
        (kill && incident.victims.is_empty(), "the victim".to_owned()),
        (incident.escalation.is_none(), "reclaim before the kill".to_owned()),
        (incident.oom_path_ns.is_none(), "time in the OOM path".to_owned()),
        (exits > 0, units::plural(exits, "exit", "exits")),
        (kill && incident.freed_bytes.is_none(), "memory given back".to_owned()),
    ];
    checks.into_iter().filter_map(|(missing, what)| missing.then_some(what)).collect()
}

/// Which level, which sources.
pub(super) fn evidence(incident: &Incident, page: &Page) -> Vec<Line> {
    let level = match incident.evidence.level {
        Level::Full => "full",
        Level::Tracepoint => "tracepoint",
        Level::Kmsg => "kmsg",
        Level::Log => "log",
    };
    let sources: Vec<_> = incident.evidence.sources.iter().map(|source| escape::escape(source)).collect();
    let mut prose = Prose::new();
    prose.say(Tone::Faint, &format!("{level} level"));
    if !sources.is_empty() {
        prose.say(Tone::Faint, &format!(": {}", sources.join(", ")));
    }
    prose.wrap(page.prose())
}
