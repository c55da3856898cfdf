//! The table of those whom the kernel looked at.

use super::{Page, Show, whose, words};
use crate::incident::identity::Identity;
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
    let asked = |candidate: &Candidate| words::asked(incident, candidate.pid, candidate.tid);
    let killed = |candidate: &Candidate| incident.victims.iter().any(|victim| victim.pid == candidate.pid);
    let (shown, hidden) = select(&incident.candidates, page.candidates, &asked, &killed);
    if !shown.is_empty() {
        let marks = |candidate: &Candidate| {
            let marks = [(killed(candidate), "killed"), (asked(candidate), "asked")];
            marks.into_iter().filter_map(|(holds, word)| holds.then_some(word)).collect()
        };
        let sheet = Sheet {
            base: incident.scope.cgroup.as_deref(),
            full: &incident.scope.identity,
            total_pages: incident.total_pages,
            marks: &marks,
            alarm: &killed,
            ranks: None,
        };
        lines.extend(table(&sheet, &shown).lines(page.room()));
    }
    lines.extend(rest(&hidden).wrap(page.prose()));
    lines
}

/// How many there were, how many of them were seen.
pub(crate) fn head(incident: &Incident) -> Prose {
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
            prose.say(Tone::Plain, &format!("{} evaluated, {seen} seen", units::count(all)))
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

/// Which are shown as rows, and which only counted. `always` are, and each `victim` that could be killed.
pub(crate) fn select<'a>(
    candidates: &'a [Candidate],
    show: Show,
    always: &dyn Fn(&Candidate) -> bool,
    victim: &dyn Fn(&Candidate) -> bool,
) -> (Vec<&'a Candidate>, Vec<&'a Candidate>) {
    let mut large: Vec<u64> = candidates.iter().filter(|it| !it.eligible).map(resident).collect();
    large.sort_unstable_by(|a, b| b.cmp(a));
    let least = large.get(EXEMPT_SHOWN - 1).copied().unwrap_or(0).max(1);
    let mut eligible = 0;
    candidates.iter().partition(|candidate| match show {
        Show::All => true,
        Show::None => false,
        Show::Top(_) if always(candidate) => true,
        Show::Top(most) if candidate.eligible => {
            eligible += 1;
            eligible <= most || victim(candidate)
        }
        Show::Top(_) => resident(candidate) >= least,
    })
}

fn resident(candidate: &Candidate) -> u64 {
    words::resident(&candidate.memory).unwrap_or(0)
}

/// What a table of candidates is about.
pub(crate) struct Sheet<'a> {
    /// The cgroup that others are shown relative to.
    pub(crate) base: Option<&'a str>,
    /// Whose that is.
    pub(crate) full: &'a Identity,
    /// What `oom_score_adj` is a share of.
    pub(crate) total_pages: Option<u64>,
    /// Words behind a row.
    pub(crate) marks: &'a dyn Fn(&Candidate) -> Vec<&'static str>,
    /// Rows that stand out.
    pub(crate) alarm: &'a dyn Fn(&Candidate) -> bool,
    /// For a ranking: columns before all others, and the two shares of the points as numbers.
    pub(crate) ranks: Option<Ranks<'a>>,
}

/// Columns of a ranking.
#[derive(Clone, Copy)]
pub(crate) struct Ranks<'a> {
    /// Their titles.
    pub(crate) titles: &'a [&'static str],
    /// Their texts.
    pub(crate) texts: &'a dyn Fn(&Candidate) -> Vec<String>,
}

