//! A compiler for BPF from Debian's or Ubuntu's packages: they ship a rustc with a compiled core library for it.
//!
//! Nothing that is installed is upgraded or removed: apt-get is asked first what it would do.

use super::toolchain::{LINKED, Machine, compiled_core};
use super::{TARGET, linker, log};
use crate::apt::{self, DOWNLOAD, INSTALL, Plan, QUESTION};
use crate::process::{self, Captured};
use anyhow::{Context as _, Error, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The packages of one Rust in Debian. They are named alike: `rustc-web`, `cargo-web`, `libstd-rust-web-dev-bpf`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packages {
    /// What follows `rustc` in their names: empty, `-web` or `-1.96`.
    flavour: String,
    /// Major version of the LLVM that its rustc is linked with.
    pub(super) llvm: u32,
}

impl Default for Packages {
    /// Those of Debian 12, named where the machine cannot tell.
    fn default() -> Self {
        Self { flavour: "-web".to_owned(), llvm: 22 }
    }
}

impl Packages {
    /// From the machine's package lists.
    ///
    /// # Errors
    /// No apt-get, or no package with a core library for BPF in the lists.
    pub(super) fn resolve() -> Result<Self> {
        let names = ask("apt-cache", &["pkgnames", "libstd-rust"])?.ok("apt-cache pkgnames")?;
        for flavour in flavours(&names) {
            let rustc = format!("rustc{flavour}");
            let depends = ask("apt-cache", &["depends", "--recurse", "--important", &rustc])?;
            if let Some(llvm) = llvm_of(&depends.stdout) {
                return Ok(Self { flavour, llvm });
            }
        }
        bail!("the package lists have no Rust with a core library for BPF (libstd-rust-*-dev-bpf)")
    }

    /// The names to give to apt-get.
    pub(super) fn names(&self) -> Vec<String> {
        let Self { flavour, llvm } = self;
        vec![
            format!("rustc{flavour}"),
            format!("cargo{flavour}"),
            format!("libstd-rust{flavour}-dev-bpf"),
            format!("llvm-{llvm}-dev"),
        ]
    }

    /// `/usr/bin/rustc`, or `/usr/bin/rustc-1.96` where several are installed side by side.
    pub(super) fn rustc(&self) -> PathBuf {
        let versioned = self.flavour.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit());
        Path::new("/usr/bin").join(if versioned {
            format!("rustc{}", self.flavour)
        } else {
            "rustc".to_owned()
        })
    }
}

/// Whether this is Debian, Ubuntu or something made of them.
pub(super) fn is_here() -> bool {
    Path::new("/usr/bin/apt-get").exists() && Path::new("/var/lib/dpkg/status").exists()
}

/// Installs the compiler, the LLVM that bpf-linker is built against, and links the compiler into rustup.
pub(super) fn install(machine: &Machine) -> Result<()> {
    require_root()?;
    let packages = Packages::resolve().or_else(|_| {
        // A fresh image has no package lists.
        let complaint = update()?;
        Packages::resolve().map_err(|error| with_complaint(error, complaint))
    })?;
    linker::check(packages.llvm)?;
    install_packages(&packages.names())?;
    let rustc = packages.rustc();
    let sysroot =
        fs::canonicalize(&rustc).ok().and_then(|rustc| Some(rustc.parent()?.parent()?.to_path_buf()));
    let sysroot = sysroot.with_context(|| format!("{} was installed but is not there", rustc.display()))?;
    if compiled_core(&sysroot, TARGET).is_none() {
        bail!(
            "{} was installed but has no core library for {TARGET} in {}",
            rustc.display(),
            sysroot.display()
        );
    }
    match &machine.rustup_home {
        Some(home) => link(home, &sysroot),
        None => Ok(()),
    }
}

/// Installs the development files of an LLVM.
pub(super) fn install_llvm(llvm: u32) -> Result<()> {
    if !is_here() {
        bail!(
            "the development files of LLVM {llvm} are not in /usr/lib/llvm-{llvm}, and this is not Debian or Ubuntu"
        );
    }
    require_root()?;
    install_packages(&[format!("llvm-{llvm}-dev")])
}

/// Installs a compiler for another machine, and a C library for it.
pub(super) fn install_cross(packages: &[&str]) -> Result<()> {
    require_root()?;
    install_packages(packages)
}

fn link(rustup_home: &Path, sysroot: &Path) -> Result<()> {
    let linked = rustup_home.join("toolchains").join(LINKED);
    if linked.symlink_metadata().is_ok() && fs::canonicalize(&linked).ok() != fs::canonicalize(sysroot).ok() {
        bail!(
            "rustup has a toolchain {LINKED} that is something else ({}): it was left alone. To give the name up: rustup toolchain uninstall {LINKED}",
            linked.display()
        );
    }
    let mut command = Command::new("rustup");
    command.args(["toolchain", "link", LINKED]).arg(sysroot);
    process::run(
        &format!("rustup toolchain link {LINKED} {}", sysroot.display()),
        &mut command,
        QUESTION,
        &log("link"),
    )
}

