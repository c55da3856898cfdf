//! A compiler for BPF from Debian's or Ubuntu's packages: they ship a rustc with a compiled core library for it.
//!
//! Nothing that is installed is upgraded or removed: apt-get is asked first what it would do.

use super::toolchain::{LINKED, Machine, compiled_core};
use super::{TARGET, linker, log};
use crate::process::{self, Captured};
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Questions to the local package lists.
const QUESTION: Duration = Duration::from_mins(1);
/// Downloads: 300 MB of packages over a slow line.
const DOWNLOAD: Duration = Duration::from_mins(10);
/// Unpacking and configuring, which a slow disk and another apt-get (see `DPkg::Lock::Timeout`) delay.
const INSTALL: Duration = Duration::from_mins(10);

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
    fn rustc(&self) -> PathBuf {
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
        update()?;
        Packages::resolve()
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

fn install_packages(names: &[String]) -> Result<()> {
    let mut missing = Vec::new();
    for name in names {
        let status = ask("dpkg-query", &["--show", "--showformat=${db:Status-Status}", name])?;
        if status.stdout != "installed" {
            missing.push(name.as_str());
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    // Package lists may be too old for the mirror, or not be there yet.
    let mut count = fetch(&missing)?;
    if count.is_none() {
        update()?;
        simulate(&missing)?;
        count = fetch(&missing)?;
    }
    let count = count.context("the packages cannot be downloaded, also with new package lists")?;
    let title = format!("install {count} packages for {}", missing.join(" "));
    process::run(&title, apt_get(&["install"]).args(&missing), INSTALL, &log("apt-install"))
}

/// Downloads the packages and what they need, and counts them. `None`: the package lists do not fit the mirror.
fn fetch(names: &[&str]) -> Result<Option<usize>> {
    let Ok(plan) = simulate(names) else { return Ok(None) };
    plan.check(names)?;
    let count = plan.new.len();
    let mut command = apt_get(&["install", "--download-only"]);
    let downloaded = process::run(
        &format!("download {count} packages"),
        command.args(names),
        DOWNLOAD,
        &log("apt-download"),
    );
    Ok(downloaded.is_ok().then_some(count))
}

fn update() -> Result<()> {
    process::run("apt-get update", &mut apt_get(&["update"]), DOWNLOAD, &log("apt-update"))
}

/// Asks apt-get what it would do.
fn simulate(names: &[&str]) -> Result<Plan> {
    let mut command = apt_get(&["install", "--simulate"]);
    let answer = process::capture(command.args(names), QUESTION)?;
    Ok(Plan::parse(&answer.ok("apt-get install --simulate")?))
}

/// What apt-get would do.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    new: Vec<String>,
    upgraded: Vec<String>,
    removed: Vec<String>,
}

impl Plan {
    /// Refuses what would change more than it adds.
    fn check(&self, names: &[&str]) -> Result<()> {
        let Self { new: _, upgraded, removed } = self;
        let changes: Vec<_> = [("upgrade", upgraded), ("remove", removed)]
            .into_iter()
            .filter(|(_, packages)| !packages.is_empty())
            .map(|(verb, packages)| format!("{verb} {}", packages.join(", ")))
            .collect();
        if changes.is_empty() {
            return Ok(());
        }
        let (names, changes) = (names.join(" "), changes.join(" and "));
        bail!(
            "installing {names} would {changes}. Nothing was changed. If that is what you want: \
             apt-get install --no-install-recommends {names}"
        )
    }

    /// From `Inst new (1.2 ...)`, `Inst upgraded [1.1] (1.2 ...)` and `Remv removed [1.1]`.
    fn parse(simulation: &str) -> Self {
        let mut plan = Self::default();
        for line in simulation.lines() {
            let mut words = line.split_whitespace();
            match (words.next(), words.next(), words.next()) {
                (Some("Inst"), Some(name), Some(version)) if version.starts_with('[') => {
                    plan.upgraded.push(name.to_owned());
                }
                (Some("Inst"), Some(name), _) => plan.new.push(name.to_owned()),
                (Some("Remv"), Some(name), _) => plan.removed.push(name.to_owned()),
                _ => {}
            }
        }
        plan
    }
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

fn apt_get(args: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("LC_ALL", "C")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["--yes", "--no-install-recommends", "--no-remove"])
        .args(["-o", "DPkg::Lock::Timeout=120", "-o", "Dpkg::Options::=--force-confold"])
        .args([
            "-o",
            "Acquire::http::Timeout=30",
            "-o",
            "Acquire::https::Timeout=30",
            "-o",
            "Acquire::Retries=2",
        ])
        .args(args);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_change_more_than_it_adds_is_refused_by_name() {
        let plan = Plan::parse("Inst rustc-web (1.96 X)\nInst libc6 [2.36] (2.37 X)\nRemv rustc [1.63]\n");
        let error = plan.check(&["rustc-web"]).unwrap_err().to_string();
        assert!(
            error.starts_with("installing rustc-web would upgrade libc6 and remove rustc. Nothing"),
            "{error}"
        );
        assert!(Plan::parse("Inst rustc-web (1.96 X)\n").check(&["rustc-web"]).is_ok());
    }

    #[test]
    fn new_upgraded_and_removed_packages_are_told_apart() {
        let simulation = "\
NOTE: This is only a simulation!
Inst debootstrap (1.0.128 Debian:12.15/oldstable [all])
Inst jq [1.6-2.1+deb12u1] (1.6-2.1+deb12u3 Debian-Security:12/oldstable-security [amd64]) []
Remv rustc [1.63.0+dfsg1-2]
Conf debootstrap (1.0.128 Debian:12.15/oldstable [all])
";
        let plan = Plan {
            new: vec!["debootstrap".to_owned()],
            upgraded: vec!["jq".to_owned()],
            removed: vec!["rustc".to_owned()],
        };
        assert_eq!(Plan::parse(simulation), plan);
    }

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
