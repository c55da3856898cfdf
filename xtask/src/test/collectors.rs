//! Incidents for real collectors: the test is the agent's own, with collectors that `cargo test` does not fetch.

use super::Count;
use crate::{collector, process};
use std::{fs, time::Duration};

/// How long the collector is away, seconds.
const OUTAGE: &str = "60";
const LIMIT: Duration = Duration::from_mins(20);

/// Runs it. What it printed is shown if it failed, or if it says that it could not be done here.
pub(super) fn run() -> Count {
    let mut count = Count::default();
    let mut cargo = process::cargo();
    cargo.args(["test", "--package", "oom-agent", "--test", "run", "otlp::real", "--", "--nocapture"]);
    cargo.env("OOM_OUTAGE", OUTAGE).current_dir(process::workspace());
    for (variable, fetched) in [("OOM_OTELCOL", collector::otelcol()), ("OOM_ROTEL", collector::rotel())] {
        match fetched {
            Ok(program) => drop(cargo.env(variable, program)),
            Err(error) => {
                eprintln!("not tested: {error:#}");
                // Nor one that happens to be installed.
                cargo.env(variable, "/nonexistent");
            }
        }
    }
    let log = process::workspace().join("target/test/collectors.log");
    let done = process::run("incidents for real collectors", &mut cargo, LIMIT, &log);
    if let Err(error) = &done {
        eprintln!("{error:#}");
        count.failed += 1;
        return count;
    }
    let said = fs::read_to_string(&log).unwrap_or_default();
    let lines = |what: &str| said.lines().filter(|line| line.contains(what)).collect::<Vec<_>>();
    let (came, not) = (lines("came once"), lines("not tested"));
    came.iter().chain(&not).for_each(|line| eprintln!("{line}"));
    count.passed += came.len();
    count.skipped += not.len();
    count
}
