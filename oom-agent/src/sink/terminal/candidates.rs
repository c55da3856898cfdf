//! The table of those whom the kernel looked at.

use super::{Page, Show, words};
use crate::incident::model::{Candidate, ExemptReason, Incident, PointsSource, Rule};
use crate::sink::table::{Cell, Column, Fit, Row, Table};
use crate::sink::text::{Line, Prose, Tone};
use crate::sink::{escape, path, units};

/// Exempt processes with memory that are shown beside the top ones; kernel threads are only counted.
const EXEMPT_SHOWN: usize = 3;

pub(super) fn lines(incident: &Incident, page: &Page) -> Vec<Line> {
    let mut lines = head(incident).wrap(page.prose());
    if incident.candidates.is_empty() || page.candidates == Show::None {
        return lines;
    }
    let (shown, hidden) = select(incident, page.candidates);
    if !shown.is_empty() {
        lines.extend(table(incident, &shown).lines(page.room()));
    }
    lines.extend(rest(&hidden).wrap(page.prose()));
    lines
}

/// How many there were, how many of them were seen.
fn head(incident: &Incident) -> Prose {
    let mut prose = Prose::new();
    let seen = incident.candidates.len() as u64;
    let rule = incident.decision.as_ref().map(|decision| decision.rule);
    let lost = incident.candidates_lost.unwrap_or(0);
    match incident.candidates_evaluated {
        Some(0) => prose.say(Tone::Plain, "none: the kernel compared nobody"),
        None if seen == 0 && rule == Some(Rule::AllocatingTask) => {
            prose.say(Tone::Plain, "none: the kernel compared nobody")
        }
        None if seen == 0 => prose.say(Tone::Plain, "? (none was seen)"),
        Some(all) if all != seen || lost > 0 => {
            let seen = if seen == 0 { "none".to_owned() } else { units::count(seen) };
            prose.say(Tone::Plain, &format!("{} evaluated, {seen} of them seen", units::count(all)))
        }
        Some(_) => prose.say(Tone::Plain, &format!("{} evaluated", units::count(seen))),
        None => prose.say(Tone::Plain, &format!("{} seen", units::count(seen))),
    };
    if lost > 0 {
        prose.say(Tone::Plain, &format!(", {} lost", units::count(lost)));
    }
    let exempt = incident.candidates.iter().filter(|candidate| !candidate.eligible).count() as u64;
    if exempt > 0 {
        prose.say(Tone::Plain, &format!(", {} exempt", units::count(exempt)));
    }
    if incident.candidates.iter().any(|candidate| candidate.points_source == Some(PointsSource::Computed)) {
        prose.say(Tone::Plain, "; ~ computed, not the kernel's own points");
    }
    prose
}

/// Which are shown as rows, and which only counted.
fn select(incident: &Incident, show: Show) -> (Vec<&Candidate>, Vec<&Candidate>) {
    let (mut eligible, mut exempt) = (0, 0);
    incident.candidates.iter().partition(|candidate| match show {
        Show::All => true,
        Show::None => false,
        Show::Top(most) if candidate.eligible => {
            eligible += 1;
            eligible <= most
                || killed(incident, candidate)
                || words::asked(incident, candidate.pid, candidate.tid)
        }
        Show::Top(_) => {
            let memory = words::resident(&candidate.memory).is_some_and(|bytes| bytes > 0);
            exempt += usize::from(memory);
            (memory && exempt <= EXEMPT_SHOWN) || words::asked(incident, candidate.pid, candidate.tid)
        }
    })
}

fn killed(incident: &Incident, candidate: &Candidate) -> bool {
    incident.victims.iter().any(|victim| victim.pid == candidate.pid)
}

