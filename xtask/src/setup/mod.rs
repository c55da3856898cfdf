//! `cargo xtask setup`: what the project needs on a machine. Looks first, installs only what is missing, and
//! changes nothing that was there before.
//!
//! # Layout
//! - [`look`]: what is there, and whether it works.
//! - [`debian`]: a compiler for BPF from Debian's or Ubuntu's packages.
//! - [`rustup`]: a compiler for BPF from rustup's nightly.
//! - [`linker`]: bpf-linker for the LLVM of that compiler.
//! - [`cross`]: static programs for another machine.
//! - [`by_hand`]: the commands for where this cannot help.

mod by_hand;
mod cross;
mod debian;
mod linker;
mod look;
mod rustup;
// One file for the agent's build script and for this, so that they cannot disagree.
#[path = "../../../oom-agent/build/toolchain.rs"]
mod toolchain;

use crate::{machine::Machine as Processor, process};
use anyhow::{Context as _, Result, anyhow, bail};
use clap::ValueEnum;
use look::Found;
use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Instant, SystemTime};
use toolchain::{Kind, Machine};

/// The target of the kernel side. A machine with the other byte order is not set up by this.
const TARGET: &str = if cfg!(target_endian = "big") { "bpfeb-unknown-none" } else { "bpfel-unknown-none" };

/// Options of `cargo xtask setup`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only look: print what is there and what is missing, exit 1 if something is.
    #[arg(long)]
    check: bool,
    /// Where to take the compiler for BPF from [default: Debian's packages if this is root on Debian or Ubuntu,
    /// else rustup].
    #[arg(long)]
    way: Option<Way>,
}

/// Where a compiler for BPF comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    /// Packages with a compiled core library, through apt-get, as root.
    Debian,
    /// rustup's nightly with rust-src.
    Rustup,
}

/// Something that a command of this project cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Compiling the kernel side.
    Bpf,
    /// Compiling static programs for another machine.
    Cross(Processor),
}

/// Runs `cargo xtask setup`.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let begin = Instant::now();
    let machine = Machine::here();
    let found = look::at(&machine)?;
    found.print();
    let missing = if args.check { found.problem() } else { None };
    if let Some(problem) = missing {
        eprintln!("\n{problem}\nInstall what is missing with: cargo xtask setup");
        return Ok(ExitCode::FAILURE);
    }
    if found.problem().is_some() {
        install(&machine, &found, args.way)?;
    }
    eprintln!("Ready after {:.1} s. Next: cargo xtask demo", begin.elapsed().as_secs_f64());
    Ok(ExitCode::SUCCESS)
}

/// Makes sure that something is there, without a word if it is.
///
/// # Errors
/// It is missing and cannot be installed here. The error names the commands to run by hand.
pub(crate) fn ensure(need: Need) -> Result<()> {
    match need {
        Need::Bpf => {
            let machine = Machine::here();
            let found = look::at(&machine)?;
            let Some(problem) = found.problem() else { return Ok(()) };
            eprintln!("{problem} Setting it up (cargo xtask setup):");
            install(&machine, &found, None)
        }
        Need::Cross(processor) => cross::ensure(processor),
    }
}

fn install(machine: &Machine, found: &Found, way: Option<Way>) -> Result<()> {
    let done = compiler(machine, found, way).and_then(|()| {
        // Look again: the compiler may be new.
        let machine = Machine::here();
        let toolchain = machine.toolchain(TARGET).with_context(|| unusable(&machine))?;
        linker::ensure(&machine, &toolchain)?;
        match look::at(&machine)?.problem() {
            Some(problem) => bail!("everything is installed, but: {problem}"),
            None => Ok(()),
        }
    });
    // The agent's build script watches itself: it must look again also after half of an installation.
    let script = process::workspace().join("oom-agent/build.rs");
    let touched =
        File::options().write(true).open(&script).and_then(|file| file.set_modified(SystemTime::now()));
    done.map_err(|error| anyhow!("{error:#}\n\n{}", by_hand::commands(machine)))?;
    touched.with_context(|| format!("cannot set the time of {}", script.display()))
}

fn compiler(machine: &Machine, found: &Found, way: Option<Way>) -> Result<()> {
    match (&found.toolchain, way) {
        // One that is there is used, and only replaced where another one was asked for.
        (Some(toolchain), None) if toolchain.kind != Kind::System => Ok(()),
        (Some(toolchain), Some(Way::Debian)) if toolchain.kind != Kind::Nightly => Ok(()),
        (Some(toolchain), Some(Way::Rustup)) if toolchain.kind == Kind::Nightly => Ok(()),
        (_, Some(Way::Debian)) => debian::install(machine),
        (_, Some(Way::Rustup)) => rustup::install(machine),
        (Some(_), None) => Ok(()),
        (None, None) if debian::is_here() && rustix::process::geteuid().is_root() => debian::install(machine),
        (None, None) if debian::is_here() => {
            bail!("installing packages takes root, and this is user {}", rustix::process::geteuid().as_raw())
        }
        (None, None) if machine.rustup_home.is_some() => rustup::install(machine),
        (None, None) => bail!("this is neither Debian nor Ubuntu (no apt-get), and there is no rustup"),
    }
}

fn unusable(machine: &Machine) -> String {
    match &machine.rustup_home {
        Some(home) => {
            format!("no usable toolchain in {} after the installation", home.join("toolchains").display())
        }
        None => "no rustc in PATH has a core library for BPF after the installation".to_owned(),
    }
}

/// Where cargo keeps the sources of crates.
pub(crate) fn cargo_home() -> Option<PathBuf> {
    Machine::here().cargo_home
}

/// Where the output of installations is kept.
fn log(name: &str) -> PathBuf {
    process::workspace().join("target/setup").join(format!("{name}.log"))
}
