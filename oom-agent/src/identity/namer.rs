//! Sources of names, and what is told of them.

use super::cri::{Cri, Listing};
use super::fill::{self, Known};
use super::logs::Logs;
use super::names::{Names, Unresolved};
use super::path::parse;
use crate::incident::identity::Identity;
use crate::incident::model::Incident;
use crate::kube::{Pods, Update, stats::Watched};
use crate::note::note;
use anyhow::Result;
use std::collections::VecDeque;
use std::future;
use std::path::Path;

/// What is not there is looked for no more often than this.
const LOOK_NS: u64 = 1_000_000_000;

/// An incident waits so long for the runtime to say what its containers are called. On a node that is short of memory it is slow,
/// and a container that was just started has no log file yet.
const PATIENCE_NS: u64 = 2_000_000_000;
/// How often it is looked whether it did.
const STEP_NS: u64 = 50_000_000;
/// Incidents that wait for that, at most.
const HELD: usize = 64;

/// How often a name was not known, in the order of [`Unresolved::ALL`].
pub type UnresolvedCounts = [u64; Unresolved::ALL.len()];

/// Knows whose cgroups are.
#[derive(Debug)]
pub struct Namer {
    names: Names,
    logs: Option<Logs>,
    cri: Option<Cri>,
    pods: Option<Pods>,
    looked_ns: Option<u64>,
    /// Incidents in their order, and how long they may wait.
    held: VecDeque<(Incident, u64)>,
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
    /// What the pod belongs to: `Deployment/checkout`.
    pub workload: String,
    /// More may be known later.
    pub incomplete: bool,
}

impl Namer {
    /// Reads what is there, within a tokio runtime. `root`: what stands for `/`. What an operator should know is added to
    /// `warnings`.
    pub fn start(
        root: &Path,
        (cri, pods): (Option<Cri>, Option<Pods>),
        now_ns: u64,
        warnings: &mut Vec<String>,
    ) -> Self {
        let logs =
            Logs::new(root).map_err(|error| warnings.push(format!("no names of pods: {error:#}"))).ok();
        let unresolved = [0; Unresolved::ALL.len()];
        let held = VecDeque::new();
        let mut namer = Self { names: Names::default(), logs, cri, pods, looked_ns: None, held, unresolved };
        namer.look(now_ns);
        // Also where the logs say it all: what containers are made of only the runtime knows.
        namer.ask(now_ns);
        namer
    }

    /// Waits until something is to be read, and reads it.
    ///
    /// # Errors
    /// If epoll fails.
    pub async fn changed(&mut self) -> Result<()> {
        let Self { names, logs, cri, pods, .. } = self;
        let listing = tokio::select! {
            changed = logs_changed(logs.as_ref()) => changed.map(|()| None)?,
            listing = cri_answered(cri.as_mut()) => Some(listing),
            update = pods_changed(pods.as_mut()) => {
                update.learn(names);
                None
            }
        };
        if let Some(listing) = listing {
            let news = cri.as_mut().is_some_and(|cri| cri.is_news(listing.is_err()));
            match listing {
                Ok(listing) => {
                    names.has_source = true;
                    listing.learn(names);
                }
                Err(error) if news => {
                    note(&format!("{error:#}: names of pods are from the kubelet's logs only"));
                }
                Err(_) => {}
            }
        }
        self.read();
        Ok(())
    }

    /// Reads what came and went.
    fn read(&mut self) {
        let Self { names, logs, pods, .. } = self;
        if let Some(logs) = logs {
            logs.read(names);
        }
        while let Some(update) = pods.as_mut().and_then(Pods::ready) {
            update.learn(names);
        }
    }

    /// A kubelet may have begun after the agent.
    fn look(&mut self, now_ns: u64) {
        let Self { names, logs, looked_ns, .. } = self;
        if looked_ns.is_none_or(|looked| now_ns.saturating_sub(looked) >= LOOK_NS) {
            *looked_ns = Some(now_ns);
            let is_watched = logs.as_mut().is_some_and(|logs| logs.watch(names));
            names.has_source |= is_watched;
        }
    }

    /// There are new cgroups. Where the kubelet's files do not tell what they are called, the runtime is asked before
    /// something happens to them.
    pub fn cgroups_came(&mut self, now_ns: u64) {
        if !self.logs.as_ref().is_some_and(Logs::watches_all) {
            self.ask(now_ns);
        }
    }

