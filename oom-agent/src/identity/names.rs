//! Names of pods and containers by their ids: learnt while they are there, kept when they are gone. Pure and bounded.

pub mod described;
pub mod files;

use super::path::ID_DIGITS;
use crate::incident::identity::{Container, Identity, Pod, Runtime};
use described::Described;
use std::collections::HashMap;
use std::sync::Arc;

/// Containers that are remembered, and as many pods. The kubelet's own bound is 110 pods, or some hundreds; the rest is for
/// those that are gone.
pub const KEPT: usize = 4096;
/// Pods of which is remembered what Kubernetes' API says.
pub const DESCRIBED: usize = 1024;

/// What a pod is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What a container is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerName {
    /// Whose it is.
    pub pod: Arc<PodName>,
    /// Its name in the pod. `None`: the pod's own (pause) container.
    pub name: Option<String>,
    /// What it was made of.
    pub image: Option<String>,
}

/// Why a name is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unresolved {
    /// Nothing that names pods can be read.
    NoSource,
    /// Nothing that was read names this pod.
    UnknownPod,
    /// The pod is known, this container of it is not.
    UnknownContainer,
    /// A container without a pod: nobody is asked what it is called.
    NotKubernetes,
    /// Kubernetes' API is to be watched and does not answer.
    ApiUnavailable,
    /// Kubernetes' API is watched and does not have this pod.
    ApiUnknownPod,
}

impl Unresolved {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::NoSource,
        Self::UnknownPod,
        Self::UnknownContainer,
        Self::NotKubernetes,
        Self::ApiUnavailable,
        Self::ApiUnknownPod,
    ];

    /// As a label's value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoSource => "no_source",
            Self::UnknownPod => "unknown_pod",
            Self::UnknownContainer => "unknown_container",
            Self::NotKubernetes => "not_kubernetes",
            Self::ApiUnavailable => "api_unavailable",
            Self::ApiUnknownPod => "api_unknown_pod",
        }
    }

    /// Whether a container runtime may know it.
    pub const fn is_name(self) -> bool {
        matches!(self, Self::NoSource | Self::UnknownPod | Self::UnknownContainer)
    }
}

/// What is known.
#[derive(Debug)]
pub struct Names {
    pods: Table<Arc<PodName>>,
    containers: Table<ContainerName>,
    described: Table<Arc<Described>>,
    /// Something that names pods can be read.
    pub has_source: bool,
    /// Whether Kubernetes' API tells of all pods of this node now. `None`: it is not to.
    pub watched: Option<bool>,
}

impl Default for Names {
    fn default() -> Self {
        Self::with_room(KEPT)
    }
}

impl Names {
    /// For so many pods and containers.
    pub fn with_room(kept: usize) -> Self {
        Self {
            pods: Table::new(kept),
            containers: Table::new(kept),
            described: Table::new(kept.min(DESCRIBED)),
            has_source: false,
            watched: None,
        }
    }

    /// A pod is there.
    pub fn pod(&mut self, uid: &str, pod: PodName) {
        self.pods.put(uid, Arc::new(pod));
    }

    /// A container is there. What was known of it and is not told now stays.
    pub fn container(&mut self, id: &str, mut container: ContainerName) {
        if let Some(known) = self.containers.get(id) {
            container.name = container.name.or_else(|| known.name.clone());
            container.image = container.image.or_else(|| known.image.clone());
        }
        self.containers.put(id, container);
    }

    /// What Kubernetes' API says of a pod.
    pub fn describe(&mut self, uid: &str, described: Described) {
        self.described.put(uid, Arc::new(described));
    }

    /// A pod is gone. It is remembered, and makes room before those that are there.
    pub fn pod_gone(&mut self, uid: &str) {
        self.pods.gone(uid);
        self.described.gone(uid);
    }

    /// A container is gone.
    pub fn container_gone(&mut self, id: &str) {
        self.containers.gone(id);
    }

    /// Adds names, and what else is known, to what a path says. Answers why something is missing, if it should not be.
    pub fn name(&self, identity: &mut Identity) -> Option<Unresolved> {
        let nameless = self.call(identity);
        nameless.or(self.tell(identity))
    }

