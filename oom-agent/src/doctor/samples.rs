//! Machines to render.

use super::{Bpf, Btf, Diagnosis, LogBy, probe::no_hooks};
use crate::{
    incident::model::Level,
    kernel::{
        host::{
            Feature, Host, Known, Lockdown, SYSCTLS, Swap, Sysctl,
            cgroup::{Cgroups, Layout, Memory},
            privilege::{Capability, Privileges},
        },
        load::{HookStatus, Refusal},
        probes::{HOOKS, Kind},
    },
};

const FUNCTIONS: [&str; 5] =
    ["exit_mmap", "oom_badness", "oom_evaluate_task", "oom_kill_process", "out_of_memory"];

pub(super) fn all() -> Vec<(&'static str, Diagnosis)> {
    vec![
        ("full", full()),
        ("kprobes", kprobes()),
        ("tracepoint", tracepoint()),
        ("unprivileged", unprivileged()),
        ("no_btf", no_btf()),
        ("forbidden", forbidden()),
        ("hostile", hostile()),
    ]
}

fn unknown<T>(why: &str) -> Known<T> {
    Known::Unknown { unknown: why.to_owned() }
}

fn host() -> Host {
    let values = [0, 0, 1, 0, 50, 60, 67_584, 2, 1, 0];
    let sysctls = SYSCTLS.into_iter().zip(values);
    Host {
        node: Known::Value("node-7".into()),
        kernel_release: Known::Value("6.12.117".into()),
        boot_id: Known::Value("841b7c2a-3046-414f-940c-e378662269be".into()),
        sysctls: sysctls.map(|(name, value)| Sysctl { name, value: Known::Value(value) }).collect(),
        swap: Known::Value(Swap { total_bytes: 4 << 30, free_bytes: 3 << 30 }),
        psi: Known::Value(Feature::On),
        mglru: Known::Value(Feature::On),
        lockdown: Known::Value(Lockdown::None),
        cgroups: Known::Value(Cgroups {
            layout: Layout::Unified,
            memory: Memory::V2("/sys/fs/cgroup".into()),
        }),
        privileges: Privileges {
            effective: Known::Value(Capability::ALL.into()),
            initial_user_namespace: Known::Value(true),
        },
    }
}

fn set(host: &mut Host, name: &str, value: i64) {
    let sysctl = host.sysctls.iter_mut().find(|sysctl| sysctl.name == name).unwrap();
    sysctl.value = Known::Value(value);
}

fn btf() -> Btf {
    let types = Known::Value(151_287);
    Btf { present: true, types, missing_required: Vec::new(), missing_optional: Vec::new() }
}

/// All in the best way that the table has.
fn full() -> Diagnosis {
    let mut hooks = no_hooks();
    for (status, hook) in hooks.iter_mut().zip(HOOKS) {
        status.used = hook.ways[0].last().map(|program| program.kind);
    }
    Diagnosis {
        host: host(),
        bpf: Bpf::Attached(Level::Full),
        hooks,
        btf: btf(),
        kernel_log: Ok(LogBy::Device),
        landlock: Known::Value(6),
    }
}

fn functions(diagnosis: &mut Diagnosis) -> impl Iterator<Item = &mut HookStatus> {
    diagnosis.hooks.iter_mut().filter(|hook| FUNCTIONS.contains(&hook.target))
}

fn refusal(kind: Kind, error: &str) -> Refusal {
    Refusal { kind, error: error.to_owned() }
}

/// An arm64 machine: trampolines load and do not attach.
fn kprobes() -> Diagnosis {
    let mut sample = full();
    sample.host.kernel_release = Known::Value("6.1.192".into());
    for hook in functions(&mut sample) {
        let kind = hook.used.replace(Kind::Kprobe).unwrap();
        hook.refused.push(refusal(
            kind,
            "`bpf_raw_tracepoint_open` failed: this kernel cannot call a program from a function (ENOTSUPP, 524; on \
             arm64 it can from 6.4 on)",
        ));
    }
    sample.btf.missing_optional = vec!["mem_cgroup.oom_group", "mm_struct.total_vm"];
    sample
}

