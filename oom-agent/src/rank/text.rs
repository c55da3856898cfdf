//! The answer for a person.

use super::{
    answer::{Answer, WhatIf},
    facts::{Bound, Level},
    ranking::Ranking,
    what_if::Changed,
};
use crate::{
    incident::model::{Candidate, Rule, ScopeKind},
    sink::{
        escape, path,
        table::{Column, Fit, Table},
        terminal::{
            LABEL, PROSE, Show, Style,
            candidates::{Ranks, Sheet, rest, select, table},
            labelled, words,
        },
        text::{Line, Prose, Tone},
        units,
    },
};
use std::{collections::HashMap, fmt::Write as _};

/// Columns of a path within a sentence.
const PATH: usize = 48;

/// The answer as text. No line is longer than [`Style::width`], or 80 if that is less.
pub fn render(answer: &Answer, style: &Style) -> String {
    let width = style.width.max(80);
    let (room, prose) = (width - LABEL, (width - LABEL).min(PROSE));
    let mut lines = title(answer).wrap(width);
    lines.extend(headline(answer).wrap(width.min(PROSE)));
    lines.push(Line::default());
    let shown = answer.what_if.as_ref().map_or(&answer.now, |what_if| &what_if.then);
    let place = levels(shown).map(|table| table.lines(room)).unwrap_or_default();
    for (label, section) in [
        ("Where", [place_words(answer, shown).wrap(prose), place].concat()),
        ("What if", answer.what_if.iter().flat_map(|what_if| changes(what_if, prose)).collect()),
        ("Candidates", candidates(answer, shown, style.candidates, room, prose)),
        ("Why", why(shown).wrap(prose)),
        ("Missing", answer.notes.iter().flat_map(|note| sentence(note).wrap(prose)).collect()),
        ("Evidence", evidence(answer).wrap(prose)),
    ] {
        labelled(&mut lines, label, section);
    }
    let mut out = String::new();
    for line in lines {
        line.write(&mut out, style.color);
    }
    out
}

/// The answer in one line, for a log.
pub fn line(answer: &Answer) -> String {
    let clock = answer.time.as_deref().and_then(|time| time.get(11..19));
    let mut out = clock.map_or(String::new(), |clock| format!("{clock} "));
    out.push_str(&plain(&headline(answer)));
    let shown = answer.what_if.as_ref().map_or(&answer.now, |what_if| &what_if.then);
    if let Some(points) = shown.decision.as_ref().and_then(|decision| decision.points) {
        let _ = write!(out, " {} points", units::points(points));
        if let Some(next) = runner_up(shown) {
            let points = next.points.map_or("?".to_owned(), units::points);
            let _ = write!(out, ", next {} with {points}", words::who(&next.comm, next.pid));
        }
        out.push('.');
    }
    out.push('\n');
    out
}

fn plain(prose: &Prose) -> String {
    let mut out = String::new();
    for line in prose.wrap(usize::MAX) {
        line.write(&mut out, false);
    }
    out.trim_end().to_owned()
}

fn sentence(text: &str) -> Prose {
    let mut prose = Prose::new();
    prose.say(Tone::Plain, &escape::escape(text));
    prose
}

fn title(answer: &Answer) -> Prose {
    let mut prose = Prose::new();
    prose.say(Tone::Faint, "OOM rank");
    let time = answer.time.as_ref().map(|time| time.replace('T', " "));
    let kernel = answer.kernel_release.as_ref().map(|release| format!("Linux {release}"));
    for part in [time, answer.node.clone(), kernel].into_iter().flatten() {
        prose.say(Tone::Faint, " ").say(Tone::Faint, &escape::escape(&part));
    }
    prose
}

/// What the kernel would do.
pub(crate) fn headline(answer: &Answer) -> Prose {
    let mut prose = Prose::new();
    if !answer.complete {
        prose.say(Tone::Strong, "As far as can be seen: ");
    }
    outcome(&mut prose, &answer.now, &when(&answer.now));
    if let Some(what_if) = &answer.what_if {
        let then = &what_if.then;
        let what =
            |ranking: &Ranking| ranking.decision.as_ref().map(|decision| (decision.rule, decision.pid));
        let when = if answer.now.scope == then.scope { String::new() } else { when(then) };
        if when.is_empty() && what(&answer.now) == what(then) && answer.now.group == then.group {
            prose.say(Tone::Strong, " With the change too.");
        } else {
            prose.say(Tone::Strong, " With the change: ");
            outcome(&mut prose, then, &when);
        }
    }
    prose
}

