//! Real kernels: Debian's cloud images, resolved by series, downloaded, unpacked and kept.

mod choice;
pub(crate) mod cli;
mod image;
mod store;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};

pub(crate) use self::choice::Wanted;
use crate::{
    cache,
    debian::{Archive, FULL_SUITES, Mirror, Package, SMALL_SUITES, root, version},
    process,
};

/// A kernel that can be booted.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    /// Its upstream version, such as `6.1.192`.
    pub(crate) version: String,
    /// The uncompressed image (ELF, booted through its PVH entry).
    pub(crate) vmlinux: PathBuf,
}

impl Kernel {
    /// The name of the package that it came in.
    pub(crate) fn package(&self) -> Result<String> {
        let path = self.vmlinux.with_file_name("package");
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(text.split(' ').next().unwrap_or_default().to_owned())
    }

    /// Copies its modules of these names into `directory`. False: its package has not all of them.
    pub(crate) fn modules(&self, names: &[&str], directory: &Path) -> Result<bool> {
        let package = self.package()?;
        let mirror = Mirror::of_this_machine()?;
        for (name, suites) in [("small", SMALL_SUITES), ("full", FULL_SUITES)] {
            let archive = Archive::new(name, &mirror, suites)?;
            let all = archive.packages(|name| name == package)?;
            let Some(found) = all.iter().find(|it| version::upstream(&it.version) == self.version) else {
                continue;
            };
            let deb = archive.download(found)?;
            let _lock = cache::lock("kernels")?;
            let scratch = store::scratch()?;
            root::unpack(&deb, &scratch)?;
            let mut copied = 0;
            for name in names {
                let begin = format!("{name}.ko");
                if let Some(module) = image::find(&scratch, &begin)? {
                    let to = directory.join(module.file_name().unwrap_or_default());
                    fs::copy(&module, &to).with_context(|| format!("copying {}", module.display()))?;
                    copied += 1;
                }
            }
            fs::remove_dir_all(&scratch).with_context(|| format!("removing {}", scratch.display()))?;
            fs::remove_file(&deb).with_context(|| format!("removing {}", deb.display()))?;
            return Ok(copied == names.len());
        }
        Ok(false)
    }
}

/// Gives the kernel that `wanted` names: from the cache, or from the mirror.
pub(crate) fn get(wanted: &Wanted) -> Result<Kernel> {
    let _lock = cache::lock("kernels")?;
    if let Some(kernel) = store::resolved(wanted)? {
        return Ok(kernel);
    }
    match fetch(wanted) {
        Ok(kernel) => Ok(kernel),
        Err(error) => match store::newest_kept(wanted)? {
            Some(kernel) => {
                eprintln!("note: {error:#}\nnote: using the cached kernel {} for {wanted}", kernel.version);
                Ok(kernel)
            }
            None => Err(error),
        },
    }
}

fn fetch(wanted: &Wanted) -> Result<Kernel> {
    eprintln!("    kernel  resolving {wanted}");
    let mirror = Mirror::of_this_machine()?;
    let mut seen = Vec::new();
    for (name, suites) in [("small", SMALL_SUITES), ("full", FULL_SUITES)] {
        let archive = Archive::new(name, &mirror, suites)?;
        archive.update()?;
        let packages = archive.packages(choice::is_cloud_image)?;
        if let Some(package) = choice::newest(&packages, wanted) {
            return unpack(&archive, package, wanted);
        }
        seen.extend(packages);
    }
    bail!("the mirror has no kernel {wanted} (any more); it has {}", choice::series(&seen).join(", "))
}

fn unpack(archive: &Archive, package: &Package, wanted: &Wanted) -> Result<Kernel> {
    let version = version::upstream(&package.version);
    if let Some(kernel) = store::kept(version)? {
        store::remember(wanted, version)?;
        return Ok(kernel);
    }
    let deb = archive.download(package)?;
    let start = Instant::now();
    let scratch = store::scratch()?;
    process::capture(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&scratch), Duration::from_mins(2))?
        .ok("unpacking the package")?;
    let packed = image::find(&scratch, "vmlinuz")?
        .ok_or_else(|| anyhow!("{} {version} holds no vmlinuz", package.name))?;
    let bytes = fs::read(&packed).with_context(|| format!("reading {}", packed.display()))?;
    let vmlinux = image::uncompressed(&bytes).with_context(|| format!("unpacking {}", packed.display()))?;
    let kernel = store::keep(version, &vmlinux, package)?;
    fs::remove_dir_all(&scratch).with_context(|| format!("removing {}", scratch.display()))?;
    fs::remove_file(&deb).with_context(|| format!("removing {}", deb.display()))?;
    store::remember(wanted, version)?;
    eprintln!("    kernel  {version} unpacked in {:.1} s", start.elapsed().as_secs_f64());
    Ok(kernel)
}
