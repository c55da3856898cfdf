//! A cgroup's path to what it says of container, pod and unit. Pure.
//!
//! Nobody promises these names, but runtimes keep them, since monitoring reads them. Where they are made:
//! - kubelet: `pkg/kubelet/cm/cgroup_manager_linux.go` (`ToSystemd`, `ToCgroupfs`), `pod_container_manager_linux.go`.
//! - containerd: `getCgroupsPath` (CRI), and the namespace as the parent directory otherwise.
//! - CRI-O: `internal/config/cgmgr`; its monitor `conmon` has a scope of its own, which is no container.
//! - Docker: `daemon/oci_linux.go`, parent `docker` or `system.slice`.
//! - Podman: `libpod/container_internal_linux.go`, with `libpod-payload-` below the unit for `--cgroups=split`.
//! - systemd: `src/basic/cgroup-util.c`; systemd-nspawn and LXC name cgroups after machines.

use crate::incident::identity::{Container, Identity, Pod, Qos, Runtime, Unit};
use std::sync::Arc;

/// Digits of a container id (SHA-256).
pub const ID_DIGITS: usize = 64;
/// A name that the kernel's record cut has at least so many.
const CUT_DIGITS: usize = 12;

/// A pod, a container, or a container in a pod; further ones are inside of it.
#[derive(Debug, Default)]
struct Layer {
    pod: Option<Pod>,
    container: Option<(Option<Runtime>, String)>,
}

/// What the path says.
pub fn parse(path: &str) -> Identity {
    let mut layers: Vec<Layer> = Vec::new();
    let mut units = Units::default();
    let (mut parent, mut pod): (&str, Option<Pod>) = ("", None);
    for name in path.split('/').filter(|name| !name.is_empty()) {
        let found = container(name, parent, pod.is_some());
        if let Some(found) = found {
            // A runtime that was told of slices and does not talk to systemd makes one directory of both.
            let slice = name.split_once(':').and_then(|(slice, _)| pod_slice(slice));
            layers.push(Layer { pod: slice.or(pod.take()), container: Some(found) });
        } else if let Some(found) = pod_slice(name).or_else(|| pod_directory(name, parent)) {
            if let Some(outer) = pod.replace(found) {
                layers.push(Layer { pod: Some(outer), container: None });
            }
        } else if layers.is_empty() {
            // What a container calls its own units is its own business.
            units.see(name, pod.is_some());
        }
        parent = name;
    }
    if pod.is_some() {
        layers.push(Layer { pod, container: None });
    }
    identity(layers, units)
}

/// Of nested runtimes the one with a pod: kubelet in a container (kind) as well as a runtime in a pod's container.
fn identity(layers: Vec<Layer>, units: Units) -> Identity {
    let chosen = layers.iter().position(|layer| layer.pod.is_some()).unwrap_or(0);
    let mut rest = layers.into_iter().skip(chosen);
    let Layer { pod, container } = rest.next().unwrap_or_default();
    let nested = rest.filter_map(|layer| Some(layer.container?.1)).collect();
    let unit = units.unit(pod.is_some(), container.is_some());
    Identity {
        container: container
            .map(|(runtime, id)| Arc::new(Container { runtime, id, nested, ..Container::default() })),
        pod: pod.map(Arc::new),
        unit: unit.map(Arc::new),
    }
}

/// A container's own cgroup.
fn container(name: &str, parent: &str, in_pod: bool) -> Option<(Option<Runtime>, String)> {
    if let Some(machine) = machine(name, parent) {
        return Some(machine);
    }
    if let Some((_, rest)) = name.split_once(".slice:") {
        let (prefix, id) = rest.split_once(':')?;
        // The kernel's record may have cut it.
        return is_hex(id, CUT_DIGITS..=ID_DIGITS).then(|| (by_prefix(prefix), id.to_owned()));
    }
    let stem = name.strip_suffix(".scope").unwrap_or(name);
    let (prefix, id) = stem.rsplit_once('-').unwrap_or(("", stem));
    if !is_hex(id, ID_DIGITS..=ID_DIGITS) || prefix.ends_with("conmon") {
        return None;
    }
    let runtime = if prefix.is_empty() { by_parent(parent) } else { by_prefix(prefix) };
    (prefix.is_empty() || runtime.is_some() || in_pod).then(|| (runtime, id.to_owned()))
}

fn by_prefix(prefix: &str) -> Option<Runtime> {
    Some(match prefix {
        "cri-containerd" | "containerd" | "nerdctl" => Runtime::Containerd,
        "crio" => Runtime::CriO,
        "docker" => Runtime::Docker,
        "libpod" | "libpod-payload" => Runtime::Podman,
        _ => return None,
    })
}