/// What the kernel would do; `when` is empty or the end of a sentence.
fn outcome(prose: &mut Prose, ranking: &Ranking, when: &str) {
    let Some(decision) = &ranking.decision else {
        prose.say(Tone::Strong, &format!("Nobody would be killed{when}: its OOM killer is switched off (oom_kill_disable). Whoever asks for memory would wait."));
        return;
    };
    let first = ranking.candidates.iter().find(|candidate| candidate.eligible);
    match decision.rule {
        Rule::Panic => {
            prose.atom(Tone::Alarm, "The kernel would panic");
            prose.say(Tone::Strong, &format!("{when}: vm.panic_on_oom is set."));
            return;
        }
        Rule::AllocatingTask => {
            prose.atom(Tone::Alarm, "Whoever asks for memory");
            prose.say(Tone::Strong, &format!(" would be killed{when}: vm.oom_kill_allocating_task is set, points are not compared unless that one is exempt."));
            return;
        }
        Rule::NoneKillable => {
            let global = ranking.scope.kind == Some(ScopeKind::Global);
            let then = if global { "the kernel would panic" } else { "allocations would fail" };
            let why = if ranking.candidates.is_empty() {
                "no process was seen in it"
            } else {
                "everybody is exempt"
            };
            prose.say(Tone::Strong, &format!("Nobody could be killed{when}: {why}; {then}."));
            return;
        }
        Rule::HighestPoints | Rule::AlreadyDying | Rule::Sysrq => {}
    }
    let Some(first) = first.filter(|first| Some(first.pid) == decision.pid) else {
        prose.say(Tone::Strong, &format!("Who would be killed{when} is not known: nobody's points are."));
        return;
    };
    prose.atom(Tone::Alarm, &words::who(&first.comm, first.pid));
    if let Some(resident) = words::resident(&first.memory) {
        prose.say(Tone::Strong, &format!(", holding {},", units::bytes(resident)));
    }
    prose.say(Tone::Strong, &format!(" would be killed{when}."));
    if let Some(group) = &ranking.group {
        let others = units::plural(group.pids.len() as u64, "more process", "more processes");
        prose.say(Tone::Strong, &format!(" {others} would die with it (memory.oom.group of "));
        prose.atom(Tone::Strong, &named(&group.cgroup)).say(Tone::Strong, ").");
    }
}

/// When it would, with a blank before it.
fn when(ranking: &Ranking) -> String {
    let Some(cgroup) = &ranking.scope.cgroup else {
        return " if the machine ran out of memory now".to_owned();
    };
    let limit = level(ranking, cgroup).and_then(Level::limit_bytes);
    format!(" if {} reached its limit of {} now", named(cgroup), units::maybe_bytes(limit))
}

fn named(cgroup: &str) -> String {
    path::shorten(&path::shown(cgroup), PATH)
}

fn level<'a>(ranking: &'a Ranking, cgroup: &str) -> Option<&'a Level> {
    ranking.levels.iter().find(|level| level.cgroup == cgroup)
}

/// Which limit it is about.
pub(crate) fn place_words(answer: &Answer, ranking: &Ranking) -> Prose {
    let mut prose = Prose::new();
    let asked = answer.asked_cgroup.as_deref();
    match (&ranking.scope.cgroup, asked) {
        (None, asked) => {
            let available = units::maybe_bytes(answer.available_bytes);
            let swap = units::maybe_bytes(answer.swap_free_bytes);
            let machine = format!("the whole machine: {available} available, {swap} of swap free");
            let none = |asked| format!("neither {} nor any cgroup above it has a limit; ", named(asked));
            prose.say(Tone::Plain, &(asked.map(none).unwrap_or_default() + &machine));
        }
        (Some(full), Some(asked)) if full != asked => {
            let text =
                format!("{} has no limit of its own; {} would be full first", named(asked), named(full));
            prose.say(Tone::Plain, &text);
        }
        (Some(full), _) => {
            prose.say(Tone::Plain, &format!("memory cgroup {}", named(full)));
            if let Some(first) = ranking.full_first.as_deref().filter(|first| first != full) {
                let text = format!("; {} above it has less left and would be full first", named(first));
                prose.say(Tone::Plain, &text);
            }
        }
    }
    prose
}

