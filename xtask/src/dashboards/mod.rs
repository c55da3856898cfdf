//! `cargo xtask dashboards`: the Grafana dashboards, and what is checked of them and of the alerts.
//!
//! The JSON files are what users import and what the checks read. They are written from here: three dashboards are some
//! thousand lines of JSON, nearly all of it alike.
//!
//! # Layout
//! - [`overview`], [`incident`], [`health`]: the dashboards.
//! - [`board`], [`panel`]: what they are made of.
//! - [`lint`]: what must be true of each file; `queries`: what they ask.
//! - [`rules`]: alerts have tests and runbooks; promtool's own opinion.
//! - [`types`]: Grafana's types, as TypeScript sees them.
//!
//! Whether the queries have data is tested with a real Prometheus and real kills: oom-agent/tests/run/dashboards.rs.

mod board;
mod health;
mod incident;
mod lint;
mod overview;
mod panel;
mod queries;
mod rules;
mod types;

use crate::process;
use anyhow::{Context as _, Result};
use std::{fs, path::PathBuf, process::ExitCode};

/// Arguments of `dashboards`.
#[derive(clap::Args, Clone, Copy, Debug)]
#[command(after_help = "\
promtool (Debian: prometheus) runs the tests of the alerts; npm fetches Grafana's types. What is not there is said.")]
pub(crate) struct Args {
    /// Write nothing. Check the files, the alerts, their tests and runbooks, and Grafana's types.
    #[arg(long)]
    check: bool,
}

/// The dashboards as they should be: file name and text.
fn boards() -> Result<Vec<(String, String)>> {
    let boards = [overview::board(), incident::board(), health::board()];
    let text = |board: &board::Board| {
        let mut text = serde_json::to_string_pretty(&board.json())?;
        text.push('\n');
        Ok((format!("{}.json", board.uid), text))
    };
    boards.iter().map(text).collect()
}

fn directory() -> PathBuf {
    process::workspace().join("dashboards")
}

/// Runs `cargo xtask dashboards`.
pub(crate) fn main(args: Args) -> Result<ExitCode> {
    if args.check {
        let checked = check()?;
        return Ok(if checked { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    for (name, text) in boards()? {
        let path = directory().join(name);
        if fs::read_to_string(&path).is_ok_and(|there| there == text) {
            continue;
        }
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("written: {}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Everything that needs no kills. `false`: something is wrong, and was said.
pub(crate) fn check() -> Result<bool> {
    let mut wrong = lint::all()?;
    for (name, text) in boards()? {
        if fs::read_to_string(directory().join(&name)).is_ok_and(|there| there != text) {
            wrong.push(format!("dashboards/{name} is not what `cargo xtask dashboards` writes"));
        }
    }
    wrong.extend(rules::pairs()?);
    for part in [rules::promtool()?, types::check()?] {
        match part {
            Part::Right => {}
            Part::Wrong(what) => wrong.push(what),
            Part::Skipped(why) => println!("not checked: {why}"),
        }
    }
    for what in &wrong {
        println!("{what}");
    }
    Ok(wrong.is_empty())
}

/// What another program said.
enum Part {
    Right,
    Wrong(String),
    /// It is not here.
    Skipped(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_what_is_written() {
        for (name, text) in boards().unwrap() {
            let there = fs::read_to_string(directory().join(&name)).unwrap();
            assert!(there == text, "dashboards/{name}: run `cargo xtask dashboards`");
        }
    }

    #[test]
    fn nothing_is_wrong_with_the_files() {
        assert_eq!(lint::all().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn alerts_have_tests_and_runbooks() {
        assert_eq!(rules::pairs().unwrap(), Vec::<String>::new());
    }
}
