//! What needs no kernel: format, lints, conventions, dashboards and alerts, unit tests, commands that need no privileges.

use super::Count;
use crate::{
    dashboards,
    deploy::{self, Outcome},
    process, tidy,
};
use anyhow::Result;
use std::{process::ExitCode, time::Duration};

const LIMIT: Duration = Duration::from_mins(20);

/// Title and cargo's arguments.
const CHECKS: &[(&str, &[&str])] = &[
    ("rustfmt", &["fmt", "--all", "--check"]),
    ("clippy", &["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"]),
    ("unit tests", &["test", "--quiet", "--workspace", "--lib", "--bins", "--tests"]),
];

/// Runs the checks. Each counts as one; what a failed one printed is shown.
pub(super) fn run() -> Result<Count> {
    let mut count = Count::default();
    let logs = process::workspace().join("target/test");
    for (title, args) in CHECKS {
        let mut cargo = process::cargo();
        cargo.args(*args).current_dir(process::workspace());
        let log = logs.join(format!("{}.log", title.replace(' ', "-")));
        let done = process::run(title, &mut cargo, LIMIT, &log);
        if let Err(error) = &done {
            eprintln!("{error:#}");
        }
        count.add(Count::one(done.is_ok()));
    }
    let step = process::Step::begin("conventions (cargo xtask tidy)");
    let tidy = tidy::main()? == ExitCode::SUCCESS;
    step.end(if tidy { "ok" } else { "FAILED" });
    count.add(Count::one(tidy));
    let step = process::Step::begin("dashboards and alerts (cargo xtask dashboards --check)");
    let right = dashboards::check()?;
    step.end(if right { "ok" } else { "FAILED" });
    count.add(Count::one(right));
    count.add(deployment());
    count.add(dependencies()?);
    Ok(count)
}

/// What the project depends on, by cargo-deny where it is installed. `tidy` has looked at what needs no other program.
fn dependencies() -> Result<Count> {
    let step = process::Step::begin("dependencies (cargo deny)");
    let deny = |args: &[&str]| {
        let mut cargo = process::cargo();
        cargo.arg("deny").args(args).current_dir(process::workspace());
        process::capture(&mut cargo, LIMIT)
    };
    if !deny(&["--version"])?.status.success() {
        step.end("skipped");
        eprintln!("cargo-deny is not installed (cargo install --locked cargo-deny)");
        return Ok(Count { skipped: 1, ..Count::default() });
    }
    let mut failed = Vec::new();
    for what in [&["--offline", "check", "bans", "licenses", "sources"][..], &["check", "advisories"]] {
        let done = deny(what)?;
        if !done.status.success() {
            failed.push(done.stderr);
        }
    }
    // What it says itself where there is no network.
    let unreachable = |text: &String| text.contains("failed to fetch advisory database");
    let (how, count) = match &failed[..] {
        [] => ("ok", Count::one(true)),
        failed if failed.iter().all(unreachable) => {
            ("ok but for advisories: no database", Count { skipped: 1, ..Count::one(true) })
        }
        _ => ("FAILED", Count::one(false)),
    };
    step.end(how);
    failed.iter().filter(|text| !unreachable(text)).for_each(|text| eprintln!("{text}"));
    Ok(count)
}

/// deploy/, as far as the tools for it are here.
fn deployment() -> Count {
    let step = process::Step::begin("deploy/ (cargo xtask deploy)");
    let (how, count, text) = match deploy::check() {
        Ok(Outcome::Passed(_)) => ("ok", Count::one(true), String::new()),
        Ok(Outcome::Failed(text)) => ("FAILED", Count::one(false), text),
        Ok(Outcome::Skipped(why)) => ("skipped", Count { skipped: 1, ..Count::default() }, why),
        Err(error) => ("FAILED", Count::one(false), format!("{error:#}")),
    };
    step.end(how);
    if !text.is_empty() {
        eprintln!("{text}");
    }
    count
}
