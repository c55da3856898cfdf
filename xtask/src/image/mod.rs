//! `cargo xtask image`: the container image, from scratch, with the static agent and a list of what it is made of.
//!
//! # Layout
//! - [`sbom`]: the list. [`again`]: the agent, built in two directories.

mod again;
mod sbom;

use crate::{
    cache,
    machine::Machine,
    process,
    setup::{self, Need},
    static_build,
    vm::guest,
};
use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use sbom::{Library, Metadata};
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Duration,
};

/// Bytes of an archive, at most.
const LARGEST: u64 = 15 << 20;
const QUESTION: Duration = Duration::from_mins(1);
const BUILD: Duration = Duration::from_mins(5);

/// Arguments of `image`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
It takes buildah (Debian: buildah). The result is an OCI archive in target/image, with its SBOM (CycloneDX) beside it:
  skopeo copy oci-archive:target/image/oom-agent-0.1.0-amd64.tar docker://registry.example/oom-agent:0.1.0
  ctr -n k8s.io images import target/image/oom-agent-0.1.0-amd64.tar")]
pub(crate) struct ImageArgs {
    /// For which machine.
    #[arg(long, value_enum, default_value_t = Machine::Amd64)]
    arch: Machine,
    /// How it is called; a node that has it under this name needs no registry.
    #[arg(long, value_name = "NAME:TAG", default_value = concat!("localhost/oom-agent:", env!("CARGO_PKG_VERSION")))]
    name: String,
    /// Build it a second time, and the agent from a copy of its sources elsewhere, and fail unless both are the same.
    #[arg(long)]
    check: bool,
}

