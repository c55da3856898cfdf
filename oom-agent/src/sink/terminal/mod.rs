//! An incident as a person reads it: who, for whom, where, why this one, what is missing.
//!
//! # Layout
//! - [`style`]: how wide, in colour, how many candidates; the only part that asks the environment.
//! - `headline`: the sentences on top.
//! - `sections`: where, asked; `filled`: who filled it.
//! - `before`: reclaim before the kill; `growth`: how memory had grown; `kill`: what the kill cost and gave back.
//! - `failed`: why there was no memory to give.
//! - `growth`: how the memory in scope had grown, before the kill.
//! - `memory`: what it was used for, swap, slab caches; `zones`: the page allocator's zones.
//! - `victims`, `candidates`: the tables.
//! - `why`: the decision in words.
//! - `diagnosis`: what led to it and what helps.
//! - `missing`: what was not seen.
//! - `whose`: containers, pods and units in words.
//! - `words`: names and phrases that they share.

mod before;
pub(crate) mod candidates;
pub(crate) mod diagnosis;
mod failed;
mod filled;
mod growth;
pub(crate) mod headline;
mod kill;
pub(crate) mod memory;
mod missing;
mod sections;
pub mod style;
pub(crate) mod victims;
pub(crate) mod whose;
mod why;
pub(crate) mod words;
pub(crate) mod zones;

pub use style::{Show, Style};
pub(crate) use words::{main_victim, resident};

use super::text::{Line, Tone};
use crate::incident::model::Incident;

/// Columns of a section's label.
pub(crate) const LABEL: usize = 11;
/// Columns that paths are shortened for where sentences are one line each.
const WHOLE: usize = 100;
/// Sentences are not wider than this: longer lines are hard to read.
pub(crate) const PROSE: usize = 120;

/// The incident as text. No line is longer than [`Style::width`]; whatever a process or a cgroup calls itself
/// is escaped.
pub fn render(incident: &Incident, style: &Style) -> String {
    let page = Page { width: style.width.max(80), candidates: style.candidates, whole: false };
    let mut lines = headline::lines(incident, &page);
    lines.push(Line::default());
    for (label, section) in [
        ("Where", sections::place(incident, &page)),
        ("Asked", sections::asked(incident, &page)),
        ("Failed", failed::lines(incident, &page)),
        ("Memory", memory::lines(incident, &page)),
        ("Zones", zones::lines(incident, &page)),
        ("Swap", memory::swap(incident, &page)),
        ("Slab", memory::slabs(incident, &page)),
        ("Before", before::lines(incident, &page)),
        (kill::label(incident), kill::lines(incident, &page)),
    ] {
        labelled(&mut lines, label, section);
    }
    lines.push(Line::default());
    labelled(&mut lines, "Victims", victims::lines(incident, &page));
    labelled(&mut lines, "Candidates", candidates::lines(incident, &page));
    lines.push(Line::default());
    labelled(&mut lines, "Why", why::lines(incident, &page));
    labelled(&mut lines, "Diagnosis", diagnosis::lines(incident, &page));
    labelled(&mut lines, "Missing", missing::lines(incident, &page));
    labelled(&mut lines, "Evidence", missing::evidence(incident, &page));
    let mut out = String::new();
    for line in lines {
        line.write(&mut out, style.color);
    }
    out
}

/// What is said in sentences, one line each, for a sink that lays them out itself. Empty: there is nothing to say.
pub(crate) struct Sentences {
    /// What happened.
    pub(crate) headline: Vec<Line>,
    /// Below their labels.
    pub(crate) facts: Vec<(&'static str, Vec<Line>)>,
    /// What was not seen.
    pub(crate) missing: Vec<Line>,
    /// What it is made of.
    pub(crate) evidence: Vec<Line>,
}

impl Sentences {
    /// Of an incident.
    pub(crate) fn of(incident: &Incident) -> Self {
        let page = Page { width: WHOLE, candidates: Show::None, whole: true };
        let facts = [
            ("Where", sections::place(incident, &page)),
            ("Asked", sections::asked(incident, &page)),
            ("Failed", failed::lines(incident, &page)),
            ("Swap", memory::swap(incident, &page)),
            ("Slab", memory::slabs(incident, &page)),
            ("Before", before::lines(incident, &page)),
            (kill::label(incident), kill::lines(incident, &page)),
            ("Why", why::lines(incident, &page)),
        ];
        Self {
            headline: headline::sentence(incident).wrap(usize::MAX),
            facts: facts.into_iter().filter(|(_, lines)| !lines.is_empty()).collect(),
            missing: missing::lines(incident, &page),
            evidence: missing::evidence(incident, &page),
        }
    }
}

/// How much room there is.
struct Page {
    width: usize,
    candidates: Show,
    /// Each sentence in one line, and no pictures: see [`Sentences`].
    whole: bool,
}

impl Page {
    /// Columns right of a label.
    fn room(&self) -> usize {
        self.width - LABEL
    }

    /// Columns for sentences right of a label.
    fn prose(&self) -> usize {
        if self.whole { usize::MAX } else { self.room().min(PROSE) }
    }
}

/// What happened, in one line without its end.
pub fn headline(incident: &Incident) -> String {
    headline::line(incident)
}

/// Appends a section, nothing if it is empty.
pub(crate) fn labelled(lines: &mut Vec<Line>, label: &str, section: Vec<Line>) {
    for (index, line) in section.into_iter().enumerate() {
        let mut out = Line::new(Tone::Plain, if index == 0 { label } else { "" });
        out.pad(LABEL);
        out.append(line);
        lines.push(out);
    }
}

#[cfg(test)]
mod tests;
