//! Builds the programs for the guest: static, because the initramfs has no libraries.

use std::{
    env,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::Stdio,
    sync::Mutex,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    process,
    setup::{self, Need},
};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// A program of this workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    /// The guest's init, which is also the test cases.
    Guest,
    /// The agent.
    Agent,
}

impl Program {
    fn package_and_name(self) -> (&'static str, &'static str) {
        match self {
            Self::Guest => ("oom-tests", "oom-guest"),
            Self::Agent => ("oom-agent", "oom-agent"),
        }
    }
}

/// Programs that this process has built already: cargo needs a while even to find out that nothing changed.
static BUILT: Mutex<Vec<(Program, PathBuf)>> = Mutex::new(Vec::new());

/// Builds `program`, optimised and static, in a target directory of its own, and gives its path.
pub(crate) fn build(program: Program) -> Result<PathBuf> {
    let mut built = BUILT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some((_, path)) = built.iter().find(|(known, _)| *known == program) {
        return Ok(path.clone());
    }
    if env::consts::ARCH != "x86_64" {
        bail!(
            "the VMs are x86-64 machines, and their programs are built natively: this machine is {}",
            env::consts::ARCH
        );
    }
    if program == Program::Agent {
        setup::ensure(Need::Bpf)?;
    }
    let (package, name) = program.package_and_name();
    let target = process::workspace().join("target/guest");
    let mut child = process::cargo()
        .args(["build", "--release", "--target", TARGET, "--package", package, "--bin", name, "--target-dir"])
        .arg(&target)
        .current_dir(process::workspace())
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting cargo")?;
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
        let hint =
            if program == Program::Agent { "; a VM can do without the agent (--no-agent)" } else { "" };
        bail!("building {name} for the guest failed{hint}");
    }
    let path = target.join(TARGET).join("release").join(name);
    built.push((program, path.clone()));
    Ok(path)
}
