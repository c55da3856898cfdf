//! What was not seen, and what the rest is made of.

use super::{Page, words};
use crate::incident::model::{Candidate, Incident, Level, PointsSource, Role, Rule, ScopeKind};
use crate::sink::text::{Line, Prose, Tone};
use crate::sink::{escape, units};

pub(super) fn lines(incident: &Incident, page: &Page) -> Vec<Line> {
    // The reasons first, then what is missing because of them.
    let mut parts: Vec<String> = Vec::new();
    parts.extend(incident.evidence.notes.iter().map(|note| escape::escape(note).into_owned()));
    let gaps = gaps(incident);
    if !gaps.is_empty() {
        parts.push(format!("not seen: {}", gaps.join(", ")));
    }
    if words::log_alone(incident) {
        let exits = if incident.victims.is_empty() { "" } else { ", exits, memory given back" };
        parts.push(format!("not in a log: reclaim before the kill, time in the OOM path{exits}"));
    }
    if let lost @ 1.. = incident.evidence.lost_records {
        parts.push(format!("{} lost around this incident", units::plural(lost, "record", "records")));
    }
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
    let nothing = rule == Some(Rule::AlreadyDying) && incident.victims.is_empty();
    let kill = !nothing && !matches!(rule, Some(Rule::NoneKillable | Rule::Panic));
    let seen = !words::log_alone(incident);
    let compared = matches!(rule, Some(Rule::HighestPoints | Rule::Sysrq | Rule::NoneKillable) | None);
    let exits = incident
        .victims
        .iter()
        .filter(|victim| victim.exited_boottime_ns.is_none() && victim.role != Role::AlreadyDying)
        .count() as u64;
    let no_points = incident.candidates.iter().filter(|it| it.eligible && it.points.is_none()).count() as u64;
    let parts = incident.victims.iter().filter(|it| words::counted(&it.memory).is_none()).count() as u64;
    let limits = &incident.limits;
    let checks = [
        (incident.scope.kind.is_none(), "which limit was hit".to_owned()),
        (
            incident.scope.kind == Some(ScopeKind::Memcg)
                && (limits.memory_bytes.is_none() || limits.usage_bytes.is_none()),
            "the cgroup's usage or limit".to_owned(),
        ),
        (
            incident.scope.kind == Some(ScopeKind::Memcg) && incident.scope.cgroup.is_none(),
            "which cgroup".to_owned(),
        ),
        (incident.trigger.is_none(), "who asked".to_owned()),
        (incident.trigger.as_ref().is_some_and(|it| it.order.is_none()), "what was asked for".to_owned()),
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
        (compared && incident.total_pages.is_none(), "totalpages".to_owned()),
        (kill && incident.victims.is_empty(), "the victim".to_owned()),
        (parts > 0, format!("a part of the memory of {}", units::plural(parts, "victim", "victims"))),
        (seen && !words::saw_reclaim(incident), "reclaim before the kill".to_owned()),
        (
            seen && words::saw_reclaim(incident)
                && incident.escalation.as_ref().is_some_and(|it| it.last_60s.is_none()),
            "reclaim by others in the last minute".to_owned(),
        ),
        (seen && incident.oom_path_ns.is_none(), "time in the OOM path".to_owned()),
        (seen && exits > 0, units::plural(exits, "exit", "exits")),
        (seen && kill && incident.freed_bytes.is_none(), "memory given back".to_owned()),
    ];
    checks.into_iter().filter_map(|(missing, what)| missing.then_some(what)).collect()
}

/// Which level, and what kinds of sources: the names of the hooks are in the JSON.
pub(super) fn evidence(incident: &Incident, page: &Page) -> Vec<Line> {
    let level = match incident.evidence.level {
        Level::Full => "full",
        Level::Tracepoint => "tracepoint",
        Level::Kmsg => "kmsg",
        Level::Log => "log",
    };
    let mut parts = source_kinds(&incident.evidence.sources);
    parts.extend(whose_points(&incident.candidates).map(str::to_owned));
    let mut prose = Prose::new();
    prose.say(Tone::Faint, &format!("{level} level"));
    if !parts.is_empty() {
        prose.say(Tone::Faint, &format!(": {}", parts.join(", ")));
    }
    prose.wrap(page.prose())
}

/// `KIND:HOOK`, by kind; what is not known is named as it is.
fn source_kinds(sources: &[String]) -> Vec<String> {
    let (mut functions, mut tracepoints, mut rest) = (0, 0, Vec::new());
    let mut kinds = Vec::new();
    for source in sources {
        match source.split_once(':').map_or(source.as_str(), |(kind, _)| kind) {
            kind @ ("fentry" | "fexit" | "kprobe" | "kretprobe") => {
                functions += 1;
                kinds.push(kind);
            }
            "raw_tracepoint" => tracepoints += 1,
            "kmsg" => rest.push("the kernel's log".to_owned()),
            // The level says so already.
            "log" => {}
            _ => rest.push(escape::escape(source).into_owned()),
        }
    }
    kinds.sort_unstable();
    kinds.dedup();
    let functions = (functions > 0).then(|| format!("{functions} {}", kinds.join("/")));
    let tracepoints = (tracepoints > 0).then(|| units::plural(tracepoints, "tracepoint", "tracepoints"));
    functions.into_iter().chain(tracepoints).chain(rest).collect()
}

/// Where the candidates' points are from.
fn whose_points(candidates: &[Candidate]) -> Option<&'static str> {
    let all = |source| candidates.iter().filter_map(|it| it.points_source).all(|other| other == source);
    candidates.iter().find_map(|it| it.points_source)?;
    Some(match (all(PointsSource::Kernel), all(PointsSource::Computed)) {
        (true, _) => "the kernel's own points",
        (_, true) => "points computed",
        (false, false) => "points partly computed",
    })
}
