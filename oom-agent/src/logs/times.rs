//! When incidents were, by what their log has for clocks.

use super::Wall;
use super::line::Line;
use crate::incident::model::Incident;
use jiff::tz::{Offset, TimeZone};
use std::collections::VecDeque;

/// Times of lines that are kept, for the incidents that begin with them.
const MOST_MARKS: usize = 256;

/// What the lines of a machine are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    /// The kernel's own: nanoseconds since boot.
    Boot,
    /// The writer's date and time of day, as nanoseconds since 1970.
    Wall,
    /// Only the order of the lines.
    Missing,
}

impl Clock {
    /// The best that a line has.
    pub(super) fn of(line: &Line<'_>) -> Self {
        match line {
            Line { boot_ns: Some(_), .. } => Self::Boot,
            Line { wall: Some(_), .. } => Self::Wall,
            _ => Self::Missing,
        }
    }

    /// A line's time by this clock.
    pub(super) fn time_ns(self, line: &Line<'_>) -> Option<u64> {
        match self {
            Self::Boot => line.boot_ns,
            Self::Wall => line.wall.as_ref().and_then(since_1970),
            Self::Missing => None,
        }
    }

    /// How far apart the times of two lines must be to differ.
    pub(super) fn resolution_ns(self, line: &Line<'_>) -> u64 {
        let whole = |wall: &Wall| wall.civil.subsec_nanosecond() == 0;
        match self {
            Self::Wall if line.wall.as_ref().is_some_and(whole) => 1_000_000_000,
            Self::Wall => 1_000_000,
            Self::Boot | Self::Missing => 0,
        }
    }
}

/// As if a zone that is not known were UTC: only differences count.
fn since_1970(wall: &Wall) -> Option<u64> {
    let time = wall.offset.unwrap_or(Offset::UTC).to_timestamp(wall.civil).ok()?;
    u64::try_from(time.as_nanosecond()).ok()
}

/// Dates of the lines that incidents begin with, in the log's order, each with its time on the stream's clock.
#[derive(Debug, Default)]
pub(super) struct Marks(VecDeque<(u64, Wall)>);

impl Marks {
    pub(super) fn push(&mut self, time_ns: Option<u64>, wall: Option<&Wall>) {
        let (Some(time_ns), Some(wall)) = (time_ns, wall) else { return };
        // The oldest are those of incidents that are still to be told.
        if self.0.len() >= MOST_MARKS {
            self.0.pop_back();
        }
        self.0.push_back((time_ns, wall.clone()));
    }

    /// The date of an incident that began at `time_ns`; none is asked for out of order.
    pub(super) fn take(&mut self, time_ns: u64) -> Option<Wall> {
        let at = self.0.iter().rposition(|(time, _)| *time == time_ns);
        let at = at.or_else(|| self.0.iter().rposition(|(time, _)| *time < time_ns))?;
        self.0.drain(..at);
        self.0.front().map(|(_, wall)| wall.clone())
    }
}

/// Gives an incident its times and says what they leave open.
pub(super) fn fill(incident: &mut Incident, clock: Clock, wall: Option<&Wall>) {
    if clock != Clock::Boot {
        incident.boottime_ns = None;
        for victim in &mut incident.victims {
            victim.killed_boottime_ns = None;
        }
    }
    let Some(wall) = wall else { return };
    let instant = wall.offset.filter(|_| wall.has_year).and_then(|offset| {
        let zoned = wall.civil.to_zoned(TimeZone::fixed(offset)).ok()?;
        Some(zoned.strftime("%Y-%m-%dT%H:%M:%S%.f%:z").to_string())
    });
    if instant.is_none() {
        incident.log_time = Some(wall.text.clone());
        let missing = match (wall.has_year, wall.offset) {
            (false, None) => "neither the year nor the time zone",
            (false, Some(_)) => "no year",
            (true, _) => "no time zone",
        };
        incident.evidence.notes.push(format!("The log's times have {missing}."));
    }
    incident.time = instant;
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn wall(has_year: bool, offset: Option<Offset>) -> Wall {
        let civil = date(2026, 11, 20).at(10, 15, 3, 250_000_000);
        Wall { text: "as in the log".into(), civil, has_year, offset }
    }

    #[test]
    fn an_instant_needs_a_year_and_a_zone() {
        let told = |wall: &Wall| {
            let mut incident = Incident { boottime_ns: Some(7), ..Incident::default() };
            fill(&mut incident, Clock::Wall, Some(wall));
            assert_eq!(incident.boottime_ns, None, "a date is not the time since boot");
            (incident.time, incident.log_time, incident.evidence.notes.join(""))
        };
        let offset = Some(jiff::tz::offset(1));
        assert_eq!(
            told(&wall(true, offset)),
            (Some("2026-11-20T10:15:03.25+01:00".into()), None, String::new())
        );
        let text = Some("as in the log".to_owned());
        assert_eq!(told(&wall(false, offset)), (None, text.clone(), "The log's times have no year.".into()));
        assert_eq!(
            told(&wall(true, None)),
            (None, text.clone(), "The log's times have no time zone.".into())
        );
        assert_eq!(
            told(&wall(false, None)),
            (None, text, "The log's times have neither the year nor the time zone.".into())
        );
    }

    #[test]
    fn the_time_since_boot_stays() {
        let mut incident = Incident { boottime_ns: Some(7), ..Incident::default() };
        fill(&mut incident, Clock::Boot, None);
        assert_eq!((incident.boottime_ns, incident.time, incident.log_time), (Some(7), None, None));
    }

    #[test]
    fn an_incident_has_the_date_of_its_first_line() {
        let mut marks = Marks::default();
        for (time_ns, text) in [(10, "a"), (20, "b"), (30, "c")] {
            marks.push(Some(time_ns), Some(&Wall { text: text.into(), ..wall(true, None) }));
        }
        let mut text = |time_ns| marks.take(time_ns).map(|wall| wall.text);
        assert_eq!(text(10).as_deref(), Some("a"));
        assert_eq!(text(25).as_deref(), Some("b"), "the line before");
        assert_eq!(text(10), None, "gone");
        assert_eq!(text(30).as_deref(), Some("c"));
    }
}