fn levels(ranking: &Ranking) -> Option<Table> {
    let base = ranking.levels.first()?;
    let v1 = base.swap_max_bytes.is_none();
    let mut table = Table::new(vec![
        Column::left("CGROUP").fit(Fit::Path(20)),
        Column::right("USED"),
        Column::right("LIMIT"),
        Column::right("LEFT"),
        Column::right(if v1 { "WITH SWAP" } else { "SWAP LIMIT" }).rank(3),
        Column::left(""),
    ]);
    for level in &ranking.levels {
        let bound = |bound: Option<Bound>| match bound {
            Some(Bound::Bytes(bytes)) => units::bytes(bytes),
            Some(Bound::Max(_)) => "none".to_owned(),
            None => units::UNKNOWN.to_owned(),
        };
        let left = match (level.headroom_bytes(), level.memory_max_bytes) {
            (None, Some(Bound::Max(_))) => "-".to_owned(),
            (left, _) => units::maybe_bytes(left),
        };
        let swap = if v1 { level.memsw_max_bytes } else { level.swap_max_bytes };
        let full = ranking.scope.cgroup.as_ref() == Some(&level.cgroup);
        let marks = [
            (full, "ranked"),
            (ranking.full_first.as_ref() == Some(&level.cgroup), "full first"),
            (level.oom_group == Some(true), "dies as a group"),
        ];
        let marks: Vec<_> = marks.into_iter().filter_map(|(holds, mark)| holds.then_some(mark)).collect();
        let cells = vec![
            path::shown(&level.cgroup),
            units::maybe_bytes(level.usage_bytes),
            bound(level.memory_max_bytes),
            left,
            bound(swap),
            marks.join(", "),
        ];
        table.row(if full { Tone::Plain } else { Tone::Faint }, cells);
    }
    Some(table)
}

fn changes(what_if: &WhatIf, width: usize) -> Vec<Line> {
    let changes = what_if.changes.iter().flat_map(|change| {
        let mut prose = Prose::new();
        match change {
            Changed::Adj { pid, comm, oom_score_adj_now: now, oom_score_adj } => {
                prose.atom(Tone::Plain, &words::who(comm, *pid));
                let now = now.map_or(units::UNKNOWN.to_owned(), |now| now.to_string());
                prose.say(Tone::Plain, &format!(": oom_score_adj {now} -> {oom_score_adj}"));
            }
            Changed::Limit { cgroup, memory_max_bytes_now: now, memory_max_bytes, exceeded } => {
                let text = |bound: Bound| bound.bytes().map_or("none".to_owned(), units::bytes);
                let now = now.map_or(units::UNKNOWN.to_owned(), text);
                prose.say(Tone::Plain, &format!("{}: limit {now} -> {}", named(cgroup), text(*memory_max_bytes)));
                if *exceeded == Some(true) {
                    prose.say(Tone::Plain, "; more than that is used: memory would be reclaimed at once, and somebody killed if that is not enough");
                }
            }
        }
        prose.wrap(width)
    });
    changes.collect()
}

