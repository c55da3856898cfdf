//! What the kernel unpacks as its first file system.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
};

use anyhow::{Context as _, Result};
use flate2::{Compression, write::GzEncoder};

use super::{
    Cgroup, Request, busybox, cpio,
    guest::{self, Program},
    job::{JOB, Job},
    qemu,
};
use crate::kernel::Kernel;

/// Where `oom-guest` is, under the name that the kernel starts and the one that commands use.
const INIT: &str = "/init";

/// Writes the initramfs for `request` to `path`.
pub(super) fn write(path: &Path, request: &Request, kernel: &Kernel) -> Result<()> {
    let file = File::create(path).with_context(|| format!("making {}", path.display()))?;
    // The emulated machine unpacks it: little is gained by making it small.
    let gz = GzEncoder::new(BufWriter::new(file), Compression::fast());
    let mut gz = pack(gz, request, kernel).context("packing the initramfs")?;
    gz.try_finish().and_then(|()| gz.get_mut().flush()).with_context(|| format!("writing {}", path.display()))
}

fn pack<W: Write>(into: W, request: &Request, kernel: &Kernel) -> Result<W> {
    let mut cpio = cpio::Writer::new(into);
    for directory in ["/bin", "/dev", "/proc", "/sys", "/tmp", "/root", "/results", "/modules"] {
        cpio.directory(directory)?;
    }
    cpio.character_device("/dev/console", 5, 1)?;
    cpio.file(INIT, &read(&guest::build_for(request.machine, Program::Guest)?)?)?;
    cpio.symlink("/bin/oom-guest", INIT)?;
    if request.agent {
        cpio.file("/bin/oom-agent", &read(&guest::build_for(request.machine, Program::Agent)?)?)?;
    }
    let busybox = busybox::get(request.machine)?;
    cpio.file("/bin/busybox", &read(&busybox.path)?)?;
    for applet in busybox.applets.iter().filter(|applet| *applet != "busybox") {
        cpio.symlink(&format!("/bin/{applet}"), "busybox")?;
    }
    let Request { command, files, swap_mib, cgroup, quiet, systemd, .. } = request;
    let mut made = BTreeSet::new();
    for (to, from) in files {
        for parent in parents(to) {
            if made.insert(parent.to_owned()) {
                cpio.directory(parent)?;
            }
        }
        cpio.file(to, &read(from)?)?;
    }
    let mut modules = Vec::new();
    for module in &kernel.modules {
        let to = format!("/modules/{}", module.file_name().unwrap_or_default().display());
        cpio.file(&to, &read(module)?)?;
        modules.push(to);
    }
    let job = Job {
        command: command.clone(),
        modules,
        cgroup_v1: *cgroup == Cgroup::V1,
        swap: *swap_mib > 0,
        systemd: systemd.then(|| files.iter().map(|(to, _)| to.clone()).collect()),
        stream: (!quiet).then(|| qemu::ports(request.machine).map(str::to_owned)),
    };
    cpio.file(JOB, &serde_json::to_vec(&job)?)?;
    Ok(cpio.finish()?)
}

/// The directories above an absolute path, outermost first, without the root.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at]).filter(|parent| !parent.is_empty())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::parents;

    #[test]
    fn a_files_directories_are_made_from_the_outside_in() {
        assert_eq!(parents("/data/deep/file").collect::<Vec<_>>(), ["/data", "/data/deep"]);
        assert_eq!(parents("/file").count(), 0);
    }
}