/// Runs `cargo xtask image`.
pub(crate) fn main(args: &ImageArgs) -> Result<ExitCode> {
    setup::ensure(Need::Bpf)?;
    let buildah = process::capture(Command::new("buildah").arg("--version"), QUESTION).context(
        "an image takes buildah: on Debian or Ubuntu, apt-get install --no-install-recommends buildah",
    )?;
    let version = buildah.ok("buildah --version")?;
    let agent = static_build::build("oom-agent", "oom-agent", args.arch, &guest::directory())?;
    let out = cache::directory(&process::workspace().join("target/image"))?;
    let base = format!("oom-agent-{}-{}", env!("CARGO_PKG_VERSION"), args.arch.name());
    let sbom = out.join(format!("{base}.cdx.json"));
    fs::write(&sbom, bill(args.arch)?).with_context(|| format!("writing {}", sbom.display()))?;
    let archive = out.join(format!("{base}.tar"));
    let first = image(args, &agent, &sbom, &archive, &out.join("work"))?;
    let bytes = fs::metadata(&archive).with_context(|| format!("reading {}", archive.display()))?.len();
    println!("{}", archive.display());
    println!("  {}  {first}", args.name);
    println!("  {:.2} MiB, by {}", bytes as f64 / f64::from(1 << 20), version.trim());
    ensure!(bytes <= LARGEST, "the image has more than {} MiB", LARGEST >> 20);
    if args.check {
        let again = out.join(format!("{base}.again.tar"));
        let second = image(args, &agent, &sbom, &again, &out.join("work"))?;
        ensure!(first == second, "two builds differ: {first} and {second} ({})", again.display());
        fs::remove_file(&again).with_context(|| format!("removing {}", again.display()))?;
        println!("  a second build is the same");
        again::check(args.arch, &agent, &out.join("elsewhere"))?;
        println!("  the agent, built in another directory, is the same");
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds the image in `work`, which is made anew, and gives its digest.
fn image(args: &ImageArgs, agent: &Path, sbom: &Path, archive: &Path, work: &Path) -> Result<String> {
    if work.exists() {
        fs::remove_dir_all(work).with_context(|| format!("removing {}", work.display()))?;
    }
    let context = cache::directory(&work.join("context"))?;
    let workspace = process::workspace();
    let files = [
        (agent.to_path_buf(), "oom-agent", 0o755),
        (sbom.to_path_buf(), "oom-agent.cdx.json", 0o644),
        (workspace.join("LICENSE-MIT"), "LICENSE-MIT", 0o644),
        (workspace.join("LICENSE-APACHE"), "LICENSE-APACHE", 0o644),
    ];
    for (from, name, mode) in files {
        let to = context.join(name);
        fs::copy(&from, &to).with_context(|| format!("copying {}", from.display()))?;
        fs::set_permissions(&to, fs::Permissions::from_mode(mode))
            .with_context(|| format!("changing the mode of {}", to.display()))?;
    }
    let commit = Commit::read()?;
    let mut build = buildah(work);
    build
        .args(["bud", "--isolation", "chroot", "--no-cache", "--identity-label=false", "--format", "oci"])
        .args(["--timestamp", &commit.seconds, "--platform", &format!("linux/{}", args.arch.name())])
        .arg("--file")
        .arg(workspace.join("deploy/image/Containerfile"))
        .args(["--tag", &args.name]);
    for (label, value) in labels(&commit.id) {
        build.arg("--label").arg(format!("org.opencontainers.image.{label}={value}"));
    }
    process::run("image", build.arg(&context), BUILD, &work.join("build.log"))?;
    if archive.exists() {
        fs::remove_file(archive).with_context(|| format!("removing {}", archive.display()))?;
    }
    let digest = work.join("digest");
    let mut push = buildah(work);
    push.arg("push").arg("--digestfile").arg(&digest).arg(&args.name);
    push.arg(format!("oci-archive:{}:{}", archive.display(), args.name));
    process::run("archive", &mut push, BUILD, &work.join("push.log"))?;
    let digest = fs::read_to_string(&digest).with_context(|| format!("reading {}", digest.display()))?;
    fs::remove_dir_all(work.join("storage")).context("removing buildah's storage")?;
    Ok(digest.trim().to_owned())
}

/// With a storage of its own, so that nothing else on this machine matters or is touched.
fn buildah(work: &Path) -> Command {
    let mut command = Command::new("buildah");
    command.args(["--storage-driver", "vfs", "--root"]).arg(work.join("storage"));
    command.arg("--runroot").arg(work.join("run"));
    command
}

fn labels(commit: &str) -> [(&'static str, String); 5] {
    [
        ("title", "oom-agent".into()),
        ("description", "Every OOM kill as one incident: who, whose limit, why this one".into()),
        ("version", env!("CARGO_PKG_VERSION").into()),
        ("licenses", "MIT OR Apache-2.0".into()),
        ("revision", commit.into()),
    ]
}

/// What is built: its id, marked where files differ from it, and its time, which is the image's.
struct Commit {
    id: String,
    seconds: String,
}

impl Commit {
    fn read() -> Result<Self> {
        let git = |args: &[&str]| {
            let mut command = Command::new("git");
            let answer = process::capture(command.args(args).current_dir(process::workspace()), QUESTION)?;
            answer.ok("git")
        };
        // An archive of the sources has no commits.
        let Ok(head) = git(&["log", "-1", "--format=%H %ct"]) else {
            return Ok(Self { id: "unknown".into(), seconds: "0".into() });
        };
        let (id, seconds) = head.trim().split_once(' ').context("git log: no id and time")?;
        let changed = !git(&["status", "--porcelain"])?.trim().is_empty();
        Ok(Self { id: format!("{id}{}", if changed { "-changed" } else { "" }), seconds: seconds.to_owned() })
    }
}

/// The SBOM of the agent on `machine`.
fn bill(machine: Machine) -> Result<String> {
    let workspace = process::workspace();
    let mut cargo = process::cargo();
    cargo.args(["metadata", "--format-version", "1", "--locked"]);
    cargo.args(["--filter-platform", machine.target(), "--filter-platform", "bpfel-unknown-none"]);
    let metadata = process::capture(cargo.current_dir(&workspace), QUESTION)?.ok("cargo metadata")?;
    let metadata: Metadata = serde_json::from_str(&metadata).context("cargo metadata")?;
    let lock = fs::read_to_string(workspace.join("Cargo.lock")).context("reading Cargo.lock")?;
    // The metadata are of the whole workspace, with the features that all of it wants together.
    let mut built = tree("oom-agent", machine.target())?;
    built.extend(tree("oom-ebpf", "bpfel-unknown-none")?);
    let libraries = [
        Library { name: "glibc", version: glibc(machine)?, license: "LGPL-2.1-or-later" },
        Library { name: "rust-std", version: rust()?, license: "MIT OR Apache-2.0" },
        Library { name: "sqlite", version: metadata.sqlite()?, license: "blessing" },
    ];
    sbom::cyclonedx(&metadata, &built, &lock, &libraries)
}

/// Names and versions of what cargo builds `package` from, for `target`.
fn tree(package: &str, target: &str) -> Result<BTreeSet<(String, String)>> {
    let mut cargo = process::cargo();
    cargo.args(["tree", "--locked", "--package", package, "--target", target, "--edges", "normal"]);
    cargo.args(["--prefix", "none", "--no-dedupe", "--format", "{p}"]);
    let tree = process::capture(cargo.current_dir(process::workspace()), QUESTION)?.ok("cargo tree")?;
    // `name v1.2.3`, and where it is or what it is in brackets.
    let line = |line: &str| {
        let mut words = line.split(' ');
        Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
    };
    Ok(tree.lines().filter_map(line).collect())
}

/// The version of Rust's standard library.
fn rust() -> Result<String> {
    let version = process::capture(Command::new("rustc").arg("-vV"), QUESTION)?.ok("rustc -vV")?;
    let release = version.lines().find_map(|line| line.strip_prefix("release: "));
    Ok(release.context("rustc -vV names no release")?.to_owned())
}

/// The version of the C library that is linked in, from the headers beside it.
fn glibc(machine: Machine) -> Result<String> {
    let compiler = if machine.is_this() { PathBuf::from("cc") } else { machine.cross_compiler().into() };
    let mut command = Command::new(&compiler);
    command.args(["-E", "-dM", "-include", "features.h", "-x", "c", "/dev/null"]);
    let macros = process::capture(&mut command, QUESTION)?.ok("asking the compiler for its C library")?;
    let value =
        |name: &str| macros.lines().find_map(|line| line.strip_prefix("#define ")?.strip_prefix(name));
    match (value("__GLIBC__ "), value("__GLIBC_MINOR__ ")) {
        (Some(major), Some(minor)) => Ok(format!("{}.{}", major.trim(), minor.trim())),
        _ => bail!("{} has no glibc", compiler.display()),
    }
}
