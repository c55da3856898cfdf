//! Builds the programs for the guest: static, because the initramfs has no libraries.

use std::{path::PathBuf, sync::Mutex};

use anyhow::Result;

use crate::{
    machine::Machine,
    process,
    setup::{self, Need},
    static_build,
};

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
static BUILT: Mutex<Vec<(Program, Machine, PathBuf)>> = Mutex::new(Vec::new());

/// Builds `program` for this machine: [`build_for`].
pub(crate) fn build(program: Program) -> Result<PathBuf> {
    build_for(Machine::this(), program)
}

/// Builds `program`, optimised and static, in a target directory of its own, and gives its path.
pub(crate) fn build_for(machine: Machine, program: Program) -> Result<PathBuf> {
    let mut built = BUILT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some((.., path)) = built.iter().find(|(known, of, _)| (*known, *of) == (program, machine)) {
        return Ok(path.clone());
    }
    if program == Program::Agent {
        setup::ensure(Need::Bpf)?;
    }
    let (package, name) = program.package_and_name();
    let path = static_build::build(package, name, machine, &directory()).map_err(|error| {
        let hint =
            if program == Program::Agent { "; a VM can do without the agent (--no-agent)" } else { "" };
        error.context(format!("no {name} for the guest{hint}"))
    })?;
    built.push((program, machine, path.clone()));
    Ok(path)
}

/// Where static programs are built: the image takes the same agent.
pub(crate) fn directory() -> PathBuf {
    process::workspace().join("target/guest")
}
