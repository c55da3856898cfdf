//! When incidents were, by what their log has for clocks.

use super::line::Line;
use super::stamp::{Stamp, Wall, Years};
use crate::incident::model::Incident;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use std::collections::VecDeque;

/// Stamps of lines that are kept, for the incidents that begin with them.
const MOST_MARKS: usize = 256;

/// A message, and when its writer wrote it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dated<'a> {
    pub(super) line: &'a Line<'a>,
    /// Its end may be missing.
    pub(super) is_cut: bool,
    /// The stamp as nanoseconds since 1970, where the kernel's own clock is missing. Only differences mean something.
    pub(super) wall_ns: Option<u64>,
}

/// Stamps to numbers.
#[derive(Debug)]
pub(super) struct Dates {
    years: Years,
    /// The last one: most are the same as the one before.
    text: String,
    ns: Option<u64>,
}

impl Dates {
    pub(super) fn new(years: Years) -> Self {
        // Where nothing gives a year, any does. Later ones are too many nanoseconds after 1970.
        const ANY: DateTime = DateTime::constant(2400, 12, 31, 23, 59, 59, 0);
        let years = Years { latest: years.latest.or(Some(ANY)) };
        Self { years, text: String::new(), ns: None }
    }

    pub(super) fn date<'a>(&mut self, line: &'a Line<'a>, is_cut: bool) -> Dated<'a> {
        let stamp = line.stamp.as_ref().filter(|_| line.boot_ns.is_none());
        let wall_ns = stamp.and_then(|stamp| self.ns(stamp));
        Dated { line, is_cut, wall_ns }
    }

    fn ns(&mut self, stamp: &Stamp<'_>) -> Option<u64> {
        if self.text != stamp.text {
            self.text.clear();
            self.text.push_str(&stamp.text);
            self.ns = stamp.wall(self.years).as_ref().and_then(since_1970);
        }
        self.ns
    }
}

/// As if a zone that is not known were UTC.
pub(super) fn since_1970(wall: &Wall) -> Option<u64> {
    let time = wall.offset.unwrap_or(Offset::UTC).to_timestamp(wall.civil).ok()?;
    u64::try_from(time.as_nanosecond()).ok()
}

/// What the lines of a machine are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    /// The kernel's own: nanoseconds since boot.
    Boot,
    /// The writer's date and time of day.
    Wall,
    /// Only the order of the lines.
    Missing,
}

impl Clock {
    /// The best that a line has.
    pub(super) fn of(message: &Dated<'_>) -> Self {
        match message {
            Dated { line: Line { boot_ns: Some(_), .. }, .. } => Self::Boot,
            Dated { wall_ns: Some(_), .. } => Self::Wall,
            Dated { .. } => Self::Missing,
        }
    }

    /// A message's time by this clock.
    pub(super) fn time_ns(self, message: &Dated<'_>) -> Option<u64> {
        match self {
            Self::Boot => message.line.boot_ns,
            Self::Wall => message.wall_ns,
            Self::Missing => None,
        }
    }

    /// How far two equal times may be apart.
    pub(super) fn resolution_ns(self, message: &Dated<'_>) -> u64 {
        match self {
            Self::Wall => message.line.stamp.as_ref().map_or(0, |stamp| stamp.resolution_ns),
            Self::Boot | Self::Missing => 0,
        }
    }
}

