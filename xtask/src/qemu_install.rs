//! QEMU, installed where it is missing and nothing else has to change for it.

use std::process::Command;

use anyhow::{Result, bail};

const PROGRAM: &str = "qemu-system-x86_64";

/// Makes sure that QEMU is there.
pub(crate) fn ensure_qemu() -> Result<()> {
    if Command::new(PROGRAM).arg("--version").output().is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    bail!("{PROGRAM} is missing: apt-get install --no-install-recommends qemu-system-x86")
}
