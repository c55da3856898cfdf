//! No path of this machine in the BPF object: line numbers come with the names of files, which stay among the strings of BTF
//! where `strip` has taken the numbers themselves out.
//!
//! `aya-build` passes no flags on, but cargo takes a wrapper of the compiler from its environment. That is this program
//! again, under a variable of its own.

use anyhow::{Context as _, Result};
use std::{
    env,
    ffi::{OsStr, OsString},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::Command,
};

/// Directories and what they are called instead, as the compiler takes them, separated by [`BETWEEN`].
const VARIABLE: &str = "OOM_REMAP";
const BETWEEN: &str = "\u{1f}";

/// Runs the compiler instead of this program, if that is what cargo means.
pub(crate) fn wrap() -> Result<()> {
    let Some(prefixes) = env::var_os(VARIABLE) else { return Ok(()) };
    let mut arguments = env::args_os().skip(1);
    let compiler = arguments.next().context("cargo named no compiler")?;
    let prefixes = prefixes.to_str().context("a directory's name is not UTF-8")?;
    let flags = prefixes.split(BETWEEN).map(|prefix| format!("--remap-path-prefix={prefix}"));
    let error = Command::new(&compiler).args(arguments).args(flags).exec();
    Err(error).with_context(|| format!("cannot start {}", compiler.display()))
}

/// The variables that make cargo call [`wrap`].
pub(crate) fn variables(directories: &[(PathBuf, &str)]) -> Result<[(&'static str, OsString); 2]> {
    let mut prefixes = Vec::new();
    for (directory, name) in directories {
        prefixes.push([directory.as_os_str(), OsStr::new("="), OsStr::new(name)].join(OsStr::new("")));
    }
    let this = env::current_exe().context("cannot find this program")?;
    Ok([("RUSTC_WRAPPER", this.into_os_string()), (VARIABLE, prefixes.join(OsStr::new(BETWEEN)))])
}
