//! What this machine's configuration and this process's privileges allow, as `doctor` shows it besides the hooks.
//!
//! Everything is read below a root directory, so tests need neither privileges nor a special kernel. What cannot be
//! read is [`Known::Unknown`] with the reason, never a default.
//!
//! # Layout
//! - [`cgroup`]: which cgroup hierarchy has the memory controller.
//! - [`privilege`]: capabilities and what they are needed for.

pub mod cgroup;
pub mod privilege;
#[cfg(test)]
pub(crate) mod test_root;

use cgroup::Cgroups;
use privilege::Privileges;
use serde::Serialize;
use std::{fs::File, io::Read, path::Path};

/// A value, or why it is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Known<T> {
    /// The value.
    Value(T),
    /// What was attempted, on what, and the system's answer.
    Unknown {
        /// In words.
        unknown: String,
    },
}

impl<T> Known<T> {
    /// The value, if it is known.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Unknown { .. } => None,
        }
    }
}

impl<T> From<Result<T, String>> for Known<T> {
    fn from(result: Result<T, String>) -> Self {
        match result {
            Ok(value) => Self::Value(value),
            Err(unknown) => Self::Unknown { unknown },
        }
    }
}

/// This machine, its configuration and this process's privileges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Host {
    /// `uname -n`.
    pub node: Known<String>,
    /// `uname -r`.
    pub kernel_release: Known<String>,
    /// Changes with every boot.
    pub boot_id: Known<String>,
    /// Settings that change what an OOM does or what may be seen of it, in the order of [`SYSCTLS`].
    pub sysctls: Vec<Sysctl>,
    /// Swap space.
    pub swap: Known<Swap>,
    /// Pressure stall information (`/proc/pressure/memory`).
    pub psi: Known<Feature>,
    /// The multi-generational LRU (`/sys/kernel/mm/lru_gen/enabled`).
    pub mglru: Known<Feature>,
    /// Kernel lockdown.
    pub lockdown: Known<Lockdown>,
    /// Where the memory controller lives.
    pub cgroups: Known<Cgroups>,
    /// What this process may do.
    pub privileges: Privileges,
}

/// A kernel setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sysctl {
    /// As `sysctl` calls it.
    pub name: &'static str,
    /// In the kernel's own unit, which the name says where it is not a number of a kind.
    pub value: Known<i64>,
}

/// The settings that [`Host::sysctls`] holds.
pub const SYSCTLS: [&str; 10] = [
    "vm.panic_on_oom",
    "vm.oom_kill_allocating_task",
    "vm.oom_dump_tasks",
    "vm.overcommit_memory",
    "vm.overcommit_ratio",
    "vm.swappiness",
    "vm.min_free_kbytes",
    "kernel.unprivileged_bpf_disabled",
    "kernel.kptr_restrict",
    "kernel.dmesg_restrict",
];

/// Swap space of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Swap {
    /// 0: there is none.
    pub total_bytes: u64,
    /// Not in use.
    pub free_bytes: u64,
}

/// A part of the kernel that may be left out or switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// In use.
    On,
    /// There, but switched off.
    Off,
    /// This kernel was built, or booted, without it.
    Absent,
}

/// What the running kernel is locked down to (`security/lockdown/lockdown.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lockdown {
    /// Not at all.
    None,
    /// User space may not change the kernel.
    Integrity,
    /// Nor read its memory: BPF programs may not either.
    Confidentiality,
}

impl Host {
    /// Reads everything below `root` (`/` but in tests). Never fails: what cannot be read says so itself.
    pub fn read(root: &Path) -> Self {
        let sysctls: Vec<_> =
            SYSCTLS.into_iter().map(|name| Sysctl { name, value: sysctl(root, name).into() }).collect();
        Self {
            node: line(root, "proc/sys/kernel/hostname").into(),
            kernel_release: line(root, "proc/sys/kernel/osrelease").into(),
            boot_id: line(root, "proc/sys/kernel/random/boot_id").into(),
            swap: swap(root).into(),
            psi: psi(root).into(),
            mglru: mglru(root).into(),
            lockdown: lockdown(root).into(),
            cgroups: Cgroups::read(root).into(),
            privileges: Privileges::read(root),
            sysctls,
        }
    }

    /// Whether the memory controller is on the v2 hierarchy, where swap has a limit of its own.
    pub fn memory_cgroup_is_v2(&self) -> bool {
        matches!(self.cgroups.value().map(|cgroups| &cgroups.memory), Some(cgroup::Memory::V2(_)))
    }

    /// A setting, if it is one of [`SYSCTLS`] and known.
    pub fn sysctl(&self, name: &str) -> Option<i64> {
        self.sysctls.iter().find(|sysctl| sysctl.name == name)?.value.value().copied()
    }

    /// Capabilities that this process lacks for something. `None`: its capabilities are not known.
    pub fn missing_for(&self, need: privilege::Need) -> Option<Vec<privilege::Capability>> {
        let dmesg_restrict = self.sysctl("kernel.dmesg_restrict") != Some(0);
        self.privileges.missing_for(need, dmesg_restrict)
    }
}

