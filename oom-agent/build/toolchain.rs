//! Which of the toolchains on this machine can compile for the kernel.
//!
//! Shared by the agent's build script and by `cargo xtask setup`, so that the one never rejects what the other
//! installed. It looks at files only: no process is started, nothing is downloaded.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// Name of the toolchain that `cargo xtask setup` links: a compiler that brings its own `core` for BPF.
pub(crate) const LINKED: &str = "bpf";
/// The one crate that needs a nightly feature (`asm_experimental_arch`); a value for `RUSTC_BOOTSTRAP`.
pub(crate) const BOOTSTRAP: &str = "aya_ebpf";
/// The linker that turns LLVM bitcode into a BPF object.
pub(crate) const LINKER: &str = "bpf-linker";

/// A compiler for `bpfel-unknown-none` (or `bpfeb`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Toolchain {
    /// Where it comes from.
    pub(crate) kind: Kind,
    /// The file that proves that `core` is there: the compiled one, or its manifest in `rust-src`.
    pub(crate) core: PathBuf,
}

/// Where a toolchain comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// [`LINKED`] in rustup, with a compiled `core`.
    Linked,
    /// The `rustc` in `PATH` of a machine without rustup, with a compiled `core`.
    System,
    /// rustup's `nightly` with `rust-src`: `core` is built with `-Z build-std`.
    Nightly,
}

/// The files and variables by which a machine is judged.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// `RUSTUP_HOME`, where rustup has one.
    pub(crate) rustup_home: Option<PathBuf>,
    /// `CARGO_HOME`.
    pub(crate) cargo_home: Option<PathBuf>,
    /// The directories of `PATH`.
    pub(crate) path: Vec<PathBuf>,
}

impl Machine {
    /// This machine, as the environment describes it.
    pub(crate) fn here() -> Self {
        let home = env::var_os("HOME").map(PathBuf::from);
        let or_home = |name: &str, dir: &str| {
            env::var_os(name).map(PathBuf::from).or_else(|| home.as_ref().map(|home| home.join(dir)))
        };
        let cargo_home = or_home("CARGO_HOME", ".cargo");
        let mut path: Vec<_> = env::var_os("PATH").iter().flat_map(env::split_paths).collect();
        // Where `cargo install` puts bpf-linker. rustup adds it to PATH, a distribution's cargo does not.
        if let Some(bin) = cargo_home.as_ref().map(|home| home.join("bin"))
            && !path.contains(&bin)
        {
            path.push(bin);
        }
        let rustup_home = or_home("RUSTUP_HOME", ".rustup").filter(|_| find_in(&path, "rustup").is_some());
        Self { rustup_home, cargo_home, path }
    }

    /// The toolchain to compile the kernel side with, for a target such as `bpfel-unknown-none`.
    pub(crate) fn toolchain(&self, target: &str) -> Option<Toolchain> {
        let Some(rustup_home) = &self.rustup_home else {
            // As the compiler itself finds its sysroot: `bin/rustc`, symbolic links resolved, is two levels below it.
            let rustc = fs::canonicalize(find_in(&self.path, "rustc")?).ok()?;
            let core = compiled_core(rustc.parent()?.parent()?, target)?;
            return Some(Toolchain { kind: Kind::System, core });
        };
        let toolchains = rustup_home.join("toolchains");
        if let Some(core) = compiled_core(&toolchains.join(LINKED), target) {
            return Some(Toolchain { kind: Kind::Linked, core });
        }
        // A nightly without rust-src is a nightly that cannot do this.
        let nightly = entries(&toolchains)
            .into_iter()
            .find(|path| file_name_starts(path, "nightly-") && is_undated(path))?;
        let core = nightly.join("lib/rustlib/src/rust/library/core/Cargo.toml");
        core.is_file().then_some(Toolchain { kind: Kind::Nightly, core })
    }

    /// Where [`LINKER`] is.
    pub(crate) fn linker(&self) -> Option<PathBuf> {
        find_in(&self.path, LINKER)
    }
}

/// `libcore-*.rlib` for `target` below `sysroot`.
pub(crate) fn compiled_core(sysroot: &Path, target: &str) -> Option<PathBuf> {
    let lib = sysroot.join("lib/rustlib").join(target).join("lib");
    entries(&lib).into_iter().find(|path| {
        file_name_starts(path, "libcore-") && path.extension().is_some_and(|extension| extension == "rlib")
    })
}

/// `nightly-x86_64-unknown-linux-gnu` yes, `nightly-2026-01-01-x86_64-unknown-linux-gnu` no: `rustup run nightly`
/// would not take it.
fn is_undated(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    !name.trim_start_matches("nightly-").starts_with(|first: char| first.is_ascii_digit())
}

fn find_in(path: &[PathBuf], program: &str) -> Option<PathBuf> {
    path.iter().map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// The entries of a directory, sorted, so that two builds take the same; none if it cannot be read.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn file_name_starts(path: &Path, prefix: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
}