fn candidates(answer: &Answer, ranking: &Ranking, show: Show, room: usize, width: usize) -> Vec<Line> {
    let all = &ranking.candidates;
    let exempt = all.iter().filter(|candidate| !candidate.eligible).count() as u64;
    let mut head = Prose::new();
    let evaluated = units::plural(all.len() as u64, "process", "processes");
    head.say(
        Tone::Plain,
        &format!("{evaluated}, {} exempt; ~ computed from /proc as the kernel would", units::count(exempt)),
    );
    let mut lines = head.wrap(width);
    let victim = ranking.decision.as_ref().and_then(|decision| decision.pid);
    let group = ranking.group.as_ref();
    let dies = |candidate: &Candidate| group.is_some_and(|group| group.pids.contains(&candidate.pid));
    let killed = |candidate: &Candidate| victim == Some(candidate.pid);
    let marks = |candidate: &Candidate| match (killed(candidate), dies(candidate)) {
        (true, _) => vec!["first"],
        (false, true) => vec!["with it"],
        (false, false) => Vec::new(),
    };
    let (is, was) = (ranks(ranking), ranks(&answer.now));
    let rank = |ranks: &HashMap<u32, usize>, candidate: &Candidate| {
        ranks.get(&candidate.pid).map_or("-".to_owned(), usize::to_string)
    };
    let compared = answer.what_if.is_some();
    let texts = |candidate: &Candidate| {
        let mut texts = vec![rank(&is, candidate)];
        texts.extend(compared.then(|| rank(&was, candidate)));
        texts
    };
    let titles: &[&str] = if compared { &["RANK", "WAS"] } else { &["RANK"] };
    let sheet = Sheet {
        base: ranking.scope.cgroup.as_deref(),
        full: &ranking.scope.identity,
        total_pages: ranking.total_pages,
        marks: &marks,
        alarm: &killed,
        ranks: Some(Ranks { titles, texts: &texts }),
    };
    let changed = |candidate: &Candidate| {
        answer
            .what_if
            .iter()
            .flat_map(|what_if| &what_if.changes)
            .any(|change| matches!(change, Changed::Adj { pid, .. } if *pid == candidate.pid))
    };
    let (shown, hidden) = select(all, show, &changed, &killed);
    if !shown.is_empty() {
        lines.extend(table(&sheet, &shown).lines(room));
    }
    lines.extend(rest(&hidden).wrap(width));
    lines
}

/// Places of those that could be killed and whose points are known, from 1.
fn ranks(ranking: &Ranking) -> HashMap<u32, usize> {
    let known = ranking.candidates.iter().filter(|it| it.eligible && it.points.is_some());
    known.enumerate().map(|(at, candidate)| (candidate.pid, at + 1)).collect()
}

fn runner_up(ranking: &Ranking) -> Option<&Candidate> {
    let next = ranking.decision.as_ref()?.runner_up_pid?;
    ranking.candidates.iter().find(|candidate| candidate.pid == next)
}

/// Why this one.
pub(crate) fn why(ranking: &Ranking) -> Prose {
    let mut prose = Prose::new();
    let Some(decision) = &ranking.decision else { return prose };
    let Some(points) = decision.points else { return prose };
    prose.say(Tone::Plain, &format!("most points: {}", units::points(points)));
    let Some(next) = runner_up(ranking) else {
        prose.say(Tone::Plain, ".");
        return prose;
    };
    prose.say(Tone::Plain, "; next ").atom(Tone::Plain, &words::who(&next.comm, next.pid));
    prose.say(Tone::Plain, &format!(" with {}", next.points.map_or("?".to_owned(), units::points)));
    match decision.margin_points {
        Some(0) => prose.say(Tone::Plain, ", the same: the last one scanned wins."),
        _ => prose.say(Tone::Plain, "."),
    };
    if let Some(adj) = decision.adj_to_spare {
        let less = if adj > -1000 { " or less" } else { "" };
        prose.say(Tone::Plain, &format!(" oom_score_adj {adj}{less} would spare it."));
    }
    prose
}

/// What it is made of.
pub(crate) fn evidence(answer: &Answer) -> Prose {
    let mut prose = Prose::new();
    let compared = answer.cross_check.compared;
    let agree = compared.saturating_sub(answer.cross_check.disagree.len() as u64);
    let (compared, agree) = (units::count(compared), units::count(agree));
    prose.say(Tone::Faint, &format!("/proc; the kernel's own oom_score agrees for {agree} of {compared}. "));
    prose.say(Tone::Faint, "Who was reaped already or is in vfork shows only by an oom_score of 0.");
    if answer.unread.vanished > 0 {
        let ended = units::plural(answer.unread.vanished, "process", "processes");
        prose.say(Tone::Faint, &format!(" {ended} ended meanwhile."));
    }
    prose
}
