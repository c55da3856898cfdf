//! Why there was no memory to give.

use super::Page;
use crate::incident::model::{Incident, ScopeKind};
use crate::incident::verdict::{Code, Confidence, Verdict};
use crate::sink::text::{Line, Prose, Tone};
use crate::sink::{escape, units};

pub(super) fn lines(incident: &Incident, page: &Page) -> Vec<Line> {
    if incident.verdict.is_empty() {
        let mut prose = Prose::new();
        prose.say(Tone::Plain, &format!("{} ({})", units::UNKNOWN, unknown(incident)));
        return prose.wrap(page.prose());
    }
    incident.verdict.iter().flat_map(|verdict| sentence(verdict).wrap(page.prose())).collect()
}

fn sentence(verdict: &Verdict) -> Prose {
    let sure = match verdict.confidence {
        Confidence::Certain => "",
        Confidence::Likely => "Likely: ",
        Confidence::Possible => "Possibly: ",
    };
    let mut text = sure.to_owned();
    let mut title = verdict.title.chars();
    match title.next() {
        Some(first) if !sure.is_empty() => text.extend(first.to_lowercase()),
        Some(first) => text.push(first),
        None => {}
    }
    text.push_str(title.as_str());
    // Who asked says that it was an order.
    let because: Vec<_> = verdict.because_beside_zones().filter(|_| verdict.code != Code::Ordered).collect();
    if !because.is_empty() {
        text = format!("{text}: {}", because.join("; "));
    }
    let mut prose = Prose::new();
    say_whole(&mut prose, &format!("{}.", escape::escape(&text)));
    prose
}

/// The same as [`Prose::say`], but no line ends between a number and its unit.
fn say_whole(prose: &mut Prose, text: &str) {
    let is_number = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let is_unit = |word: &str| {
        ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"].iter().any(|unit| word.starts_with(unit))
    };
    let mut words = text.split(' ').peekable();
    while let Some(word) = words.next() {
        prose.say(Tone::Plain, " ");
        match words.next_if(|unit| is_number(word) && is_unit(unit)) {
            Some(unit) => prose.atom(Tone::Plain, &format!("{word} {unit}")),
            None => prose.atom(Tone::Plain, word),
        };
    }
}

/// Why nothing is said.
fn unknown(incident: &Incident) -> &'static str {
    match incident.scope.kind {
        None => "which limit was hit was not seen",
        Some(ScopeKind::Global | ScopeKind::Cpuset | ScopeKind::MemoryPolicy)
            if incident.zones.is_empty() =>
        {
            "the kernel's report of the zones is missing"
        }
        Some(_) => "the numbers of the kernel's report do not say",
    }
}
