//! Which incidents are wanted.

use crate::incident::model::Incident;
use wildmatch::WildMatch;

/// `--cgroup`.
#[derive(Debug)]
pub struct Filter {
    cgroup: Option<WildMatch>,
}

impl Filter {
    /// A filter for a glob over whole cgroup paths (`*` also matches `/`), or for everything.
    pub fn new(cgroup: Option<&str>) -> Self {
        Self { cgroup: cgroup.map(WildMatch::new) }
    }

    /// Whether the cgroup that was full, or one of a victim, matches. What is unknown does not.
    pub fn wants(&self, incident: &Incident) -> bool {
        let Some(glob) = &self.cgroup else { return true };
        let victims = incident.victims.iter().filter_map(|victim| victim.cgroup.as_deref());
        incident.scope.cgroup.as_deref().into_iter().chain(victims).any(|path| glob.matches(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::model::Scope;

    #[test]
    fn a_glob_matches_whole_paths_across_slashes() {
        let scope = Scope { cgroup: Some("/kubepods/burstable/pod1".into()), ..Scope::default() };
        let incident = Incident { scope, ..Incident::default() };
        assert!(Filter::new(None).wants(&incident));
        assert!(Filter::new(Some("/kubepods/*")).wants(&incident));
        assert!(Filter::new(Some("*pod?")).wants(&incident));
        assert!(!Filter::new(Some("/kubepods")).wants(&incident));
        assert!(!Filter::new(Some("*")).wants(&Incident::default()), "unknown is not a match");
    }
}
