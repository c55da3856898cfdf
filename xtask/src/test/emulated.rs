//! The unit tests, built for another machine and run by QEMU's emulation of programs.

use super::Count;
use crate::{
    cache, debian,
    machine::Machine,
    process,
    setup::{self, Need},
    static_build,
};
use anyhow::Result;
use std::{path::PathBuf, time::Duration};

const PACKAGE: &str = "qemu-user";
const LIMIT: Duration = Duration::from_mins(20);
/// Tests of what the emulation does not do: it gives its own `/proc/self/stat`, without sizes, and a program that cannot be started
/// (one that is not there, or is for the emulated machine) counts as started, since vfork(2) is a fork(2) to it.
const SKIPPED: [&str; 3] = [
    "sink::metrics::tests::promtool_finds_nothing",
    "source::own::tests::this_process",
    "store::tests::killed::none_that_was_announced_is_lost_and_none_doubled",
];

/// Runs them. They count as one; what failed is shown.
pub(super) fn run(machine: Machine) -> Result<Count> {
    if machine.is_this() {
        return Ok(Count::default());
    }
    setup::ensure(Need::Cross(machine))?;
    let mut cargo = process::cargo();
    cargo.args(["test", "--quiet", "--locked", "--lib", "--target", machine.target()]);
    cargo.args(["--package", "oom-agent", "--package", "oom-ebpf", "--package", "oom-tests"]);
    cargo.arg("--").args(SKIPPED.iter().flat_map(|test| ["--skip", test]));
    // Emulated, a tenth as fast.
    cargo.env("PROPTEST_CASES", "16");
    // Static: no library of that machine is needed.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", static_build::STATIC).env_remove("RUSTFLAGS");
    cargo.env(static_build::variable(machine, "LINKER"), machine.cross_compiler());
    cargo.env(static_build::variable(machine, "RUNNER"), emulator(machine)?);
    let log = process::workspace().join("target/test").join(format!("unit-tests-{}.log", machine.name()));
    let title = format!("unit tests for {}, emulated", machine.name());
    let done = process::run(&title, cargo.current_dir(process::workspace()), LIMIT, &log);
    if let Err(error) = &done {
        eprintln!("{error:#}");
    }
    Ok(Count::one(done.is_ok()))
}

/// Debian's, which is static, unpacked into the cache and not installed.
fn emulator(machine: Machine) -> Result<PathBuf> {
    let name = match machine {
        Machine::Amd64 => "qemu-x86_64",
        Machine::Arm64 => "qemu-aarch64",
    };
    let _lock = cache::lock(PACKAGE)?;
    let path = cache::root()?.join(name);
    if !path.exists() {
        debian::file_of(Machine::this(), PACKAGE, &[&format!("usr/bin/{name}")], &path)?;
    }
    Ok(path)
}
