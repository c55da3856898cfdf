//! Capabilities and what they are needed for.

use super::{Known, text};
use serde::Serialize;
use std::{fmt, path::Path};

/// What this process may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Privileges {
    /// Effective capabilities, as far as they matter here.
    pub effective: Known<Vec<Capability>>,
    /// In the initial user namespace: only there do capabilities count for BPF and the kernel's log.
    pub initial_user_namespace: Known<bool>,
}

/// A capability that matters here, with its number (`include/uapi/linux/capability.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Capability {
    /// Locking memory beyond the limit.
    CapIpcLock = 14,
    /// All of the others here but the next, on every kernel.
    CapSysAdmin = 21,
    /// Raising `RLIMIT_MEMLOCK`, which BPF maps count against before 5.11.
    CapSysResource = 24,
    /// Reading the kernel's log where `kernel.dmesg_restrict` is set.
    CapSyslog = 34,
    /// Attaching to tracepoints and functions, reading kernel memory from a BPF program.
    CapPerfmon = 38,
    /// Loading BPF programs.
    CapBpf = 39,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::CapBpf,
        Self::CapPerfmon,
        Self::CapSysAdmin,
        Self::CapSyslog,
        Self::CapSysResource,
        Self::CapIpcLock,
    ];
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CapIpcLock => "CAP_IPC_LOCK",
            Self::CapSysAdmin => "CAP_SYS_ADMIN",
            Self::CapSysResource => "CAP_SYS_RESOURCE",
            Self::CapSyslog => "CAP_SYSLOG",
            Self::CapPerfmon => "CAP_PERFMON",
            Self::CapBpf => "CAP_BPF",
        })
    }
}

/// Something that needs capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// BPF tracing programs (`bpf_prog_load` in `kernel/bpf/syscall.c`): `CAP_BPF` and `CAP_PERFMON`, or `CAP_SYS_ADMIN`.
    BpfTracing,
    /// `/dev/kmsg` (`check_syslog_permissions` in `kernel/printk/printk.c`): nothing, or `CAP_SYSLOG` (or
    /// `CAP_SYS_ADMIN`) where `kernel.dmesg_restrict` is set.
    KernelLog,
}

impl Privileges {
    pub(super) fn read(root: &Path) -> Self {
        Self {
            effective: effective(root).into(),
            initial_user_namespace: initial_user_namespace(root).into(),
        }
    }

    /// Whether a capability is there. `None`: not known.
    pub fn has(&self, capability: Capability) -> Option<bool> {
        self.effective.value().map(|effective| effective.contains(&capability))
    }

    /// What is missing. `None`: not known. In another user namespace than the initial one all that is needed is.
    pub(super) fn missing_for(&self, need: Need, dmesg_restrict: bool) -> Option<Vec<Capability>> {
        let needed: &[Capability] = match need {
            Need::BpfTracing => &[Capability::CapBpf, Capability::CapPerfmon],
            Need::KernelLog if dmesg_restrict => &[Capability::CapSyslog],
            Need::KernelLog => &[],
        };
        if self.initial_user_namespace.value() == Some(&false) {
            return Some(needed.to_vec());
        }
        let effective = self.effective.value()?;
        if effective.contains(&Capability::CapSysAdmin) {
            return Some(Vec::new());
        }
        Some(needed.iter().copied().filter(|capability| !effective.contains(capability)).collect())
    }
}

fn effective(root: &Path) -> Result<Vec<Capability>, String> {
    const PATH: &str = "proc/self/status";
    let status = text(root, PATH)?;
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let mask = mask.ok_or_else(|| format!("/{PATH} has no CapEff line that is a mask"))?;
    Ok(Capability::ALL.into_iter().filter(|capability| mask >> *capability as u32 & 1 == 1).collect())
}

/// The initial one maps every id to itself, `user_namespaces(7)`. Another one may map as much only if it was made by
/// someone who has all of these privileges anyway.
fn initial_user_namespace(root: &Path) -> Result<bool, String> {
    let map = text(root, "proc/self/uid_map")?;
    Ok(map.split_whitespace().eq(["0", "0", "4294967295"]))
}
