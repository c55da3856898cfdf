//! Finds out what this machine allows.

use super::{Bpf, Btf, Diagnosis, LogBy};
use crate::{
    kernel::{
        btf, fields,
        host::{Host, Known, privilege::Need},
        load::{self, Ahead, HookStatus, Options},
        probes::HOOKS,
    },
    sandbox,
    source::{
        klog::Klog,
        kmsg::{From, Kmsg},
    },
};
use anyhow::{Context as _, Result};
use std::{io::ErrorKind, path::Path};

/// Tries everything that `oom-agent trace` uses, and lets go of it again.
///
/// # Errors
/// If there can be no runtime. What the machine does not allow is part of the diagnosis.
pub fn diagnose() -> Result<Diagnosis> {
    let host = Host::read(Path::new("/"));
    let cgroup_v2 = host.memory_cgroup_is_v2();
    let (bpf, hooks) = bpf(&host, cgroup_v2);
    let btf = btf(cgroup_v2);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let kernel_log = runtime.context("cannot start the runtime")?.block_on(async {
        // The kernel checks at opening who may read (`devkmsg_open`).
        match Kmsg::open(From::Now) {
            Ok(_) => Ok(LogBy::Device),
            Err(error) => Klog::open(From::Now).map(|_| LogBy::Syslog).map_err(|_| format!("{error:#}")),
        }
    });
    Ok(Diagnosis { host, bpf, hooks, btf, kernel_log, landlock: sandbox::landlock().into() })
}

fn bpf(host: &Host, cgroup_v2: bool) -> (Bpf, Vec<HookStatus>) {
    let missing = host.missing_for(Need::BpfTracing).unwrap_or_default();
    if !missing.is_empty() {
        return (Bpf::NotTried(missing), no_hooks());
    }
    match load::load(cgroup_v2, &Options::default(), Ahead::begin()) {
        // Dropped here: all is detached again.
        Ok(loaded) => (Bpf::Attached(loaded.level), in_table_order(loaded.hooks)),
        Err(error) => (Bpf::Refused(format!("{error:#}")), no_hooks()),
    }
}

/// Every hook, none attached.
pub(super) fn no_hooks() -> Vec<HookStatus> {
    let status = |target, gives| HookStatus { target, gives, used: None, refused: Vec::new() };
    HOOKS.iter().map(|hook| status(hook.target, hook.gives)).collect()
}

fn in_table_order(mut hooks: Vec<HookStatus>) -> Vec<HookStatus> {
    hooks.sort_by_key(|status| HOOKS.iter().position(|hook| hook.target == status.target));
    hooks
}

/// Also without privileges: everyone may read it.
fn btf(cgroup_v2: bool) -> Btf {
    let unknown = |present, unknown| Btf {
        present,
        types: Known::Unknown { unknown },
        missing_required: Vec::new(),
        missing_optional: Vec::new(),
    };
    let types = match btf::Vmlinux::open() {
        Ok(types) => types,
        Err(error) => {
            return unknown(
                error.kind() != ErrorKind::NotFound,
                format!("reading {}: {error}", btf::VMLINUX),
            );
        }
    };
    let paths = fields::paths();
    match btf::read(&types, &fields::wanted(&paths, &[], &[])) {
        Ok(answers) => {
            let offsets = fields::resolve(&answers, cgroup_v2);
            Btf {
                present: true,
                types: Known::Value(answers.type_count()),
                missing_required: offsets.missing_required,
                missing_optional: offsets.missing_optional,
            }
        }
        Err(error) => unknown(true, format!("{}: {error}", btf::VMLINUX)),
    }
}
