//! rotel, a collector whose program is in a Python package.

use crate::{deploy::python, process};
use anyhow::{Context as _, Result};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Downloads included.
const INSTALL: Duration = Duration::from_mins(5);
const QUESTION: Duration = Duration::from_secs(10);
/// A pre-release: there is no other.
const PACKAGE: &str = "rotel==0.0.1a15";

/// A script that starts its program; installed once.
///
/// # Errors
/// It cannot be had, or does not run here.
pub(crate) fn rotel() -> Result<PathBuf> {
    let python = python::newest().context("there is no Python to install rotel with")?;
    let root = process::workspace().join("target/rotel").join(python.version());
    let script = root.join("rotel");
    if !script.exists() {
        install(&python.path, &root, &script)?;
    }
    let version = process::capture(Command::new(&script).arg("--version"), QUESTION)?;
    version.ok("rotel does not run here: rotel --version")?;
    Ok(script)
}

fn install(python: &Path, root: &Path, script: &Path) -> Result<()> {
    let log = process::workspace().join("target/rotel/install.log");
    let mut venv = Command::new(python);
    process::run("a virtual environment for rotel", venv.args(["-m", "venv"]).arg(root), INSTALL, &log)?;
    let mut pip = Command::new(root.join("bin/python"));
    pip.args(["-m", "pip", "--quiet", "--disable-pip-version-check", "install", PACKAGE]);
    process::run(PACKAGE, &mut pip, INSTALL, &log)?;
    // The program is linked with Python's own library, which need not be where the linker looks.
    let question = "import os, rotel, sysconfig; \
                    print(sysconfig.get_config_var('LIBDIR')); print(os.path.dirname(rotel.__file__))";
    let answer = process::capture(Command::new(root.join("bin/python")).args(["-c", question]), QUESTION)?;
    let answer = answer.ok("asking Python where rotel is")?;
    let (libraries, package) =
        answer.trim().split_once('\n').context("Python does not say where rotel is")?;
    let text = format!(
        "#!/bin/sh\nLD_LIBRARY_PATH='{libraries}' exec '{}' \"$@\"\n",
        Path::new(package).join("rotel-agent").display()
    );
    let said = || format!("writing {}", script.display());
    fs::write(script, text).with_context(said)?;
    fs::set_permissions(script, fs::Permissions::from_mode(0o755)).with_context(said)
}
