//! Static programs of this workspace: for VMs without libraries, and for an image with nothing else in it.

use crate::process;
use anyhow::{Context as _, Result, bail};
use std::{
    env,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// What it is to run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Machine {
    /// `x86_64`.
    Amd64,
    /// `aarch64`.
    Arm64,
}

impl Machine {
    /// Rust's name of it.
    pub(crate) const fn target(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// The name that images have for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// Debian's compiler for it, where this machine is another.
    pub(crate) const fn cross_compiler(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-linux-gnu-gcc",
            Self::Arm64 => "aarch64-linux-gnu-gcc",
        }
    }

    /// Whether this program runs on it.
    pub(crate) fn is_this(self) -> bool {
        self.target().split('-').next() == Some(env::consts::ARCH)
    }
}

/// Builds `name` of `package`, optimised and static, below `target`, and gives its path.
///
/// Its own part holds no path of this machine. The programs for the kernel do, in their BTF: `aya-build` passes no flags
/// on. So it is the same where it is built with the same compilers in the same directories.
pub(crate) fn build(package: &str, name: &str, machine: Machine, target: &Path) -> Result<PathBuf> {
    let triple = machine.target();
    let mut cargo = cargo("build", machine, target);
    cargo
        .args(["--release", "--package", package, "--bin", name])
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    if !machine.is_this() {
        let upper = triple.to_uppercase().replace('-', "_");
        cargo.env(format!("CARGO_TARGET_{upper}_LINKER"), machine.cross_compiler());
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
        bail!("building {name} for {triple} failed{}", if machine.is_this() { "" } else { CROSS });
    }
    Ok(target.join(triple).join("release").join(name))
}

/// Builds an integration test of `package`, static, below `target`, and gives its program. It is started with other programs'
/// places in variables: those that it was built beside are not where it runs.
pub(crate) fn build_test(package: &str, name: &str, machine: Machine, target: &Path) -> Result<PathBuf> {
    let mut cargo = cargo("test", machine, target);
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
fn cargo(what: &str, machine: Machine, target: &Path) -> Command {
    let mut cargo = process::cargo();
    cargo.args([what, "--locked", "--target", machine.target()]).arg("--target-dir").arg(target);
    cargo.current_dir(process::workspace());
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags().join("\u{1f}")).env_remove("RUSTFLAGS");
    cargo
}

const TEST: Duration = Duration::from_mins(20);
const CROSS: &str = "; for another machine than this one it takes `rustup target add` and a linker \
                     (Debian: gcc-aarch64-linux-gnu and libc6-dev-arm64-cross)";

fn flags() -> Vec<String> {
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    if let Some(home) = home {
        flags.push(format!("--remap-path-prefix={}=/cargo", home.display()));
    }
    flags.push(format!("--remap-path-prefix={}=/oom-agent", process::workspace().display()));
    flags
}