/// Stamps of the lines that incidents begin with, in the log's order, each with its time on the stream's clock.
#[derive(Debug, Default)]
pub(super) struct Marks(VecDeque<(u64, Stamp<'static>)>);

impl Marks {
    pub(super) fn push(&mut self, time_ns: Option<u64>, stamp: Option<&Stamp<'_>>) {
        let (Some(time_ns), Some(stamp)) = (time_ns, stamp) else { return };
        // The oldest are those of incidents that are still to be told.
        if self.0.len() >= MOST_MARKS {
            self.0.pop_back();
        }
        self.0.push_back((time_ns, stamp.clone().into_owned()));
    }

    /// The stamp of an incident that began at `time_ns`; none is asked for out of order.
    pub(super) fn take(&mut self, time_ns: u64) -> Option<&Stamp<'static>> {
        let at = self.0.iter().rposition(|(time, _)| *time == time_ns);
        let at = at.or_else(|| self.0.iter().rposition(|(time, _)| *time < time_ns))?;
        self.0.drain(..at);
        self.0.front().map(|(_, stamp)| stamp)
    }
}

/// Gives an incident its times and says what they leave open. Gives its date, as far as there is one.
pub(super) fn fill(
    incident: &mut Incident,
    clock: Clock,
    stamp: Option<&Stamp<'_>>,
    years: Years,
) -> Option<Wall> {
    if clock != Clock::Boot {
        (incident.boottime_ns, incident.evidence.log_ns) = (None, None);
        for victim in &mut incident.victims {
            victim.killed_boottime_ns = None;
        }
    }
    let stamp = stamp?;
    let wall = stamp.wall(years);
    incident.time = wall.as_ref().and_then(instant);
    if incident.time.is_none() {
        incident.log_time = Some(stamp.text.clone().into_owned());
        let has_zone = wall.as_ref().is_some_and(|wall| wall.offset.is_some());
        let missing = match (stamp.has_year(), has_zone) {
            (false, false) => "neither the year nor the time zone",
            (false, true) => "no year",
            (true, _) => "no time zone",
        };
        incident.evidence.notes.push(format!("The log's times have {missing}."));
    }
    wall
}

/// RFC 3339.
fn instant(wall: &Wall) -> Option<String> {
    let offset = wall.offset.filter(|_| wall.has_year)?;
    let zoned = wall.civil.to_zoned(TimeZone::fixed(offset)).ok()?;
    Some(zoned.strftime("%Y-%m-%dT%H:%M:%S%.f%:z").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn stamp(line: &str) -> Stamp<'static> {
        crate::logs::line::parse(line.as_bytes()).stamp.unwrap().into_owned()
    }

    fn told(line: &str) -> (Option<String>, Option<String>, String) {
        let mut incident = Incident { boottime_ns: Some(7), ..Incident::default() };
        incident.evidence.log_ns = Some(7);
        let years = Years { latest: Some(date(2026, 12, 31).at(0, 0, 0, 0)) };
        let wall = fill(&mut incident, Clock::Wall, Some(&stamp(line)), years).unwrap();
        assert_eq!((wall.civil.year(), wall.civil.second()), (2026, 3));
        assert_eq!(
            (incident.boottime_ns, incident.evidence.log_ns),
            (None, None),
            "a date is not the time since boot"
        );
        (incident.time, incident.log_time, incident.evidence.notes.join(""))
    }

    #[test]
    fn an_instant_needs_a_year_and_a_zone() {
        assert_eq!(
            told("2026-11-20T10:15:03.25+01:00 node-7 kernel: x"),
            (Some("2026-11-20T10:15:03.25+01:00".into()), None, String::new())
        );
        assert_eq!(
            told("Nov 20 10:15:03 node-7 kernel: x"),
            (
                None,
                Some("Nov 20 10:15:03".into()),
                "The log's times have neither the year nor the time zone.".into()
            )
        );
        assert_eq!(
            told("[Fri Nov 20 10:15:03 2026] x"),
            (None, Some("Fri Nov 20 10:15:03 2026".into()), "The log's times have no time zone.".into())
        );
    }

    #[test]
    fn the_time_since_boot_stays() {
        let mut incident = Incident { boottime_ns: Some(7), ..Incident::default() };
        assert_eq!(fill(&mut incident, Clock::Boot, None, Years::default()), None);
        assert_eq!((incident.boottime_ns, incident.time, incident.log_time), (Some(7), None, None));
    }

    #[test]
    fn an_incident_has_the_stamp_of_its_first_line() {
        let mut marks = Marks::default();
        for (time_ns, second) in [(10, 1), (20, 2), (30, 3)] {
            marks.push(Some(time_ns), Some(&stamp(&format!("Nov 20 10:15:0{second} node-7 kernel: x"))));
        }
        let mut text = |time_ns| marks.take(time_ns).map(|stamp| stamp.text.to_string());
        assert_eq!(text(10).as_deref(), Some("Nov 20 10:15:01"));
        assert_eq!(text(25).as_deref(), Some("Nov 20 10:15:02"), "the line before");
        assert_eq!(text(10), None, "gone");
        assert_eq!(text(30).as_deref(), Some("Nov 20 10:15:03"));
    }

    #[test]
    fn dates_without_a_year_have_their_order() {
        let mut dates = Dates::new(Years::default());
        let mut ns =
            |line: &'static str| dates.date(&crate::logs::line::parse(line.as_bytes()), false).wall_ns;
        let first = ns("Nov 20 10:15:03 node-7 kernel: x").unwrap();
        assert_eq!(ns("Nov 20 10:15:03 node-7 kernel: y"), Some(first));
        assert_eq!(ns("Nov 20 10:15:04 node-7 kernel: y"), Some(first + 1_000_000_000));
        assert_eq!(ns("[    7.000001] y"), None);
    }
}
