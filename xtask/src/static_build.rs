//! Static programs of this workspace: for VMs without libraries, and for an image with nothing else in it.

use crate::{
    machine::Machine,
    process,
    setup::{self, Need},
};
use anyhow::{Context as _, Result, bail};
use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// Builds `name` of `package`, optimised and static, below `target`, and gives its path.
///
/// It holds no path of this machine, also not in the programs for the kernel (`oom-agent/build/remap.rs`): so it is the same
/// wherever it is built with the same compilers.
pub(crate) fn build(package: &str, name: &str, machine: Machine, target: &Path) -> Result<PathBuf> {
    build_in(&process::workspace(), package, name, machine, target)
}

/// [`build`] of the sources in another directory.
pub(crate) fn build_in(
    workspace: &Path,
    package: &str,
    name: &str,
    machine: Machine,
    target: &Path,
) -> Result<PathBuf> {
    let triple = machine.target();
    if !machine.is_this() {
        setup::ensure(Need::Cross(machine))?;
    }
    let mut cargo = cargo("build", workspace, machine, target);
    cargo
        .args(["--release", "--package", package, "--bin", name])
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    if !machine.is_this() {
        cargo.env(variable(machine, "LINKER"), machine.cross_compiler());
    }
    let mut child = cargo.spawn().context("starting cargo")?;
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            // Said at every VM's start, it would only hide what the guest says.
            if !line.trim_start().starts_with("Finished") {
                eprintln!("{line}");
            }
        }
    }
    let status = child.wait().context("waiting for cargo")?;
    if !status.success() {
        bail!("building {name} for {triple} failed");
    }
    Ok(target.join(triple).join("release").join(name))
}

/// Builds an integration test of `package`, static, below `target`, and gives its program. It is started with other programs'
/// places in variables: those that it was built beside are not where it runs.
pub(crate) fn build_test(package: &str, name: &str, machine: Machine, target: &Path) -> Result<PathBuf> {
    let mut cargo = cargo("test", &process::workspace(), machine, target);
    cargo.args([
        "--no-run",
        "--package",
        package,
        "--test",
        name,
        "--message-format",
        "json-render-diagnostics",
    ]);
    let said = process::capture(&mut cargo, TEST)?.ok(&format!("building the test {name}"))?;
    let messages = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut ours = messages.filter(|it| it["target"]["name"] == name && it["target"]["kind"][0] == "test");
    let program = ours.find_map(|it| it["executable"].as_str().map(PathBuf::from));
    program.with_context(|| format!("cargo made no program of the test {name}"))
}

/// A command for static programs, which hold no path of this machine.
fn cargo(what: &str, workspace: &Path, machine: Machine, target: &Path) -> Command {
    let mut cargo = process::cargo();
    cargo.args([what, "--locked", "--target", machine.target()]).arg("--target-dir").arg(target);
    cargo.current_dir(workspace);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags(workspace).join("\u{1f}")).env_remove("RUSTFLAGS");
    cargo
}

const TEST: Duration = Duration::from_mins(20);
/// The compiler's flag for a program that needs no libraries.
pub(crate) const STATIC: &str = "-Ctarget-feature=+crt-static";

/// Cargo's variable for one of its settings of a target.
pub(crate) fn variable(machine: Machine, setting: &str) -> String {
    format!("CARGO_TARGET_{}_{setting}", machine.target().to_uppercase().replace('-', "_"))
}

fn flags(workspace: &Path) -> Vec<String> {
    let mut flags = vec![STATIC.to_owned()];
    if let Some(home) = setup::cargo_home() {
        flags.push(format!("--remap-path-prefix={}=/cargo", home.display()));
    }
    flags.push(format!("--remap-path-prefix={}=/oom-agent", workspace.display()));
    flags
}
