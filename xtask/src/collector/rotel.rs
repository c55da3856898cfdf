//! rotel, a collector whose program is in a Python package.

use crate::{deploy::python, process};
use anyhow::{Context as _, Result, ensure};
use std::{fs, path::PathBuf, process::Command, time::Duration};

/// Downloads included.
const INSTALL: Duration = Duration::from_mins(5);
/// A pre-release: there is no other.
const PACKAGE: &str = "rotel==0.0.1a15";

/// Its program, installed once.
///
/// # Errors
/// It cannot be had.
pub(crate) fn rotel() -> Result<PathBuf> {
    let python = python::newest().context("there is no Python to install rotel with")?;
    let root = process::workspace().join("target/rotel").join(python.version());
    if let Some(program) = program(&root) {
        return Ok(program);
    }
    let log = process::workspace().join("target/rotel/install.log");
    let mut venv = Command::new(&python.path);
    process::run("a virtual environment for rotel", venv.args(["-m", "venv"]).arg(&root), INSTALL, &log)?;
    let mut pip = Command::new(root.join("bin/python"));
    pip.args(["-m", "pip", "--quiet", "--disable-pip-version-check", "install", PACKAGE]);
    process::run(PACKAGE, &mut pip, INSTALL, &log)?;
    let program = program(&root);
    ensure!(program.is_some(), "{PACKAGE} has no rotel-agent");
    program.context("it was there")
}

/// `lib/python3.11/site-packages/rotel/rotel-agent`.
fn program(root: &std::path::Path) -> Option<PathBuf> {
    let libraries = fs::read_dir(root.join("lib")).ok()?;
    let programs = libraries.filter_map(|it| Some(it.ok()?.path().join("site-packages/rotel/rotel-agent")));
    programs.into_iter().find(|program| program.exists())
}