fn require_root() -> Result<()> {
    let user = rustix::process::geteuid();
    if !user.is_root() {
        bail!("installing packages takes root, and this is user {}", user.as_raw());
    }
    Ok(())
}

fn install_packages<S: AsRef<str>>(names: &[S]) -> Result<()> {
    let mut missing = Vec::new();
    for name in names.iter().map(AsRef::as_ref) {
        let status = ask("dpkg-query", &["--show", "--showformat=${db:Status-Status}", name])?;
        if status.stdout != "installed" {
            missing.push(name);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    // Package lists may be too old for the mirror, or not be there yet.
    let mut count = fetch(&missing)?;
    if count.is_none() {
        let complaint = update()?;
        apt::simulate(&missing).map_err(|error| with_complaint(error, complaint))?;
        count = fetch(&missing)?;
    }
    let count = count.context("the packages cannot be downloaded, also with new package lists")?;
    let title = format!("install {count} packages for {}", missing.join(" "));
    process::run(&title, apt::get(&["install", "--no-remove"]).args(&missing), INSTALL, &log("apt-install"))
}

/// Downloads the packages and what they need, and counts them. `None`: the package lists do not fit the mirror.
fn fetch(names: &[&str]) -> Result<Option<usize>> {
    let Ok(plan) = apt::simulate(names) else { return Ok(None) };
    check(&plan, names)?;
    let count = plan.new.len();
    let mut command = apt::get(&["install", "--download-only", "--no-remove"]);
    let downloaded = process::run(
        &format!("download {count} packages"),
        command.args(names),
        DOWNLOAD,
        &log("apt-download"),
    );
    Ok(downloaded.is_ok().then_some(count))
}

/// Fetches the package lists. apt-get succeeds also where it cannot reach a mirror: its first complaint is returned,
/// and matters only if what is wanted is then not there.
fn update() -> Result<Option<String>> {
    let log = log("apt-update");
    process::run("apt-get update", &mut apt::get(&["update"]), DOWNLOAD, &log)?;
    let text = fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))?;
    Ok(text.lines().find(|line| line.starts_with("W: Failed to fetch")).map(str::to_owned))
}

fn with_complaint(error: Error, complaint: Option<String>) -> Error {
    match complaint {
        Some(complaint) => error.context(format!("apt-get update: {complaint}")),
        None => error,
    }
}

/// Refuses what would change more than it adds.
fn check(plan: &Plan, names: &[&str]) -> Result<()> {
    let Some(changes) = plan.changes() else { return Ok(()) };
    let names = names.join(" ");
    bail!(
        "installing {names} would {changes}. Nothing was changed. If that is what you want: \
         apt-get install --no-install-recommends {names}. Or take another compiler: cargo xtask setup --way rustup"
    )
}

/// Out of the names of packages those of a core library for BPF, the best first: the one that is made for building
/// other packages, then the distribution's own, then the newest of several.
fn flavours(names: &str) -> Vec<String> {
    let mut flavours: Vec<_> = names
        .lines()
        .filter_map(|name| name.trim().strip_prefix("libstd-rust")?.strip_suffix("-dev-bpf"))
        .map(str::to_owned)
        .collect();
    let version = |flavour: &str| -> Vec<u32> {
        flavour.trim_start_matches('-').split('.').filter_map(|part| part.parse().ok()).collect()
    };
    flavours
        .sort_by_key(|flavour| (flavour != "-web", !flavour.is_empty(), std::cmp::Reverse(version(flavour))));
    flavours
}

/// `Depends: libllvm22`: 22.
fn llvm_of(depends: &str) -> Option<u32> {
    let digits = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: libllvm"))?;
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn ask(program: &str, args: &[&str]) -> Result<Captured> {
    process::capture(Command::new(program).env("LC_ALL", "C").args(args), QUESTION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packages_of_one_rust_belong_together() {
        let names = "libstd-rust-dev\nlibstd-rust-1.96-dev-bpf\nlibstd-rust-dev-bpf\nlibstd-rust-web-dev-bpf\nlibstd-rust-1.100-dev-bpf\n";
        assert_eq!(flavours(names), ["-web", "", "-1.100", "-1.96"]);
        assert_eq!(flavours("libstd-rust-dev\nlibstd-rust-dev-wasm32\n"), [""; 0]);
        assert_eq!(
            Packages::default().names(),
            ["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf", "llvm-22-dev"]
        );
    }

    #[test]
    fn the_compiler_is_where_its_package_puts_it() {
        let rustc = |flavour: &str| Packages { flavour: flavour.to_owned(), llvm: 22 }.rustc();
        assert_eq!(rustc("-web"), Path::new("/usr/bin/rustc"));
        assert_eq!(rustc(""), Path::new("/usr/bin/rustc"));
        assert_eq!(rustc("-1.96"), Path::new("/usr/bin/rustc-1.96"));
    }

    #[test]
    fn the_llvm_is_read_from_the_dependencies() {
        let depends =
            "rustc-web\n  Depends: libc6\nlibstd-rust-web-1.96\n  Depends: libllvm22\n  Depends: libz3-4\n";
        assert_eq!(llvm_of(depends), Some(22));
        assert_eq!(llvm_of("rustc-web\n  Depends: libc6\n"), None);
    }
}
