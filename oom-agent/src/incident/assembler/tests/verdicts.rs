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

#[test]
fn what_the_reasons_follow_from_is_in_the_incident() {
    let of = |dir: &str, name: &str| {
        let sample = samples_in(dir).into_iter().find(|sample| sample.name == name).unwrap();
        run(Level::Log, sample.events.into_iter().map(Fact::Log).collect()).swap_remove(0)
    };
    let old = "src/report/testdata/old";
    let v1 = of(old, "3.10-memcg-child").limits;
    assert_eq!((v1.memsw_usage_bytes, v1.memsw_bytes), (Some(102_400 << 10), Some(102_400 << 10)));
    assert_eq!((v1.kmem_usage_bytes, v1.kmem_bytes), (Some(0), None));
    assert_eq!(of(old, "4.18-rhel8-64k").page_size_bytes, Some(64 << 10));
    let huge = of(old, "3.10-rhel7-global").memory;
    assert_eq!((huge["hugetlb_bytes"], huge["hugetlb_free_bytes"]), (32 << 20, 8 << 20));

    let dir = "src/report/testdata";
    let swap = of(dir, "5.10.218-swap-global").memory;
    assert_eq!((swap["swap_total_bytes"], swap["swap_free_bytes"]), (98_300 << 10, 0));
    assert_eq!((swap["ram_bytes"], swap["reserved_bytes"]), (98_158 << 12, 8_698 << 12));
    let policy = of(dir, "6.12.117-mempolicy");
    assert_eq!(policy.scope.nodemask.as_deref(), Some("1"));
    assert_eq!(policy.scope.mems_allowed.as_deref(), Some("0-1"));
    assert_eq!((policy.zones.len(), policy.zones[0].node), (1, 1));
    let cpuset = of(dir, "6.12.117-cpuset").scope;
    assert_eq!((cpuset.nodemask, cpuset.mems_allowed.as_deref()), (None, Some("1")));
    assert_eq!(of(dir, "6.12.117-memcg-v2").scope.mems_allowed, None);
}
