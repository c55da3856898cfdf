//! The first lines: when and where it was, and what happened in plain words.

use super::words::{self, who};
use super::{PROSE, Page, whose};
use crate::incident::model::{Incident, Level, NO_LIMIT, Rule, ScopeKind, Victim};
use crate::sink::text::{Line, Prose, Tone};
use crate::sink::{escape, path, units};

pub(super) fn lines(incident: &Incident, page: &Page) -> Vec<Line> {
    let mut lines = stamp(incident, page);
    lines.extend(sentence(incident).wrap(page.width.min(PROSE)));
    lines
}

/// The sentences alone, without a style.
pub(super) fn line(incident: &Incident) -> String {
    let mut text = String::new();
    for line in sentence(incident).wrap(usize::MAX) {
        line.write(&mut text, false);
    }
    text.truncate(text.trim_end().len());
    text
}

/// What kind of event.
pub(crate) fn title(incident: &Incident) -> &'static str {
    match incident.decision.as_ref().map(|decision| decision.rule) {
        Some(Rule::NoneKillable) => "OOM, nothing killed",
        Some(Rule::AlreadyDying) => "OOM, no new kill",
        Some(Rule::Panic) => "OOM panic",
        _ if incident.victims.is_empty() => "OOM",
        Some(Rule::HighestPoints | Rule::AllocatingTask | Rule::Sysrq) | None => "OOM kill",
    }
}

/// When it was, escaped. `None`: not known.
pub(crate) fn when(incident: &Incident) -> Option<String> {
    let boot = incident
        .boottime_ns
        .map(|ns| format!("{}.{:03} s after boot", ns / 1_000_000_000, ns / 1_000_000 % 1000));
    Some(match (&incident.time, &incident.log_time, boot) {
        // For what else the log says around it.
        (Some(time), _, Some(boot)) if incident.evidence.level == Level::Log => {
            format!("{} ({boot})", clock(&escape::escape(time)))
        }
        (Some(time), _, _) => clock(&escape::escape(time)),
        (None, Some(time), Some(boot)) => format!("{} ({boot})", escape::escape(time)),
        (None, Some(time), None) => escape::escape(time).into_owned(),
        (None, None, Some(boot)) => boot,
        (None, None, None) => return None,
    })
}

/// What kind of event, when, on which machine.
fn stamp(incident: &Incident, page: &Page) -> Vec<Line> {
    let when = when(incident).unwrap_or_else(|| "time ?".to_owned());
    let node = incident.node.as_deref().map_or("node ?".to_owned(), |node| escape::escape(node).into_owned());
    let kernel = incident
        .kernel_release
        .as_deref()
        .map_or("Linux ?".into(), |it| format!("Linux {}", escape::escape(it)));
    let mut lines = vec![Line::new(Tone::Strong, title(incident))];
    for part in [when, node, kernel, escape::escape(&incident.id).into_owned()] {
        let part = escape::cut_middle(&part, page.width - 10);
        let last = lines.len() - 1;
        if lines[last].width() + 2 + escape::width(&part) <= page.width {
            lines[last].push(Tone::Plain, "  ");
            lines[last].push(Tone::Plain, part);
        } else {
            let mut line = Line::default();
            line.pad(10);
            line.push(Tone::Plain, part);
            lines.push(line);
        }
    }
    lines
}

/// `2026-11-20T10:15:03.214+01:00` with blanks.
fn clock(time: &str) -> String {
    let Some((date, rest)) = time.split_once('T') else { return time.to_owned() };
    match rest.find(['+', '-']) {
        Some(at) => format!("{date} {} {}", &rest[..at], &rest[at..]),
        None => format!("{date} {}", rest.replace('Z', " UTC")),
    }
}

pub(super) fn sentence(incident: &Incident) -> Prose {
    let mut prose = Prose::new();
    let rule = incident.decision.as_ref().map(|decision| decision.rule);
    match rule {
        Some(Rule::NoneKillable) => {
            prose.say(Tone::Strong, &format!("Nothing could be killed: {}.", cause(incident, None)));
        }
        Some(Rule::Panic) => {
            prose.atom(Tone::Alarm, "The kernel panicked");
            prose.say(Tone::Strong, &format!(": {}.", cause(incident, None)));
        }
        Some(Rule::AlreadyDying) => {
            if subject(&mut prose, incident) {
                prose.say(Tone::Strong, ",");
            }
            // `__oom_kill_process` finds no memory any more: no victim is marked.
            let dying = if incident.victims.is_empty() {
                " was exiting already, so nothing was killed: "
            } else {
                " was dying already and got the memory reserves to finish; nothing else was killed: "
            };
            prose.say(Tone::Strong, dying);
            prose.say(Tone::Strong, &format!("{}.", cause(incident, words::main_victim(incident))));
        }
        Some(Rule::HighestPoints | Rule::AllocatingTask | Rule::Sysrq) | None => killed(&mut prose, incident),
    }
    asked(&mut prose, incident, rule);
    prose
}

/// Names the victim, also if only the decision was seen. Whether that was more than a name, so that a comma has to follow.
fn subject(prose: &mut Prose, incident: &Incident) -> bool {
    let chosen = incident.decision.as_ref();
    if let Some(victim) = words::main_victim(incident) {
        prose.atom(Tone::Alarm, &who(&victim.comm, victim.pid));
        let place = whose::of_victim(victim);
        prose.say(Tone::Strong, &place);
        return !place.is_empty();
    } else if let Some((comm, pid)) = chosen.and_then(|it| Some((it.comm.as_deref()?, it.pid?))) {
        prose.atom(Tone::Alarm, &who(comm, pid));
    } else {
        prose.say(Tone::Strong, "A process that was not seen");
    }
    false
}

