//! A shell for the guest: Debian's static busybox, downloaded and unpacked, not installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};

use crate::{cache, debian, machine::Machine, process};

const PACKAGE: &str = "busybox-static";
/// Releases before the merge of /usr have it in /bin.
const PATHS: &[&str] = &["usr/bin/busybox", "bin/busybox"];

/// Busybox and the names that it answers to.
#[derive(Debug)]
pub(super) struct Busybox {
    /// The program.
    pub(super) path: PathBuf,
    /// What to link to it: `sh`, `mount`, and so on.
    pub(super) applets: Vec<String>,
}

/// Gives busybox for `machine` from the cache, or fetches it.
pub(super) fn get(machine: Machine) -> Result<Busybox> {
    let _lock = cache::lock("busybox")?;
    let own = own()?;
    if machine.is_this() {
        return Ok(own);
    }
    // The package is configured alike on every machine.
    let Busybox { path: _, applets } = own;
    let directory = cache::directory(&cache::root()?.join(format!("busybox-{}", machine.name())))?;
    let path = directory.join("busybox");
    if !path.exists() {
        debian::file_of(machine, PACKAGE, PATHS, &path)?;
    }
    Ok(Busybox { path, applets })
}

/// The one that runs here, which can be asked what it can do.
fn own() -> Result<Busybox> {
    let directory = cache::directory(&cache::root()?.join("busybox"))?;
    let (path, list) = (directory.join("busybox"), directory.join("applets"));
    if !list.exists() {
        // The lists of apt's own sources may never have been fetched.
        match from_own_sources(&path) {
            Ok(deb) => debian::take(&deb, PATHS, &path)?,
            Err(_) => debian::file_of(Machine::this(), PACKAGE, PATHS, &path)?,
        }
        let applets = process::capture(Command::new(&path).arg("--list"), Duration::from_secs(10))?;
        fs::write(&list, applets.ok("asking busybox what it can do")?)
            .with_context(|| format!("writing {}", list.display()))?;
    }
    let applets = fs::read_to_string(&list).with_context(|| format!("reading {}", list.display()))?;
    Ok(Busybox { path, applets: applets.lines().map(str::to_owned).collect() })
}

/// Downloads it as the machine's own apt offers it.
fn from_own_sources(path: &Path) -> Result<PathBuf> {
    let into = cache::directory(&path.with_extension("download"))?;
    let mut apt = Command::new("apt-get");
    apt.args(["-o", "APT::Sandbox::User=root", "download", PACKAGE]).current_dir(&into);
    process::capture(&mut apt, Duration::from_mins(1))?.ok("apt-get download")?;
    let entries = fs::read_dir(&into).with_context(|| format!("reading {}", into.display()))?.flatten();
    let deb = entries.map(|entry| entry.path()).find(|path| path.extension().is_some_and(|end| end == "deb"));
    deb.ok_or_else(|| anyhow!("apt left no {PACKAGE} in {}", into.display()))
}
