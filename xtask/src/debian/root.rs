//! A disk with Debian's programs and all that they need, made of packages that are downloaded and unpacked, not installed.

use super::Archive;
use crate::{cache, process};
use anyhow::{Context as _, Result};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const UNPACK: Duration = Duration::from_mins(2);

/// These packages with all that they need, in a directory that is whole if it is there.
pub(crate) fn fetch(archive: &Archive, names: &[&str], debs: &Path) -> Result<Vec<PathBuf>> {
    if !debs.exists() {
        let fetched = cache::directory(&debs.with_extension("new"))?;
        archive.update()?;
        archive.download_all(&archive.closure(names)?, &fetched)?;
        fs::rename(&fetched, debs).with_context(|| format!("naming {}", debs.display()))?;
    }
    files(debs)
}

/// Makes an empty directory for packages.
pub(crate) fn create(root: &Path) -> Result<()> {
    if root.exists() {
        fs::remove_dir_all(root).with_context(|| format!("removing {}", root.display()))?;
    }
    // As on every Debian since 12: unpacked packages do not say so.
    for name in ["bin", "lib", "lib64", "sbin"] {
        cache::directory(&root.join("usr").join(name))?;
        symlink(format!("usr/{name}"), root.join(name)).with_context(|| format!("linking /{name}"))?;
    }
    Ok(())
}

/// What is in a directory.
pub(crate) fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

/// Unpacks a package.
pub(crate) fn extract(deb: &Path, into: &Path) -> Result<()> {
    process::capture(Command::new("dpkg-deb").arg("-x").arg(deb).arg(into), UNPACK)?
        .ok(&format!("unpacking {}", deb.display()))?;
    Ok(())
}

/// Unpacks a package. Its name, and the bytes that it takes when installed.
pub(crate) fn unpack(deb: &Path, root: &Path) -> Result<(String, u64)> {
    extract(deb, root)?;
    let mut ask = Command::new("dpkg-deb");
    ask.args(["--show", "--showformat", "${Package} ${Installed-Size}"]).arg(deb);
    let answer = process::capture(&mut ask, UNPACK)?.ok("asking for a package's size")?;
    let (name, kib) = answer.split_once(' ').with_context(|| format!("dpkg-deb said {answer:?}"))?;
    let kib: u64 = kib.trim().parse().with_context(|| format!("the size of {name}: {kib:?}"))?;
    Ok((name.to_owned(), kib << 10))
}

/// Makes an ext4 file system of what is in `root`, which goes.
pub(crate) fn image(root: &Path, image: &Path, mib: u64) -> Result<()> {
    let mut mkfs = Command::new("mkfs.ext4");
    mkfs.args(["-q", "-F", "-O", "^has_journal", "-d"]).arg(root).arg(image).arg(format!("{mib}M"));
    process::capture(&mut mkfs, UNPACK)?.ok("making the file system (mkfs.ext4, of e2fsprogs)")?;
    fs::remove_dir_all(root).with_context(|| format!("removing {}", root.display()))
}