/// Directories that runtimes put their containers in, where no pod is.
fn by_parent(parent: &str) -> Option<Runtime> {
    Some(match parent {
        "docker" | "moby" => Runtime::Docker,
        "cri-containerd" | "k8s.io" | "default" => Runtime::Containerd,
        "libpod_parent" => Runtime::Podman,
        _ => return None,
    })
}

/// Containers that are like machines and have names.
fn machine(name: &str, parent: &str) -> Option<(Option<Runtime>, String)> {
    let named = |runtime, name: &str| {
        let name = unescape(name);
        (!name.is_empty()).then_some((Some(runtime), name))
    };
    if let Some(name) = name.strip_prefix("lxc.payload.") {
        return named(Runtime::Lxc, name);
    }
    if matches!(parent, "lxc" | "lxc.payload") {
        return named(Runtime::Lxc, name);
    }
    if let Some(instance) = name.strip_prefix("systemd-nspawn@").and_then(|it| it.strip_suffix(".service")) {
        return named(Runtime::SystemdNspawn, instance);
    }
    let machine = name.strip_prefix("machine-").and_then(|it| it.strip_suffix(".scope"));
    // libvirt's are virtual machines.
    let machine = machine.filter(|it| !it.starts_with("qemu\\x2d") && !it.starts_with("lxc\\x2d"))?;
    named(Runtime::SystemdNspawn, machine)
}

/// `kubepods-burstable-pod<uid>.slice`; a kubelet with a cgroup root of its own has that before it.
fn pod_slice(name: &str) -> Option<Pod> {
    let stem = name.strip_suffix(".slice").unwrap_or(name);
    let at = stem.find("kubepods-").filter(|at| *at == 0 || stem[..*at].ends_with('-'))?;
    let rest = &stem[at + "kubepods-".len()..];
    let (qos, uid) = match rest.split_once("pod")? {
        ("", uid) => (Qos::Guaranteed, uid),
        ("burstable-", uid) => (Qos::Burstable, uid),
        ("besteffort-", uid) => (Qos::BestEffort, uid),
        _ => return None,
    };
    Some(Pod { uid: uid_of(uid)?, qos: Some(qos), ..Pod::default() })
}

/// `pod<uid>`.
fn pod_directory(name: &str, parent: &str) -> Option<Pod> {
    let qos = match parent {
        "kubepods" => Some(Qos::Guaranteed),
        "burstable" => Some(Qos::Burstable),
        "besteffort" => Some(Qos::BestEffort),
        _ => None,
    };
    Some(Pod { uid: uid_of(name.strip_prefix("pod")?)?, qos, ..Pod::default() })
}

/// A UID, as the API writes it: systemd's slices have other marks between its parts. Or the digits of a static pod.
fn uid_of(text: &str) -> Option<String> {
    let uid = unescape(text).replace('_', "-");
    let digits: Vec<usize> =
        uid.split('-').map(|part| if is_hex(part, 1..=32) { part.len() } else { 0 }).collect();
    matches!(digits[..], [32] | [8, 4, 4, 4, 12]).then_some(uid)
}

fn is_hex(text: &str, digits: std::ops::RangeInclusive<usize>) -> bool {
    digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// systemd's `\x2d` for what may not stand in a name (`unit_name_escape`).
pub(crate) fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\x") {
        out.push_str(before);
        let byte = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(byte) = byte.filter(u8::is_ascii_graphic) {
            out.push(char::from(byte));
            rest = &after[2..];
        } else {
            out.push_str("\\x");
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// Units on the way down.
#[derive(Debug, Default)]
struct Units {
    /// The innermost service, scope or the like.
    unit: Option<String>,
    slice: Option<String>,
    user_id: Option<u32>,
    /// It is in a pod and is not a container: a runtime's monitor.
    in_pod: bool,
}

impl Units {
    fn see(&mut self, name: &str, in_pod: bool) {
        // `cg_escape`: what looks like one of the kernel's own files.
        let name = name.strip_prefix('_').unwrap_or(name);
        let Some((stem, kind)) = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()) else { return };
        match kind {
            "slice" => {
                self.user(stem.strip_prefix("user-"));
                self.slice = Some(name.to_owned());
            }
            "service" | "scope" | "socket" | "mount" | "swap" => {
                self.user(stem.strip_prefix("user@").filter(|_| kind == "service"));
                self.unit = Some(name.to_owned());
                self.in_pod = in_pod;
            }
            _ => {}
        }
    }

    fn user(&mut self, id: Option<&str>) {
        self.user_id = id.and_then(|id| id.parse().ok()).or(self.user_id);
    }

    fn unit(self, is_pod: bool, is_container: bool) -> Option<Unit> {
        let Self { unit, slice, user_id, in_pod } = self;
        let name = match (is_pod, is_container) {
            (false, false) => unit.or(slice),
            (false, true) => unit,
            (true, false) => unit.filter(|_| in_pod),
            (true, true) => None,
        };
        name.map(|name| Unit { name, user_id })
    }
}

#[cfg(test)]
mod tests;