/// cgroup v1, and a kernel with tracepoints only.
fn tracepoint() -> Diagnosis {
    let mut sample = full();
    sample.bpf = Bpf::Attached(Level::Tracepoint);
    for hook in functions(&mut sample) {
        let kind = hook.used.take().unwrap();
        hook.refused = vec![
            refusal(kind, "the kernel refused the program: Operation not permitted (os error 1)"),
            refusal(
                Kind::Kprobe,
                "`/sys/bus/event_source/devices/kprobe/type`: No such file or directory (os error 2)",
            ),
        ];
    }
    // Not tried any more after the others had failed.
    functions(&mut sample).next().unwrap().refused.clear();
    let host = &mut sample.host;
    host.kernel_release = Known::Value("6.18.44".into());
    host.swap = Known::Value(Swap { total_bytes: 0, free_bytes: 0 });
    host.mglru = Known::Value(Feature::Absent);
    host.lockdown = unknown(
        "/sys/kernel/security/lockdown is not there: securityfs is not mounted here, or the kernel has no lockdown",
    );
    host.cgroups =
        Known::Value(Cgroups { layout: Layout::Hybrid, memory: Memory::V1("/sys/fs/cgroup/memory".into()) });
    set(host, "vm.oom_dump_tasks", 0);
    sample
}

fn unprivileged() -> Diagnosis {
    let mut host = host();
    set(&mut host, "kernel.dmesg_restrict", 1);
    host.privileges.effective = Known::Value(Vec::new());
    Diagnosis {
        host,
        bpf: Bpf::NotTried(vec![Capability::CapBpf, Capability::CapPerfmon]),
        hooks: no_hooks(),
        btf: btf(),
        kernel_log: Err(
            "cannot open /dev/kmsg to read the kernel's log: kernel.dmesg_restrict is set, so run as root \
                         or with CAP_SYSLOG: Operation not permitted (os error 1)"
                .into(),
        ),
        landlock: unknown("this kernel has no Landlock"),
    }
}

fn no_btf() -> Diagnosis {
    const ERROR: &str = "opening /sys/kernel/btf/vmlinux: No such file or directory (os error 2)";
    Diagnosis {
        host: host(),
        bpf: Bpf::Refused(
            "cannot read /sys/kernel/btf/vmlinux: the kernel's type data (CONFIG_DEBUG_INFO_BTF) are needed: No such \
             file or directory (os error 2)"
                .into(),
        ),
        hooks: no_hooks(),
        btf: Btf { present: false, types: unknown(ERROR), ..btf() },
        kernel_log: Ok(LogBy::Device),
        landlock: Known::Value(6),
    }
}

/// A container that holds the capabilities and still may not.
fn forbidden() -> Diagnosis {
    let mut sample = no_btf();
    sample.bpf = Bpf::Refused("cannot create the BPF maps: Operation not permitted (os error 1)".into());
    sample.btf = btf();
    sample.host.lockdown = Known::Value(Lockdown::Confidentiality);
    sample.host.privileges.effective = Known::Value(vec![Capability::CapBpf, Capability::CapPerfmon]);
    sample.kernel_log =
        Err("cannot open /dev/kmsg to read the kernel's log: there is no such file: No such file or \
                             directory (os error 2)"
            .into());
    set(&mut sample.host, "vm.panic_on_oom", 2);
    set(&mut sample.host, "vm.overcommit_memory", 2);
    set(&mut sample.host, "vm.swappiness", 150);
    sample
}

/// Names and errors that others chose, and nothing that can be read.
fn hostile() -> Diagnosis {
    let evil = "\x1b[2J\u{202e}evil\nLevel full";
    let mut host = host();
    host.node = Known::Value(evil.into());
    host.kernel_release = Known::Value(evil.repeat(9));
    host.swap = unknown(evil);
    host.cgroups = Known::Value(Cgroups { layout: Layout::Legacy, memory: Memory::V1(evil.into()) });
    host.privileges.effective = unknown(evil);
    for sysctl in &mut host.sysctls {
        sysctl.value = unknown(evil);
    }
    Diagnosis {
        host,
        bpf: Bpf::Refused(evil.into()),
        hooks: no_hooks(),
        btf: Btf { types: unknown(evil), ..btf() },
        kernel_log: Err(evil.into()),
        landlock: unknown(evil),
    }
}
