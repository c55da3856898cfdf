//! Whose a cgroup is: the container, its pod, or the unit of systemd.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Whose a cgroup is. What its path says is always here; names only where they are known on the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    /// The container. Absent: none, or the cgroup is a pod's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<Arc<Container>>,
    /// The Kubernetes pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<Arc<Pod>>,
    /// The unit of systemd, where it is neither a container's own nor a pod's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<Arc<Unit>>,
}

/// A container, as this machine's runtime knows it. Where runtimes are nested: the one that belongs to a pod, else the outermost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Container {
    /// Whose it is. Absent: the path does not tell (kubelet's cgroupfs driver).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Runtime>,
    /// The runtime's id of it, or its name where that is all that a runtime has (lxc, systemd-nspawn).
    pub id: String,
    /// Its name in the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it was made of, as the runtime calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The memory that it asked for (`resources.requests`), bytes. Of Kubernetes only, where its API is watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_request_bytes: Option<u64>,
    /// The limit that it was given (`resources.limits`), bytes. Of Kubernetes only, where its API is watched. What the kernel
    /// held it to is in the incident's `limits`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limit_bytes: Option<u64>,
    /// Ids of containers that a runtime within it made, from the outside in.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub nested: Vec<String>,
}

/// Who made a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Runtime {
    /// containerd, also by way of nerdctl.
    Containerd,
    /// CRI-O.
    CriO,
    /// Docker.
    Docker,
    /// Podman.
    Podman,
    /// LXC, LXD, Incus.
    Lxc,
    /// systemd-nspawn.
    SystemdNspawn,
}

impl Runtime {
    /// Its name in the JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Lxc => "lxc",
            Self::SystemdNspawn => "systemd-nspawn",
        }
    }
}

/// A Kubernetes pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pod {
    /// Its namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its UID. Of a static pod: the 32 hexadecimal digits that the kubelet made of its file.
    pub uid: String,
    /// Its quality of service, as far as the path or Kubernetes' API tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qos: Option<Qos>,
    /// What it belongs to. Only where Kubernetes' API is watched, as all below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<Workload>,
    /// Those of its labels that were asked for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub labels: BTreeMap<String, String>,
    /// Its priority: the kubelet evicts by it, the kernel does not know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// Name of that priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_class: Option<String>,
    /// The memory that the pod as a whole asked for (`spec.resources.requests`), bytes; seldom there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_request_bytes: Option<u64>,
    /// The limit that the pod as a whole was given (`spec.resources.limits`), bytes; seldom there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limit_bytes: Option<u64>,
}

/// What makes a pod, and makes it again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Workload {
    /// As Kubernetes calls it: Deployment, `StatefulSet`, `DaemonSet`, Job, `CronJob`, or a kind that somebody added.
    pub kind: String,
    /// Its name, in the pod's namespace.
    pub name: String,
}

/// Quality of service of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Qos {
    /// Requests are limits.
    Guaranteed,
    /// Some requests or limits.
    Burstable,
    /// Neither.
    BestEffort,
}

impl Qos {
    /// Its name in the JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Guaranteed => "guaranteed",
            Self::Burstable => "burstable",
            Self::BestEffort => "besteffort",
        }
    }
}

impl Qos {
    /// As Kubernetes' API writes it (`PodQOSClass`).
    pub fn of_api(text: &str) -> Option<Self> {
        match text {
            "Guaranteed" => Some(Self::Guaranteed),
            "Burstable" => Some(Self::Burstable),
            "BestEffort" => Some(Self::BestEffort),
            _ => None,
        }
    }
}

/// A unit of systemd.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unit {
    /// As `systemctl` takes it: what systemd escapes (`\x2d`) stays so.
    pub name: String,
    /// Id of the user whose session or service manager it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<u32>,
}

impl Identity {
    /// Nothing is known.
    pub const fn is_empty(&self) -> bool {
        self.container.is_none() && self.pod.is_none() && self.unit.is_none()
    }
}
