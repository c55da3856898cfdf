//! The kernels that are kept, and which of them a series last meant.
//!
//! `<cache>/kernels/<version>/vmlinux` (another machine's: `kernels-arm64`) is written under another name first, so one that exists is whole.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::{Kernel, Wanted};
use crate::{
    cache,
    debian::{Package, version},
    machine::Machine,
};

/// How long a series keeps meaning the version that it was resolved to.
const RESOLVED_FOR_SECONDS: u64 = 7 * 24 * 3600;

/// Below a kernel's directory.
const MODULES: &str = "modules";

/// What a series was resolved to.
#[derive(Debug, Serialize, Deserialize)]
struct Resolved {
    version: String,
    unix_seconds: u64,
}

type Resolutions = BTreeMap<String, Resolved>;

/// The kept kernel that `wanted` means, unless it has to be asked for (again).
pub(super) fn resolved(machine: Machine, wanted: &Wanted) -> Result<Option<Kernel>> {
    if let Some(version) = wanted.exact() {
        return kept(machine, &version);
    }
    match resolutions(machine)?.get(&wanted.to_string()) {
        Some(known) if now().saturating_sub(known.unix_seconds) < RESOLVED_FOR_SECONDS => {
            kept(machine, &known.version)
        }
        _ => Ok(None),
    }
}

/// Notes that `wanted` now means `version`.
pub(super) fn remember(machine: Machine, wanted: &Wanted, version: &str) -> Result<()> {
    let mut all = resolutions(machine)?;
    all.insert(wanted.to_string(), Resolved { version: version.to_owned(), unix_seconds: now() });
    let path = directory(machine)?.join("resolved.json");
    fs::write(&path, serde_json::to_string_pretty(&all)?)
        .with_context(|| format!("writing {}", path.display()))
}

/// The kernel of this version, if it is kept.
pub(super) fn kept(machine: Machine, version: &str) -> Result<Option<Kernel>> {
    let directory = directory(machine)?.join(version);
    let vmlinux = directory.join("vmlinux");
    if !vmlinux.exists() {
        return Ok(None);
    }
    let mut modules: Vec<PathBuf> = match fs::read_dir(directory.join(MODULES)) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(_) => Vec::new(),
    };
    modules.sort();
    Ok(Some(Kernel { version: version.to_owned(), vmlinux, modules }))
}

/// The newest kernel that is kept and `wanted`.
pub(super) fn newest_kept(machine: Machine, wanted: &Wanted) -> Result<Option<Kernel>> {
    Ok(all(machine)?.into_iter().rfind(|kernel| wanted.is_called(&kernel.version)))
}

/// Every kernel that is kept, oldest version first.
pub(super) fn all(machine: Machine) -> Result<Vec<Kernel>> {
    let mut kernels = Vec::new();
    for entry in fs::read_dir(directory(machine)?).context("reading the kernel cache")?.flatten() {
        kernels.extend(kept(machine, &entry.file_name().to_string_lossy())?);
    }
    kernels.sort_by(|a, b| version::compare(&a.version, &b.version));
    Ok(kernels)
}

/// Keeps a kernel's image and modules, in the order in which they are to be loaded.
pub(super) fn keep(
    machine: Machine,
    version: &str,
    vmlinux: &[u8],
    modules: &[PathBuf],
    package: &Package,
) -> Result<Kernel> {
    let into = cache::directory(&directory(machine)?.join(version))?;
    let (temporary, path) = (into.join("vmlinux.new"), into.join("vmlinux"));
    fs::write(into.join("package"), format!("{} {}\n", package.name, package.version))
        .context("noting the package")?;
    for (at, module) in modules.iter().enumerate() {
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        let to = cache::directory(&into.join(MODULES))?.join(format!("{at}-{name}"));
        fs::copy(module, &to).with_context(|| format!("keeping {}", module.display()))?;
    }
    fs::write(&temporary, vmlinux).with_context(|| format!("writing {}", temporary.display()))?;
    fs::rename(&temporary, &path).with_context(|| format!("naming {}", path.display()))?;
    kept(machine, version)?.with_context(|| format!("{} is gone", path.display()))
}

/// An empty directory to unpack into; the kernels' lock makes it one command's own.
pub(super) fn scratch(machine: Machine) -> Result<PathBuf> {
    let path = directory(machine)?.join("unpack");
    if path.exists() {
        fs::remove_dir_all(&path).with_context(|| format!("removing {}", path.display()))?;
    }
    cache::directory(&path)
}

fn directory(machine: Machine) -> Result<PathBuf> {
    let name = match machine {
        Machine::Amd64 => "kernels",
        Machine::Arm64 => "kernels-arm64",
    };
    cache::directory(&cache::root()?.join(name))
}

fn resolutions(machine: Machine) -> Result<Resolutions> {
    match fs::read(directory(machine)?.join("resolved.json")) {
        // A file that was damaged is as good as none: the series are resolved again.
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_default()),
        Err(_) => Ok(Resolutions::default()),
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
