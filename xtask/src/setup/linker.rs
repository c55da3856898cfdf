//! bpf-linker, built for the LLVM of the compiler: it reads the bitcode that the compiler writes.

use super::toolchain::{LINKER, Machine, Toolchain};
use super::{debian, log, look};
use crate::process;
use anyhow::{Result, bail};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// The version that the project is built with.
pub(super) const VERSION: &str = "0.13.0";
/// The LLVM versions that it can be built for (its `llvm-*` features).
const LLVM: std::ops::RangeInclusive<u32> = 21..=23;
/// Downloads about 100 crates and compiles them: 80 to 120 s on two cores.
const LIMIT: Duration = Duration::from_mins(15);

/// Installs it if there is none. One that is there belongs to the user and is not replaced.
pub(super) fn ensure(machine: &Machine, toolchain: &Toolchain) -> Result<()> {
    let llvm = look::llvm_major(toolchain)?;
    check(llvm)?;
    if let Some(linker) = machine.linker() {
        let Some(failure) = look::at(machine)?.failure else { return Ok(()) };
        bail!(
            "{} does not link what {} makes (LLVM {llvm}):\n{failure}\nIt is yours, so it was not replaced. To replace it: {} --force",
            linker.display(),
            toolchain.rustc.display(),
            process::shown(&install_command(llvm)),
        );
    }
    let library = prefix(llvm).join("lib/libLLVM.so");
    if !library.exists() {
        debian::install_llvm(llvm)?;
    }
    let title = format!("build {LINKER} {VERSION} for LLVM {llvm}");
    process::run(&title, &mut install_command(llvm), LIMIT, &log(LINKER))
}

/// Whether bpf-linker can be built for it.
pub(super) fn check(llvm: u32) -> Result<()> {
    if !LLVM.contains(&llvm) {
        bail!(
            "{LINKER} {VERSION} is made for LLVM {} to {}, the compiler has {llvm}",
            LLVM.start(),
            LLVM.end()
        );
    }
    Ok(())
}

/// `cargo install bpf-linker`, as the user's own cargo would do it outside of this workspace.
pub(super) fn install_command(llvm: u32) -> Command {
    let mut command = process::cargo();
    command
        .args(["install", LINKER, "--version", VERSION, "--locked", "--no-default-features", "--features"])
        .arg(format!("llvm-{llvm}"))
        // Without it the link fails: "unable to find library -lLLVM".
        .env("LLVM_PREFIX", prefix(llvm))
        // Its release profile has full debug information: a third more time, and 42 MB instead of 3.
        .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
        .current_dir("/");
    for name in [
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_BUILD_TARGET",
        "CARGO_TARGET_DIR",
        "CARGO_BUILD_RUSTFLAGS",
    ] {
        command.env_remove(name);
    }
    command
}

/// Where Debian and Ubuntu put an LLVM.
fn prefix(llvm: u32) -> PathBuf {
    PathBuf::from(format!("/usr/lib/llvm-{llvm}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_names_version_and_llvm() {
        let shown = process::shown(&install_command(22));
        assert!(shown.contains(" LLVM_PREFIX=/usr/lib/llvm-22 "), "{shown}");
        assert!(
            shown.ends_with(
                "cargo install bpf-linker --version 0.13.0 --locked --no-default-features --features llvm-22"
            ),
            "{shown}"
        );
    }

    #[test]
    fn an_llvm_without_a_feature_is_refused_before_anything_is_built() {
        assert!(check(22).is_ok());
        let error = check(24).unwrap_err().to_string();
        assert_eq!(error, "bpf-linker 0.13.0 is made for LLVM 21 to 23, the compiler has 24");
    }
}