    /// Adds what Kubernetes' API says.
    fn tell(&self, identity: &mut Identity) -> Option<Unresolved> {
        let Identity { container, pod, unit: _ } = identity;
        let pod = pod.as_mut()?;
        let Some(described) = self.described.get(&pod.uid) else {
            return match self.watched {
                None => None,
                Some(false) => Some(Unresolved::ApiUnavailable),
                Some(true) => Some(Unresolved::ApiUnknownPod),
            };
        };
        described.add_to(Arc::make_mut(pod), container.as_mut().map(Arc::make_mut));
        None
    }

    /// Adds names.
    fn call(&self, identity: &mut Identity) -> Option<Unresolved> {
        let Identity { container, pod, unit: _ } = identity;
        let found = container.as_ref().and_then(|container| self.find(&container.id));
        if let (Some(container), Some((id, known))) = (container.as_mut(), found) {
            let ContainerName { name, image, pod: _ } = known;
            *container = Arc::new(Container {
                id: id.to_owned(),
                name: name.clone(),
                image: image.clone(),
                ..Container::clone(container)
            });
        }
        let known = found.map(|(_, known)| known);
        let Some(pod) = pod else {
            let named = |runtime| matches!(runtime, Some(Runtime::Lxc | Runtime::SystemdNspawn));
            let anonymous = container.as_ref().is_some_and(|it| it.name.is_none() && !named(it.runtime));
            return anonymous.then_some(Unresolved::NotKubernetes);
        };
        let names = self.pods.get(&pod.uid).or(known.map(|known| &known.pod));
        let Some(names) = names else {
            return Some(if self.has_source { Unresolved::UnknownPod } else { Unresolved::NoSource });
        };
        let PodName { namespace, name } = &**names;
        let (namespace, name) = (Some(namespace.clone()), Some(name.clone()));
        *pod = Arc::new(Pod { namespace, name, ..Pod::clone(pod) });
        (container.is_some() && known.is_none()).then_some(Unresolved::UnknownContainer)
    }

    /// By an id, or by the begin of one that was cut.
    fn find(&self, id: &str) -> Option<(&str, &ContainerName)> {
        let Table { by_key, .. } = &self.containers;
        if id.len() >= ID_DIGITS {
            return by_key.get_key_value(id).map(|(id, entry)| (&**id, &entry.value));
        }
        let mut fitting = by_key.iter().filter(|(key, _)| key.starts_with(id));
        let (whole, entry) = fitting.next()?;
        fitting.next().is_none().then_some((whole, &entry.value))
    }
}

/// Something by key, no more than so many.
#[derive(Debug)]
struct Table<V> {
    by_key: HashMap<Box<str>, Entry<V>>,
    most: usize,
    /// Counts what was put and what went.
    moment: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    /// When it was put, or went.
    moment: u64,
    gone: bool,
}

impl<V> Table<V> {
    fn new(most: usize) -> Self {
        Self { by_key: HashMap::new(), most, moment: 0 }
    }

    fn get(&self, key: &str) -> Option<&V> {
        self.by_key.get(key).map(|entry| &entry.value)
    }

    fn put(&mut self, key: &str, value: V) {
        self.moment += 1;
        let entry = Entry { value, moment: self.moment, gone: false };
        if let Some(known) = self.by_key.get_mut(key) {
            *known = entry;
            return;
        }
        if self.by_key.len() >= self.most {
            // Of those that are gone the one that went first, else the oldest.
            let oldest = self.by_key.iter().min_by_key(|(_, entry)| (!entry.gone, entry.moment));
            if let Some(key) = oldest.map(|(key, _)| key.clone()) {
                self.by_key.remove(&key);
            }
        }
        self.by_key.insert(key.into(), entry);
    }

    fn gone(&mut self, key: &str) {
        self.moment += 1;
        if let Some(entry) = self.by_key.get_mut(key) {
            (entry.gone, entry.moment) = (true, self.moment);
        }
    }
}

#[cfg(test)]
mod tests;
