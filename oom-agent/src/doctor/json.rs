//! The diagnosis as one line of JSON. What is not known is `{"unknown": "why"}`.

use super::{Bpf, Diagnosis, advice, levels};
use crate::{
    kernel::{
        host::{
            Feature, Known, Lockdown, Swap, Sysctl,
            cgroup::{Layout, Memory},
            privilege::{Capability, Need},
        },
        load::HookStatus,
    },
    sink::json::any_line,
};
use serde::Serialize;

#[derive(Serialize)]
struct Object<'a> {
    schema: u32,
    agent_version: &'static str,
    node: &'a Known<String>,
    kernel_release: &'a Known<String>,
    boot_id: &'a Known<String>,
    /// `full`, `tracepoint`, `kmsg` or `none`.
    level: &'static str,
    bpf: BpfState<'a>,
    hooks: &'a [HookStatus],
    btf: BtfState<'a>,
    kernel_log: KernelLog<'a>,
    sysctls: &'a [Sysctl],
    swap: &'a Known<Swap>,
    psi: &'a Known<Feature>,
    mglru: &'a Known<Feature>,
    lockdown: &'a Known<Lockdown>,
    landlock: &'a Known<u8>,
    cgroups: Known<CgroupState>,
    privileges: PrivilegeState<'a>,
    advice: Vec<String>,
}

#[derive(Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum BpfState<'a> {
    Attached,
    Refused { error: &'a str },
    NotTried { missing_capabilities: &'a [Capability] },
}

#[derive(Serialize)]
struct BtfState<'a> {
    present: bool,
    types: &'a Known<u32>,
    missing_required_fields: &'a [&'static str],
    missing_optional_fields: &'a [&'static str],
}

#[derive(Serialize)]
struct KernelLog<'a> {
    readable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

#[derive(Clone, Serialize)]
struct CgroupState {
    layout: Layout,
    memory: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_mount: Option<String>,
}

#[derive(Serialize)]
struct PrivilegeState<'a> {
    initial_user_namespace: &'a Known<bool>,
    effective: &'a Known<Vec<Capability>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing_for_bpf: Option<Vec<Capability>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing_for_kernel_log: Option<Vec<Capability>>,
}

/// One line with its line feed.
pub fn line(diagnosis: &Diagnosis) -> String {
    let Diagnosis { host, bpf, hooks, btf, kernel_log, landlock } = diagnosis;
    any_line(&Object {
        schema: 1,
        agent_version: env!("CARGO_PKG_VERSION"),
        node: &host.node,
        kernel_release: &host.kernel_release,
        boot_id: &host.boot_id,
        level: levels::name(levels::level(diagnosis)),
        bpf: match bpf {
            Bpf::Attached(_) => BpfState::Attached,
            Bpf::Refused(error) => BpfState::Refused { error },
            Bpf::NotTried(missing_capabilities) => BpfState::NotTried { missing_capabilities },
        },
        hooks,
        btf: BtfState {
            present: btf.present,
            types: &btf.types,
            missing_required_fields: &btf.missing_required,
            missing_optional_fields: &btf.missing_optional,
        },
        kernel_log: KernelLog {
            readable: kernel_log.is_ok(),
            error: kernel_log.as_ref().err().map(String::as_str),
        },
        sysctls: &host.sysctls,
        swap: &host.swap,
        psi: &host.psi,
        mglru: &host.mglru,
        lockdown: &host.lockdown,
        landlock,
        cgroups: match &host.cgroups {
            Known::Value(cgroups) => {
                let (memory, mount) = memory(&cgroups.memory);
                let memory_mount = mount.map(|mount| mount.to_string_lossy().into_owned());
                Known::Value(CgroupState { layout: cgroups.layout, memory, memory_mount })
            }
            Known::Unknown { unknown } => Known::Unknown { unknown: unknown.clone() },
        },
        privileges: PrivilegeState {
            initial_user_namespace: &host.privileges.initial_user_namespace,
            effective: &host.privileges.effective,
            missing_for_bpf: host.missing_for(Need::BpfTracing),
            missing_for_kernel_log: host.missing_for(Need::KernelLog),
        },
        advice: advice::lines(diagnosis),
    })
}

fn memory(memory: &Memory) -> (&'static str, Option<&std::path::Path>) {
    match memory {
        Memory::V1(mount) => ("v1", Some(mount)),
        Memory::V2(mount) => ("v2", Some(mount)),
        Memory::V1NotMounted => ("v1_not_mounted", None),
        Memory::Disabled => ("disabled", None),
        Memory::NotFound => ("not_found", None),
    }
}
