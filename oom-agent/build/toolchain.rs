//! Which of the toolchains on this machine can compile for the kernel.
//!
//! Shared by the agent's build script and by `cargo xtask setup`, so that the one never rejects what the other
//! installed. It looks at files only: no process is started, nothing is downloaded.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// Name of the toolchain that `cargo xtask setup` links: a compiler that brings its own `core` for BPF.
pub(crate) const LINKED: &str = "bpf";
/// The linker that turns LLVM bitcode into a BPF object.
pub(crate) const LINKER: &str = "bpf-linker";

/// A compiler for `bpfel-unknown-none` (or `bpfeb`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Toolchain {
    /// Where it comes from.
    pub(crate) kind: Kind,
    /// Its `rustc`, the program itself and not rustup's stand-in.
    pub(crate) rustc: PathBuf,
    /// The file that proves that `core` is there: the compiled one, or its manifest in `rust-src`.
    pub(crate) core: PathBuf,
}

/// Where a toolchain comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// [`LINKED`] in rustup, with a compiled `core`.
    Linked,
    /// A `rustc` in `PATH` on a machine without rustup, with a compiled `core`.
    System,
    /// rustup's `nightly` with `rust-src`: `core` is built with `-Z build-std`.
    Nightly,
}

/// The files and variables by which a machine is judged.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// `RUSTUP_HOME`, where rustup has one.
    pub(crate) rustup_home: Option<PathBuf>,
    /// `CARGO_HOME`, where cargo keeps the sources of crates.
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
            return self.path.iter().find_map(|dir| system(dir, target));
        };
        let toolchains = rustup_home.join("toolchains");
        let linked = toolchains.join(LINKED);
        if let Some(core) = compiled_core(&linked, target) {
            return Some(Toolchain { kind: Kind::Linked, rustc: linked.join("bin/rustc"), core });
        }
        // A nightly without rust-src is a nightly that cannot do this.
        let nightly = nightly(&toolchains)?;
        let core = nightly.join("lib/rustlib/src/rust/library/core/Cargo.toml");
        core.is_file().then(|| Toolchain { kind: Kind::Nightly, rustc: nightly.join("bin/rustc"), core })
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

/// The toolchain in a directory of `PATH`. As the compiler itself finds its sysroot: two levels above the program,
/// symbolic links resolved.
fn system(dir: &Path, target: &str) -> Option<Toolchain> {
    let rustc = fs::canonicalize(dir.join("rustc")).ok()?;
    let core = compiled_core(rustc.parent()?.parent()?, target)?;
    Some(Toolchain { kind: Kind::System, rustc, core })
}

/// What `rustup run nightly` takes: `nightly-x86_64-unknown-linux-gnu`, not one with a date such as
/// `nightly-2026-01-01-x86_64-unknown-linux-gnu`.
pub(crate) fn nightly(toolchains: &Path) -> Option<PathBuf> {
    entries(toolchains).into_iter().find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.strip_prefix("nightly-")
            .is_some_and(|rest| !rest.starts_with(|first: char| first.is_ascii_digit()))
    })
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

// Run with xtask's tests: a build script has none.
#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: &str = "bpfel-unknown-none";

    /// A made-up machine: a directory for `RUSTUP_HOME` and two of `PATH`, removed at the end.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str, files: &[&str]) -> Self {
            let root = env::temp_dir().join(format!("toolchain-{}-{name}", std::process::id()));
            for file in files {
                let file = root.join(file);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, "").unwrap();
            }
            Self(root)
        }

        fn with_rustup(&self) -> Option<Toolchain> {
            Machine { rustup_home: Some(self.0.clone()), cargo_home: None, path: Vec::new() }
                .toolchain(TARGET)
        }

        fn without_rustup(&self) -> Machine {
            Machine {
                rustup_home: None,
                cargo_home: None,
                path: vec![self.0.join("first/bin"), self.0.join("second/bin")],
            }
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const LINKED_CORE: &str = "toolchains/bpf/lib/rustlib/bpfel-unknown-none/lib/libcore-1.rlib";
    const NIGHTLY_RUSTC: &str = "toolchains/nightly-x86_64-unknown-linux-gnu/bin/rustc";
    const NIGHTLY_CORE: &str =
        "toolchains/nightly-x86_64-unknown-linux-gnu/lib/rustlib/src/rust/library/core/Cargo.toml";

    #[test]
    fn a_nightly_without_rust_src_does_not_count() {
        assert_eq!(Tree::new("bare", &[NIGHTLY_RUSTC]).with_rustup(), None);
        let tree = Tree::new("src", &[NIGHTLY_RUSTC, NIGHTLY_CORE]);
        let expected = Toolchain {
            kind: Kind::Nightly,
            rustc: tree.0.join(NIGHTLY_RUSTC),
            core: tree.0.join(NIGHTLY_CORE),
        };
        assert_eq!(tree.with_rustup(), Some(expected));
    }

    #[test]
    fn a_nightly_of_some_day_is_not_what_rustup_runs() {
        let dated = NIGHTLY_CORE.replace("nightly-", "nightly-2026-01-01-");
        assert_eq!(Tree::new("dated", &[&dated]).with_rustup(), None);
    }

    #[test]
    fn a_compiled_core_is_preferred_over_compiling_one() {
        let tree = Tree::new("both", &[LINKED_CORE, NIGHTLY_CORE]);
        assert_eq!(tree.with_rustup().map(|toolchain| toolchain.kind), Some(Kind::Linked));
    }

    #[test]
    fn a_linked_toolchain_without_core_for_bpf_does_not_count() {
        let other = LINKED_CORE.replace("bpfel", "x86_64");
        assert_eq!(Tree::new("linked", &[&other]).with_rustup(), None);
    }

    #[test]
    fn without_rustup_the_rustc_that_can_is_found_behind_one_that_cannot() {
        let core = "second/lib/rustlib/bpfel-unknown-none/lib/libcore-1.rlib";
        let tree = Tree::new("system", &["first/bin/rustc", "second/bin/rustc", core]);
        let found = tree.without_rustup().toolchain(TARGET).unwrap();
        assert_eq!((found.kind, found.rustc), (Kind::System, tree.0.join("second/bin/rustc")));
    }

    #[test]
    fn the_linker_is_looked_for_in_path() {
        let tree = Tree::new("linker", &["second/bin/bpf-linker"]);
        assert_eq!(tree.without_rustup().linker(), Some(tree.0.join("second/bin/bpf-linker")));
        assert_eq!(Tree::new("no-linker", &["second/bin/ld"]).without_rustup().linker(), None);
    }
}
