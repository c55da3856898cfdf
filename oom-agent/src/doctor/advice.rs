//! What would give more.

use super::{Bpf, Diagnosis};
use crate::{
    incident::model::Level,
    kernel::{
        btf::VMLINUX,
        host::{
            Lockdown,
            privilege::{Capability, Need},
        },
    },
};

/// Names of capabilities.
pub(super) fn names(capabilities: &[Capability], separator: &str) -> String {
    capabilities.iter().map(ToString::to_string).collect::<Vec<_>>().join(separator)
}

/// Sentences, what helps most first. Nothing, if nothing is left to gain.
pub fn lines(diagnosis: &Diagnosis) -> Vec<String> {
    let mut lines = Vec::new();
    let full = diagnosis.bpf == Bpf::Attached(Level::Full);
    privileges(diagnosis, full, &mut lines);
    btf(diagnosis, &mut lines);
    match &diagnosis.bpf {
        Bpf::Attached(Level::Tracepoint | Level::Kmsg | Level::Log) => lines.push(
            "The full level needs a kernel with trampolines (CONFIG_BPF_JIT, \
             CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS) or kprobes (CONFIG_KPROBES, CONFIG_KPROBE_EVENTS), as \
             distributions build it."
                .into(),
        ),
        Bpf::Refused(error) => refused(diagnosis, error, &mut lines),
        Bpf::Attached(Level::Full) | Bpf::NotTried(_) => {}
    }
    if diagnosis.host.lockdown.value() == Some(&Lockdown::Confidentiality) && !full {
        lines.push(
            "lockdown=confidentiality forbids BPF programs to read kernel memory. Boot with lockdown=integrity or \
             without it: it cannot be lowered while the kernel runs."
                .into(),
        );
    }
    if !full {
        without_calls(diagnosis, &mut lines);
    }
    lines
}

fn privileges(diagnosis: &Diagnosis, full: bool, lines: &mut Vec<String>) {
    let host = &diagnosis.host;
    let missing = host.missing_for(Need::BpfTracing).unwrap_or_default();
    let log = host.missing_for(Need::KernelLog).unwrap_or_default();
    if missing.is_empty() && (full || log.is_empty()) {
        return;
    }
    if host.privileges.initial_user_namespace.value() == Some(&false) {
        lines.push(
            "Run it in the initial user namespace: in a rootless container no capability counts for BPF and the \
             kernel's log."
                .into(),
        );
        return;
    }
    // setcap replaces what the file has: all that is needed, not only what is missing.
    let mut needed = vec![Capability::CapBpf, Capability::CapPerfmon];
    if host.sysctl("kernel.dmesg_restrict") != Some(0) {
        needed.push(Capability::CapSyslog);
    }
    let short = |capability: &Capability| {
        let name = capability.to_string();
        name.strip_prefix("CAP_").map_or(name.clone(), str::to_owned)
    };
    let file: Vec<_> = needed.iter().map(|it| it.to_string().to_lowercase()).collect();
    let pod: Vec<_> = needed.iter().map(short).collect();
    let flags: Vec<_> = pod.iter().map(|name| format!("--cap-add={name}")).collect();
    lines.push("Run it as root: sudo oom-agent doctor".into());
    lines.push(format!(
        "Or give it the capabilities: sudo setcap {}+ep \"$(command -v oom-agent)\"",
        file.join(",")
    ));
    lines.push(format!(
        "In a container: docker run {}; Kubernetes: securityContext.capabilities.add: [{}]",
        flags.join(" "),
        pod.join(", ")
    ));
}

fn btf(diagnosis: &Diagnosis, lines: &mut Vec<String>) {
    if !diagnosis.btf.present {
        lines.push(format!(
            "BPF needs {VMLINUX}: a kernel with CONFIG_DEBUG_INFO_BTF=y, and /sys mounted in a container."
        ));
    } else if !diagnosis.btf.missing_required.is_empty() {
        lines.push("This kernel's structures are not those that the agent knows: please report it, with the list above.".into());
    }
}

fn refused(diagnosis: &Diagnosis, error: &str, lines: &mut Vec<String>) {
    if !error.contains("os error 1)") && !error.contains("EPERM") {
        return;
    }
    // Before 5.11 BPF maps count against RLIMIT_MEMLOCK.
    if diagnosis.host.privileges.has(Capability::CapSysResource) == Some(false) {
        lines.push("Before Linux 5.11 BPF also needs CAP_SYS_RESOURCE, to raise RLIMIT_MEMLOCK.".into());
    }
    lines.push(
        "The capabilities are there, so a seccomp profile or a security module (AppArmor, SELinux) may forbid bpf(2): \
         docker run --security-opt seccomp=unconfined, Kubernetes seccompProfile: {type: Unconfined}."
            .into(),
    );
}

/// What only the kernel's log can tell, if calls are not seen.
fn without_calls(diagnosis: &Diagnosis, lines: &mut Vec<String>) {
    let missing = diagnosis.host.missing_for(Need::KernelLog).unwrap_or_default();
    if let Err(error) = &diagnosis.kernel_log
        && missing.is_empty()
    {
        lines.push(format!("Let it read the kernel's log: {error}"));
    }
    if diagnosis.host.sysctl("vm.oom_dump_tasks") == Some(0) {
        lines.push("For candidates from the kernel's log: sudo sysctl vm.oom_dump_tasks=1".into());
    }
}
