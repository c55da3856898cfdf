//! Reports of two machines or two threads, line by line in one log.

use super::samples::*;
use crate::incident::diagnosis::diagnose;
use crate::incident::model::Incident;
use crate::logs::Found;
use proptest::prelude::*;
use std::sync::LazyLock;

static SAMPLES: LazyLock<Vec<Sample>> = LazyLock::new(samples);

/// Two logs as one: `true` is the next line of the first.
fn interleave(a: &[String], b: &[String], order: &[bool]) -> Vec<String> {
    let (mut a, mut b) = (a.iter(), b.iter());
    let mut lines = Vec::new();
    for first in order {
        lines.extend(if *first { a.next() } else { b.next() }.cloned());
    }
    lines.extend(a.chain(b).cloned());
    lines
}

/// Incidents without their order, and without what that says: the kills before each.
fn sorted(found: &[Found]) -> Vec<String> {
    let alone = |it: &Found| {
        let mut incident = Incident { recovery: None, ..it.incident.clone() };
        incident.diagnosis = diagnose(&incident);
        incident
    };
    let mut incidents: Vec<_> =
        found.iter().map(|it| serde_json::to_string_pretty(&alone(it)).unwrap()).collect();
    incidents.sort();
    incidents
}

fn same_together_as_apart(a: &[String], b: &[String], order: &[bool]) {
    let together = sorted(&read(&interleave(a, b, order)));
    let mut apart = read(a);
    apart.extend(read(b));
    let apart = sorted(&apart);
    if together != apart {
        let lines =
            |incidents: &[String]| incidents.join("\n").lines().map(str::to_owned).collect::<Vec<_>>();
        let (together, apart) = (lines(&together), lines(&apart));
        let differ = together.iter().zip(&apart).find(|(a, b)| a != b);
        panic!("together and apart: {differ:#?}\n{}", interleave(a, b, order).join("\n"));
    }
}

fn any_two() -> impl Strategy<Value = (&'static Sample, &'static Sample, Vec<bool>)> {
    let one = || (0..SAMPLES.len()).prop_map(|at| &SAMPLES[at]);
    // Runs of lines, short ones and long ones.
    let runs = prop::collection::vec((any::<bool>(), 1..30_usize), 0..60);
    let order =
        runs.prop_map(|runs| runs.into_iter().flat_map(|(first, n)| std::iter::repeat_n(first, n)).collect());
    (one(), one(), prop_oneof![order, prop::collection::vec(any::<bool>(), 0..300)])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_machines_in_a_syslog((a, b, order) in any_two()) {
        same_together_as_apart(&a.log(syslog("node-a")), &b.log(syslog("node-b")), &order);
    }

    #[test]
    fn two_machines_in_a_syslog_without_the_kernels_stamps((a, b, order) in any_two()) {
        same_together_as_apart(&a.log(syslog_bare("node-a")), &b.log(syslog_bare("node-b")), &order);
    }

    #[test]
    fn two_machines_in_a_journal((a, b, order) in any_two()) {
        same_together_as_apart(&a.log(journal("a")), &b.log(journal("b")), &order);
    }

    #[test]
    fn two_threads((a, b, order) in any_two()) {
        same_together_as_apart(&a.log(tagged(123)), &b.log(tagged(4567)), &order);
    }

    #[test]
    fn two_clocks((a, b, order) in any_two()) {
        let later = |micros: u64, message: &str| dmesg(micros + 100_000_000_000, message);
        same_together_as_apart(&a.log(dmesg), &b.log(later), &order);
        same_together_as_apart(&a.log(later), &b.log(dmesg), &order);
    }
}
