//! Real kernels: Debian's cloud images, resolved by series, downloaded, unpacked and kept.

mod choice;
pub(crate) mod cli;
mod image;
mod store;

use std::{
    fs,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};

pub(crate) use self::choice::Wanted;
use crate::{
    cache,
    debian::{Archive, FULL_SUITES, Mirror, Package, SMALL_SUITES, version},
    machine::Machine,
    process,
};

/// A kernel that can be booted.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    /// Its upstream version, such as `6.1.192`.
    pub(crate) version: String,
    /// The uncompressed image: on x86-64 ELF, booted through its PVH entry, on arm64 what its boot protocol calls `Image`.
    pub(crate) vmlinux: PathBuf,
}

impl Kernel {
    /// The name of the package that it came in.
    pub(crate) fn package(&self) -> Result<String> {
        let path = self.vmlinux.with_file_name("package");
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(text.split(' ').next().unwrap_or_default().to_owned())
    }
}

/// Gives `machine`'s kernel that `wanted` names: from the cache, or from the mirror.
pub(crate) fn get(machine: Machine, wanted: &Wanted) -> Result<Kernel> {
    let _lock = cache::lock("kernels")?;
    if let Some(kernel) = store::resolved(machine, wanted)? {
        return Ok(kernel);
    }
    match fetch(machine, wanted) {
        Ok(kernel) => Ok(kernel),
        Err(error) => match store::newest_kept(machine, wanted)? {
            Some(kernel) => {
                eprintln!("note: {error:#}\nnote: using the cached kernel {} for {wanted}", kernel.version);
                Ok(kernel)
            }
            None => Err(error),
        },
    }
}

fn fetch(machine: Machine, wanted: &Wanted) -> Result<Kernel> {
    eprintln!("    kernel  resolving {wanted} for {}", machine.name());
    let mirror = Mirror::of_this_machine()?;
    let mut seen = Vec::new();
    for (name, suites) in [("small", SMALL_SUITES), ("full", FULL_SUITES)] {
        let archive = Archive::of(machine, name, &mirror, suites)?;
        archive.update()?;
        let packages = archive.packages(|name| choice::is_cloud_image(machine, name))?;
        if let Some(package) = choice::newest(&packages, wanted) {
            return unpack(machine, &archive, package, wanted);
        }
        seen.extend(packages);
    }
    bail!("the mirror has no kernel {wanted} (any more); it has {}", choice::series(&seen).join(", "))
}

fn unpack(machine: Machine, archive: &Archive, package: &Package, wanted: &Wanted) -> Result<Kernel> {
    let version = version::upstream(&package.version);
    if let Some(kernel) = store::kept(machine, version)? {
        store::remember(machine, wanted, version)?;
        return Ok(kernel);
    }
    let deb = archive.download(package)?;
    let start = Instant::now();
    let scratch = store::scratch(machine)?;
    process::capture(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&scratch), Duration::from_mins(2))?
        .ok("unpacking the package")?;
    let packed =
        image::find(&scratch)?.ok_or_else(|| anyhow!("{} {version} holds no vmlinuz", package.name))?;
    let bytes = fs::read(&packed).with_context(|| format!("reading {}", packed.display()))?;
    let vmlinux =
        image::uncompressed(machine, &bytes).with_context(|| format!("unpacking {}", packed.display()))?;
    let kernel = store::keep(machine, version, &vmlinux, package)?;
    fs::remove_dir_all(&scratch).with_context(|| format!("removing {}", scratch.display()))?;
    fs::remove_file(&deb).with_context(|| format!("removing {}", deb.display()))?;
    store::remember(machine, wanted, version)?;
    eprintln!("    kernel  {version} unpacked in {:.1} s", start.elapsed().as_secs_f64());
    Ok(kernel)
}
