//! Static programs for another machine: Rust's library for it, a compiler driver that links, and a C library.

use super::{debian, log, toolchain::Machine};
use crate::{machine::Machine as Processor, process};
use anyhow::{Context as _, Result, bail};
use std::{fs, process::Command, time::Duration};

/// A program is compiled in a second; on a machine under load in more.
const TRIAL: Duration = Duration::from_mins(1);
/// Rust's library for a machine is some 30 MB.
const DOWNLOAD: Duration = Duration::from_mins(5);
/// SQLite and ring are C, and all of it is linked against a static C library.
const PROGRAM: &str =
    "#[link(name = \"m\")]\nunsafe extern \"C\" {}\nfn main() { println!(\"{:?}\", std::env::args()) }\n";

/// Makes sure that programs for `processor` can be built, without a word if they can.
///
/// # Errors
/// They cannot, and what is missing cannot be installed here.
pub(super) fn ensure(processor: Processor) -> Result<()> {
    let Some(failure) = trial(processor)? else { return Ok(()) };
    let (target, packages) = (processor.target(), processor.cross_packages());
    eprintln!("Nothing can be built for {target} yet. Setting it up:");
    let by_hand = format!(
        "by hand: rustup target add {target} && apt-get install --no-install-recommends {}",
        packages.join(" ")
    );
    install(processor).with_context(|| by_hand.clone())?;
    match trial(processor)? {
        None => Ok(()),
        Some(still) if still == failure => bail!("nothing changed: {still}\n{by_hand}"),
        Some(still) => bail!("{still}\n{by_hand}"),
    }
}

fn install(processor: Processor) -> Result<()> {
    let target = processor.target();
    if !has_library(processor)? {
        if Machine::here().rustup_home.is_none() {
            bail!("rustc has no library for {target}, and there is no rustup to get it with");
        }
        let mut rustup = Command::new("rustup");
        rustup.args(["target", "add", target]);
        process::run(&format!("rustup target add {target}"), &mut rustup, DOWNLOAD, &log("target"))?;
    }
    if !debian::is_here() {
        bail!("{} is wanted, and this is neither Debian nor Ubuntu", processor.cross_compiler());
    }
    debian::install_cross(&processor.cross_packages())
}

/// Whether the compiler in use has its library for it.
fn has_library(processor: Processor) -> Result<bool> {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", processor.target()]);
    let dir = process::capture(&mut rustc, TRIAL)?.ok("rustc --print target-libdir")?;
    let mut files = fs::read_dir(dir.trim()).into_iter().flatten().flatten();
    Ok(files.any(|file| file.file_name().to_string_lossy().starts_with("libstd-")))
}

/// What the compiler says if a static program cannot be compiled and linked.
fn trial(processor: Processor) -> Result<Option<String>> {
    let dir = process::workspace().join("target/setup").join(format!("cross-{}", std::process::id()));
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let file = dir.join("trial.rs");
    fs::write(&file, PROGRAM).with_context(|| format!("cannot write {}", file.display()))?;
    let mut rustc = Command::new("rustc");
    rustc.args(["--edition=2024", "-Ctarget-feature=+crt-static", "--target", processor.target()]);
    rustc.arg(format!("-Clinker={}", processor.cross_compiler())).args(["-o", "trial", "trial.rs"]);
    let answer = process::capture(rustc.current_dir(&dir), TRIAL);
    // Only rubbish is left behind if this fails.
    let _ = fs::remove_dir_all(&dir);
    let answer = answer?;
    Ok((!answer.status.success())
        .then(|| format!("{} failed: {}", process::shown(&rustc), answer.stderr.trim())))
}
