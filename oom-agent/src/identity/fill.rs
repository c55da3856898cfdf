//! Says of everything in an incident whose it is. Pure.

use super::names::Unresolved;
use super::path::parse;
use crate::incident::identity::Identity;
use crate::incident::model::Incident;
use std::collections::HashMap;

/// Reasons that an incident's notes give, at most.
const NOTES: usize = 3;

/// What is known of cgroups: all processes of one share it.
#[derive(Debug, Default)]
pub struct Known(HashMap<String, (Identity, Option<Unresolved>)>);

impl Known {
    /// Whose a cgroup is. `name` adds names to what its path says, and answers why there are none.
    pub fn whose(
        &mut self,
        cgroup: &str,
        name: &mut impl FnMut(&mut Identity) -> Option<Unresolved>,
    ) -> Identity {
        if let Some((identity, _)) = self.0.get(cgroup) {
            return identity.clone();
        }
        let mut identity = parse(cgroup);
        let why = name(&mut identity);
        self.0.insert(cgroup.to_owned(), (identity.clone(), why));
        identity
    }
}

/// What the paths alone say: all that is known of an incident from a log.
pub fn paths(incident: &mut Incident) {
    let mut known = Known::default();
    each(incident, |cgroup, identity| *identity = known.whose(cgroup, &mut |_| None));
}

/// What paths say and names. `name` adds names and answers why there are none. Returns these answers for the cgroup that was
/// full and for those of victims, each cgroup once; they are in the incident's notes too.
pub fn names(
    incident: &mut Incident,
    mut name: impl FnMut(&mut Identity) -> Option<Unresolved>,
) -> Vec<Unresolved> {
    let mut known = Known::default();
    each(incident, |cgroup, identity| *identity = known.whose(cgroup, &mut name));
    let scope = incident.scope.cgroup.iter();
    let mut wanted: Vec<&String> =
        scope.chain(incident.victims.iter().filter_map(|it| it.cgroup.as_ref())).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let missing: Vec<(&Identity, Unresolved)> = wanted
        .into_iter()
        .filter_map(|cgroup| known.0.get(cgroup))
        .filter_map(|(identity, why)| Some((identity, (*why)?)))
        .collect();
    let mut notes: Vec<String> = missing.iter().filter_map(|(identity, why)| note(identity, *why)).collect();
    notes.dedup();
    notes.truncate(NOTES);
    incident.evidence.notes.extend(notes);
    missing.into_iter().map(|(_, why)| why).collect()
}

/// Every cgroup that an incident names.
fn each(incident: &mut Incident, mut tell: impl FnMut(&str, &mut Identity)) {
    let Incident { scope, trigger, candidates, victims, state, .. } = incident;
    let mut told = |cgroup: &Option<String>, identity: &mut Identity| {
        if let Some(cgroup) = cgroup {
            tell(cgroup, identity);
        }
    };
    told(&scope.cgroup, &mut scope.identity);
    if let Some(trigger) = trigger {
        told(&trigger.cgroup, &mut trigger.identity);
    }
    for victim in victims {
        told(&victim.cgroup, &mut victim.identity);
        // Other PID namespaces are nobody's container.
        victim.main_process = victim.main_process.filter(|_| victim.identity.container.is_some());
    }
    for candidate in candidates {
        told(&candidate.cgroup, &mut candidate.identity);
    }
    if let Some(state) = state {
        for cgroup in state.cgroups.iter_mut().chain(&mut state.children) {
            tell(&cgroup.cgroup, &mut cgroup.identity);
        }
    }
}

/// What an operator can do something about.
fn note(identity: &Identity, why: Unresolved) -> Option<String> {
    let uid = identity.pod.as_ref().map(|pod| pod.uid.as_str()).unwrap_or_default();
    Some(match why {
        Unresolved::NoSource => {
            "Names of pods are not known: the kubelet's logs (/var/log/pods) cannot be read here.".to_owned()
        }
        Unresolved::UnknownPod => format!("The name of the pod with UID {uid} is not known: it had no logs."),
        Unresolved::UnknownContainer => {
            let id = identity.container.as_ref().and_then(|it| it.id.get(..12)).unwrap_or_default();
            format!("The name of container {id} is not known: it had no log, like a pod's pause container.")
        }
        Unresolved::ApiUnavailable => {
            "Workloads, labels and limits of pods are not known: Kubernetes' API server does not answer."
                .to_owned()
        }
        Unresolved::ApiUnknownPod => {
            format!(
                "Kubernetes' API server has no pod with UID {uid} on this node (yet): its workload is not known."
            )
        }
        Unresolved::NotKubernetes => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::identity::Pod;
    use crate::sink::samples;
    use std::sync::Arc;

    const UID: &str = "3f21a0c4-8d1b-4c1e-9a55-0a1b2c3d4e5f";

    fn incident() -> Incident {
        let mut incident = samples::group();
        let pod = format!("/kubepods/burstable/pod{UID}");
        incident.scope.cgroup = Some(pod.clone());
        for victim in &mut incident.victims {
            victim.cgroup = Some(format!("{pod}/{}", "a".repeat(64)));
        }
        incident
    }

    #[test]
    fn everything_that_has_a_cgroup_is_told_whose_it_is() {
        let mut told = incident();
        let mut asked = 0;
        let missing = names(&mut told, |identity| {
            asked += 1;
            let names = Pod { name: Some("p".into()), ..Pod::clone(identity.pod.as_ref()?) };
            identity.pod = Some(Arc::new(names));
            identity.container.as_ref().map(|_| Unresolved::UnknownContainer)
        });
        assert_eq!(missing, [Unresolved::UnknownContainer], "once for all victims");
        let name = |identity: &Identity| identity.pod.as_ref().and_then(|pod| pod.name.clone());
        assert_eq!(name(&told.scope.identity).as_deref(), Some("p"));
        assert!(told.scope.identity.container.is_none());
        assert!(
            told.victims.iter().all(|it| name(&it.identity).is_some() && it.identity.container.is_some())
        );
        let [first, second, ..] = &told.victims[..] else { panic!("{:?}", told.victims) };
        assert!(Arc::ptr_eq(first.identity.pod.as_ref().unwrap(), second.identity.pod.as_ref().unwrap()));
        assert!(told.evidence.notes.iter().any(|note| note.contains("container aaaaaaaaaaaa")));
        let others = told.candidates.iter().filter(|it| it.cgroup.as_deref() == Some("/batch/job")).count();
        assert!(asked < told.candidates.len() + 3, "{asked}: each cgroup is looked up once ({others})");
    }

    #[test]
    fn a_log_says_what_its_paths_say() {
        let mut told = incident();
        paths(&mut told);
        assert_eq!(told.scope.identity.pod.as_ref().unwrap().uid, UID);
        assert_eq!(told.evidence.notes, incident().evidence.notes);
    }

    #[test]
    fn nothing_is_said_of_what_has_no_names() {
        let mut told = samples::group();
        let before = told.clone();
        assert_eq!(names(&mut told, |_| None), []);
        assert_eq!(told.evidence, before.evidence);
    }
}
