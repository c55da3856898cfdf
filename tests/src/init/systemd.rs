//! From the initramfs to a system on a disk, whose first process is systemd.

use super::{JOB, Job, ROOT_SERIAL, disk};
use anyhow::{Context as _, Result};
use rustix::mount::{MountFlags, mount, mount_move};
use std::{convert::Infallible, fs, os::unix::process::CommandExt as _, path::Path, process::Command};

const ROOT: &str = "/root";
/// What the service starts, where the initramfs and the disk have it.
const OURS: [&str; 2] = ["/bin/oom-guest", "/bin/oom-agent"];

/// Copies what is needed, and becomes systemd.
pub(super) fn start(job: &Job, files: &[String]) -> Result<Infallible> {
    let device = disk(ROOT_SERIAL)?;
    mount(&device, ROOT, "ext4", MountFlags::empty(), c"")
        .with_context(|| format!("mounting {}", device.display()))?;
    for path in OURS.into_iter().chain([JOB]).chain(files.iter().map(String::as_str)) {
        // There may be no agent.
        if Path::new(path).exists() {
            let to = Path::new(ROOT).join(path.trim_start_matches('/'));
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
            }
            fs::copy(path, &to).with_context(|| format!("copying {path} to the disk"))?;
        }
    }
    if job.swap {
        super::sys::swap_on(&disk(super::SWAP_SERIAL)?)?;
    }
    // With what is mounted below them.
    for path in ["/dev", "/proc", "/sys"] {
        mount_move(path, format!("{ROOT}{path}")).with_context(|| format!("moving {path}"))?;
    }
    std::env::set_current_dir(ROOT).context("going to the disk")?;
    mount_move(".", "/").context("making the disk the root")?;
    rustix::process::chroot(".").context("making the disk the root")?;
    std::env::set_current_dir("/").context("going to the root")?;
    Err(Command::new("/lib/systemd/systemd").exec()).context("starting systemd")
}
