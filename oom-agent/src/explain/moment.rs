//! When an incident was, as far as a log says it.

use crate::incident::id::incident_id;
use crate::incident::model::Incident;
use crate::logs::{Found, Wall};
use jiff::fmt::temporal::Pieces;
use std::collections::HashSet;

/// When something was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moment {
    /// By the clock on the wall, as the log has it.
    pub wall: Option<Wall>,
    /// Nanoseconds since boot.
    pub boot_ns: Option<u64>,
    /// Which log says so: each may be of another boot.
    pub log: u64,
}

impl Moment {
    /// When an incident was that says so itself, with the offset of the clock that it was told by.
    pub fn of(incident: &Incident) -> Self {
        let wall = incident.time.as_deref().and_then(|text| {
            let pieces = Pieces::parse(text).ok()?;
            let civil = pieces.date().to_datetime(pieces.time()?);
            Some(Wall { text: text.to_owned(), civil, has_year: true, offset: pieces.to_numeric_offset() })
        });
        Self { wall, boot_ns: incident.boottime_ns, log: 0 }
    }

    /// To the second: `2026-11-20 10:15:03`, `Nov 20 10:15:03`, `12345.678 s`, `?`.
    pub fn short(&self) -> String {
        match (&self.wall, self.boot_ns) {
            (Some(wall), _) if wall.has_year => wall.civil.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            (Some(wall), _) => wall.civil.strftime("%b %e %H:%M:%S").to_string(),
            (None, Some(ns)) => format!("{}.{:03} s", ns / 1_000_000_000, ns / 1_000_000 % 1000),
            (None, None) => "?".to_owned(),
        }
    }

    /// Whether it was before another one, by the clock on the wall: that of the kernel begins anew with each boot.
    pub fn is_before(&self, other: &Self) -> bool {
        self.wall.is_some() && other.since(self).is_some_and(|ns| ns > 0)
    }

    /// Nanoseconds from `earlier` to this; negative if it was later. `None` if they cannot be compared.
    pub fn since(&self, earlier: &Self) -> Option<i128> {
        match (&self.wall, &earlier.wall) {
            // The offset may be known for both. Else the clock is taken to be the same.
            (Some(to), Some(from)) => Some(wall_ns(to) - wall_ns(from)),
            (None, None) if self.log == earlier.log => {
                Some(i128::from(self.boot_ns?) - i128::from(earlier.boot_ns?))
            }
            _ => None,
        }
    }
}

/// Nanoseconds since 1970, by the log's own clock where its offset is not known.
fn wall_ns(wall: &Wall) -> i128 {
    let offset = wall.offset.unwrap_or(jiff::tz::Offset::UTC);
    offset.to_timestamp(wall.civil).map_or(0, jiff::Timestamp::as_nanosecond)
}

/// An incident with its number among all that were read.
#[derive(Clone, Debug)]
pub struct Told {
    /// From 1.
    pub number: u64,
    /// It, with an id.
    pub incident: Incident,
    /// When it was.
    pub moment: Moment,
}

/// Gives incidents their numbers and ids.
#[derive(Debug, Default)]
pub(super) struct Stamp {
    number: u64,
    log: u64,
    last: Option<(u64, u64, u64)>,
    repeats: u64,
    /// Ids of this log, and of those before.
    ids: HashSet<String>,
    ids_before: HashSet<String>,
    doubles: u64,
}

/// Ids that are remembered, to tell what is in two logs. More than that are not looked for.
const IDS: usize = 1 << 16;

impl Stamp {
    /// How many there were.
    pub(super) fn count(&self) -> u64 {
        self.number
    }

    /// How many were in an earlier log already.
    pub(super) fn doubles(&self) -> u64 {
        self.doubles
    }

    /// What comes now is from another log. It may tell of the same: `syslog` and `kern.log` of one machine.
    pub(super) fn next_log(&mut self) {
        self.ids_before.extend(self.ids.drain());
        self.last = None;
        self.log += 1;
    }

