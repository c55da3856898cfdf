//! What the kernel tried before it killed: the task that asked, the cgroup or the machine, the zones.

use super::{Page, growth, words};
use crate::incident::escalation::{Compacted, Escalation, Pressures, RetryZone, Window, Work};
use crate::incident::model::Incident;
use crate::incident::verdict;
use crate::sink::escape;
use crate::sink::text::{Line, Prose, Tone};
use crate::units;
use std::fmt::Write as _;

/// Zones that are named.
const ZONES: usize = 2;

/// Nothing where only a log tells: it does not know.
pub(super) fn lines(incident: &Incident, page: &Page) -> Vec<Line> {
    if words::log_alone(incident) {
        return Vec::new();
    }
    let unseen = Escalation::default();
    let seen = incident.escalation.as_ref().unwrap_or(&unseen);
    let reclaim =
        if seen.saw_reclaim() { own(seen) } else { "? (reclaim before the kill was not seen)".to_owned() };
    let mut lines = sentence(&reclaim, page);
    let all = [("10 s", &seen.last_10s), ("60 s", &seen.last_60s)];
    let mut told = None;
    for (name, window) in all.into_iter().filter_map(|(name, window)| Some((name, window.as_ref()?))) {
        let text = during(window);
        // Nothing more happened in the longer one.
        if text.is_empty() || told.as_ref() == Some(&text) {
            continue;
        }
        lines.extend(sentence(&format!("{}: {text}", length(name, window)), page));
        told = Some(text);
    }
    if let Some(text) = zones(incident, &seen.zones) {
        lines.extend(sentence(&text, page));
    }
    if let Some(text) = seen.pressure.as_ref().and_then(pressure) {
        lines.extend(sentence(&text, page));
    }
    lines.extend(growth::lines(incident, page));
    lines
}

/// Of the full cgroup, else of the machine. Nothing if nobody waited.
fn pressure(of: &Pressures) -> Option<String> {
    let (who, of) = match (of.cgroup, of.machine) {
        (Some(cgroup), _) => ("of this cgroup", cgroup),
        (None, machine) => ("on the machine", machine?),
    };
    let some = of.some_avg10.filter(|percent| *percent >= 0.5)?;
    let full = of.full_avg10.map(|percent| format!(", all of them at once {percent:.0} %"));
    Some(format!(
        "tasks {who} waited for memory {some:.0} % of the last 10 s{} (PSI)",
        full.unwrap_or_default()
    ))
}

fn sentence(text: &str, page: &Page) -> Vec<Line> {
    let mut prose = Prose::new();
    prose.say(Tone::Plain, text);
    prose.wrap(page.prose())
}

fn own(seen: &Escalation) -> String {
    let rounds = match seen.reclaim_rounds {
        Some(0) => return "the task that asked made no reclaim round".to_owned(),
        Some(number) => units::plural(number, "reclaim round", "reclaim rounds"),
        None => "? reclaim rounds".to_owned(),
    };
    let won = match seen.reclaimed_pages {
        None => "? pages won".to_owned(),
        Some(pages) => won(seen.scanned_pages, pages),
    };
    let stall = units::maybe_nanoseconds(seen.trigger_stall_ns);
    let mut text = format!("{rounds} by the task that asked, {stall} in them, {won}");
    if let Some(seconds) = seen.window_seconds.filter(|seconds| *seconds >= 0.0) {
        let window = units::nanoseconds((seconds * 1e9) as u64);
        let _ = write!(text, "; the first began {window} before the kill");
    }
    if let Some(asked @ 1..) = seen.compact_retries {
        let times = units::plural(asked, "time", "times");
        let _ = write!(text, "; compaction was considered {times}");
    }
    if let Some(compacted) = seen.compaction.filter(|it| it.runs > 0) {
        let _ = write!(text, "; {}", compaction(&compacted));
    }
    text
}

