//! `cargo xtask deploy`: what is in deploy/, rendered and checked by deploy/check/check.py.
//!
//! The kustomizations are rendered by kubectl or kustomize, the chart by Helm's own engine, objects are held against
//! Kubernetes' newest schemas. The Python packages for it go into target/deploy.

pub(crate) mod python;

use crate::process;
use anyhow::{Context as _, Result};
use clap::Args;
use std::{
    path::PathBuf,
    process::{Command, ExitCode},
    time::Duration,
};

/// Downloads included.
const INSTALL: Duration = Duration::from_mins(5);
const CHECK: Duration = Duration::from_mins(3);

/// Arguments of `deploy`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
It takes Python (3.12 or newer for the chart; OOM_PYTHON names one) with pip, and kubectl or kustomize. What is missing
is skipped, with the reason.")]
pub(crate) struct DeployArgs {}

/// Runs `cargo xtask deploy`.
pub(crate) fn main(DeployArgs {}: &DeployArgs) -> Result<ExitCode> {
    Ok(match check()? {
        Outcome::Passed(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Outcome::Failed(text) => {
            print!("{text}");
            ExitCode::FAILURE
        }
        Outcome::Skipped(why) => {
            println!("skip  {why}");
            ExitCode::SUCCESS
        }
    })
}

/// How the check ended, with what it said.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// All of it, or what could be checked here: the text has the rest as `skip`.
    Passed(String),
    /// At least one is wrong.
    Failed(String),
    /// Nothing could be checked.
    Skipped(String),
}

/// Checks deploy/.
///
/// # Errors
/// The check could not be run to its end.
pub(crate) fn check() -> Result<Outcome> {
    let Some(python) = python::newest() else {
        return Ok(Outcome::Skipped("deploy/ is checked with Python 3.9 or newer, and there is none".into()));
    };
    let environment = match environment(&python) {
        Ok(environment) => environment,
        Err(error) => return Ok(Outcome::Skipped(format!("the packages for deploy/check: {error:#}"))),
    };
    let mut command = Command::new(environment);
    let script = process::workspace().join("deploy/check/check.py");
    // It must leave nothing in the tree.
    let answer = process::capture(command.arg("-B").arg(&script), CHECK)?;
    let text = answer.stdout;
    match answer.status.code() {
        Some(0) => Ok(Outcome::Passed(text)),
        Some(1) if text.contains("FAIL") => Ok(Outcome::Failed(text)),
        _ => anyhow::bail!("{} ended with {}: {}", script.display(), answer.status, answer.stderr.trim()),
    }
}

/// A virtual environment with the packages that deploy/check names, made once; its Python.
fn environment(python: &python::Python) -> Result<PathBuf> {
    let requirements = process::workspace().join("deploy/check/requirements.txt");
    let text = std::fs::read_to_string(&requirements)
        .with_context(|| format!("reading {}", requirements.display()))?;
    let root = process::workspace().join("target/deploy").join(python.version());
    let (program, done) = (root.join("bin/python"), root.join("requirements.txt"));
    if std::fs::read_to_string(&done).is_ok_and(|had| had == text) {
        return Ok(program);
    }
    let log = process::workspace().join("target/deploy/install.log");
    let mut venv = Command::new(&python.path);
    process::run(
        "a virtual environment for deploy/check",
        venv.args(["-m", "venv"]).arg(&root),
        INSTALL,
        &log,
    )?;
    let mut pip = Command::new(&program);
    pip.args(["-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--requirement"]);
    process::run("kubernetes-validate and helm-sdkpy", pip.arg(&requirements), INSTALL, &log)?;
    std::fs::write(&done, text).with_context(|| format!("writing {}", done.display()))?;
    Ok(program)
}
