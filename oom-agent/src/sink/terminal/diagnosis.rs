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
    incident.diagnosis.iter().take(MOST).flat_map(|diagnosis| one(incident, diagnosis, page)).collect()
}

fn one(incident: &Incident, diagnosis: &Diagnosis, page: &Page) -> Vec<Line> {
    let Diagnosis { code, confidence, title, because, advice, docs } = diagnosis;
    // That it cannot be told is not a guess.
    let confidence = if *code == Code::NotEnoughEvidence { Confidence::Certain } else { *confidence };
    let mut text = words::sure(confidence, title);
    // Why the allocation failed was said before.
    let told =
        |part: &&str| incident.verdict.iter().any(|verdict| verdict.because.iter().any(|it| it == part));
    let because: Vec<&str> = because.iter().map(String::as_str).filter(|part| !told(part)).collect();
    if !because.is_empty() {
        text = format!("{text}. {}", words::sure(Confidence::Certain, &because.join("; ")));
    }
    let found = format!("{}.", escape::escape(&text));
    let helps = format!("What helps: {}", escape::escape(advice));
    let mut lines = Vec::new();
    for text in [found, helps] {
        let mut prose = Prose::new();
        words::say_whole(&mut prose, &text);
        lines.extend(prose.wrap(page.prose()));
    }
    let mut link = Prose::new();
    link.atom(Tone::Faint, &escape::escape(docs));
    lines.extend(link.wrap(page.prose()));
    lines
}
