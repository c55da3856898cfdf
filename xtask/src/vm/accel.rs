//! KVM where it works, emulation elsewhere.
//!
//! That `/dev/kvm` is there says little: nested in some clouds it opens, and the guest then fails or hangs. So the
//! first VM after a machine's start is a trial, and its outcome is kept until the next.

use std::{
    fs,
    process::Stdio,
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::qemu::{self, Accel};
use crate::{cache, kernel::Kernel, machine::Machine, process};

/// Without an initramfs a kernel panics, and so powers off, within two seconds.
const TRIAL_LIMIT: Duration = Duration::from_secs(8);
static KNOWN: Mutex<Option<Accel>> = Mutex::new(None);

/// Chooses what VMs run on here, with a trial if it is not known yet.
pub(super) fn choose(machine: Machine, kernel: &Kernel) -> Result<Accel> {
    if !machine.is_this() {
        return Ok(Accel::Tcg);
    }
    let mut known = KNOWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(accel) = *known {
        return Ok(accel);
    }
    let _lock = cache::lock("accel")?;
    let accel = kept_or_tried(machine, kernel)?;
    *known = Some(accel);
    Ok(accel)
}

fn kept_or_tried(machine: Machine, kernel: &Kernel) -> Result<Accel> {
    if fs::File::options().read(true).write(true).open("/dev/kvm").is_err() {
        return Ok(Accel::Tcg);
    }
    let boot_id =
        fs::read_to_string("/proc/sys/kernel/random/boot_id").context("reading the machine's boot id")?;
    let path = cache::root()?.join("accel");
    let kept = fs::read_to_string(&path).unwrap_or_default();
    for accel in [Accel::Kvm, Accel::Tcg] {
        if kept == format!("{} {}\n", boot_id.trim(), accel.name()) {
            return Ok(accel);
        }
    }
    let accel = if works(machine, kernel)? { Accel::Kvm } else { Accel::Tcg };
    fs::write(&path, format!("{} {}\n", boot_id.trim(), accel.name()))
        .with_context(|| format!("writing {}", path.display()))?;
    Ok(accel)
}

fn works(machine: Machine, kernel: &Kernel) -> Result<bool> {
    let start = Instant::now();
    eprintln!(
        "       kvm  trying it (at most {} s, once after each start of this machine)",
        TRIAL_LIMIT.as_secs()
    );
    let mut child = qemu::base(machine, Accel::Kvm)
        .args(["-m", "256M", "-append", "panic=-1 quiet", "-kernel"])
        .arg(&kernel.vmlinux)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("starting {}", qemu::program(machine)))?;
    let status = process::wait(&mut child, TRIAL_LIMIT, |_, _| {})?;
    let works = status.is_some_and(|status| status.success());
    let verdict = if works { "works" } else { "is there but runs no guest: emulating instead" };
    eprintln!("            it {verdict} ({:.1} s)", start.elapsed().as_secs_f64());
    Ok(works)
}
