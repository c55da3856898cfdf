//! What Kubernetes' API says of a pod, as far as it is kept: a few hundred bytes. Pure.

use crate::incident::identity::{Container, Pod, Qos, Workload};

/// Of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Described {
    /// What it belongs to.
    pub workload: Option<Workload>,
    /// Those labels that were asked for, by their names.
    pub labels: Box<[(Box<str>, Box<str>)]>,
    /// Its quality of service.
    pub qos: Option<Qos>,
    /// Its priority, and that one's name.
    pub priority: Option<i32>,
    /// See above.
    pub priority_class: Option<Box<str>>,
    /// Requests and limits of the pod as a whole.
    pub memory: Memory,
    /// Requests and limits of its containers, by their names.
    pub containers: Box<[(Box<str>, Memory)]>,
}

/// Requests and limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Bytes asked for.
    pub request_bytes: Option<u64>,
    /// Bytes allowed.
    pub limit_bytes: Option<u64>,
}

impl Described {
    /// Adds it to what is known by name.
    pub fn add_to(&self, pod: &mut Pod, container: Option<&mut Container>) {
        let Self { workload, labels, qos, priority, priority_class, memory, containers } = self;
        pod.workload.clone_from(workload);
        pod.labels = labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        // What the path says is what the kernel has.
        pod.qos = pod.qos.or(*qos);
        pod.priority = *priority;
        pod.priority_class = priority_class.as_deref().map(str::to_owned);
        (pod.memory_request_bytes, pod.memory_limit_bytes) = (memory.request_bytes, memory.limit_bytes);
        let Some(container) = container else { return };
        let found = containers.iter().find(|(name, _)| Some(&**name) == container.name.as_deref());
        if let Some((_, memory)) = found {
            container.memory_request_bytes = memory.request_bytes;
            container.memory_limit_bytes = memory.limit_bytes;
        }
    }
}
