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
    let Diagnosis { code: _, confidence: _, title: _, because: _, advice, docs } = diagnosis;
    let (mut text, because) = parts(incident, diagnosis);
    if let Some(because) = because {
        text = format!("{text}. {because}");
    }
    let found = format!("{text}.");
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

/// What led to it and how sure that is; what it follows from, without what was said of why the allocation failed. Escaped,
/// without full stops.
pub(crate) fn parts(incident: &Incident, diagnosis: &Diagnosis) -> (String, Option<String>) {
    let Diagnosis { code, confidence, title, because, advice: _, docs: _ } = diagnosis;
    // That it cannot be told is not a guess.
    let confidence = if *code == Code::NotEnoughEvidence { Confidence::Certain } else { *confidence };
    let text = words::sure(confidence, title);
    // Why the allocation failed was said before.
    let told =
        |part: &&str| incident.verdict.iter().any(|verdict| verdict.because.iter().any(|it| it == part));
    let because: Vec<&str> = because.iter().map(String::as_str).filter(|part| !told(part)).collect();
    let because = (!because.is_empty()).then(|| words::sure(Confidence::Certain, &because.join("; ")));
    (escape::escape(&text).into_owned(), because.map(|text| escape::escape(&text).into_owned()))
}
