//! Each explanation with an incident that has it, and one next to it that has not.

mod rules;
mod scenarios;

use super::*;
use crate::incident::growth::{Growth, Shape};
use crate::incident::model::Incident;
use crate::incident::recovery::Recovery;
use crate::incident::state::{CgroupState, Source};
use crate::incident::verdict::verdict;
use crate::sink::samples::build::{MIB, Sample, candidate};
use std::collections::BTreeSet;

/// A memory cgroup of 512 MiB where one process of 460 MiB asked and died.
fn plain() -> Incident {
    one(460 * MIB)
}

fn one(held: u64) -> Incident {
    let mut sample = Sample::memcg("/demo", 512 * MIB, 131_072);
    sample.candidates = vec![candidate(200, "java", held, MIB, 0), candidate(100, "sh", MIB, MIB, 0)];
    sample.asked(200);
    sample.kill(200);
    sample.build()
}

/// The kernel's counters, in MiB.
fn counters(incident: &mut Incident, counters: &[(&'static str, u64)]) {
    incident.memory.extend(counters.iter().map(|(name, mib)| ((*name).into(), mib * MIB)));
    incident.memory_source = Some(Source::Report);
}

/// Samples 10 s apart, in MiB, oldest first; the last one 2 s before the kill.
fn growth(incident: &mut Incident, shape: Option<Shape>, mib: &[u64]) {
    let last = mib.len() - 1;
    let samples: Vec<_> =
        mib.iter().enumerate().map(|(at, mib)| (2.0 + 10.0 * (last - at) as f64, mib * MIB)).collect();
    let seconds = samples[0].0;
    let rise = mib[last].saturating_sub(mib[0]) * MIB;
    incident.growth = Some(Growth {
        bytes_per_second: (last > 0).then(|| rise as f64 / (seconds - 2.0)),
        seconds: Some(seconds),
        samples,
        shape,
        ..Growth::default()
    });
}

fn steadily(incident: &mut Incident, samples: u64) {
    let mib: Vec<u64> = (1..=samples).map(|at| 510 * at / samples).collect();
    growth(incident, Some(Shape::Steady), &mib);
}

/// A cgroup below the full one.
fn cgroup(path: &str, usage_mib: u64, max_bytes: Option<u64>) -> CgroupState {
    CgroupState {
        usage_bytes: Some(usage_mib * MIB),
        max_bytes,
        ..CgroupState::new(path, None, Source::Kernel)
    }
}

/// What is said, with how sure it is, in order.
fn codes(incident: &mut Incident) -> Vec<(Code, Confidence)> {
    if incident.verdict.is_empty() {
        incident.verdict = verdict(incident);
    }
    diagnose(incident).into_iter().map(|it| (it.code, it.confidence)).collect()
}

/// How sure this is, if it is said.
fn sure(incident: &mut Incident, code: Code) -> Option<Confidence> {
    codes(incident).into_iter().find_map(|(other, sure)| (other == code).then_some(sure))
}

#[test]
fn every_anchor_is_a_heading_of_the_document() {
    let text = include_str!("../../../../docs/oom-killer.md");
    // As GitHub makes them.
    let anchor = |line: &str| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        title
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
            .collect::<String>()
            .replace(' ', "-")
    };
    let headings: BTreeSet<_> = text.lines().filter(|line| line.starts_with('#')).map(anchor).collect();
    for Row { code, anchor, .. } in TABLE {
        assert!(headings.contains(*anchor), "{code:?}: {anchor}");
    }
}

#[test]
fn every_explanation_has_a_rule() {
    let schema = serde_json::to_value(schemars::schema_for!(Code)).unwrap();
    let names: BTreeSet<&str> =
        schema["oneOf"].as_array().unwrap().iter().filter_map(|one| one["const"].as_str()).collect();
    let rows: Vec<_> = TABLE.iter().map(|row| serde_json::to_value(row.code).unwrap()).collect();
    let rows: BTreeSet<&str> = rows.iter().filter_map(serde_json::Value::as_str).collect();
    assert_eq!(names, rows);
}

#[test]
fn something_is_always_said_and_the_merely_possible_last() {
    for (name, incident) in crate::sink::samples::all() {
        let said = diagnose(&incident);
        assert!(!said.is_empty(), "{name}");
        assert!(said.is_sorted_by_key(|it| it.confidence == Confidence::Possible), "{name}");
        let codes: BTreeSet<_> = said.iter().map(|it| it.code).collect();
        assert_eq!(codes.len(), said.len(), "{name}: each once");
        for Diagnosis { title, because, advice, .. } in said {
            assert!(!title.ends_with('.') && advice.ends_with('.') && !because.is_empty(), "{name}: {title}");
            assert!(because.iter().all(|part| !part.ends_with('.')), "{name}: {because:?}");
        }
    }
}

/// Names are in the incident, and whoever shows them escapes them.
#[test]
fn no_sentence_has_a_name_that_a_user_chose() {
    for (name, mut incident) in crate::sink::samples::all() {
        incident.growth = None;
        for candidate in &mut incident.candidates {
            (candidate.comm, candidate.cgroup) = ("Mallory".into(), Some("/Mallory".into()));
        }
        for victim in &mut incident.victims {
            (victim.comm, victim.cgroup) = ("Mallory".into(), Some("/Mallory/docker/pod".into()));
        }
        incident.scope.cgroup = incident.scope.cgroup.map(|_| "/Mallory".into());
        let said = serde_json::to_string(&diagnose(&incident)).unwrap();
        assert!(!said.contains("Mallory"), "{name}: {said}");
    }
}
