//! What led to it and what helps.

use super::Page;
use super::words;
use crate::incident::diagnosis::{Code, Diagnosis};
use crate::incident::model::Incident;
use crate::incident::verdict::Confidence;
use crate::sink::escape;
use crate::sink::text::{Line, Prose, Tone};

/// So many are told; JSON has all.
const MOST: usize = 3;

pub(super) fn lines(incident: &Incident, page: &Page) -> Vec<Line> {
    incident.diagnosis.iter().take(MOST).flat_map(|diagnosis| one(diagnosis, page)).collect()
}

fn one(diagnosis: &Diagnosis, page: &Page) -> Vec<Line> {
    let Diagnosis { code, confidence, title, because, advice, docs } = diagnosis;
    // That it cannot be told is not a guess.
    let confidence = if *code == Code::NotEnoughEvidence { Confidence::Certain } else { *confidence };
    let mut text = words::sure(confidence, title);
    if !because.is_empty() {
        text = format!("{text}: {}", because.join("; "));
    }
    let mut found = Prose::new();
    words::say_whole(&mut found, &format!("{}.", escape::escape(&text)));
    let mut helps = Prose::new();
    words::say_whole(&mut helps, &format!("What helps: {}", escape::escape(advice)));
    let mut lines = found.wrap(page.prose());
    lines.extend(helps.wrap(page.prose()));
    let mut link = Prose::new();
    link.atom(Tone::Faint, &escape::escape(docs));
    lines.extend(link.wrap(page.prose()));
    lines
}
