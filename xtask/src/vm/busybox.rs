//! A shell for the guest: Debian's static busybox, downloaded and unpacked, not installed.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context as _, Result, anyhow};

use crate::{
    cache,
    debian::{Archive, FULL_SUITES, Mirror, version},
    timed,
};

const PACKAGE: &str = "busybox-static";

/// Busybox and the names that it answers to.
#[derive(Debug)]
pub(super) struct Busybox {
    /// The program.
    pub(super) path: PathBuf,
    /// What to link to it: `sh`, `mount`, and so on.
    pub(super) applets: Vec<String>,
}

/// Gives busybox from the cache, or fetches it.
pub(super) fn get() -> Result<Busybox> {
    let _lock = cache::lock("busybox")?;
    let directory = cache::directory(&cache::root()?.join("busybox"))?;
    let (path, list) = (directory.join("busybox"), directory.join("applets"));
    if !list.exists() {
        fetch(&path)?;
        let ended = timed::run(Command::new(&path).arg("--list"), Duration::from_secs(10))?;
        fs::write(&list, ended.stdout).with_context(|| format!("writing {}", list.display()))?;
    }
    let applets = fs::read_to_string(&list).with_context(|| format!("reading {}", list.display()))?;
    Ok(Busybox { path, applets: applets.lines().map(str::to_owned).collect() })
}

fn fetch(path: &PathBuf) -> Result<()> {
    let archive = Archive::new("full", &Mirror::of_this_machine()?, FULL_SUITES)?;
    let mut packages = archive.packages(|name| name == PACKAGE)?;
    if packages.is_empty() {
        archive.update()?;
        packages = archive.packages(|name| name == PACKAGE)?;
    }
    let package = packages
        .iter()
        .max_by(|a, b| version::compare(&a.version, &b.version))
        .ok_or_else(|| anyhow!("the mirror has no {PACKAGE}"))?;
    let deb = archive.download(package)?;
    let unpacked = path.with_extension("unpacked");
    timed::run(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&unpacked), Duration::from_secs(30))?;
    // Releases before the merge of /usr have it in /bin.
    let found =
        ["usr/bin/busybox", "bin/busybox"].map(|at| unpacked.join(at)).into_iter().find(|at| at.exists());
    let found = found.ok_or_else(|| anyhow!("{PACKAGE} {} holds no busybox", package.version))?;
    fs::rename(&found, path).with_context(|| format!("naming {}", path.display()))?;
    fs::remove_dir_all(&unpacked).with_context(|| format!("removing {}", unpacked.display()))?;
    fs::remove_file(&deb).with_context(|| format!("removing {}", deb.display()))
}
