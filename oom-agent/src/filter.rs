//! Which incidents are wanted by what they are about: `--cgroup`, `--victim`.

use crate::incident::model::{Incident, Victim};
use wildmatch::WildMatch;

/// What an incident has to be about. Everything where nothing is asked for.
#[derive(Debug, Default)]
pub struct Filter {
    cgroup: Option<WildMatch>,
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
    /// `cgroup`: a glob over whole cgroup paths (`*` also matches `/`). `victim`: a glob over command names, or a process
    /// id.
    pub fn new(cgroup: Option<&str>, victim: Option<&str>) -> Self {
        let victim = victim.map(|text| VictimFilter { comm: WildMatch::new(text), pid: text.parse().ok() });
        Self { cgroup: cgroup.map(WildMatch::new), victim }
    }

    /// Whether the cgroup that was full, or one of a victim, matches, and a victim does. What is unknown does not.
    pub fn wants(&self, incident: &Incident) -> bool {
        let Self { cgroup, victim } = self;
        cgroup.as_ref().is_none_or(|glob| {
            let victims = incident.victims.iter().filter_map(|victim| victim.cgroup.as_deref());
            incident.scope.cgroup.as_deref().into_iter().chain(victims).any(|path| glob.matches(path))
        }) && victim.as_ref().is_none_or(|wanted| incident.victims.iter().any(|it| wanted.matches(it)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::model::Scope;
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
