//! Those whom the kernel looked at, as bars: what of their points is memory and what is `oom_score_adj`.

use super::parts::{self, bar, known, share, unknown};
use crate::incident::identity::Identity;
use crate::incident::model::{Candidate, Incident, PointsSource};
use crate::incident::verdict::page_size;
use crate::sink::terminal::{Show, candidates as terminal, whose, words};
use crate::sink::{path, units};
use maud::{Markup, html};

/// Those that are seen at once.
const TOP: usize = 12;
/// Those that are shown at all: a machine has thousands.
const MOST: usize = 300;

/// What a list of candidates is about.
pub(super) struct Sheet<'a> {
    pub(super) candidates: &'a [Candidate],
    /// The cgroup that others are shown relative to.
    pub(super) base: Option<&'a str>,
    /// Whose it is.
    pub(super) full: &'a Identity,
    /// What `oom_score_adj` is a share of.
    pub(super) total_pages: Option<u64>,
    /// Bytes of a page.
    pub(super) page_size: u64,
    /// Words behind a row.
    pub(super) marks: &'a dyn Fn(&Candidate) -> Vec<&'static str>,
    /// Rows that stand out.
    pub(super) alarm: &'a dyn Fn(&Candidate) -> bool,
    /// Rows that are always shown.
    pub(super) always: &'a dyn Fn(&Candidate) -> bool,
}

/// Those of an incident.
pub(super) fn section(incident: &Incident) -> Markup {
    let asked = |candidate: &Candidate| words::asked(incident, candidate.pid, candidate.tid);
    let killed = |candidate: &Candidate| incident.victims.iter().any(|victim| victim.pid == candidate.pid);
    let marks = |candidate: &Candidate| {
        let marks = [(killed(candidate), "killed"), (asked(candidate), "asked")];
        marks.into_iter().filter_map(|(holds, word)| holds.then_some(word)).collect()
    };
    let sheet = Sheet {
        candidates: &incident.candidates,
        base: incident.scope.cgroup.as_deref(),
        full: &incident.scope.identity,
        total_pages: incident.total_pages,
        page_size: page_size(incident),
        marks: &marks,
        alarm: &killed,
        always: &asked,
    };
    html! {
        section aria-labelledby="candidates" {
            h2 #candidates { "Candidates" }
            (parts::paragraphs(&terminal::head(incident).wrap(usize::MAX)))
            (list(&sheet))
        }
    }
}

/// The bars.
pub(super) fn list(sheet: &Sheet<'_>) -> Markup {
    let (shown, hidden) = terminal::select(sheet.candidates, Show::Top(TOP), sheet.always, sheet.alarm);
    let most = sheet.candidates.iter().filter_map(|it| it.points).max().unwrap_or(0);
    let most = u64::try_from(most).unwrap_or(0);
    let adj = |sign: i32| {
        shown.iter().any(|it| it.eligible && it.oom_score_adj.is_some_and(|adj| adj.signum() == sign))
    };
    let exempt = shown.iter().any(|it| !it.eligible);
    html! {
        @if !shown.is_empty() {
            ul.key aria-hidden="true" {
                li { span.swatch.mem {} "memory" }
                @if adj(1) { li { span.swatch.adj {} "added by oom_score_adj" } }
                @if adj(-1) { li { span.swatch.less {} "memory that oom_score_adj takes off" } }
                @if exempt { li { span.swatch.exempt {} "exempt" } }
            }
            ol.bars { @for it in &shown { (row(sheet, it, most)) } }
        }
        @if !hidden.is_empty() {
            details {
                summary { (parts::line(&terminal::rest(&hidden).wrap(usize::MAX).pop().unwrap_or_default())) }
                ol.bars.small { @for it in hidden.iter().take(MOST) { (row(sheet, it, most)) } }
                @if let more @ 1.. = hidden.len().saturating_sub(MOST) as u64 {
                    p.faint { "and " (units::count(more)) " more: the JSON has all" }
                }
            }
        }
    }
}

fn row(sheet: &Sheet<'_>, candidate: &Candidate, most: u64) -> Markup {
    let marks = (sheet.marks)(candidate);
    let class = match (candidate.eligible, (sheet.alarm)(candidate)) {
        (false, _) => Some("exempt"),
        (true, true) => Some("killed"),
        (true, false) => None,
    };
    let memory = words::counted(&candidate.memory).or_else(|| words::resident(&candidate.memory));
    let home = candidate.cgroup.as_deref().filter(|home| Some(*home) != sheet.base);
    let named = home.and_then(|_| whose::cell(&candidate.identity, sheet.full));
    let home = home.map(|home| path::relative(&path::shown(home), sheet.base.map(path::shown).as_deref()));
    html! {
        li class=[class] {
            span.name { code { (words::who(&candidate.comm, candidate.pid)) }
                @for mark in marks.iter().filter(|mark| candidate.eligible || **mark != "killed") {
                    " " span.badge.mark-alarm[*mark == "killed" || *mark == "first"] { (mark) }
                }
            }
            (points(candidate))
            (drawn(sheet, candidate, most))
            span.more {
                span { "memory " (parts::cell(&terminal::held(candidate, memory))) }
                span { "adj " (known(candidate.oom_score_adj.map(|adj| adj.to_string()))) }
                @match (named, home) {
                    (Some(named), Some(home)) => span { "in " (parts::named(&named, &home)) },
                    (None, Some(home)) => span { "in " (parts::short_path(&home, 60)) },
                    (_, None) => {}
                }
            }
        }
    }
}

fn points(candidate: &Candidate) -> Markup {
    html! {
        span.points {
            @if !candidate.eligible {
                "exempt: " @match candidate.exempt_reason { Some(reason) => (words::exempt(reason)), None => { "reason " (unknown()) } }
            } @else if let Some(points) = candidate.points {
                @if candidate.points_source == Some(PointsSource::Computed) { span title="computed, not the kernel's own" { "~" } }
                (units::points(points)) " points"
            } @else {
                "points " (unknown())
            }
        }
    }
}

fn drawn(sheet: &Sheet<'_>, candidate: &Candidate, most: u64) -> Markup {
    if !candidate.eligible {
        let held = words::counted(&candidate.memory).or_else(|| words::resident(&candidate.memory));
        // On the same scale: a point is a page.
        let pages = held.unwrap_or(0) / sheet.page_size;
        return bar(&[(share(pages, most), "exempt")], "exempt");
    }
    let Some(points) = candidate.points else { return bar(&[], "points unknown") };
    let total = u64::try_from(points).unwrap_or(0);
    let of_adj = terminal::of_adj(sheet.total_pages, candidate).unwrap_or(0);
    let (added, taken) = (u64::try_from(of_adj).unwrap_or(0).min(total), of_adj.min(0).unsigned_abs());
    let (memory, adj) = (share(total - added, most), share(total, most) - share(total - added, most));
    // Of the memory that it takes from: what does not count then.
    let held =
        terminal::of_memory(sheet.total_pages, candidate).map_or(0, |it| u64::try_from(it).unwrap_or(0));
    let less = share(held.saturating_sub(total).min(taken), most);
    let word = if taken > 0 { "takes" } else { "adds" };
    let said = match terminal::of_memory(sheet.total_pages, candidate) {
        Some(of_memory) => format!(
            "memory gives {} points, oom_score_adj {word} {}",
            units::points(of_memory),
            units::count(added.max(taken))
        ),
        None => "what the points are made of is not known".to_owned(),
    };
    bar(&[(memory, "mem"), (adj, "adj"), (less, "less")], &said)
}
