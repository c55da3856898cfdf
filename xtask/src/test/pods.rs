//! Kills in pods: the test is the agent's own, with more pods than `cargo test` makes.

use super::Count;
use crate::process;
use std::{fs, time::Duration};

/// How many pods, unless `$OOM_PODS` says.
const PODS: &str = "100";
const LIMIT: Duration = Duration::from_mins(40);

/// How many pods.
pub(super) fn number() -> String {
    std::env::var("OOM_PODS").unwrap_or_else(|_| PODS.to_owned())
}

/// Runs it. What it printed is shown if it failed, or if it says that it could not be done here.
pub(super) fn run() -> Count {
    let mut cargo = process::cargo();
    cargo.args(["test", "--package", "oom-agent", "--test", "kubernetes", "--", "--nocapture"]);
    cargo.env("OOM_PODS", number()).current_dir(process::workspace());
    let log = process::workspace().join("target/test/pods.log");
    let done = process::run("kills in 100 pods", &mut cargo, LIMIT, &log);
    if let Err(error) = &done {
        eprintln!("{error:#}");
        return Count::one(false);
    }
    let said = fs::read_to_string(&log).unwrap_or_default();
    let told = said.lines().filter(|line| line.contains("not tested") || line.contains("pods, of"));
    told.for_each(|line| eprintln!("{line}"));
    if said.contains("not tested") { Count { skipped: 1, ..Count::default() } } else { Count::one(true) }
}
