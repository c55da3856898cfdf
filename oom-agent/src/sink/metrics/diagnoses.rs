//! How often which explanation was given, and how sure it was.

use super::text::{Sample, sample};
use crate::incident::{
    diagnosis::{Code, Diagnosis},
    verdict::Confidence,
};

/// All of them, with their names in the JSON.
const CONFIDENCES: [(Confidence, &str); 3] =
    [(Confidence::Certain, "certain"), (Confidence::Likely, "likely"), (Confidence::Possible, "possible")];

/// Explanations of incidents. Each has its series from the start: a counter that begins with 1 is invisible to
/// `increase()`.
#[derive(Debug)]
pub(super) struct Diagnoses(Vec<Row>);

#[derive(Debug)]
struct Row {
    code: Code,
    /// Its name in the JSON.
    name: String,
    counts: [u64; CONFIDENCES.len()],
}

impl Diagnoses {
    pub(super) fn new() -> Self {
        let row = |code| Row { code, name: name(code), counts: Default::default() };
        Self(Code::all().map(row).collect())
    }

    /// An incident was explained so.
    pub(super) fn given(&mut self, diagnosis: &Diagnosis) {
        let row = self.0.iter_mut().find(|row| row.code == diagnosis.code);
        let at = CONFIDENCES.iter().position(|(it, _)| *it == diagnosis.confidence);
        if let Some(count) = row.zip(at).and_then(|(row, at)| row.counts.get_mut(at)) {
            *count += 1;
        }
    }

    pub(super) fn samples(&self) -> impl Iterator<Item = Sample> {
        self.0.iter().flat_map(|Row { code: _, name, counts }| {
            CONFIDENCES.iter().zip(counts).map(move |((_, confidence), count)| {
                sample([("code", name.as_str()), ("confidence", *confidence)], *count)
            })
        })
    }
}

/// As serde writes it.
fn name(code: Code) -> String {
    let quoted = serde_json::to_string(&code).unwrap_or_default();
    quoted.trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_json() {
        for (confidence, name) in CONFIDENCES {
            assert_eq!(serde_json::to_value(confidence).unwrap(), name);
        }
        let codes: Vec<_> = Diagnoses::new().0.into_iter().map(|row| row.name).collect();
        assert_eq!((codes.len(), codes[0].as_str()), (23, "steady_leak"));
    }
}
