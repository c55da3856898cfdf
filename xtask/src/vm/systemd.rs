//! A disk with Debian's systemd, containerd and runc: a machine as a node of a cluster is one.

use crate::{
    cache,
    debian::{Archive, Mirror, root},
    kernel::Kernel,
};
use anyhow::{Context as _, Result};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

const SUITES: &[&str] = &["trixie", "trixie-security"];
/// With what they are started, mounted and looked at by, and what the kubelet and its pods' network ask for.
const PACKAGES: &[&str] = &[
    "bash",
    "ca-certificates",
    "containerd",
    "containernetworking-plugins",
    "coreutils",
    "dash",
    "etcd-server",
    "grep",
    "iproute2",
    "kmod",
    "kubectl",
    "libc-bin",
    "mount",
    "procps",
    "runc",
    "sed",
    "systemd",
    "tar",
    "util-linux",
];
/// Part of the name: another number where what is made of the packages has changed.
const VERSION: u32 = 2;
/// Those of the kernel that pods' network takes.
const MODULES: &[&str] = &["veth"];
/// Room for images, containers, logs.
const ROOM_MIB: u64 = 2048;
/// What a machine that is made anew each time does not need, or what waits for devices.
const MASKED: &[&str] = &[
    "getty.target",
    "ldconfig.service",
    "systemd-hwdb-update.service",
    "systemd-journal-catalog-update.service",
    "systemd-journal-flush.service",
    "systemd-logind.service",
    "systemd-network-generator.service",
    "systemd-pstore.service",
    "systemd-random-seed.service",
    "systemd-sysusers.service",
    "systemd-timesyncd.service",
    "systemd-update-utmp.service",
];
const ETC: &[(&str, &str)] = &[
    ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"),
    ("etc/group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n"),
    ("etc/hostname", "node\n"),
    ("etc/hosts", "127.0.0.1 localhost node\n::1 localhost\n"),
    ("etc/resolv.conf", "nameserver 127.0.0.1\n"),
    // One that is there: nothing asks questions at the first boot.
    ("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
    ("etc/fstab", ""),
    (
        "etc/systemd/system/oom.target",
        "[Unit]\nRequires=basic.target\nWants=oom-job.service\nAfter=basic.target\nAllowIsolate=yes\n",
    ),
    // Its own processes may be killed: it goes on. When it is over the machine is.
    (
        "etc/systemd/system/oom-job.service",
        "[Unit]\nAfter=basic.target\nFailureAction=poweroff-immediate\n\
         [Service]\nExecStart=/bin/oom-guest job\nOOMPolicy=continue\nOOMScoreAdjust=-900\n",
    ),
];

/// Gives it from the cache, or makes it.
pub(super) fn get(kernel: &Kernel) -> Result<PathBuf> {
    let _lock = cache::lock("systemd")?;
    let directory = cache::directory(&cache::root()?.join("systemd"))?;
    let image = directory.join(format!("{}-{VERSION}.ext4", kernel.version));
    if !image.exists() {
        let temporary = image.with_extension("new");
        make(kernel, &directory, &temporary)?;
        fs::rename(&temporary, &image).with_context(|| format!("naming {}", image.display()))?;
    }
    Ok(image)
}

fn make(kernel: &Kernel, directory: &Path, image: &Path) -> Result<()> {
    let into = directory.join("root");
    root::create(&into)?;
    for name in
        ["dev", "proc", "sys", "run", "tmp", "root", "results", "var/log", "var/tmp", "etc/systemd/system"]
    {
        cache::directory(&into.join(name))?;
    }
    let archive = Archive::new("systemd", &Mirror::of_this_machine()?, SUITES)?;
    let mut bytes = 0;
    for deb in root::fetch(&archive, PACKAGES, &directory.join(format!("debs-{VERSION}")))? {
        bytes += root::unpack(&deb, &into)?.1;
    }
    if !kernel.copy_modules(MODULES, &cache::directory(&into.join("modules"))?)? {
        eprintln!(
            "      note  Linux {}: its package has no {} (any more)",
            kernel.version,
            MODULES.join(", ")
        );
    }
    if !into.join("bin/sh").exists() {
        symlink("dash", into.join("bin/sh")).context("linking /bin/sh")?;
    }
    for (name, text) in ETC {
        fs::write(into.join(name), text).with_context(|| format!("writing /{name}"))?;
    }
    let units = into.join("etc/systemd/system");
    symlink("oom.target", units.join("default.target")).context("linking default.target")?;
    for name in MASKED {
        symlink("/dev/null", units.join(name)).with_context(|| format!("masking {name}"))?;
    }
    root::image(&into, image, bytes / (1 << 20) * 3 / 2 + ROOM_MIB)
}
