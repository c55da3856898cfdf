//! Why each allocation of the real logs failed.

use super::samples::{run, samples, samples_in};
use crate::incident::fact::Fact;
use crate::incident::model::{Incident, Level};
use crate::incident::verdict::Confidence;
use expect_test::expect_file;
use std::fmt::Write as _;

fn line(incident: &Incident) -> String {
    let codes = incident.verdict.iter().map(|verdict| {
        let code = serde_json::to_value(verdict.code).unwrap();
        let sure = match verdict.confidence {
            Confidence::Certain => "",
            Confidence::Likely => "?",
            Confidence::Possible => "??",
        };
        format!("{}{sure}", code.as_str().unwrap())
    });
    let codes: Vec<_> = codes.collect();
    if codes.is_empty() { "-".to_owned() } else { codes.join(", ") }
}

/// One line a sample, its incidents behind each other; `?` likely, `??` possible, `-` not known.
#[test]
fn the_logs_say_why() {
    let mut table = String::new();
    let mut samples = samples();
    samples.extend(samples_in("src/report/testdata/old"));
    samples.sort_by(|a, b| a.name.cmp(&b.name));
    for sample in samples {
        let incidents = run(Level::Log, sample.events.into_iter().map(Fact::Log).collect());
        let lines: Vec<_> = incidents.iter().map(line).collect();
        writeln!(table, "{}: {}", sample.name, lines.join(" | ")).unwrap();
    }
    expect_file!["verdicts.txt"].assert_eq(&table);
}