fn table(incident: &Incident, shown: &[&Candidate]) -> Table {
    let base = incident.scope.cgroup.as_deref();
    let elsewhere = shown.iter().any(|it| it.cgroup.is_some() && it.cgroup.as_deref() != base);
    let parts = shown.iter().any(|it| it.memory.anon_bytes.is_some());
    let computed = shown.iter().any(|it| it.points_source == Some(PointsSource::Computed));
    let mut columns = vec![Column::right("PID"), Column::left("COMMAND").fit(Fit::Cut(12))];
    columns.push(Column::right("UID").rank(4));
    if elsewhere {
        columns.push(Column::left("CGROUP").fit(Fit::Path(24)).rank(3));
    }
    if parts {
        columns.extend(["ANON", "FILE", "SHMEM", "SWAP", "TABLES"].map(|title| Column::right(title).rank(2)));
    }
    columns.push(Column::right("ADJ"));
    columns.push(Column::right("MEMORY"));
    let bar = columns.len();
    columns.push(Column::left("# memory + adj").fit(Fit::Bar(8, 60)));
    columns.push(Column::right(if computed { "~POINTS" } else { "POINTS" }));
    columns.push(Column::left(""));
    let mut table = Table::new(columns);
    let most = shown.iter().filter_map(|it| it.points).max().unwrap_or(0);
    for candidate in shown {
        let mut cells: Vec<Cell> =
            vec![candidate.pid.to_string().into(), escape::name(&candidate.comm).into()];
        cells.push(candidate.uid.map_or("?".to_owned(), |uid| uid.to_string()).into());
        if elsewhere {
            let home = candidate.cgroup.as_deref().map_or("?".into(), |it| {
                path::relative(&escape::escape(it), base.map(escape::escape).as_deref())
            });
            cells.push(home.into());
        }
        let memory = &candidate.memory;
        if parts {
            for bytes in [
                memory.anon_bytes,
                memory.file_bytes,
                memory.shmem_bytes,
                memory.swap_bytes,
                memory.pgtables_bytes,
            ] {
                cells.push(held(candidate, bytes).into());
            }
        }
        cells.push(candidate.oom_score_adj.map_or("?".to_owned(), |adj| adj.to_string()).into());
        cells.push(held(candidate, words::counted(memory).or_else(|| words::resident(memory))).into());
        if !candidate.eligible {
            let reason = candidate
                .exempt_reason
                .map_or("exempt: reason not seen".to_owned(), |it| format!("exempt: {}", words::exempt(it)));
            let asked = if words::asked(incident, candidate.pid, candidate.tid) { ", asked" } else { "" };
            table.push(Row { cells, tone: Tone::Faint, tail: Some((bar, format!("{reason}{asked}"))) });
            continue;
        }
        cells.push(Cell::Bar(composition(incident, candidate), u64::try_from(most).unwrap_or(0)));
        let mark = if candidate.points_source == Some(PointsSource::Computed) { "~" } else { "" };
        cells.push(
            candidate
                .points
                .map_or("?".to_owned(), |points| format!("{mark}{}", units::points(points)))
                .into(),
        );
        let dead = killed(incident, candidate);
        let marks: Vec<&str> =
            [(dead, "killed"), (words::asked(incident, candidate.pid, candidate.tid), "asked")]
                .into_iter()
                .filter_map(|(holds, word)| holds.then_some(word))
                .collect();
        cells.push(marks.join(", ").into());
        table.push(Row { cells, tone: if dead { Tone::Alarm } else { Tone::Plain }, tail: None });
    }
    table
}

/// A process without memory holds nothing that could be unknown.
fn held(candidate: &Candidate, bytes: Option<u64>) -> String {
    match (bytes, candidate.exempt_reason) {
        (None, Some(ExemptReason::KernelThread | ExemptReason::NoMm)) => "-".to_owned(),
        (bytes, _) => units::maybe_bytes(bytes),
    }
}

/// What the points are made of: memory, and what a positive `oom_score_adj` adds
/// (`adj * (totalpages / 1000)`: `oom_badness` in `mm/oom_kill.c`).
fn composition(incident: &Incident, candidate: &Candidate) -> [(u64, char); 2] {
    let points = u64::try_from(candidate.points.unwrap_or(0)).unwrap_or(0);
    let share = incident.total_pages.zip(candidate.oom_score_adj);
    let added =
        share.map_or(0, |(total, adj)| (total / 1000).saturating_mul(u64::try_from(adj).unwrap_or(0)));
    let added = added.min(points);
    [(points - added, '#'), (added, '+')]
}

/// Those without a row, in words.
fn rest(hidden: &[&Candidate]) -> Prose {
    let mut prose = Prose::new();
    let fewer = hidden.iter().filter(|candidate| candidate.eligible).count() as u64;
    let mut parts = Vec::new();
    if fewer > 0 {
        parts.push(format!("{} with fewer points", units::count(fewer)));
    }
    let exempt: Vec<_> = hidden.iter().filter(|candidate| !candidate.eligible).collect();
    let mut reasons: Vec<(Option<ExemptReason>, u64)> = Vec::new();
    for candidate in &exempt {
        match reasons.iter_mut().find(|(reason, _)| *reason == candidate.exempt_reason) {
            Some((_, number)) => *number += 1,
            None => reasons.push((candidate.exempt_reason, 1)),
        }
    }
    if !exempt.is_empty() {
        let words: Vec<String> =
            reasons.iter().map(|(reason, number)| words::exempt_count(*reason, *number)).collect();
        parts.push(format!("{} exempt ({})", units::count(exempt.len() as u64), words.join(", ")));
    }
    if !parts.is_empty() {
        prose.say(Tone::Plain, &format!("and {}", words::list(&parts)));
    }
    prose
}
