//! Compiles the kernel side (`oom-ebpf`) and leaves the objects at `$OUT_DIR/oom-ebpf`, `oom-rounds` and `oom-first`. Makes
//! docs/oom-killer.md a page.
//!
//! On a machine that cannot compile for BPF it sets `cfg(oom_no_bpf)` and the variable `OOM_NO_BPF` (what is
//! missing) instead of failing: the pure parts of the library and their tests do not need the kernel side, the
//! binary refuses to build.

#[path = "build/docs.rs"]
mod docs;
#[path = "build/remap.rs"]
mod remap;
#[path = "build/strip.rs"]
mod strip;
#[path = "build/toolchain.rs"]
mod toolchain;

use anyhow::{Context as _, Result, bail};
use aya_build::Package;
use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use toolchain::{Kind, LINKED, LINKER, Machine, Toolchain};

const EBPF: &str = "oom-ebpf";
/// The crates that need a nightly feature (`asm_experimental_arch`); a value for `RUSTC_BOOTSTRAP`.
const BOOTSTRAP: &str = "aya_ebpf,oom_ebpf,oom_rounds";

fn main() -> Result<()> {
    remap::wrap()?;
    println!("cargo::rustc-check-cfg=cfg(oom_no_bpf)");
    let manifest = directory("CARGO_MANIFEST_DIR")?;
    let workspace = manifest.parent().context("the agent is in no workspace")?;
    // `setup` touches this file when it has installed something.
    watch(Path::new("build.rs"));
    watch(Path::new("build/docs.rs"));
    watch(Path::new("build/remap.rs"));
    watch(Path::new("build/strip.rs"));
    watch(Path::new("build/toolchain.rs"));

    let text = workspace.join("docs/oom-killer.md");
    watch(&text);
    docs::write(&text, &directory("OUT_DIR")?.join("oom-killer.html"))?;

    let machine = Machine::here();
    let target = if variable("CARGO_CFG_TARGET_ENDIAN")? == "big" { "bpfeb" } else { "bpfel" };
    let target = format!("{target}-unknown-none");
    match (machine.toolchain(&target), machine.linker()) {
        (Some(toolchain), Some(linker)) => {
            watch(&toolchain.core);
            watch(&linker);
            build(workspace, &machine, &toolchain)
        }
        (toolchain, linker) => without(&machine, toolchain.as_ref(), linker.as_deref(), &target),
    }
}

fn build(workspace: &Path, machine: &Machine, toolchain: &Toolchain) -> Result<()> {
    // The programs' dependencies and profile. aya-build watches the package itself.
    watch(&workspace.join("Cargo.toml"));
    watch(&workspace.join("Cargo.lock"));
    // Without rustup aya-build takes the first cargo in PATH: let it be the one that belongs to the compiler.
    let first = toolchain.rustc.parent().filter(|_| toolchain.kind == Kind::System).map(Path::to_path_buf);
    let path = env::join_paths(first.iter().chain(&machine.path))
        .context("PATH has a directory with a colon in its name")?;
    let mut directories = vec![(workspace.to_path_buf(), "/oom-agent")];
    directories.extend(machine.cargo_home.clone().map(|home| (home, "/cargo")));
    directories.extend(machine.rustup_home.clone().map(|home| (home, "/rustup")));
    let remap = remap::variables(&directories)?;
    // SAFETY: a build script's main thread is its only one here; aya-build starts its own later and joins it.
    unsafe {
        env::set_var("PATH", path);
        // Whatever the agent is built with: the verifier does not accept what an unoptimised build makes, and
        // counts instructions, not bytes.
        env::set_var("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3");
        // aya-build repeats cargo's progress as warnings; errors and the compiler's own warnings remain.
        env::set_var("CARGO_TERM_QUIET", "true");
        env::set_var("RUST_LIB_BACKTRACE", "0");
        // In place of Miri's, which is for the agent alone.
        for (name, value) in remap {
            env::set_var(name, value);
        }
        // Not inherited: a value of "1" would make aya-build pass -Z build-std to a compiler without rust-src.
        match toolchain.kind {
            Kind::Linked | Kind::System => env::set_var("RUSTC_BOOTSTRAP", BOOTSTRAP),
            Kind::Nightly => env::remove_var("RUSTC_BOOTSTRAP"),
        }
    }
    let root = workspace.join(EBPF);
    let root_dir = root.to_str().with_context(|| format!("{} is not UTF-8", root.display()))?;
    let package = Package { name: EBPF, root_dir, ..Package::default() };
    let with = match toolchain.kind {
        // The name means nothing without rustup.
        Kind::Linked | Kind::System => aya_build::Toolchain::Custom(LINKED),
        Kind::Nightly => aya_build::Toolchain::Nightly,
    };
    aya_build::build_ebpf([package], with)
        .with_context(|| format!("cannot compile {EBPF} for the kernel with {}", toolchain.core.display()))?;
    for path in objects()? {
        if !path.is_file() {
            bail!("{EBPF} was compiled but {} is not there", path.display());
        }
        let full = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let small = strip::strip(&full).with_context(|| format!("cannot strip {}", path.display()))?;
        fs::write(&path, small).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Says what is missing, and makes cargo look again when it may have come.
fn without(
    machine: &Machine,
    toolchain: Option<&Toolchain>,
    linker: Option<&Path>,
    target: &str,
) -> Result<()> {
    println!("cargo::rustc-cfg=oom_no_bpf");
    let missing = match (toolchain, linker) {
        (None, None) => format!("no Rust toolchain with a core library for {target}, and no {LINKER}"),
        (None, Some(_)) => format!("no Rust toolchain with a core library for {target}"),
        (Some(_), _) => format!("no {LINKER} in PATH"),
    };
    println!("cargo::rustc-env=OOM_NO_BPF={missing}");
    println!("cargo::rerun-if-env-changed=PATH");
    // Only what exists: cargo takes a missing file for a changed one, every time.
    // A directory is walked, so not those of the system: dpkg's file stands for them.
    let bins = machine.path.iter().filter(|dir| !dir.starts_with("/usr") && dir.join("cargo").exists());
    let dpkg = Path::new("/var/lib/dpkg/status");
    for path in bins.map(PathBuf::as_path).chain([dpkg]).filter(|path| path.exists()) {
        watch(path);
    }
    for path in objects()? {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove the outdated {}", path.display()))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// What is compiled: all programs, the same for kernels without `bpf_loop`, and the one that goes first.
fn objects() -> Result<[PathBuf; 3]> {
    let directory = directory("OUT_DIR")?;
    Ok([EBPF, "oom-rounds", "oom-first"].map(|name| directory.join(name)))
}

fn directory(name: &str) -> Result<PathBuf> {
    env::var_os(name).map(PathBuf::from).with_context(|| format!("cargo did not set {name}"))
}

fn variable(name: &str) -> Result<String> {
    env::var(name).with_context(|| format!("cargo did not set {name}"))
}

fn watch(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}