    /// Whether the runtime may know more in a moment.
    fn ask(&mut self, now_ns: u64) -> bool {
        self.cri.as_mut().is_some_and(|cri| cri.ask(now_ns))
    }

    /// Takes an incident. It comes back by [`Self::ready`], with others in their order.
    pub fn hold(&mut self, incident: Incident, now_ns: u64) {
        self.held.push_back((incident, now_ns.saturating_add(PATIENCE_NS)));
    }

    /// The next incident of which all is known that will be, for [`Self::complete`].
    pub fn ready(&mut self, now_ns: u64) -> Option<Incident> {
        let (incident, until_ns) = self.held.pop_front()?;
        if self.held.len() < HELD && now_ns < until_ns && self.is_pending(&incident, now_ns) {
            self.held.push_front((incident, until_ns));
            return None;
        }
        Some(incident)
    }

    /// When to ask for it again.
    pub fn deadline(&self, now_ns: u64) -> Option<u64> {
        self.held.front().map(|(_, until_ns)| now_ns.saturating_add(STEP_NS).min(*until_ns))
    }

    /// No incident is held.
    pub fn is_idle(&self) -> bool {
        self.held.is_empty()
    }

    /// All that were held, at the end.
    pub fn held(&mut self) -> Vec<Incident> {
        std::mem::take(&mut self.held).into_iter().map(|(incident, _)| incident).collect()
    }

    /// Whether more may be known of an incident in a moment: something of it has no name, and the runtime is asked; or
    /// Kubernetes' API is watched, and has not told of its pod yet.
    fn is_pending(&mut self, incident: &Incident, now_ns: u64) -> bool {
        if self.cri.is_none() && self.pods.is_none() {
            return false;
        }
        self.read();
        let (mut nameless, mut missing) = (false, false);
        let victims = incident.victims.iter().filter_map(|victim| victim.cgroup.as_deref());
        let mut known = Known::default();
        for cgroup in incident.scope.cgroup.as_deref().into_iter().chain(victims) {
            known.whose(cgroup, &mut |identity| {
                let why = self.names.name(identity);
                nameless |= why.is_some_and(Unresolved::is_name);
                missing |= why == Some(Unresolved::ApiUnknownPod);
                why
            });
        }
        missing || (nameless && self.ask(now_ns))
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
        if identity.pod.is_some() && why.is_some_and(Unresolved::is_name) {
            self.ask(now_ns);
        }
        Labels { incomplete: identity.pod.is_some() && why.is_some(), ..Labels::of(&identity) }
    }

    /// How the watch of pods does, if there is one.
    pub fn watched(&self) -> Option<Watched> {
        self.pods.as_ref().map(Pods::stats)
    }

    /// How often a name was not known.
    pub const fn unresolved(&self) -> UnresolvedCounts {
        self.unresolved
    }
}

impl Labels {
    /// Of what has no names.
    pub const NONE: Self = Self {
        namespace: String::new(),
        pod: String::new(),
        container: String::new(),
        workload: String::new(),
        incomplete: false,
    };

    /// Of what is known in an incident.
    pub fn of(identity: &Identity) -> Self {
        let Identity { container, pod, unit: _ } = identity;
        let (namespace, name) =
            pod.as_ref().map(|pod| (pod.namespace.clone(), pod.name.clone())).unwrap_or_default();
        let container = container.as_ref().filter(|_| pod.is_some()).and_then(|it| it.name.clone());
        let workload = pod.as_ref().and_then(|pod| pod.workload.as_ref());
        Self {
            workload: workload.map(|it| format!("{}/{}", it.kind, it.name)).unwrap_or_default(),
            namespace: namespace.unwrap_or_default(),
            pod: name.unwrap_or_default(),
            container: container.unwrap_or_default(),
            incomplete: false,
        }
    }
}

async fn logs_changed(logs: Option<&Logs>) -> Result<()> {
    match logs {
        Some(logs) => logs.changed().await,
        None => future::pending().await,
    }
}

async fn cri_answered(cri: Option<&mut Cri>) -> Result<Listing> {
    match cri {
        Some(cri) => cri.answered().await,
        None => future::pending().await,
    }
}

async fn pods_changed(pods: Option<&mut Pods>) -> Update {
    match pods {
        Some(pods) => pods.next().await,
        None => future::pending().await,
    }
}
