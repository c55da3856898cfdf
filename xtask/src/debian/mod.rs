//! Debian's archive, read without touching the machine's package state.
//!
//! Kernels of other releases, and now and then a package of another release that fits what is installed, are
//! downloaded through an apt configuration of its own: own lists, own cache, no knowledge of installed packages. It
//! can only update its lists and download; nothing is ever installed through it.

mod archive;
mod mirror;
mod package;
pub(crate) mod root;
pub(crate) mod version;

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

pub(crate) use self::{archive::Archive, mirror::Mirror, package::Package};
use crate::machine::Machine;

/// Downloads the newest `package` of `machine` and puts the one file of it that is called one of `names` to `path`.
pub(crate) fn file_of(machine: Machine, package: &str, names: &[&str], path: &Path) -> Result<()> {
    let archive = Archive::of(machine, "full", &Mirror::of_this_machine()?, FULL_SUITES)?;
    let mut packages = archive.packages(|name| name == package)?;
    if packages.is_empty() {
        archive.update()?;
        packages = archive.packages(|name| name == package)?;
    }
    let newest = packages.iter().max_by(|a, b| version::compare(&a.version, &b.version));
    let newest = newest.with_context(|| format!("the mirror has no {package}"))?;
    take(&archive.download(newest)?, names, path)
}

/// Takes a file out of a package, which is removed.
pub(crate) fn take(deb: &Path, names: &[&str], path: &Path) -> Result<()> {
    let unpacked = path.with_extension("unpacked");
    root::extract(deb, &unpacked)?;
    let found = names.iter().map(|name| unpacked.join(name)).find(|file| file.exists());
    let found = found.with_context(|| format!("{} holds no {}", deb.display(), names.join(" or ")))?;
    fs::rename(&found, path).with_context(|| format!("naming {}", path.display()))?;
    fs::remove_dir_all(&unpacked).with_context(|| format!("removing {}", unpacked.display()))?;
    fs::remove_file(deb).with_context(|| format!("removing {}", deb.display()))
}

/// The suites that are small (about 2 MB of lists together) and hold the newest kernel of nearly every series.
const SMALL_SUITES: &[&str] =
    &["bullseye-security", "bookworm-security", "trixie-security", "bookworm-backports", "trixie-backports"];

/// The full releases (about 10 MB of lists each): older point releases, and series that the small suites dropped.
const FULL_SUITES: &[&str] = &["bullseye", "bookworm", "trixie", "forky"];
