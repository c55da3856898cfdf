//! Where it was, who asked.

use super::{PROSE, Page, filled, whose, words};
use crate::incident::model::{Incident, ScopeKind};
use crate::sink::text::{Line, Prose, Tone};
use crate::sink::{escape, path, units};

pub(super) fn place(incident: &Incident, page: &Page) -> Vec<Line> {
    let scope = &incident.scope;
    let text = match scope.kind {
        Some(ScopeKind::Global) => "the whole machine".to_owned(),
        Some(ScopeKind::Memcg) => {
            let name = scope.cgroup.as_deref().unwrap_or(units::UNKNOWN);
            format!("memory cgroup {}", path::shorten(&path::shown(name), page.room() - 14))
        }
        Some(ScopeKind::Cpuset) => "the memory nodes that a cpuset allows".to_owned(),
        Some(ScopeKind::MemoryPolicy) => "the memory nodes that a NUMA policy allows".to_owned(),
        Some(ScopeKind::Sysrq) => "the whole machine, whether it was out of memory or not".to_owned(),
        None => "? (which limit was hit was not seen)".to_owned(),
    };
    let mut lines = vec![Line::new(Tone::Plain, escape::cut(&text, page.room()))];
    if let Some(text) = whose::line(&scope.identity) {
        lines.push(Line::new(Tone::Plain, escape::cut(&text, page.room())));
    }
    if let Some(text) = whose::described(&scope.identity) {
        let mut prose = Prose::new();
        words::say_whole(&mut prose, &text);
        lines.extend(prose.wrap(page.prose()));
    }
    if scope.kind == Some(ScopeKind::Memcg) || !incident.limits.is_empty() {
        lines.push(Line::new(Tone::Plain, limits(incident)));
    }
    lines.extend(filled::lines(incident, page));
    lines.extend(homes(incident, page));
    lines
}

fn limits(incident: &Incident) -> String {
    let limits = &incident.limits;
    if limits.is_empty() {
        return "usage and limit: ?".to_owned();
    }
    let usage = units::maybe_bytes(limits.usage_bytes);
    let swap = match (limits.swap_usage_bytes, limits.swap_bytes) {
        (None, None) => match (limits.memsw_usage_bytes, limits.memsw_bytes) {
            (None, None) => "swap ?".to_owned(),
            // Without `swapaccount=1` nothing is counted there.
            (Some(0), None) if limits.usage_bytes.is_some_and(|usage| usage > 0) => {
                "swap not counted".to_owned()
            }
            (Some(usage), None) => format!("memory and swap {}, no limit", units::bytes(usage)),
            (usage, limit) => {
                format!("memory and swap {} of {}", units::maybe_bytes(usage), words::limit(limit))
            }
        },
        (None | Some(0), Some(0)) => "no swap allowed".to_owned(),
        (usage, limit) => format!("swap {} of {}", units::maybe_bytes(usage), words::limit(limit)),
    };
    format!("{usage} of {} used, {swap}", words::limit(limits.memory_bytes))
}

/// Cgroups of the victims, where they are not the full one.
fn homes(incident: &Incident, page: &Page) -> Vec<Line> {
    let base = incident.scope.cgroup.as_deref();
    let mut homes: Vec<(&str, Option<String>)> = Vec::new();
    for victim in &incident.victims {
        let Some(home) = victim.cgroup.as_deref().filter(|home| Some(*home) != base) else { continue };
        if !homes.iter().any(|(known, _)| *known == home) {
            homes.push((home, whose::cell(&victim.identity, &incident.scope.identity)));
        }
    }
    let more = homes.len().saturating_sub(3);
    let mut lines = Vec::new();
    for (home, name) in homes.iter().take(3) {
        let shown = path::relative(&path::shown(home), base.map(path::shown).as_deref());
        let begin = match name {
            Some(name) => escape::cut(&format!("victim in container {name}, "), page.room() / 2).into_owned(),
            None => "victim in ".to_owned(),
        };
        let shown = path::shorten(&shown, page.room() - escape::width(&begin));
        lines.push(Line::new(Tone::Plain, begin + &shown));
    }
    if more > 0 {
        lines.push(Line::new(
            Tone::Plain,
            format!("and victims in {}", units::plural(more as u64, "more cgroup", "more cgroups")),
        ));
    }
    lines
}

pub(super) fn asked(incident: &Incident, page: &Page) -> Vec<Line> {
    let mut prose = Prose::new();
    let Some(trigger) = &incident.trigger else {
        prose.say(Tone::Plain, units::UNKNOWN);
        return prose.wrap(page.prose());
    };
    if trigger.order == Some(-1) || incident.scope.kind == Some(ScopeKind::Sysrq) {
        prose.say(Tone::Plain, "an operator with sysrq-f, carried out by ");
        prose.atom(Tone::Plain, &words::asker(trigger));
        return prose.wrap(page.prose());
    }
    prose.atom(Tone::Plain, &words::asker(trigger));
    if let (Some(pid), Some(tid)) = (trigger.pid, trigger.tid)
        && pid != tid
    {
        prose.say(Tone::Plain, &format!(", thread {tid},"));
    }
    match trigger.order {
        Some(order) => prose.say(Tone::Plain, &format!(" for {} (order {order})", words::pages(order))),
        None => prose.say(Tone::Plain, " for ? pages"),
    };
    match (&trigger.gfp_flags[..], trigger.gfp_mask) {
        ([], None) => prose.say(Tone::Plain, ", gfp ?"),
        ([], Some(mask)) => prose.say(Tone::Plain, &format!(", gfp_mask {mask:#x}")),
        (flags, _) => {
            let flags: Vec<_> = flags.iter().map(|flag| escape::escape(flag)).collect();
            prose.say(Tone::Plain, &format!(", {}", flags.join("|")))
        }
    };
    let adj = trigger.oom_score_adj.map_or("?".to_owned(), |adj| adj.to_string());
    prose.say(Tone::Plain, ", ").atom(Tone::Plain, &format!("oom_score_adj {adj}"));
    let base = incident.scope.cgroup.as_deref();
    if let Some(cgroup) = trigger.cgroup.as_deref().filter(|cgroup| Some(*cgroup) != base) {
        let name = whose::cell(&trigger.identity, &incident.scope.identity);
        let path = || path::relative(&path::shown(cgroup), base.map(path::shown).as_deref());
        let shown = name.map_or_else(path, |name| format!("container {name}"));
        prose.say(Tone::Plain, ", in ");
        prose.atom(Tone::Plain, &path::shorten(&shown, page.room().min(PROSE) - 3));
    }
    prose.wrap(page.prose())
}
