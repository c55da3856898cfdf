//! The file systems that a machine has.

use std::{fs, io, path::Path};

use anyhow::{Context as _, Result};
use rustix::mount::{MountFlags, mount};

/// The controllers that the cases need below the root.
const CONTROLLERS: [&str; 4] = ["memory", "cpuset", "cpu", "pids"];

/// `/proc`, `/sys` with what is mounted in it, `/dev`, `/tmp`.
pub(super) fn basic() -> Result<()> {
    must("proc", "/proc", "proc", "")?;
    must("sysfs", "/sys", "sysfs", "")?;
    must("devtmpfs", "/dev", "devtmpfs", "")?;
    must("tmpfs", "/tmp", "tmpfs", "")?;
    must("tracefs", "/sys/kernel/tracing", "tracefs", "")?;
    must("bpf", "/sys/fs/bpf", "bpf", "")?;
    must("debugfs", "/sys/kernel/debug", "debugfs", "")
}

/// cgroup v2 at `/sys/fs/cgroup` with the memory controller; or the hybrid layout with memory as cgroup v1.
pub(super) fn cgroups(v1: bool) -> Result<()> {
    if !v1 {
        must("cgroup2", "/sys/fs/cgroup", "cgroup2", "")?;
        return enable("/sys/fs/cgroup");
    }
    must("tmpfs", "/sys/fs/cgroup", "tmpfs", "mode=755")?;
    must("cgroup2", "/sys/fs/cgroup/unified", "cgroup2", "")?;
    must("cgroup", "/sys/fs/cgroup/memory", "cgroup", "memory")
        .context("this kernel has no cgroup v1 memory controller (Debian's have it up to 6.1)")
}

/// Hands the root's controllers down, one by one: which there are depends on the kernel.
fn enable(root: &str) -> Result<()> {
    let path = Path::new(root).join("cgroup.controllers");
    let there = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    for controller in CONTROLLERS {
        if there.split_whitespace().any(|name| name == controller) {
            let path = Path::new(root).join("cgroup.subtree_control");
            fs::write(&path, format!("+{controller}"))
                .with_context(|| format!("writing +{controller} to {}", path.display()))?;
        }
    }
    Ok(())
}

fn must(source: &str, target: &str, kind: &str, options: &str) -> Result<()> {
    fs::create_dir_all(target).with_context(|| format!("making {target}"))?;
    let options = std::ffi::CString::new(options)?;
    match mount(source, target, kind, MountFlags::empty(), options.as_c_str()) {
        // The kernel mounts devtmpfs itself if it was configured to.
        Err(errno) if errno == rustix::io::Errno::BUSY => Ok(()),
        other => other.map_err(io::Error::from).with_context(|| format!("mounting {kind} at {target}")),
    }
}
