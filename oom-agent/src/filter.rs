//! Which incidents are wanted: by what they are about (`--cgroup`, `--victim`) and by when they were.

use crate::{
    explain::{moment::Moment, when::Window},
    incident::{
        diagnosis::Code,
        model::{Incident, ScopeKind, Victim},
    },
    sink::{
        escape, path,
        terminal::{headline, words},
    },
};
use wildmatch::WildMatch;

/// What an incident has to be about. Everything where nothing is asked for.
#[derive(Debug, Default)]
pub struct Filter {
    cgroup: Option<WildMatch>,
    victim: Option<VictimFilter>,
    /// The limit that was hit.
    pub scope: Option<ScopeKind>,
    /// The first diagnosis.
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
    for victim in &incident.victims {
        text.push(words::who(&victim.comm, victim.pid));
        text.extend(victim.cgroup.as_deref().map(path::shown));
    }
    text.extend(incident.diagnosis.iter().map(|diagnosis| diagnosis.title.clone()));
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
    /// `cgroup`: a glob over whole cgroup paths (`*` also matches `/`). `victim`: a glob over command names, or a process
    /// id.
    pub fn new(cgroup: Option<&str>, victim: Option<&str>) -> Self {
        let victim = victim.map(|text| VictimFilter { comm: WildMatch::new(text), pid: text.parse().ok() });
        Self { cgroup: cgroup.map(WildMatch::new), victim, ..Self::default() }
    }

    /// Whether the cgroup that was full, or one of a victim, matches, a victim does, and the rest. What is unknown does not.
    pub fn wants(&self, incident: &Incident) -> bool {
        let Self { cgroup, victim, scope, diagnosis, words } = self;
        cgroup.as_ref().is_none_or(|glob| {
            let victims = incident.victims.iter().filter_map(|victim| victim.cgroup.as_deref());
            incident.scope.cgroup.as_deref().into_iter().chain(victims).any(|path| glob.matches(path))
        }) && victim.as_ref().is_none_or(|wanted| incident.victims.iter().any(|it| wanted.matches(it)))
            && scope.is_none_or(|scope| incident.scope.kind == Some(scope))
            && diagnosis.is_none_or(|code| incident.diagnosis.first().is_some_and(|first| first.code == code))
            && words.are_in(incident)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::{diagnosis::diagnose, model::Scope};
    use crate::sink::samples;

    #[test]
    fn a_glob_matches_whole_paths_across_slashes() {
        let scope = Scope { cgroup: Some("/kubepods/burstable/pod1".into()), ..Scope::default() };
        let incident = Incident { scope, ..Incident::default() };
        let wants = |glob| Filter::new(Some(glob), None).wants(&incident);
        assert!(Filter::default().wants(&incident));
        assert!(wants("/kubepods/*"));
        assert!(wants("*pod?"));
        assert!(!wants("/kubepods"));
        assert!(!Filter::new(Some("*"), None).wants(&Incident::default()), "unknown is not a match");
    }

    #[test]
    fn a_scope_and_a_diagnosis_are_wanted_by_name() {
        let mut incident = samples::memcg();
        incident.diagnosis = diagnose(&incident);
        let scope = |scope| Filter { scope: Some(scope), ..Filter::default() };
        assert!(scope(ScopeKind::Memcg).wants(&incident) && !scope(ScopeKind::Global).wants(&incident));
        let first = incident.diagnosis.first().map(|first| first.code).unwrap();
        let diagnosis = |code| Filter { diagnosis: Some(code), ..Filter::default() };
        assert!(diagnosis(first).wants(&incident) && !diagnosis(Code::ForkBomb).wants(&incident));
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
        let wants = |victim| Filter::new(None, Some(victim)).wants(&group);
        assert!(wants("worker"));
        assert!(wants("coll*"), "any of the victims'?");
        assert!(wants("4240"));
        assert!(!wants("supervisor"), "a candidate only");
        assert!(!wants("424"));
        assert!(!Filter::new(None, Some("*")).wants(&samples::none_killable()));
        assert!(Filter::new(Some("/batch/*"), Some("sh")).wants(&group));
        assert!(!Filter::new(Some("/other"), Some("sh")).wants(&group));
    }
}
