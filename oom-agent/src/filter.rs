//! Which incidents are wanted by what they are about: `--cgroup`, `--pod`, `--namespace`, `--victim`.

use crate::incident::identity::{Identity, Pod};
use crate::incident::model::{Incident, Victim};
use clap::Args;
use wildmatch::WildMatch;

/// Options that say where.
#[derive(Args, Clone, Debug, Default)]
pub struct WhereArgs {
    /// Only incidents of a cgroup (the full one's or a victim's path); * and ? match anything.
    #[arg(long, value_name = "GLOB")]
    pub cgroup: Option<String>,
    /// Only incidents of a pod (the full one or a victim's), by NAME, NAMESPACE/NAME or UID. In logs pods have only UIDs.
    #[arg(long, value_name = "GLOB")]
    pub pod: Option<String>,
    /// Only incidents of pods in a namespace.
    #[arg(long, value_name = "GLOB")]
    pub namespace: Option<String>,
}

impl WhereArgs {
    /// The options that leave incidents out.
    pub(crate) fn given(&self) -> impl Iterator<Item = &'static str> {
        let Self { cgroup, pod, namespace } = self;
        let given = [(cgroup, "--cgroup"), (pod, "--pod"), (namespace, "--namespace")];
        given.into_iter().filter(|(value, _)| value.is_some()).map(|(_, name)| name)
    }
}

/// What an incident has to be about. Everything where nothing is asked for.
#[derive(Debug, Default)]
pub struct Filter {
    cgroup: Option<WildMatch>,
    pod: Option<WildMatch>,
    namespace: Option<WildMatch>,
    victim: Option<VictimFilter>,
}

/// A victim by name or number.
#[derive(Debug)]
struct VictimFilter {
    comm: WildMatch,
    pid: Option<u32>,
}

impl VictimFilter {
    fn matches(&self, victim: &Victim) -> bool {
        self.pid == Some(victim.pid) || self.comm.matches(&victim.comm)
    }
}

impl Filter {
    /// `place`: globs over whole cgroup paths (`*` also matches `/`), names of pods and namespaces. `victim`: a glob over
    /// command names, or a process id.
    pub fn new(place: &WhereArgs, victim: Option<&str>) -> Self {
        let WhereArgs { cgroup, pod, namespace } = place;
        let victim = victim.map(|text| VictimFilter { comm: WildMatch::new(text), pid: text.parse().ok() });
        let glob = |text: &Option<String>| text.as_deref().map(WildMatch::new);
        Self { cgroup: glob(cgroup), pod: glob(pod), namespace: glob(namespace), victim }
    }

    /// Whether the cgroup that was full, or one of a victim, matches, and a victim does. What is unknown does not.
    pub fn wants(&self, incident: &Incident) -> bool {
        let Self { victim, .. } = self;
        let scope = &incident.scope;
        let victims = incident.victims.iter().map(|it| (it.cgroup.as_deref(), &it.identity));
        let mut places = std::iter::once((scope.cgroup.as_deref(), &scope.identity)).chain(victims);
        places.any(|(cgroup, identity)| self.is_there(cgroup, identity))
            && victim.as_ref().is_none_or(|wanted| incident.victims.iter().any(|it| wanted.matches(it)))
    }
}

impl Filter {
    fn is_there(&self, cgroup: Option<&str>, identity: &Identity) -> bool {
        let Self { cgroup: path, pod, namespace, victim: _ } = self;
        let matches = |glob: &Option<WildMatch>, text: Option<&str>| {
            glob.as_ref().is_none_or(|glob| text.is_some_and(|text| glob.matches(text)))
        };
        let whose = identity.pod.as_deref();
        matches(path, cgroup)
            && matches(namespace, whose.and_then(|pod| pod.namespace.as_deref()))
            && pod.as_ref().is_none_or(|glob| whose.is_some_and(|pod| is_called(pod, glob)))
    }
}

fn is_called(pod: &Pod, glob: &WildMatch) -> bool {
    let Pod { namespace, name, uid, qos: _ } = pod;
    let whole = namespace.as_ref().zip(name.as_ref()).map(|(namespace, name)| format!("{namespace}/{name}"));
    glob.matches(uid) || [name.as_deref(), whole.as_deref()].into_iter().flatten().any(|it| glob.matches(it))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::model::Scope;
    use crate::sink::samples;

    fn at(cgroup: &str, victim: Option<&str>) -> Filter {
        Filter::new(&WhereArgs { cgroup: Some(cgroup.into()), ..WhereArgs::default() }, victim)
    }

    #[test]
    fn a_pod_is_wanted_by_its_names_or_its_uid() {
        let incident = samples::pod();
        let wants = |pod: Option<&str>, namespace: Option<&str>| {
            let [pod, namespace] = [pod, namespace].map(|glob| glob.map(str::to_owned));
            Filter::new(&WhereArgs { cgroup: None, pod, namespace }, None)
        };
        for pod in ["checkout-*", "payments/checkout-7c9f", "payments/*", "3f21a0c4-*"] {
            assert!(wants(Some(pod), Some("pay*")).wants(&incident), "{pod}");
        }
        assert!(wants(None, Some("payments")).wants(&incident));
        for (pod, namespace) in
            [(Some("checkout"), None), (Some("*"), Some("shop")), (Some("payments"), None)]
        {
            assert!(!wants(pod, namespace).wants(&incident), "{pod:?} {namespace:?}");
        }
        assert!(!wants(None, Some("*")).wants(&samples::group()), "unknown is not a match");
    }

    #[test]
    fn a_glob_matches_whole_paths_across_slashes() {
        let scope = Scope { cgroup: Some("/kubepods/burstable/pod1".into()), ..Scope::default() };
        let incident = Incident { scope, ..Incident::default() };
        let wants = |glob| at(glob, None).wants(&incident);
        assert!(Filter::default().wants(&incident));
        assert!(wants("/kubepods/*"));
        assert!(wants("*pod?"));
        assert!(!wants("/kubepods"));
        assert!(!at("*", None).wants(&Incident::default()), "unknown is not a match");
    }

    #[test]
    fn a_victim_is_wanted_by_name_or_number() {
        let group = samples::group();
        let wants = |victim| Filter::new(&WhereArgs::default(), Some(victim)).wants(&group);
        assert!(wants("worker"));
        assert!(wants("coll*"), "any of the victims'?");
        assert!(wants("4240"));
        assert!(!wants("supervisor"), "a candidate only");
        assert!(!wants("424"));
        assert!(!Filter::new(&WhereArgs::default(), Some("*")).wants(&samples::none_killable()));
        assert!(at("/batch/*", Some("sh")).wants(&group));
        assert!(!at("/other", Some("sh")).wants(&group));
    }
}
