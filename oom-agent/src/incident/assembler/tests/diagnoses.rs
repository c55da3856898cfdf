//! What the kills of the real logs are put down to.

use super::samples::{run, samples, samples_in};
use crate::incident::diagnosis::diagnose;
use crate::incident::fact::Fact;
use crate::incident::model::{Incident, Level};
use crate::incident::verdict::Confidence;
use expect_test::expect_file;
use std::fmt::Write as _;

fn line(incident: &Incident) -> String {
    let codes = diagnose(incident).into_iter().map(|diagnosis| {
        let code = serde_json::to_value(diagnosis.code).unwrap();
        let sure = match diagnosis.confidence {
            Confidence::Certain => "",
            Confidence::Likely => "?",
            Confidence::Possible => "??",
        };
        format!("{}{sure}", code.as_str().unwrap())
    });
    codes.collect::<Vec<_>>().join(", ")
}

/// One line a sample, its incidents behind each other; `?` likely, `??` possible.
#[test]
fn the_logs_say_what_led_to_it() {
    let mut table = String::new();
    let mut samples = samples();
    samples.extend(samples_in("src/report/testdata/old"));
    samples.sort_by(|a, b| a.name.cmp(&b.name));
    for sample in samples {
        let incidents = run(Level::Log, sample.events.into_iter().map(Fact::Log).collect());
        let lines: Vec<_> = incidents.iter().map(line).collect();
        writeln!(table, "{}: {}", sample.name, lines.join(" | ")).unwrap();
    }
    expect_file!["diagnoses.txt"].assert_eq(&table);
}

/// The sentences of a few, as people get them.
#[test]
fn the_sentences_have_the_numbers() {
    let mut text = String::new();
    for (dir, name) in [
        ("src/report/testdata", "6.12.117-global"),
        ("src/report/testdata", "6.12.117-memcg-v2"),
        ("src/report/testdata", "7.3.4-swap-memcg"),
        ("src/report/testdata", "7.3.4-swap-global"),
        ("src/report/testdata", "7.2.13-zram-global"),
        ("src/report/testdata", "6.12.117-memcg-nokillable"),
        ("src/report/testdata", "6.1.192-memcg-group"),
        ("src/report/testdata", "6.12.117-alloctask"),
        ("src/report/testdata", "6.12.117-cpuset"),
        ("src/report/testdata", "6.12.117-memcg-nested"),
        ("src/report/testdata", "7.3.4-rate"),
        ("src/report/testdata/old", "5.4-memcg-pgtables"),
        ("src/report/testdata/old", "4.14-memcg-pod"),
        ("src/report/testdata/old", "4.18-global-slab"),
        ("src/report/testdata/old", "4.4-panic"),
    ] {
        let sample = samples_in(dir).into_iter().find(|sample| sample.name == name).unwrap();
        let incidents = run(Level::Log, sample.events.into_iter().map(Fact::Log).collect());
        for incident in incidents.iter().take(3) {
            writeln!(text, "{name}").unwrap();
            for diagnosis in diagnose(incident) {
                let sure = format!("{:?}", diagnosis.confidence).to_lowercase();
                writeln!(text, "  {sure}: {}", diagnosis.title).unwrap();
                for part in diagnosis.because {
                    writeln!(text, "    - {part}").unwrap();
                }
            }
        }
    }
    expect_file!["diagnosed.txt"].assert_eq(&text);
}
