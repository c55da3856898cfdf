//! The summary as a person reads it.

use super::often::Burst;
use super::{Entry, Place, Summary};
use crate::explain::moment::Moment;
use crate::sink::table::{Column, Fit, Table};
use crate::sink::text::{Line, Prose, Tone};
use crate::sink::{escape, path, units};

/// Rows by cgroup and by command.
const ROWS: usize = 10;
/// Places where it was often that are named.
const BURSTS: usize = 3;
/// Diagnoses that are named.
const DIAGNOSES: usize = 4;
/// Sentences are not wider than this.
const PROSE: usize = 120;

impl Summary {
    /// In at most `width` columns, 80 at least.
    pub fn text(&self, width: usize, color: bool) -> String {
        let width = width.max(80);
        let mut lines = self.headline().wrap(width.min(PROSE));
        for (place, burst) in self.bursts() {
            lines.extend(self.often(place, burst).wrap(width.min(PROSE)));
        }
        lines.extend(self.diagnosed().wrap(width.min(PROSE)));
        for (title, table, left) in [self.by_cgroup(), self.by_command(), self.list()] {
            lines.push(Line::default());
            lines.push(Line::new(Tone::Strong, title));
            lines.extend(table.lines(width));
            lines.extend(left.map(|left| Line::new(Tone::Faint, left)));
        }
        lines.push(Line::default());
        let mut hint = Prose::new();
        hint.say(
            Tone::Plain,
            "One in full: --id N. All: --all. Fewer: --since, --until, --cgroup, --victim.",
        );
        lines.extend(hint.wrap(width.min(PROSE)));
        let mut out = String::new();
        for line in lines {
            line.write(&mut out, color);
        }
        out
    }

    fn several_machines(&self) -> bool {
        self.machines.len() > 1
    }

    /// How many, from when until when, where.
    fn headline(&self) -> Prose {
        let mut prose = Prose::new();
        let text = format!(
            "{} and {}",
            units::plural(self.tally.incidents, "OOM incident", "OOM incidents"),
            units::plural(self.tally.victims, "victim", "victims"),
        );
        prose.say(Tone::Strong, &text);
        match &self.span {
            None => {}
            Some(_) if self.unordered => {
                prose.say(Tone::Strong, ", in logs with only the kernel's clock");
            }
            Some((first, last)) => {
                let (first, last) = (known(first), known(last));
                prose.say(Tone::Strong, ", ").atom(Tone::Strong, &first);
                if first != last {
                    prose.say(Tone::Strong, " to ").atom(Tone::Strong, &last);
                }
            }
        }
        match self.undated {
            0 => {}
            all if all == self.tally.incidents => {
                prose.say(Tone::Strong, ", at times that the log does not say");
            }
            some => {
                prose.say(
                    Tone::Strong,
                    &format!(", {} at a time that the log does not say", units::count(some)),
                );
            }
        }
        match &self.machines[..] {
            [] => prose.say(Tone::Strong, "."),
            [one] => {
                prose.say(Tone::Strong, ", on ");
                prose.atom(Tone::Strong, &escape::escape(one)).say(Tone::Strong, ".")
            }
            more => {
                let over = if self.more_machines { "more than " } else { "" };
                prose.say(Tone::Strong, &format!(", on {over}{} machines.", more.len()))
            }
        };
        if self.tally.none_killable > 0 {
            let number = units::count(self.tally.none_killable);
            prose.say(Tone::Plain, &format!(" In {number} of them nothing could be killed."));
        }
        prose
    }

    /// Where it was most often in a short time.
    fn bursts(&self) -> Vec<(&Place, &Burst)> {
        let groups = self.cgroups.sorted();
        let mut bursts: Vec<_> =
            groups.iter().filter_map(|(place, group)| Some((*place, group.value.burst()?))).collect();
        bursts.sort_by_key(|(_, burst)| std::cmp::Reverse(burst.count));
        bursts.truncate(BURSTS);
        bursts
    }

    fn often(&self, place: &Place, burst: &Burst) -> Prose {
        let mut prose = Prose::new();
        let Burst { count, ns, from, at_least } = burst;
        let least = if *at_least { "at least " } else { "" };
        // Most logs have seconds.
        let within = match ns {
            0..1_000_000_000 => "within a second".to_owned(),
            ns => format!("in {}", units::nanoseconds(*ns)),
        };
        prose.say(Tone::Alarm, &format!("Again and again: {least}{count} {within}"));
        prose.say(Tone::Plain, " from ").atom(Tone::Plain, &from.short()).say(Tone::Plain, " on, ");
        prose.atom(Tone::Plain, &path::shorten(&place.scope, 70));
        if self.several_machines() {
            prose.say(Tone::Plain, " on ").atom(Tone::Plain, &machine(place.machine.as_deref()));
        }
        prose.say(Tone::Plain, ".");
        prose
    }

    /// What they are put down to first.
    fn diagnosed(&self) -> Prose {
        let mut often: Vec<_> = self.diagnoses.iter().collect();
        often.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let named: Vec<_> = often
            .iter()
            .take(DIAGNOSES)
            .map(|(code, number)| format!("{} ({})", code.words(), units::count(**number)))
            .collect();
        let mut prose = Prose::new();
        if !named.is_empty() {
            let others = if often.len() > DIAGNOSES { ", others" } else { "" };
            prose.say(Tone::Plain, &format!("Diagnosis: {}{others}.", named.join(", ")));
        }
        prose
    }

