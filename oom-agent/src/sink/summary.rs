//! What a trace says when it ends.

use super::units;
use crate::incident::model::{Incident, Rule};
use std::fmt::Write as _;
use std::time::Duration;

/// What was seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Incidents.
    pub incidents: u64,
    /// Processes that died in them.
    pub victims: u64,
    /// Incidents in which the kernel found nothing to kill.
    pub none_killable: u64,
    /// Records and candidates that are known to be lost.
    pub lost_records: u64,
}

impl Tally {
    /// Counts an incident.
    pub fn count(&mut self, incident: &Incident) {
        self.incidents += 1;
        self.victims += incident.victims.len() as u64;
        self.none_killable +=
            u64::from(incident.decision.as_ref().is_some_and(|it| it.rule == Rule::NoneKillable));
        self.lost_records += incident.evidence.lost_records + incident.candidates_lost.unwrap_or(0);
    }
}

/// One line for stderr, without a line feed.
pub fn summary(tally: &Tally, duration: Duration) -> String {
    let Tally { incidents, victims, none_killable, lost_records } = *tally;
    let mut out = format!(
        "{} in {}: {}",
        units::plural(incidents, "incident", "incidents"),
        units::nanoseconds(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)),
        units::plural(victims, "victim", "victims"),
    );
    if none_killable > 0 {
        let _ = write!(out, ", {} with nothing to kill", units::plural(none_killable, "call", "calls"));
    }
    let _ = match lost_records {
        0 => write!(out, ", no records lost"),
        lost => write!(out, ", {} LOST", units::plural(lost, "record", "records")),
    };
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::samples;

    #[test]
    fn a_trace_ends_with_what_it_saw_and_lost() {
        assert_eq!(
            summary(&Tally::default(), Duration::from_secs(30)),
            "0 incidents in 30 s: 0 victims, no records lost"
        );
        let mut tally = Tally::default();
        for (_, incident) in samples::all() {
            tally.count(&incident);
        }
        assert_eq!(tally.incidents, samples::all().len() as u64);
        tally.lost_records = 1;
        let line = summary(&tally, Duration::from_millis(125_300));
        assert!(line.contains("1 call with nothing to kill, 1 record LOST"), "{line}");
    }
}