pub(crate) fn table(sheet: &Sheet<'_>, shown: &[&Candidate]) -> Table {
    let Sheet { base, full, total_pages, marks, alarm, ranks } = *sheet;
    let elsewhere = shown.iter().any(|it| it.cgroup.is_some() && it.cgroup.as_deref() != base);
    let parts = shown.iter().any(|it| it.memory.anon_bytes.is_some());
    let computed = shown.iter().any(|it| it.points_source == Some(PointsSource::Computed));
    let titles = ranks.map(|ranks| ranks.titles).unwrap_or_default();
    let mut columns: Vec<Column> = titles.iter().map(|title| Column::right(title)).collect();
    columns.extend([Column::right("PID"), Column::left("COMMAND").fit(Fit::Cut(12))]);
    columns.push(Column::right("UID").rank(5));
    if elsewhere {
        let named = shown.iter().all(|it| whose::cell(&it.identity, full).is_some());
        let title = if named { "CONTAINER" } else { "CGROUP" };
        columns.push(Column::left(title).fit(Fit::Path(24)).rank(4));
    }
    if parts {
        // What points are made of says more of a ranking than what memory is made of.
        let rank = if ranks.is_some() { 6 } else { 3 };
        columns
            .extend(["ANON", "FILE", "SHMEM", "SWAP", "TABLES"].map(|title| Column::right(title).rank(rank)));
    }
    columns.push(Column::right("ADJ"));
    columns.push(Column::right("MEMORY"));
    let bar = columns.len();
    if shown.iter().any(|it| it.eligible) {
        columns.push(Column::left("#mem +adj").fit(Fit::Bar(9, 60)).rank(2));
        if ranks.is_some() {
            columns.extend(["OF MEMORY", "OF ADJ"].map(|title| Column::right(title).rank(3)));
        }
        columns.push(Column::right(if computed { "~POINTS" } else { "POINTS" }));
    }
    columns.push(Column::left(""));
    let mut table = Table::new(columns);
    let most = shown.iter().filter_map(|it| it.points).max().unwrap_or(0);
    for candidate in shown {
        let first = ranks.map(|ranks| (ranks.texts)(candidate)).unwrap_or_default();
        let mut cells: Vec<Cell> = first.into_iter().map(Cell::from).collect();
        cells.extend([candidate.pid.to_string().into(), escape::name(&candidate.comm).into()]);
        cells.push(candidate.uid.map_or("?".to_owned(), |uid| uid.to_string()).into());
        if elsewhere {
            let path = || {
                let path = path::shown(candidate.cgroup.as_deref()?);
                Some(path::relative(&path, base.map(path::shown).as_deref()))
            };
            let home = whose::cell(&candidate.identity, full).or_else(path);
            cells.push(home.unwrap_or("?".to_owned()).into());
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
            let marks = marks(candidate).into_iter().filter(|mark| *mark != "killed");
            let tail = std::iter::once(reason.as_str()).chain(marks).collect::<Vec<_>>().join(", ");
            table.push(Row { cells, tone: Tone::Faint, tail: Some((bar, tail)) });
            continue;
        }
        cells.push(Cell::Bar(composition(total_pages, candidate), u64::try_from(most).unwrap_or(0)));
        if ranks.is_some() {
            let shares = [of_memory(total_pages, candidate), of_adj(total_pages, candidate)];
            cells.extend(shares.map(|share| share.map_or("?".to_owned(), units::points).into()));
        }
        let mark = if candidate.points_source == Some(PointsSource::Computed) { "~" } else { "" };
        cells.push(
            candidate
                .points
                .map_or("?".to_owned(), |points| format!("{mark}{}", units::points(points)))
                .into(),
        );
        cells.push(marks(candidate).join(", ").into());
        let tone = if alarm(candidate) { Tone::Alarm } else { Tone::Plain };
        table.push(Row { cells, tone, tail: None });
    }
    table
}

/// A process without memory holds nothing that could be unknown.
pub(crate) fn held(candidate: &Candidate, bytes: Option<u64>) -> String {
    match (bytes, candidate.exempt_reason) {
        (None, Some(ExemptReason::KernelThread | ExemptReason::NoMm)) => "-".to_owned(),
        (bytes, _) => units::maybe_bytes(bytes),
    }
}

/// What the points are made of: memory, and what a positive `oom_score_adj` adds.
fn composition(total_pages: Option<u64>, candidate: &Candidate) -> [(u64, char); 2] {
    let points = u64::try_from(candidate.points.unwrap_or(0)).unwrap_or(0);
    let added =
        of_adj(total_pages, candidate).map_or(0, |share| u64::try_from(share).unwrap_or(0)).min(points);
    [(points - added, '#'), (added, '+')]
}

/// What `oom_score_adj` adds or takes (`adj * (totalpages / 1000)`: `oom_badness` in `mm/oom_kill.c`).
pub(crate) fn of_adj(total_pages: Option<u64>, candidate: &Candidate) -> Option<i64> {
    match candidate.oom_score_adj? {
        0 => Some(0),
        adj => Some(i64::try_from(total_pages? / 1000).unwrap_or(i64::MAX).saturating_mul(i64::from(adj))),
    }
}

/// The rest of the points.
pub(crate) fn of_memory(total_pages: Option<u64>, candidate: &Candidate) -> Option<i64> {
    Some(candidate.points?.saturating_sub(of_adj(total_pages, candidate)?))
}

/// Those without a row, in words.
pub(crate) fn rest(hidden: &[&Candidate]) -> Prose {
    let mut parts = Vec::new();
    if let fewer @ 1.. = hidden.iter().filter(|candidate| candidate.eligible).count() as u64 {
        parts.push(format!("{} more with fewer points", units::count(fewer)));
    }
    let mut reasons: Vec<(Option<ExemptReason>, u64)> = Vec::new();
    for candidate in hidden.iter().filter(|candidate| !candidate.eligible) {
        match reasons.iter_mut().find(|(reason, _)| *reason == candidate.exempt_reason) {
            Some((_, number)) => *number += 1,
            None => reasons.push((candidate.exempt_reason, 1)),
        }
    }
    reasons.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
    if !reasons.is_empty() {
        let words: Vec<_> =
            reasons.iter().map(|(reason, number)| words::exempt_count(*reason, *number)).collect();
        parts.push(format!("also exempt: {}", words.join(", ")));
    }
    let mut prose = Prose::new();
    if !parts.is_empty() {
        prose.say(Tone::Faint, &parts.join("; "));
    }
    prose
}
