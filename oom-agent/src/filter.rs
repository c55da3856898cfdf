//! Which incidents are wanted: by what they are about (`--cgroup`, `--victim`) and by when they were.

use crate::{
    explain::{moment::Moment, when::Window},
    incident::{
        diagnosis::Code,
        model::{Incident, ScopeKind, Victim},
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
        let Self { cgroup, victim, scope, diagnosis } = self;
        cgroup.as_ref().is_none_or(|glob| {
            let victims = incident.victims.iter().filter_map(|victim| victim.cgroup.as_deref());
            incident.scope.cgroup.as_deref().into_iter().chain(victims).any(|path| glob.matches(path))
        }) && victim.as_ref().is_none_or(|wanted| incident.victims.iter().any(|it| wanted.matches(it)))
            && scope.is_none_or(|scope| incident.scope.kind == Some(scope))
            && diagnosis.is_none_or(|code| incident.diagnosis.first().is_some_and(|first| first.code == code))
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