fn killed(prose: &mut Prose, incident: &Incident) {
    let victim = words::main_victim(incident);
    if victim.is_none() && incident.decision.is_none() {
        prose.say(
            Tone::Strong,
            &format!("The OOM killer ran, its victim was not seen: {}.", cause(incident, None)),
        );
        return;
    }
    let placed = subject(prose, incident);
    match victim.and_then(size) {
        Some(size) => drop(prose.say(Tone::Strong, &format!(", {size},"))),
        None if placed => drop(prose.say(Tone::Strong, ",")),
        None => {}
    }
    let others = incident.victims.len().saturating_sub(1) as u64;
    if others == 0 {
        prose.say(
            Tone::Strong,
            if victim.is_some() { " was killed" } else { " was chosen; its kill was not seen" },
        );
    } else {
        let processes = if others == 1 { "process" } else { "processes" };
        prose.say(Tone::Strong, &format!(" and {} more {processes} were killed", units::count(others)));
    }
    if incident.scope.kind == Some(ScopeKind::Sysrq) {
        prose.say(Tone::Strong, " on an operator's order (sysrq-f).");
    } else {
        prose.say(Tone::Strong, &format!(": {}.", cause(incident, victim)));
    }
}

/// `holding 494 MiB and 12 MiB of swap`, as far as it is known.
fn size(victim: &Victim) -> Option<String> {
    let resident = units::bytes(words::resident(&victim.memory)?);
    Some(match victim.memory.swap_bytes {
        Some(1..) => {
            format!("holding {resident} and {} of swap", units::maybe_bytes(victim.memory.swap_bytes))
        }
        Some(0) | None => format!("holding {resident}"),
    })
}

/// What was full, as the end of a sentence.
fn cause(incident: &Incident, victim: Option<&Victim>) -> String {
    match incident.scope.kind {
        Some(ScopeKind::Global) => "the machine was out of memory".to_owned(),
        Some(ScopeKind::Memcg) => memcg_cause(incident, victim),
        Some(ScopeKind::Cpuset) => "the memory nodes of the asking task's cpuset were full".to_owned(),
        Some(ScopeKind::MemoryPolicy) => {
            "the memory nodes of the asking task's NUMA policy were full".to_owned()
        }
        Some(ScopeKind::Sysrq) => "an operator ordered a kill (sysrq-f)".to_owned(),
        None => "which limit was hit is not known".to_owned(),
    }
}

/// Which memory cgroup was full, as the victim sees it. The limit is named only if the usage was near it:
/// cgroup v1 also limits memory and swap together, and that limit is not known here.
fn memcg_cause(incident: &Incident, victim: Option<&Victim>) -> String {
    let who = full_cgroup(incident, victim);
    let limits = &incident.limits;
    match limits.memory_bytes {
        Some(limit) if limit < NO_LIMIT => {
            if limits.usage_bytes.is_none_or(|usage| usage.saturating_add(limit / 16) >= limit) {
                format!("{who} had reached the limit of {}", units::bytes(limit))
            } else {
                format!("{who} was out of memory")
            }
        }
        Some(_) => format!("{who} was out of memory"),
        None => format!("{who} had reached its limit"),
    }
}

fn full_cgroup(incident: &Incident, victim: Option<&Victim>) -> String {
    if let Some(full) = whose::full(incident, victim) {
        return full;
    }
    let Some(full) = incident.scope.cgroup.as_deref() else { return "a memory cgroup".to_owned() };
    let full = path::shown(full);
    let named = if escape::width(&full) <= 36 {
        full.clone()
    } else {
        escape::cut_middle(path::leaf(&full), 36).into_owned()
    };
    let own = victim.and_then(|victim| victim.cgroup.as_deref()).map(path::shown);
    match own.map(|own| path::relative(&own, Some(&full))).as_deref() {
        Some(".") => "its memory cgroup".to_owned(),
        Some(below) if below.starts_with("./") => format!("memory cgroup {named}, above its own,"),
        Some(_) | None => format!("memory cgroup {named}"),
    }
}

fn asked(prose: &mut Prose, incident: &Incident, rule: Option<Rule>) {
    let Some(trigger) = &incident.trigger else {
        if incident.scope.kind != Some(ScopeKind::Sysrq) {
            prose.say(Tone::Plain, " Who had asked for memory is not known.");
        }
        return;
    };
    if incident.scope.kind == Some(ScopeKind::Sysrq) || trigger.order == Some(-1) {
        return;
    }
    let pages = trigger.order.map_or("memory".to_owned(), words::pages);
    let own =
        words::main_victim(incident).is_some_and(|victim| words::asked(incident, victim.pid, victim.tid));
    if own {
        let why = if rule == Some(Rule::AllocatingTask) { ", which is why it was taken" } else { "" };
        prose.say(Tone::Plain, &format!(" It had asked for {pages} itself{why}."));
    } else {
        prose.say(Tone::Plain, " ");
        prose.atom(Tone::Plain, &words::asker(trigger));
        prose.say(Tone::Plain, &format!(" had asked for {pages}."));
    }
}
