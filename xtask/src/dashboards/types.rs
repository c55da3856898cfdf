//! Grafana's types, which TypeScript compares the files with.

use super::{Part, directory};
use crate::process;
use anyhow::{Context as _, Result};
use std::{fmt::Write as _, fs, path::Path, process::Command, time::Duration};

const LIMIT: Duration = Duration::from_mins(5);

/// Every dashboard as a constant of a type, in a directory of its own with what npm fetches.
pub(super) fn check() -> Result<Part> {
    let skipped = |why: &str| Ok(Part::Skipped(format!("the types of the dashboards, since {why}")));
    if Command::new("npm").arg("--version").output().is_err() {
        return skipped("npm is not installed");
    }
    let work = process::workspace().join("target/dashboards/types");
    fs::create_dir_all(&work).with_context(|| format!("cannot make {}", work.display()))?;
    let mut changed = false;
    for name in ["package.json", "package-lock.json", "tsconfig.json", "grafana.ts"] {
        let text =
            fs::read(directory().join("types").join(name)).with_context(|| format!("cannot read {name}"))?;
        let of_npm = name.starts_with("package");
        changed |= of_npm && !fs::read(work.join(name)).is_ok_and(|there| there == text);
        fs::write(work.join(name), text).with_context(|| format!("cannot write {name}"))?;
    }
    if changed || !work.join("node_modules").exists() {
        let install = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
        let done = process::capture(Command::new("npm").args(install).current_dir(&work), LIMIT)?;
        if !done.status.success() {
            // So that the next time it is tried again.
            fs::remove_file(work.join("package.json")).context("cannot remove package.json")?;
            return skipped(&format!("npm could not fetch them: {}", done.stderr.trim()));
        }
    }
    fs::write(work.join("boards.ts"), boards(&directory())?).context("cannot write boards.ts")?;
    let tsc = "node_modules/typescript/bin/tsc";
    let done = process::capture(Command::new("node").args([tsc, "-p", "."]).current_dir(&work), LIMIT)?;
    Ok(if done.status.success() { Part::Right } else { Part::Wrong(format!("tsc: {}", done.stdout)) })
}

fn boards(directory: &Path) -> Result<String> {
    let mut text = "import type { Board } from './grafana';\n".to_owned();
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    for (at, entry) in entries.enumerate() {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == "json") {
            let json =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            writeln!(text, "// {}\nexport const board{at}: Board = {json};", path.display())?;
        }
    }
    Ok(text)
}