fn compaction(compacted: &Compacted) -> String {
    let Compacted { runs, ns, succeeded } = *compacted;
    let made = succeeded.map(|made| {
        format!(", {} made a block", if made == 0 { "none".to_owned() } else { units::count(made) })
    });
    let runs = units::plural(runs, "run", "runs");
    format!("{runs} of compaction ({} in them{})", units::nanoseconds(ns), made.unwrap_or_default())
}

fn won(scanned: Option<u64>, pages: u64) -> String {
    match (scanned, pages) {
        (Some(0), 0) => "no page to look at".to_owned(),
        (Some(scanned), 0) => format!("none of {} won", units::plural(scanned, "page", "pages")),
        // Slab pages are won, too, without being looked at one by one.
        (Some(scanned), _) if scanned >= pages => {
            format!("{} of {} won", units::count(pages), units::plural(scanned, "page", "pages"))
        }
        (None, 0) => "no page won".to_owned(),
        _ => format!("{} won", units::plural(pages, "page", "pages")),
    }
}

/// Where the agent has not run so long, how long it has.
fn length(name: &str, window: &Window) -> String {
    let whole = if name == "10 s" { 8.9 } else { 58.9 };
    if window.seconds >= whole {
        format!("in the last {name}")
    } else {
        let ns = (window.seconds * 1e9) as u64;
        format!("in the last {} (the agent has not run longer)", units::nanoseconds(ns))
    }
}

/// What says something.
fn during(window: &Window) -> String {
    let mut parts = Vec::new();
    let some = |work: &Option<Work>| work.filter(|work| work.rounds > 0);
    let mut rounds = |whose: &str, work: Option<Work>| {
        if let Some(Work { rounds, ns, scanned_pages, reclaimed_pages }) = work {
            let (ns, won) = (units::nanoseconds(ns), won(scanned_pages, reclaimed_pages));
            parts.push(format!("{} {whose} ({ns} in them, {won})", units::plural(rounds, "round", "rounds")));
        }
    };
    match some(&window.cgroup) {
        Some(work) => rounds("for this cgroup", Some(work)),
        None => rounds("for memory cgroups", some(&window.memcg)),
    }
    rounds("of direct reclaim on the machine", some(&window.direct));
    if let Some(kswapd) = window.kswapd.filter(|kswapd| kswapd.wakes > 0) {
        let won = kswapd.reclaimed_pages.map(|pages| format!(" ({})", won(kswapd.scanned_pages, pages)));
        let times = units::plural(kswapd.wakes, "time", "times");
        parts.push(format!("kswapd went to work {times}{}", won.unwrap_or_default()));
    }
    if let Some(waits @ 1..) = window.throttled {
        let ns = units::maybe_nanoseconds(window.throttled_ns);
        parts.push(format!("{} in reclaim ({ns})", units::plural(waits, "wait", "waits")));
    }
    if let Some(compacted) = window.compaction.filter(|it| it.runs > 0) {
        parts.push(compaction(&compacted));
    }
    parts.join(", ")
}

fn zones(incident: &Incident, zones: &[RetryZone]) -> Option<String> {
    let page = verdict::page_size(incident);
    let mut short: Vec<_> = zones.iter().filter(|zone| !zone.enough).collect();
    // The largest first.
    short.sort_by_key(|zone| std::cmp::Reverse(zone.min_watermark_pages));
    let nodes = zones.iter().any(|zone| zone.node > 0);
    let each = short.iter().take(ZONES).map(|zone| {
        let node = if nodes { format!("node {} ", zone.node) } else { String::new() };
        let size = |pages: u64| units::bytes(pages.saturating_mul(page));
        format!(
            "{node}{} ({} with all that could be reclaimed, min watermark {})",
            escape::escape(&zone.name),
            size(zone.available_pages),
            size(zone.min_watermark_pages)
        )
    });
    let each: Vec<String> = each.collect();
    let loops = short.iter().map(|zone| zone.no_progress_loops).max()?;
    let rounds = units::plural(loops.into(), "round", "rounds");
    Some(format!("the page allocator gave up on {} after {rounds} without progress", each.join(", ")))
}
