//! Which incidents are wanted: by what they are about (`--cgroup`, `--pod`, `--namespace`, `--victim`) and by when they were.

use crate::{
    explain::{moment::Moment, when::Window},
    incident::{
        diagnosis::Code,
        identity::{Identity, Pod},
        model::{Incident, ScopeKind, Victim},
    },
    sink::{
        escape, path,
        terminal::{headline, whose, words},
    },
};
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
    /// Only incidents of pods in a namespace. Logs tell none.
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
    /// The limit that was hit.
    pub scope: Option<ScopeKind>,
    /// One of the diagnoses.
    pub diagnosis: Option<Code>,
    /// Words that are all somewhere in what a list shows of it.
    pub words: Words,
}

/// What somebody typed to find an incident.
#[derive(Debug, Default)]
pub struct Words(Vec<String>);

impl Words {
    /// Words of a text. Their case does not matter.
    pub fn of(text: &str) -> Self {
        Self(text.to_lowercase().split_whitespace().map(str::to_owned).collect())
    }

    fn are_in(&self, incident: &Incident) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let text = shown(incident).to_lowercase();
        self.0.iter().all(|word| text.contains(word))
    }
}

/// What lists show of an incident, as they show it.
fn shown(incident: &Incident) -> String {
    let mut text = vec![incident.id.clone(), headline::title(incident).to_owned()];
    text.extend(headline::when(incident));
    text.extend(incident.node.as_deref().map(|node| escape::escape(node).into_owned()));
    text.extend(incident.scope.kind.map(|kind| words::scope(kind).to_owned()));
    text.extend(incident.scope.cgroup.as_deref().map(path::shown));
    text.extend(whose::place(&incident.scope.identity));
    for victim in &incident.victims {
        text.push(words::who(&victim.comm, victim.pid));
        text.extend(victim.cgroup.as_deref().map(path::shown));
        text.extend(whose::place(&victim.identity));
        let workload = victim.identity.pod.as_ref().and_then(|pod| pod.workload.as_ref());
        text.extend(workload.map(whose::workload));
    }
    text.extend(incident.diagnosis.first().map(|diagnosis| diagnosis.title.clone()));
    text.join("\n")
}

/// What an incident has to be about, and when.
#[derive(Debug, Default)]
pub struct Selection {
    /// About what.
    pub filter: Filter,
    /// When. An incident whose time is not known is not wanted where a time is asked for.
    pub window: Window,
}

impl Selection {
    /// Whether both fit.
    pub fn wants(&self, incident: &Incident) -> bool {
        self.window.holds(&Moment::of(incident)) == Some(true) && self.filter.wants(incident)
    }
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
        let (cgroup, pod, namespace) = (glob(cgroup), glob(pod), glob(namespace));
        Self { cgroup, pod, namespace, victim, ..Self::default() }
    }

    /// Whether the cgroup that was full, or one of a victim, matches, a victim does, and the rest. What is unknown does not.
    pub fn wants(&self, incident: &Incident) -> bool {
        let Self { cgroup: _, pod: _, namespace: _, victim, scope, diagnosis, words } = self;
        let full = &incident.scope;
        let victims = incident.victims.iter().map(|it| (it.cgroup.as_deref(), &it.identity));
        let mut places = std::iter::once((full.cgroup.as_deref(), &full.identity)).chain(victims);
        places.any(|(cgroup, identity)| self.is_there(cgroup, identity))
            && victim.as_ref().is_none_or(|wanted| incident.victims.iter().any(|it| wanted.matches(it)))
            && scope.is_none_or(|scope| incident.scope.kind == Some(scope))
            && diagnosis.is_none_or(|code| incident.diagnosis.iter().any(|it| it.code == code))
            && words.are_in(incident)
    }
}

impl Filter {
    fn is_there(&self, cgroup: Option<&str>, identity: &Identity) -> bool {
        let Self { cgroup: path, pod, namespace, .. } = self;
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
    let Pod { namespace, name, uid, .. } = pod;
    let whole = namespace.as_ref().zip(name.as_ref()).map(|(namespace, name)| format!("{namespace}/{name}"));
    glob.matches(uid) || [name.as_deref(), whole.as_deref()].into_iter().flatten().any(|it| glob.matches(it))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::{
        diagnosis::{Diagnosis, diagnose},
        model::Scope,
    };
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
    fn a_scope_and_a_diagnosis_are_wanted_by_name() {
        let mut incident = samples::memcg();
        incident.diagnosis = diagnose(&incident);
        let scope = |scope| Filter { scope: Some(scope), ..Filter::default() };
        assert!(scope(ScopeKind::Memcg).wants(&incident) && !scope(ScopeKind::Global).wants(&incident));
        let first = incident.diagnosis.first().map(|first| first.code).unwrap();
        let diagnosis = |code| Filter { diagnosis: Some(code), ..Filter::default() };
        let mut behind = incident.clone();
        behind.diagnosis.insert(0, Diagnosis { code: Code::Burst, ..behind.diagnosis[0].clone() });
        assert!(diagnosis(first).wants(&incident) && diagnosis(first).wants(&behind), "not only the first");
        assert!(!diagnosis(Code::ForkBomb).wants(&incident));
        incident.diagnosis.clear();
        assert!(!diagnosis(first).wants(&incident));
    }

    #[test]
    fn all_words_have_to_be_there() {
        let (_, incident) = samples::all().swap_remove(1);
        let wants = |text| Filter { words: Words::of(text), ..Filter::default() }.wants(&incident);
        for text in
            ["", " ", "JAVA", "java[81234]", "2026-11-20 node-7", "pod3f21 memcg", "held most 0000008123456"]
        {
            assert!(wants(text), "{text}");
        }
        assert!(!wants("java machine") && !wants("envoy"), "a candidate only");
        assert!(
            Filter { words: Words::of("\\x1b[2J"), ..Filter::default() }.wants(&samples::hostile()),
            "as it is shown"
        );
        assert!(!Filter { words: Words::of("x"), ..Filter::default() }.wants(&Incident::default()));
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
