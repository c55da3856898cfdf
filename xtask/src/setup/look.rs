//! What is there, and whether it works: a compiler that exists may lack its core library, and a linker that
//! exists may be too old for what the compiler makes. So a program is compiled and linked.

use super::TARGET;
use super::toolchain::{Kind, LINKED, LINKER, Machine, Toolchain};
use crate::process;
use anyhow::{Context as _, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A compiler answers in milliseconds; on a machine under load in seconds.
const LIMIT: Duration = Duration::from_secs(30);

/// With the compiled core library. Linking that one in would take seconds, so nothing of it is called.
const WITH_CORE: &str = r#"#![no_std]
#[unsafe(no_mangle)]
#[unsafe(link_section = "socket")]
pub extern "C" fn trial(context: *const u8) -> u32 {
    context.is_null() as u32
}
"#;

/// Without: compiling `core` from `rust-src` would take far longer than the question is worth.
const WITHOUT_CORE: &str = r#"#![expect(internal_features)]
#![feature(no_core, lang_items)]
#![no_core]
#[lang = "pointee_sized"]
pub trait PointeeSized {}
#[lang = "meta_sized"]
pub trait MetaSized: PointeeSized {}
#[lang = "sized"]
pub trait Sized: MetaSized {}
#[unsafe(no_mangle)]
#[unsafe(link_section = "socket")]
pub extern "C" fn trial() {}
"#;

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    /// The compiler, if there is one with a core library for BPF.
    pub(super) toolchain: Option<Toolchain>,
    /// bpf-linker.
    pub(super) linker: Option<PathBuf>,
    /// Why a program does not compile and link. `None`: it does, or a part is missing and it was not tried.
    pub(super) failure: Option<String>,
}

/// Looks at this machine. Under a second.
pub(super) fn at(machine: &Machine) -> Result<Found> {
    let toolchain = machine.toolchain(TARGET);
    let linker = machine.linker();
    let failure = match (&toolchain, &linker) {
        (Some(toolchain), Some(linker)) => trial(toolchain, linker)?,
        _ => None,
    };
    Ok(Found { toolchain, linker, failure })
}

impl Found {
    /// One sentence about what is missing or does not work.
    pub(super) fn problem(&self) -> Option<String> {
        let Self { toolchain, linker, failure } = self;
        match (toolchain, linker, failure) {
            (None, None, _) => Some(format!("No Rust compiler for {TARGET} and no {LINKER}.")),
            (None, Some(_), _) => Some(format!("No Rust compiler for {TARGET}.")),
            (Some(_), None, _) => Some(format!("No {LINKER}.")),
            (Some(_), Some(_), Some(failure)) => Some(format!("The BPF toolchain does not work: {failure}")),
            (Some(_), Some(_), None) => None,
        }
    }

    /// A line a part, on stderr.
    pub(super) fn print(&self) {
        let Self { toolchain, linker, failure } = self;
        let compiler = toolchain.as_ref().map(|toolchain| {
            let Toolchain { kind, rustc, core: _ } = toolchain;
            match kind {
                Kind::Linked => format!("rustup toolchain {LINKED}, {}", rustc.display()),
                Kind::System => format!("{}", rustc.display()),
                Kind::Nightly => format!("rustup toolchain nightly with rust-src, {}", rustc.display()),
            }
        });
        line(&format!("Rust for {TARGET}"), compiler);
        line(LINKER, linker.as_ref().map(|linker| linker.display().to_string()));
        match (toolchain, linker, failure) {
            (Some(_), Some(_), None) => line("compile and link a program", Some("works".to_owned())),
            (Some(_), Some(_), Some(_)) => eprintln!("  FAILS    compile and link a program"),
            _ => {}
        }
    }
}

fn line(what: &str, found: Option<String>) {
    match found {
        Some(found) => eprintln!("  ok       {what:<28} {found}"),
        None => eprintln!("  missing  {what}"),
    }
}

