//! The daemon's page in a real browser (`tests/page`): a real daemon, real OOM kills, Chromium.

use super::Count;
use crate::{
    process,
    vm::guest::{self, Program},
};
use anyhow::Result;
use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const LIMIT: Duration = Duration::from_mins(10);
/// Browsers by the names that distributions give them.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Runs it where all that it takes is there; says what is missing otherwise. Nothing is installed but the driver of the
/// browser, by npm.
pub(super) fn run() -> Result<Count> {
    let dir = process::workspace().join("tests/page");
    let needs = match needs(&dir) {
        Ok(needs) => needs,
        Err(missing) => {
            eprintln!("\nthe page in a browser: skipped: {missing}");
            return Ok(Count { skipped: 1, ..Count::default() });
        }
    };
    let logs = process::workspace().join("target/test");
    let mut node = Command::new(&needs.node);
    node.args(["--test", "--test-reporter=spec", "--test-concurrency=1"])
        .arg("page.test.mjs")
        .current_dir(&dir)
        .env("OOM_AGENT", guest::build(Program::Agent)?)
        .env("CHROMIUM", &needs.browser)
        .env("OOM_SHOTS", logs.join("page"));
    let done = process::run("the page in a browser", &mut node, LIMIT, &logs.join("page.log"));
    if let Err(error) = &done {
        eprintln!("{error:#}");
    }
    Ok(Count::one(done.is_ok()))
}

struct Needs {
    node: PathBuf,
    browser: PathBuf,
}

fn needs(dir: &Path) -> Result<Needs, String> {
    if !rustix::process::geteuid().is_root() {
        return Err("it takes root to provoke OOM kills".to_owned());
    }
    let node = found("node").ok_or("there is no node (Debian: nodejs)")?;
    let browser = match env::var_os("CHROMIUM") {
        Some(path) => PathBuf::from(path),
        None => BROWSERS
            .into_iter()
            .find_map(found)
            .ok_or("there is no Chromium (Debian: chromium), and CHROMIUM names none")?,
    };
    if !dir.join("node_modules/playwright-core").is_dir() {
        let npm = found("npm").ok_or("there is no npm (Debian: npm) to get playwright-core with")?;
        let mut npm = Command::new(npm);
        npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(dir);
        let log = process::workspace().join("target/test/npm.log");
        process::run("npm ci (playwright-core)", &mut npm, LIMIT, &log)
            .map_err(|error| format!("{error:#}"))?;
    }
    Ok(Needs { node, browser })
}

/// A program in PATH.
fn found(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(name)).find(|program| program.is_file())
}
