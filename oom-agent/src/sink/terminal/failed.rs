//! Why there was no memory to give.

use super::{Page, words};
use crate::incident::model::{Incident, ScopeKind};
use crate::incident::verdict::{Code, Verdict};
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
    let mut text = words::sure(verdict.confidence, &verdict.title);
    // Who asked says that it was an order.
    let because: Vec<_> = verdict.because_beside_zones().filter(|_| verdict.code != Code::Ordered).collect();
    if !because.is_empty() {
        text = format!("{text}: {}", because.join("; "));
    }
    let mut prose = Prose::new();
    words::say_whole(&mut prose, &format!("{}.", escape::escape(&text)));
    prose
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