    /// The next one, unless another log had it. Its id depends on what the log says and on nothing else that was read, except where the log has no
    /// time at all. `file`: name of what was read, for logs that name no machine.
    pub(super) fn next(&mut self, found: Found, file: &str) -> Option<Told> {
        let Found { mut incident, wall } = found;
        let moment = Moment { boot_ns: incident.boottime_ns, wall, log: self.log };
        let wall = moment.wall.as_ref().map(wall_ns);
        let unix_ms = wall.and_then(|ns| u64::try_from(ns / 1_000_000).ok()).unwrap_or(0);
        let at = incident.boottime_ns.or_else(|| wall.and_then(|ns| u64::try_from(ns).ok()));
        let machine = incident.boot_id.as_deref().or(incident.node.as_deref()).unwrap_or(file);
        // Victims have a process id each. What has none, and is of the same second in a log without a finer time, is
        // told apart by its order.
        let pid = incident.victims.first().map_or(0, |victim| u64::from(victim.pid));
        let key = (unix_ms, at.unwrap_or(self.number + 1), pid);
        self.repeats = if self.last == Some(key) { self.repeats + 1 } else { 0 };
        self.last = Some(key);
        incident.id = incident_id(unix_ms, machine, key.1, self.repeats << 32 | pid);
        if self.ids_before.contains(&incident.id) {
            self.doubles += 1;
            return None;
        }
        if self.ids.len() + self.ids_before.len() < IDS {
            self.ids.insert(incident.id.clone());
        }
        self.number += 1;
        Some(Told { number: self.number, incident, moment })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::samples;
    use jiff::tz::Offset;

    fn found(wall: Option<Wall>) -> Found {
        let incident = Incident { time: None, id: String::new(), ..samples::memcg() };
        Found { incident, wall }
    }

    fn wall(has_year: bool, offset: Option<Offset>) -> Wall {
        let civil = "2026-11-20T10:15:03.25".parse().unwrap();
        Wall { text: "as written".into(), civil, has_year, offset }
    }

    #[test]
    fn ids_depend_on_the_log_and_not_on_what_else_was_read() {
        let mut first = Stamp::default();
        let one = first.next(found(Some(wall(true, None))), "a").unwrap();
        let again = first.next(found(Some(wall(true, None))), "a").unwrap();
        let mut second = Stamp::default();
        let other = Found { incident: samples::global(), wall: None };
        second.next(other, "b");
        let same = second.next(found(Some(wall(true, None))), "b").unwrap();
        assert_eq!((one.number, again.number, same.number), (1, 2, 2));
        assert_eq!(one.incident.id, same.incident.id, "it names its machine, the file does not matter");
        assert_ne!(one.incident.id, again.incident.id);
        let unnamed = |file| {
            let mut found = found(None);
            (found.incident.node, found.incident.boot_id) = (None, None);
            Stamp::default().next(found, file).unwrap().incident.id
        };
        assert_ne!(unnamed("a"), unnamed("b"));
        assert_eq!(unnamed("a"), unnamed("a"));
    }

    #[test]
    fn what_two_logs_tell_is_told_once() {
        let mut stamp = Stamp::default();
        let next = |stamp: &mut Stamp| stamp.next(found(Some(wall(true, None))), "a").map(|told| told.number);
        assert_eq!(
            (next(&mut stamp), next(&mut stamp)),
            (Some(1), Some(2)),
            "within a log nothing is the same"
        );
        stamp.next_log();
        assert_eq!((next(&mut stamp), next(&mut stamp), next(&mut stamp)), (None, None, Some(3)));
        assert_eq!((stamp.count(), stamp.doubles()), (3, 2));
    }

    #[test]
    fn moments_are_short_and_compare_with_their_like() {
        let with = |wall, boot_ns| Moment { wall, boot_ns, log: 0 };
        let clock = with(Some(wall(true, Some(Offset::constant(1)))), Some(5));
        assert_eq!(clock.short(), "2026-11-20 10:15:03");
        assert_eq!(with(Some(wall(false, None)), None).short(), "Nov 20 10:15:03");
        let own = Moment::of(&samples::memcg());
        assert_eq!(own.short(), "2026-11-20 10:15:03");
        assert!(own.wall.is_some_and(|wall| wall.offset.is_some()) && own.boot_ns.is_some());
        let boot = with(None, Some(12_345_678_901_234));
        assert_eq!(boot.short(), "12345.678 s");
        assert_eq!(Moment::default().short(), "?");
        assert_eq!(boot.since(&with(None, Some(12_345_678_901_000))), Some(234));
        assert_eq!(boot.since(&Moment { log: 1, ..boot.clone() }), None, "perhaps another boot");
        assert_eq!(boot.since(&clock), None);
        let utc = with(Some(wall(true, Some(Offset::UTC))), None);
        assert_eq!(utc.since(&clock), Some(3_600_000_000_000));
    }
}
