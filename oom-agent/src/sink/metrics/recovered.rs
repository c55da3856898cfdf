//! Incidents that happened while the agent did not run, and that the kernel's log still told of when it was started; and
//! those of the last run that no scrape has seen.
//!
//! They are counted with all others, but not at once: a counter that begins with what was recovered is no increase to
//! Prometheus, and neither is one that was higher before the restart. So the first scrapes see the counters without them,
//! and some time after the first one they are added.

use super::{Bounds, Last, Metrics, SCOPES, Scope, cgroups::Cgroups};
use crate::identity::Labels;
use crate::incident::model::Incident;

/// From the first scrape until they are counted: whoever scrapes, one after the other, has seen the counters without them.
const SEEN_NS: u64 = 60_000_000_000;

/// Incidents that are to be counted later.
#[derive(Debug)]
pub struct Recovered {
    scopes: [Scope; SCOPES.len()],
    cgroups: Cgroups,
    incidents: u64,
}

impl Recovered {
    /// None.
    pub fn new(bounds: Bounds) -> Self {
        Self { scopes: Default::default(), cgroups: Cgroups::new(bounds), incidents: 0 }
    }

    /// One more, that is not to be counted: from before the agent's first start ever nobody has asked for an increase.
    pub fn uncounted(&mut self) {
        self.incidents += 1;
    }

    /// One more. Once.
    pub fn incident(&mut self, incident: &Incident) {
        self.incidents += 1;
        self.unseen(incident);
    }

    /// One that was stored in the last run, and that no scrape has seen.
    pub fn unseen(&mut self, incident: &Incident) {
        let at = SCOPES.iter().position(|(kind, _)| *kind == incident.scope.kind);
        if let Some(scope) = at.and_then(|at| self.scopes.get_mut(at)) {
            *scope = Scope { incidents: scope.incidents + 1, last: Last::of(incident) };
        }
        for victim in &incident.victims {
            self.cgroups.victim(victim.cgroup.as_deref(), victim.role, Labels::of(&victim.identity));
        }
    }
}

/// Those that wait, and since when the counters are seen without them.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    recovered: Option<Recovered>,
    shown_ns: Option<u64>,
}

impl Metrics {
    /// These were recovered at the start. Their cgroups have series from now on.
    pub fn recovered(&mut self, recovered: Recovered) {
        self.recovered += recovered.incidents;
        self.cgroups.appear_all(&recovered.cgroups);
        let some = recovered.scopes.iter().any(|scope| scope.incidents > 0);
        self.waiting = Waiting { recovered: Some(recovered).filter(|_| some), shown_ns: None };
    }

    /// Somebody is about to scrape. Whether all are counted.
    pub fn recount(&mut self, now_ns: u64) -> bool {
        let Waiting { recovered, shown_ns } = &mut self.waiting;
        let shown_ns = *shown_ns.get_or_insert(now_ns);
        if now_ns.saturating_sub(shown_ns) < SEEN_NS {
            return recovered.is_none();
        }
        let Some(Recovered { scopes, cgroups, incidents: _ }) = recovered.take() else { return true };
        for (scope, more) in self.scopes.iter_mut().zip(scopes) {
            // What happened since is later.
            let last = if scope.incidents == 0 { more.last } else { scope.last };
            *scope = Scope { incidents: scope.incidents + more.incidents, last };
        }
        self.cgroups.add_all(&cgroups);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::{metrics::About, samples};

    const S: u64 = 1_000_000_000;

    fn text(metrics: &mut Metrics, now_ns: u64) -> String {
        metrics.recount(now_ns);
        String::from_utf8(metrics.text()).unwrap()
    }

    #[test]
    fn what_was_recovered_is_an_increase_to_everybody_who_scrapes() {
        let mut recovered = Recovered::new(Bounds::default());
        recovered.incident(&samples::memcg());
        recovered.incident(&samples::memcg());
        recovered.uncounted();
        let mut metrics = Metrics::new(About::default(), Bounds::default()).unwrap();
        metrics.recovered(recovered);
        let cgroup = samples::memcg().victims[0].cgroup.clone().unwrap();
        let counts = |text: &str| {
            let value = |name: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(name)).expect(name);
                line.trim().parse::<u64>().unwrap()
            };
            (
                value("oom_incidents_total{scope=\"memcg\"}"),
                value(&format!(
                    "oom_victims_total{{namespace=\"\",pod=\"\",container=\"\",cgroup=\"{cgroup}\",role=\"selected\"}}"
                )),
                value("oom_agent_recovered_incidents"),
            )
        };
        assert_eq!(counts(&text(&mut metrics, 100 * S)), (0, 0, 3), "the series are there");
        assert_eq!(counts(&text(&mut metrics, 159 * S)), (0, 0, 3), "another one scrapes");
        // One more happens meanwhile.
        metrics.incident(&samples::memcg());
        assert_eq!(counts(&text(&mut metrics, 161 * S)), (3, 3, 3));
        assert_eq!(counts(&text(&mut metrics, 900 * S)), (3, 3, 3), "once");
    }

    #[test]
    fn the_last_incident_is_the_later_one() {
        let mut recovered = Recovered::new(Bounds::default());
        let at = |time: &str| Incident { time: Some(time.to_owned()), ..samples::memcg() };
        recovered.incident(&at("2026-01-01T00:00:00Z"));
        recovered.incident(&at("2026-01-01T00:00:05Z"));
        let mut metrics = Metrics::new(About::default(), Bounds::default()).unwrap();
        metrics.recovered(recovered);
        metrics.incident(&at("2026-01-01T00:01:00Z"));
        text(&mut metrics, 1);
        let last = text(&mut metrics, 61 * S);
        assert!(last.contains("oom_last_incident_timestamp_seconds{scope=\"memcg\"} 1767225660\n"), "{last}");
    }
}
