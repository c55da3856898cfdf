//! Why each allocation of the real logs failed.

use super::samples::{run, samples};
use crate::incident::fact::Fact;
use crate::incident::machine::Zone;
use crate::incident::model::{Incident, Level};
use crate::incident::verdict::{Confidence, verdict};
use expect_test::expect_file;
use std::fmt::Write as _;

/// The zones of a report in the simplest way.
fn zones(text: &str) -> Vec<Zone> {
    let mut zones: Vec<Zone> = Vec::new();
    for line in text.lines() {
        if let Some(pages) = line.strip_prefix("lowmem_reserve[]: ") {
            zones.last_mut().unwrap().lowmem_reserve_pages =
                pages.split(' ').map(|pages| pages.parse().unwrap()).collect();
        }
        let Some((node, rest)) = line.strip_prefix("Node ").and_then(|rest| rest.split_once(' ')) else {
            continue;
        };
        let value = |name: &str| {
            let rest = line.split_once(&format!(" {name}:"))?.1;
            Some(rest[..rest.find(['k', 'K'])?].parse::<u64>().unwrap() * 1024)
        };
        if let Some((name, _)) = rest.split_once(" free:") {
            zones.push(Zone {
                node: node.parse().unwrap(),
                name: name.to_owned(),
                free_bytes: value("free"),
                min_bytes: value("min"),
                low_bytes: value("low"),
                high_bytes: value("high"),
                managed_bytes: value("managed"),
                present_bytes: value("present"),
                reserved_highatomic_bytes: value("reserved_highatomic"),
                free_cma_bytes: value("free_cma"),
                ..Zone::default()
            });
        }
    }
    zones
}

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
    samples.sort_by(|a, b| a.name.cmp(&b.name));
    for sample in samples {
        let mut incidents = run(Level::Log, sample.events.into_iter().map(Fact::Log).collect());
        for incident in &mut incidents {
            if incident.zones.is_empty() {
                incident.zones = incident.kernel_log.as_deref().map(zones).unwrap_or_default();
                incident.verdict = verdict(incident);
            }
        }
        let lines: Vec<_> = incidents.iter().map(line).collect();
        writeln!(table, "{}: {}", sample.name, lines.join(" | ")).unwrap();
    }
    expect_file!["verdicts.txt"].assert_eq(&table);
}
