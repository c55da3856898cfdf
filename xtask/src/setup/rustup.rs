//! rustup's nightly with `rust-src`, which builds `core` for BPF itself. Its servers may be out of reach and then
//! hang, so everything has a time limit.

use super::log;
use super::toolchain::Machine;
use crate::process;
use anyhow::{Result, bail};
use std::process::Command;
use std::time::Duration;

/// About 300 MB for a nightly.
const LIMIT: Duration = Duration::from_mins(5);

/// Installs what is missing of it. A nightly that is there is not updated.
pub(super) fn install(machine: &Machine) -> Result<()> {
    let Some(home) = &machine.rustup_home else { bail!("there is no rustup in PATH") };
    let mut command = Command::new("rustup");
    command.env("RUSTUP_MAX_RETRIES", "1");
    let has_nightly = super::toolchain::nightly(&home.join("toolchains")).is_some();
    if has_nightly {
        command.args(["component", "add", "rust-src", "--toolchain", "nightly"]);
        return process::run("add rust-src to the nightly toolchain", &mut command, LIMIT, &log("rustup"));
    }
    command.args(["toolchain", "install", "nightly", "--no-self-update", "--profile", "minimal"]);
    command.args(["--component", "rust-src"]);
    process::run("install the nightly toolchain with rust-src", &mut command, LIMIT, &log("rustup"))
}
