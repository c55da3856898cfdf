//! A pod as Kubernetes' API writes it, as far as it is read: everything else is passed over as it is parsed. Pure.

use super::quantity::bytes;
use super::workload;
use crate::identity::names::{
    ContainerName, PodName,
    described::{Described, Memory},
    files::{is_name, is_uid},
};
use crate::identity::path::ID_DIGITS;
use crate::incident::identity::Qos;
use serde::{Deserialize, Deserializer};
use std::collections::HashMap;
use std::sync::Arc;

/// Bytes of a label's value, at most (`LabelValueMaxLength`), and of an image's name.
const LABEL: usize = 63;
const IMAGE: usize = 512;
/// A static pod is the kubelet's, and its cgroup is called by this: the API only has its mirror.
const MIRROR: &str = "kubernetes.io/config.mirror";
const STATIC_UID: &str = "kubernetes.io/config.hash";

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What its cgroup is called by.
    pub uid: Box<str>,
    /// What it is called.
    pub name: PodName,
    /// Its containers by their ids.
    pub containers: Vec<(String, ContainerName)>,
    /// What else is kept.
    pub described: Described,
}

/// What stands around every object of a watch.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Metadata {
    name: String,
    namespace: String,
    uid: String,
    pub(super) resource_version: String,
    #[serde(deserialize_with = "or_nothing")]
    labels: HashMap<String, String>,
    #[serde(deserialize_with = "or_nothing")]
    annotations: HashMap<String, String>,
    #[serde(deserialize_with = "or_nothing")]
    owner_references: Vec<Owner>,
    creation_timestamp: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Owner {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) controller: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pod {
    pub(super) metadata: Metadata,
    spec: Spec,
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    #[serde(deserialize_with = "or_nothing")]
    containers: Vec<Container>,
    #[serde(deserialize_with = "or_nothing")]
    init_containers: Vec<Container>,
    #[serde(deserialize_with = "or_nothing")]
    ephemeral_containers: Vec<Container>,
    priority: Option<i32>,
    priority_class_name: Option<String>,
    resources: Option<Resources>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Container {
    name: String,
    #[serde(deserialize_with = "or_nothing")]
    resources: Resources,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Resources {
    #[serde(deserialize_with = "or_nothing")]
    limits: Amounts,
    #[serde(deserialize_with = "or_nothing")]
    requests: Amounts,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Amounts {
    memory: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    qos_class: Option<String>,
    #[serde(deserialize_with = "or_nothing")]
    container_statuses: Vec<ContainerStatus>,
    #[serde(deserialize_with = "or_nothing")]
    init_container_statuses: Vec<ContainerStatus>,
    #[serde(deserialize_with = "or_nothing")]
    ephemeral_container_statuses: Vec<ContainerStatus>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerStatus {
    name: String,
    /// `containerd://ID`.
    #[serde(rename = "containerID")]
    container_id: String,
    image: String,
    /// What is in force, where limits can be changed while it runs.
    resources: Option<Resources>,
    #[serde(deserialize_with = "or_nothing")]
    last_state: LastState,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LastState {
    terminated: Option<Terminated>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Terminated {
    #[serde(rename = "containerID")]
    container_id: String,
}

/// `null` is the same as nothing.
fn or_nothing<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

impl Resources {
    fn memory(&self) -> Memory {
        let Self { limits, requests } = self;
        let of = |amounts: &Amounts| amounts.memory.as_deref().and_then(bytes);
        Memory { request_bytes: of(requests), limit_bytes: of(limits) }
    }
}

impl Pod {
    /// What of it is kept, with the labels that are wanted. `None`: it is not as Kubernetes would have it.
    pub(super) fn seen(self, wanted: &[String]) -> Option<Seen> {
        let Self { metadata, spec, status } = self;
        let workload = workload::of(
            &metadata.owner_references,
            &metadata.labels,
            metadata.creation_timestamp.as_deref(),
        );
        let Metadata { name, namespace, uid, labels, annotations, .. } = metadata;
        let is_mirror = annotations.contains_key(MIRROR);
        let uid = annotations.get(STATIC_UID).filter(|_| is_mirror).unwrap_or(&uid);
        if !is_uid(uid) || !is_name(&name) || !is_name(&namespace) {
            return None;
        }
        let label = |name: &String| {
            let value = labels.get(name).filter(|value| value.len() <= LABEL)?;
            Some((name.as_str().into(), value.as_str().into()))
        };
        let name = PodName { namespace, name };
        let statuses = || {
            let Status { container_statuses, init_container_statuses, ephemeral_container_statuses, .. } =
                &status;
            container_statuses.iter().chain(init_container_statuses).chain(ephemeral_container_statuses)
        };
        let declared = spec.containers.iter().chain(&spec.init_containers).chain(&spec.ephemeral_containers);
        let memory = declared.filter(|it| is_name(&it.name)).map(|it| {
            let status = statuses().find(|status| status.name == it.name);
            let in_force = status.and_then(|status| status.resources.as_ref()).unwrap_or(&it.resources);
            (it.name.as_str().into(), in_force.memory())
        });
        let described = Described {
            workload,
            labels: wanted.iter().filter_map(label).collect(),
            qos: status.qos_class.as_deref().and_then(Qos::of_api),
            priority: spec.priority,
            priority_class: spec.priority_class_name.filter(|it| is_name(it)).map(Into::into),
            memory: spec.resources.map(|it| it.memory()).unwrap_or_default(),
            containers: memory.collect(),
        };
        let pod = Arc::new(name.clone());
        let containers = statuses().flat_map(|status| ids(status, &pod)).collect();
        Some(Seen { uid: uid.as_str().into(), name, containers, described })
    }
}

/// The container that runs, and the one before it: its kill may still be told.
fn ids(status: &ContainerStatus, pod: &Arc<PodName>) -> Vec<(String, ContainerName)> {
    let ContainerStatus { name, container_id, image, last_state, resources: _ } = status;
    if !is_name(name) {
        return Vec::new();
    }
    let before = last_state.terminated.as_ref().map(|it| it.container_id.as_str());
    let image = Some(image).filter(|image| (1..=IMAGE).contains(&image.len()));
    [Some(container_id.as_str()), before]
        .into_iter()
        .flatten()
        .filter_map(|id| id.split_once("://").map(|(_, id)| id))
        .filter(|id| id.len() == ID_DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .map(|id| {
            let of = ContainerName { pod: Arc::clone(pod), name: Some(name.clone()), image: image.cloned() };
            (id.to_owned(), of)
        })
        .collect()
}

#[cfg(test)]
mod tests;
