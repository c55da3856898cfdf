//! Sources of names, and what is told of them.

use super::fill;
use super::logs::Logs;
use super::names::{Names, Unresolved};
use super::path::parse;
use crate::incident::identity::Identity;
use crate::incident::model::Incident;
use anyhow::Result;
use std::future;
use std::path::Path;

/// What is not there is looked for no more often than this.
const LOOK_NS: u64 = 1_000_000_000;

/// How often a name was not known, in the order of [`Unresolved::ALL`].
pub type UnresolvedCounts = [u64; Unresolved::ALL.len()];

/// Knows whose cgroups are.
#[derive(Debug)]
pub struct Namer {
    names: Names,
    logs: Option<Logs>,
    looked_ns: Option<u64>,
    unresolved: UnresolvedCounts,
}

/// What the metrics call a cgroup by. Empty: there is no such thing, or it is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// Namespace of the pod.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// The container in the pod.
    pub container: String,
    /// More may be known later.
    pub incomplete: bool,
}

impl Namer {
    /// Reads what is there, within a tokio runtime. `root`: what stands for `/`. What an operator should know is added to
    /// `warnings`.
    pub fn start(root: &Path, warnings: &mut Vec<String>) -> Self {
        let logs =
            Logs::new(root).map_err(|error| warnings.push(format!("no names of pods: {error:#}"))).ok();
        let unresolved = [0; Unresolved::ALL.len()];
        let mut namer = Self { names: Names::default(), logs, looked_ns: None, unresolved };
        namer.look(0);
        namer
    }

    /// Waits until something came or went, which [`Self::read`] reads.
    ///
    /// # Errors
    /// If epoll fails.
    pub async fn changed(&self) -> Result<()> {
        match &self.logs {
            Some(logs) => logs.changed().await,
            None => future::pending().await,
        }
    }

    /// Reads what came and went.
    pub fn read(&mut self) {
        let Self { names, logs, .. } = self;
        if let Some(logs) = logs {
            logs.read(names);
        }
    }

    /// A kubelet may have begun after the agent.
    fn look(&mut self, now_ns: u64) {
        let Self { names, logs, looked_ns, .. } = self;
        if looked_ns.is_none_or(|looked| now_ns.saturating_sub(looked) >= LOOK_NS) {
            *looked_ns = Some(now_ns);
            names.has_source = logs.as_mut().is_some_and(|logs| logs.watch(names));
        }
    }

    /// Says of everything in an incident whose it is, and counts what is not known.
    pub fn complete(&mut self, incident: &mut Incident, now_ns: u64) {
        self.read();
        self.look(now_ns);
        let Self { names, unresolved, .. } = self;
        for why in fill::names(incident, |identity| names.name(identity)) {
            let at = Unresolved::ALL.iter().position(|it| *it == why);
            if let Some(count) = at.and_then(|at| unresolved.get_mut(at)) {
                *count += 1;
            }
        }
    }

    /// What a cgroup is called in the metrics.
    pub fn labels(&mut self, cgroup: &str, now_ns: u64) -> Labels {
        let mut identity = parse(cgroup);
        if identity.pod.is_none() && identity.container.is_none() {
            return Labels::default();
        }
        let mut why = self.names.name(&mut identity);
        if why.is_some() {
            self.read();
            self.look(now_ns);
            why = self.names.name(&mut identity);
        }
        Labels { incomplete: identity.pod.is_some() && why.is_some(), ..Labels::of(&identity) }
    }

    /// How often a name was not known.
    pub const fn unresolved(&self) -> UnresolvedCounts {
        self.unresolved
    }
}

impl Labels {
    /// Of what has no names.
    pub const NONE: Self =
        Self { namespace: String::new(), pod: String::new(), container: String::new(), incomplete: false };

    /// Of what is known in an incident.
    pub fn of(identity: &Identity) -> Self {
        let Identity { container, pod, unit: _ } = identity;
        let (namespace, name) =
            pod.as_ref().map(|pod| (pod.namespace.clone(), pod.name.clone())).unwrap_or_default();
        let container = container.as_ref().filter(|_| pod.is_some()).and_then(|it| it.name.clone());
        Self {
            namespace: namespace.unwrap_or_default(),
            pod: name.unwrap_or_default(),
            container: container.unwrap_or_default(),
            incomplete: false,
        }
    }
}