/// What the compiler or the linker says if a program does not go through both.
fn trial(toolchain: &Toolchain, linker: &Path) -> Result<Option<String>> {
    let source = match toolchain.kind {
        Kind::Linked | Kind::System => WITH_CORE,
        Kind::Nightly => WITHOUT_CORE,
    };
    let dir = process::workspace().join("target/setup").join(format!("trial-{}", std::process::id()));
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let file = dir.join("trial.rs");
    fs::write(&file, source).with_context(|| format!("cannot write {}", file.display()))?;
    let mut compile = Command::new(&toolchain.rustc);
    compile.args([
        "--edition=2024",
        "--crate-type=lib",
        "--target",
        TARGET,
        "-Copt-level=2",
        "-Cpanic=abort",
    ]);
    compile.args(["--emit=obj=trial.o", "trial.rs"]).env("RUSTC_BOOTSTRAP", "trial");
    let mut link = Command::new(linker);
    link.args(["--target", "bpf", "--export", "trial", "-o", "trial", "trial.o"]);
    let tried = [compile, link].iter_mut().find_map(|step| {
        let answer = process::capture(step.current_dir(&dir), LIMIT);
        let failed = match answer {
            Ok(answer) if answer.status.success() => return None,
            Ok(answer) => answer.stderr.trim().to_owned(),
            Err(error) => format!("{error:#}"),
        };
        Some(format!("{}: {failed}", process::shown(step)))
    });
    // Only rubbish is left behind if this fails.
    let _ = fs::remove_dir_all(&dir);
    Ok(tried)
}

/// `LLVM version: 22.1.8` of `rustc -vV`: 22.
pub(super) fn llvm_major(toolchain: &Toolchain) -> Result<u32> {
    let mut command = Command::new(&toolchain.rustc);
    let text = process::capture(command.arg("-vV"), LIMIT)?.ok(&toolchain.rustc.display().to_string())?;
    parse_llvm_major(&text)
        .with_context(|| format!("{} -vV names no LLVM version", toolchain.rustc.display()))
}

fn parse_llvm_major(version: &str) -> Option<u32> {
    let line = version.lines().find_map(|line| line.strip_prefix("LLVM version: "))?;
    line.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_llvm_of_a_compiler_is_read() {
        let version = "rustc 1.96.0 (ac68faa20 2026-05-25)\nrelease: 1.96.0\nLLVM version: 22.1.8\n";
        assert_eq!(parse_llvm_major(version), Some(22));
        assert_eq!(parse_llvm_major("rustc 1.96.0\n"), None);
    }

    #[test]
    fn each_missing_part_is_named() {
        let nothing = Found { toolchain: None, linker: None, failure: None };
        assert_eq!(nothing.problem().unwrap(), format!("No Rust compiler for {TARGET} and no bpf-linker."));
        let toolchain = Toolchain {
            kind: Kind::Linked,
            rustc: PathBuf::from("/bin/rustc"),
            core: PathBuf::from("/core"),
        };
        let no_linker = Found { toolchain: Some(toolchain.clone()), linker: None, failure: None };
        assert_eq!(no_linker.problem().unwrap(), "No bpf-linker.");
        let linker = Some(PathBuf::from("/bin/bpf-linker"));
        let broken = Found {
            toolchain: Some(toolchain.clone()),
            linker: linker.clone(),
            failure: Some("old LLVM".to_owned()),
        };
        assert!(broken.problem().unwrap().ends_with("does not work: old LLVM"));
        assert_eq!(Found { toolchain: Some(toolchain), linker, failure: None }.problem(), None);
    }

    #[test]
    fn a_compiler_that_cannot_is_told_from_one_that_can() {
        let toolchain = Toolchain {
            kind: Kind::System,
            rustc: PathBuf::from("/bin/false"),
            core: PathBuf::from("/core"),
        };
        let failure = trial(&toolchain, Path::new("/bin/true")).unwrap().expect("it compiles nothing");
        assert!(failure.contains("/bin/false --edition=2024"), "{failure}");
    }
}