    fn by_cgroup(&self) -> (&'static str, Table, Option<String>) {
        let columns = vec![
            Column::right("COUNT"),
            Column::left("FIRST").rank(2),
            Column::left("LAST"),
            Column::left("WHERE").fit(Fit::Path(20)),
        ];
        let mut table = Table::new(with_machine(self.several_machines(), columns));
        let sorted = self.cgroups.sorted();
        for (place, group) in sorted.iter().take(ROWS) {
            let cells = vec![
                units::count(group.count),
                group.value.first.short(),
                group.value.last.short(),
                place.scope.clone(),
            ];
            table.row(Tone::Plain, and_machine(self.several_machines(), cells, place.machine.as_deref()));
        }
        let left = sorted.iter().skip(ROWS).map(|(_, group)| group.count).sum::<u64>() + self.cgroups.others;
        ("By cgroup that was full", table, others(left, "incident", "incidents"))
    }

    fn by_command(&self) -> (&'static str, Table, Option<String>) {
        let mut table = Table::new(vec![
            Column::right("COUNT"),
            Column::right("LARGEST"),
            Column::left("LAST"),
            Column::left("COMMAND").fit(Fit::Cut(15)),
        ]);
        let sorted = self.commands.sorted();
        for (comm, group) in sorted.iter().take(ROWS) {
            let cells = vec![
                units::count(group.count),
                units::maybe_bytes(group.value.largest),
                group.value.last.short(),
                escape::name(comm),
            ];
            table.row(Tone::Plain, cells);
        }
        if sorted.is_empty() {
            table.row(Tone::Faint, vec!["0".to_owned()]);
        }
        let left = sorted.iter().skip(ROWS).map(|(_, group)| group.count).sum::<u64>() + self.commands.others;
        ("By command of the victims", table, others(left, "victim", "victims"))
    }

    fn list(&self) -> (&'static str, Table, Option<String>) {
        let table = rows(Column::right("N"), &self.listed, self.several_machines());
        let left = self.tally.incidents - self.listed.len() as u64;
        let left = (left > 0)
            .then(|| format!("{} before these: narrow it down by --since and --until", units::count(left)));
        (if left.is_some() { "The last ones" } else { "All of them" }, table, left)
    }
}

/// A table of incidents, one a row. `label`: the column of what they are asked for by.
pub(crate) fn rows<'a>(
    label: Column,
    entries: impl IntoIterator<Item = &'a Entry>,
    several_machines: bool,
) -> Table {
    let columns = vec![
        label,
        Column::left("TIME"),
        Column::left("VICTIM").fit(Fit::Cut(12)),
        Column::right("HELD"),
        Column::left("WHERE").fit(Fit::Path(16)),
    ];
    let mut table = Table::new(with_machine(several_machines, columns));
    for entry in entries {
        let Entry { label, moment, machine, scope, victim, others, held, none } = entry;
        let who = match (victim, others) {
            (None, _) if *none => "none".to_owned(),
            (None, _) => units::UNKNOWN.to_owned(),
            (Some((comm, pid)), 0) => format!("{}[{pid}]", escape::name(comm)),
            (Some((comm, pid)), more) => format!("{}[{pid}] +{more}", escape::name(comm)),
        };
        let held = if victim.is_some() { units::maybe_bytes(*held) } else { String::new() };
        let cells = vec![label.clone(), moment.short(), who, held, scope.clone()];
        table.row(Tone::Plain, and_machine(several_machines, cells, machine.as_deref()));
    }
    table
}

/// With a column for the machine before the last one, if there are several.
fn with_machine(several: bool, mut columns: Vec<Column>) -> Vec<Column> {
    if several {
        columns.insert(columns.len() - 1, Column::left("MACHINE").fit(Fit::Cut(8)));
    }
    columns
}

fn and_machine(several: bool, mut cells: Vec<String>, name: Option<&str>) -> Vec<String> {
    if several {
        cells.insert(cells.len() - 1, machine(name));
    }
    cells
}

fn machine(name: Option<&str>) -> String {
    name.map_or_else(|| units::UNKNOWN.to_owned(), |name| escape::escape(name).into_owned())
}

fn others(left: u64, one: &str, many: &str) -> Option<String> {
    (left > 0).then(|| {
        format!("and {} elsewhere", units::plural(left, &format!("more {one}"), &format!("more {many}")))
    })
}

/// With the offset, where the log has it, or with what the number is.
fn known(moment: &Moment) -> String {
    let short = moment.short();
    match &moment.wall {
        Some(wall) => match wall.offset {
            Some(offset) => format!("{short} {}", offset_text(offset.seconds())),
            None => short,
        },
        None => format!("{short} after boot"),
    }
}

fn offset_text(seconds: i32) -> String {
    let minutes = seconds.abs() / 60;
    format!("{}{:02}:{:02}", if seconds < 0 { '-' } else { '+' }, minutes / 60, minutes % 60)
}
