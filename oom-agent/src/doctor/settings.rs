//! What the kernel's settings mean for an OOM.

use crate::{
    kernel::host::{
        Feature, Host, Known, Lockdown, Swap, Sysctl,
        cgroup::{Cgroups, Layout, Memory},
        privilege::Capability,
    },
    sink::units,
};

/// A setting as it is shown; not escaped yet.
pub(super) struct Setting {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) means: String,
}

/// All that matter.
pub(super) fn all(host: &Host, landlock: &Known<u8>) -> Vec<Setting> {
    let swap = host.swap.value().map(|swap| swap.total_bytes > 0);
    let sysctls = host.sysctls.iter().filter(|sysctl| !without_effect(sysctl.name)).map(|sysctl| {
        shown(sysctl.name, &sysctl.value, |value| {
            (value.to_string(), sysctl_means(sysctl, *value, host, swap))
        })
    });
    sysctls
        .chain([
            shown("swap", &host.swap, swap_means),
            shown("PSI", &host.psi, |psi| {
                feature(*psi, "psi=1", "CONFIG_PSI", "memory pressure can be read")
            }),
            shown("MGLRU", &host.mglru, |mglru| {
                let on = "reclaim by the multi-generational LRU";
                let (value, means) = feature(*mglru, "", "CONFIG_LRU_GEN", on);
                (
                    value,
                    if *mglru == Feature::On { means } else { "reclaim by active and inactive lists".into() },
                )
            }),
            shown("cgroups", &host.cgroups, cgroups_mean),
            shown("lockdown", &host.lockdown, |lockdown| lockdown_means(*lockdown)),
            shown("Landlock", landlock, |version| {
                (version.to_string(), "`oom-agent run` opens no files but its own once it runs".into())
            }),
            shown("oom_score_adj", &host.privileges.effective, |effective| own_adj(effective)),
        ])
        .collect()
}

/// Settings that an operator may ask about and that change nothing: programs are attached by name and with
/// privileges.
fn without_effect(name: &str) -> bool {
    matches!(name, "kernel.unprivileged_bpf_disabled" | "kernel.kptr_restrict")
}

fn shown<T>(name: &'static str, value: &Known<T>, means: impl Fn(&T) -> (String, String)) -> Setting {
    let (value, means) = match value {
        Known::Value(value) => means(value),
        Known::Unknown { unknown } => (units::UNKNOWN.to_owned(), unknown.clone()),
    };
    Setting { name, value, means }
}

/// `mm/oom_kill.c`, `mm/util.c:__vm_enough_memory`, `mm/vmscan.c:get_scan_count`.
fn sysctl_means(sysctl: &Sysctl, value: i64, host: &Host, swap: Option<bool>) -> String {
    match (sysctl.name, value) {
        ("vm.panic_on_oom", 0) => "a process is killed",
        ("vm.panic_on_oom", 2) => "every OOM panics the machine, a memory cgroup's as well: nothing is killed",
        ("vm.panic_on_oom", _) => {
            "a machine-wide OOM panics the machine; within a cgroup, cpuset or NUMA policy a process is killed"
        }
        ("vm.oom_kill_allocating_task", 0) => "the task with the most points is killed",
        ("vm.oom_kill_allocating_task", _) => {
            "outside of memory cgroups whoever asked is killed; candidates are not compared"
        }
        ("vm.oom_dump_tasks", 0) => {
            "no task table in the kernel's log: no candidates at the tracepoint and kmsg levels"
        }
        ("vm.oom_dump_tasks", _) => "the kernel's log has a table of the candidates",
        ("vm.overcommit_memory", 0) => "only a request beyond all memory and swap is refused",
        ("vm.overcommit_memory", 1) => "no request is refused; memory runs out when it is touched",
        ("vm.overcommit_memory", _) => {
            "requests beyond the commit limit fail with ENOMEM; machine-wide OOM kills are rare"
        }
        ("vm.overcommit_ratio", percent) => {
            return match host.sysctl("vm.overcommit_memory") {
                Some(2) if percent == 0 => "the commit limit is vm.overcommit_kbytes and swap".into(),
                Some(2) => format!("the commit limit is {percent}% of memory, and swap"),
                _ => "not used unless vm.overcommit_memory is 2".into(),
            };
        }
        ("vm.swappiness", _) if swap == Some(false) => "not used: there is no swap",
        ("vm.swappiness", 0) => "nothing is swapped at a cgroup's limit, and little before the machine runs out",
        ("vm.swappiness", ..100) => "file cache is given up rather than swapping",
        ("vm.swappiness", 100) => "swapping and giving up file cache cost the same",
        ("vm.swappiness", _) => "swapping is preferred to giving up file cache",
        ("vm.min_free_kbytes", kib) => {
            let bytes = u64::try_from(kib).unwrap_or(0).saturating_mul(1024);
            return format!("{} stay free for the kernel's own emergencies", units::bytes(bytes));
        }
        ("kernel.dmesg_restrict", 0) => "everyone may read the kernel's log",
        ("kernel.dmesg_restrict", _) => "the kernel's log needs CAP_SYSLOG",
        _ => "",
    }
    .to_owned()
}

fn swap_means(swap: &Swap) -> (String, String) {
    if swap.total_bytes == 0 {
        return ("none".into(), "anonymous memory cannot be reclaimed".into());
    }
    (units::bytes(swap.total_bytes), format!("{} free", units::bytes(swap.free_bytes)))
}

fn feature(feature: Feature, parameter: &str, config: &str, on: &str) -> (String, String) {
    match feature {
        Feature::On => ("on".into(), on.into()),
        Feature::Off => ("off".into(), format!("boot with {parameter} to have it")),
        Feature::Absent => ("absent".into(), format!("this kernel was built without {config}")),
    }
}

fn cgroups_mean(cgroups: &Cgroups) -> (String, String) {
    let layout = match cgroups.layout {
        Layout::Unified => "v2",
        Layout::Hybrid => "v1 and v2",
        Layout::Legacy => "v1",
        Layout::None => "none",
    };
    let means = match &cgroups.memory {
        Memory::V1(mount) => format!("memory limits by v1, at {}", mount.display()),
        Memory::V2(mount) => format!("memory limits by v2, at {}", mount.display()),
        Memory::V1NotMounted => "memory limits by v1, which is not mounted here".into(),
        Memory::Disabled => "no memory limits: the controller is switched off (cgroup_disable=memory)".into(),
        Memory::NotFound => "no hierarchy that is mounted here has the memory controller".into(),
    };
    (layout.into(), means)
}

/// `oom_score_adj` of the daemon (`__set_oom_adj`, `fs/proc/base.c`).
fn own_adj(effective: &[Capability]) -> (String, String) {
    if effective.contains(&Capability::CapSysResource) {
        ("-1000".into(), "`oom-agent run` is never killed".into())
    } else {
        (
            "as it is".into(),
            "`oom-agent run` may be killed: -1000 needs CAP_SYS_RESOURCE, or systemd's OOMScoreAdjust="
                .into(),
        )
    }
}

/// `LOCKDOWN_KPROBES` and `LOCKDOWN_BPF_READ_KERNEL` come after `LOCKDOWN_INTEGRITY_MAX` (`include/linux/security.h`).
fn lockdown_means(lockdown: Lockdown) -> (String, String) {
    let (value, means) = match lockdown {
        Lockdown::None => ("none", "forbids nothing"),
        Lockdown::Integrity => ("integrity", "forbids nothing that the agent needs"),
        Lockdown::Confidentiality => {
            ("confidentiality", "forbids BPF programs to read kernel memory, and kprobes")
        }
    };
    (value.into(), means.into())
}