/// How many CPUs are online. `None`: not known.
pub fn online_cpus(root: &Path) -> Option<u32> {
    let online = line(root, "sys/devices/system/cpu/online").ok()?;
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        last.checked_sub(first)?.checked_add(1)
    };
    online.split(',').map(range).try_fold(0_u32, |sum, cpus| sum.checked_add(cpus?))
}

/// Opens a file below the root and reads at most 1 MiB of it.
pub(crate) fn read_file(root: &Path, path: &str) -> std::io::Result<String> {
    const LONGEST: u64 = 1 << 20;
    // Most are shorter: one read, and one that says so.
    let mut bytes = Vec::with_capacity(4096);
    File::open(root.join(path))?.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn text(root: &Path, path: &str) -> Result<String, String> {
    read_file(root, path).map_err(|error| format!("reading /{path}: {error}"))
}

fn line(root: &Path, path: &str) -> Result<String, String> {
    let text = text(root, path)?;
    let line = text.trim();
    if line.is_empty() { Err(format!("/{path} is empty")) } else { Ok(line.to_owned()) }
}

fn sysctl(root: &Path, name: &str) -> Result<i64, String> {
    let path = format!("proc/sys/{}", name.replace('.', "/"));
    let line = line(root, &path)?;
    line.parse().map_err(|_| format!("/{path} holds {line:?}, not a number"))
}

/// What `/proc/meminfo` says behind a name, as it stands there.
pub fn meminfo<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// The same of an amount of memory, which is written in kB (`show_val_kb`, `fs/proc/meminfo.c`), in bytes.
pub fn meminfo_bytes(text: &str, name: &str) -> Option<u64> {
    meminfo(text, name)?.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn swap(root: &Path) -> Result<Swap, String> {
    const PATH: &str = "proc/meminfo";
    let text = text(root, PATH)?;
    let bytes = |name: &str| meminfo_bytes(&text, name).ok_or_else(|| format!("/{PATH} has no {name} in kB"));
    Ok(Swap { total_bytes: bytes("SwapTotal")?, free_bytes: bytes("SwapFree")? })
}

/// `psi_proc_init` makes no directory without PSI; switched off later, reading gives `EOPNOTSUPP` (`kernel/sched/psi.c`).
fn psi(root: &Path) -> Result<Feature, String> {
    const PATH: &str = "proc/pressure/memory";
    if !root.join("proc/sys").is_dir() {
        return Err("/proc/sys is not there: is procfs mounted?".to_owned());
    }
    match read_file(root, PATH) {
        Ok(_) => Ok(Feature::On),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Feature::Absent),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::OPNOTSUPP.raw_os_error()) => {
            Ok(Feature::Off)
        }
        Err(error) => Err(format!("reading /{PATH}: {error}")),
    }
}

/// A mask in hexadecimal; bit 0 is the main switch (`Documentation/admin-guide/mm/multigen_lru.rst`).
fn mglru(root: &Path) -> Result<Feature, String> {
    const PATH: &str = "sys/kernel/mm/lru_gen/enabled";
    if !root.join("sys/kernel/mm").is_dir() {
        return Err("/sys/kernel/mm is not there: is sysfs mounted?".to_owned());
    }
    match read_file(root, PATH) {
        Ok(text) => {
            let mask = u32::from_str_radix(text.trim().trim_start_matches("0x"), 16)
                .map_err(|_| format!("/{PATH} holds {:?}, not a mask", text.trim()))?;
            Ok(if mask & 1 == 1 { Feature::On } else { Feature::Off })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Feature::Absent),
        Err(error) => Err(format!("reading /{PATH}: {error}")),
    }
}

/// `none [integrity] confidentiality`: the one in brackets.
fn lockdown(root: &Path) -> Result<Lockdown, String> {
    const PATH: &str = "sys/kernel/security/lockdown";
    let text = match read_file(root, PATH) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(format!("/{PATH} is not there: {}", lockdown_by_command_line(root)));
        }
        Err(error) => return Err(format!("reading /{PATH}: {error}")),
    };
    let chosen = text.split_once('[').and_then(|(_, rest)| Some(rest.split_once(']')?.0));
    match chosen {
        Some("none") => Ok(Lockdown::None),
        Some("integrity") => Ok(Lockdown::Integrity),
        Some("confidentiality") => Ok(Lockdown::Confidentiality),
        _ => Err(format!("/{PATH} holds {:?}, no mode that is known", text.trim())),
    }
}

/// What is known without securityfs. The command line is what was asked for, which is not always what is.
fn lockdown_by_command_line(root: &Path) -> String {
    let cause = "securityfs is not mounted here, or the kernel has no lockdown";
    let command_line = text(root, "proc/cmdline").unwrap_or_default();
    match command_line.split_whitespace().rev().find(|word| word.starts_with("lockdown=")) {
        Some(asked) => format!("{cause}; it was booted with {asked}"),
        None => cause.to_owned(),
    }
}

#[cfg(test)]
mod tests;
