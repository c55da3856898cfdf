//! Real kernels: Debian's cloud images, resolved by series, downloaded, unpacked and kept.

mod choice;
pub(crate) mod cli;
mod image;
mod store;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, Result, anyhow, bail};

pub(crate) use self::choice::Wanted;
use crate::{
    cache,
    debian::{Archive, Package, root, version},
    machine::Machine,
};

/// Modules for disks, which the clouds' kernels have built in, each after those that it needs.
const MODULES: [&str; 3] = ["nvme-auth", "nvme-core", "nvme"];

/// A kernel that can be booted.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    /// Its upstream version, such as `6.1.192`, or `6.12.118-16k` with large pages.
    pub(crate) version: String,
    /// The uncompressed image: on x86-64 ELF, booted through its PVH entry, on arm64 what its boot protocol calls `Image`.
    pub(crate) vmlinux: PathBuf,
    /// What it takes to see disks, where that is not built in, in the order of loading.
    pub(crate) modules: Vec<PathBuf>,
}

impl Kernel {
    /// The name of the package that it came in.
    pub(crate) fn package(&self) -> Result<String> {
        let path = self.vmlinux.with_file_name("package");
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(text.split(' ').next().unwrap_or_default().to_owned())
    }

    /// Copies its modules of these names into `directory`, for this machine. False: its package has not all of them.
    pub(crate) fn copy_modules(&self, names: &[&str], directory: &Path) -> Result<bool> {
        let package = self.package()?;
        for archive in Archive::by_size(Machine::this())? {
            let archive = archive?;
            let all = archive.packages(|name| name == package)?;
            let Some(found) = all.iter().find(|it| version::upstream(&it.version) == self.version) else {
                continue;
            };
            let deb = archive.download(found)?;
            let _lock = cache::lock("kernels")?;
            let scratch = store::scratch(Machine::this())?;
            root::extract(&deb, &scratch)?;
            let mut copied = 0;
            for name in names {
                let begin = format!("{name}.ko");
                if let Some(module) = image::find(&scratch, |file| file.starts_with(&begin))? {
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
    let mut seen = Vec::new();
    for archive in Archive::by_size(machine)? {
        let archive = archive?;
        archive.update()?;
        let packages = archive.packages(|name| wanted.is_image(machine, name))?;
        if let Some(package) = choice::newest(&packages, wanted) {
            return unpack(machine, &archive, package, wanted);
        }
        seen.extend(packages);
    }
    bail!("the mirror has no kernel {wanted} (any more); it has {}", choice::series(&seen).join(", "))
}

fn unpack(machine: Machine, archive: &Archive, package: &Package, wanted: &Wanted) -> Result<Kernel> {
    let version = &wanted.name(version::upstream(&package.version));
    if let Some(kernel) = store::kept(machine, version)? {
        store::remember(machine, wanted, version)?;
        return Ok(kernel);
    }
    let deb = archive.download(package)?;
    let start = Instant::now();
    let scratch = store::scratch(machine)?;
    root::extract(&deb, &scratch)?;
    let packed = image::find(&scratch, |name| name.starts_with("vmlinuz"))?
        .ok_or_else(|| anyhow!("{} {version} holds no vmlinuz", package.name))?;
    let bytes = fs::read(&packed).with_context(|| format!("reading {}", packed.display()))?;
    let vmlinux =
        image::uncompressed(machine, &bytes).with_context(|| format!("unpacking {}", packed.display()))?;
    let mut modules = Vec::new();
    for name in MODULES {
        modules.extend(image::find(&scratch, |file| file.strip_prefix(name) == Some(".ko.xz"))?);
    }
    let kernel = store::keep(machine, version, &vmlinux, &modules, package)?;
    fs::remove_dir_all(&scratch).with_context(|| format!("removing {}", scratch.display()))?;
    fs::remove_file(&deb).with_context(|| format!("removing {}", deb.display()))?;
    store::remember(machine, wanted, version)?;
    eprintln!("    kernel  {version} unpacked in {:.1} s", start.elapsed().as_secs_f64());
    Ok(kernel)
}
