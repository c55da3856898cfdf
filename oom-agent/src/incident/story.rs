//! What an incident alone does not know: the kills before it on the same machine.

use super::diagnosis::diagnose;
use super::growth::Growth;
use super::model::{Incident, Role, ScopeKind};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Places that are remembered. The one that was quiet for longest makes room.
const MAX_PLACES: usize = 256;
/// A place that was quiet for longer begins anew. A container that runs that long is started at once when it fails
/// again: it is as long as the kubelet's memory of failures.
const PAUSE_NS: u64 = 600_000_000_000;
/// Incidents of one machine are told nearly in order: one that waits for an exit (10 s at most) may be overtaken. A clock that
/// goes back further is another boot's.
const OVERTAKEN_NS: u64 = 12_000_000_000;
/// Hexadecimal digits in a row that are a container's id (docker, containerd, CRI-O, podman). A static pod's uid, which
/// stays, has 32.
const ID_DIGITS: usize = 64;

/// The incidents of one machine, or of those that write into one log, in their order.
#[derive(Debug, Default)]
pub struct Story {
    /// The one with the latest kill last.
    places: Vec<Place>,
}

/// Kills in one place.
#[derive(Clone, Copy, Debug)]
struct Place {
    spot: Spot,
    kills: u64,
    first_ns: u64,
    last_ns: u64,
}

impl Story {
    /// Adds what follows from the whole of an incident and from those before it. The last step in making one.
    pub fn complete(&mut self, incident: &mut Incident, growth: Option<Growth>) {
        self.complete_at(incident, incident.boottime_ns, growth);
    }

    /// The same for an incident of a log, with its time on a clock that all of its incidents have.
    pub fn complete_at(&mut self, incident: &mut Incident, time_ns: Option<u64>, growth: Option<Growth>) {
        incident.growth = growth;
        if let (Some(time_ns), Some(spot)) = (time_ns, Spot::of(incident)) {
            let Place { kills, first_ns, last_ns, .. } = self.kill(spot, time_ns);
            // One that was overtaken comes before the one that was told.
            let number = kills - u64::from(time_ns < last_ns);
            if number > 1 {
                let recovery = incident.recovery.get_or_insert_default();
                recovery.kill_number = Some(number);
                recovery.kills_seconds = Some(time_ns.saturating_sub(first_ns) as f64 / 1e9);
            }
        }
        incident.diagnosis = diagnose(incident);
    }

    /// One more kill in this place.
    fn kill(&mut self, spot: Spot, time_ns: u64) -> Place {
        self.places.retain(|place| {
            time_ns.saturating_sub(place.last_ns) <= PAUSE_NS
                && place.last_ns.saturating_sub(time_ns) <= OVERTAKEN_NS
        });
        let known = self.find(spot).map(|index| self.places.remove(index));
        let place = match known {
            Some(place) => Place {
                kills: place.kills + 1,
                first_ns: place.first_ns.min(time_ns),
                last_ns: place.last_ns.max(time_ns),
                spot: Spot { limit: spot.limit.or(place.spot.limit), ..spot },
            },
            None => Place { spot, kills: 1, first_ns: time_ns, last_ns: time_ns },
        };
        if self.places.len() >= MAX_PLACES {
            self.places.remove(0);
        }
        self.places.push(place);
        place
    }

    /// Without the kernel's report (it prints 10 in 5 s) it may be unknown which limit was hit: such a kill is one more of
    /// those that its victim's cgroup had last.
    fn find(&self, spot: Spot) -> Option<usize> {
        let same = |place: &Place| spot.limit.is_some() && place.spot.limit == spot.limit;
        let alike = |place: &Place| {
            spot.home.is_some()
                && place.spot.home == spot.home
                && (spot.limit.is_none() || place.spot.limit.is_none())
        };
        self.places.iter().rposition(same).or_else(|| self.places.iter().rposition(alike))
    }
}

/// Where something was killed. Hashes of names, which may be long and which others choose.
#[derive(Clone, Copy, Debug)]
struct Spot {
    /// The full memory cgroup, or that of the victim where none was full. `None`: it is unknown which limit was hit.
    limit: Option<u64>,
    /// The cgroup of the last victim.
    home: Option<u64>,
}

impl Spot {
    /// `None`: unknown, or nothing was killed.
    fn of(incident: &Incident) -> Option<Self> {
        let selected = incident.victims.iter().find(|victim| victim.role == Role::Selected);
        let victim = selected.or_else(|| incident.victims.iter().find(|it| it.role != Role::AlreadyDying))?;
        let hash = |path: &str, full: bool| {
            let mut hasher = DefaultHasher::new();
            without_ids(path, |part| hasher.write(part.as_bytes()));
            (full, &incident.node).hash(&mut hasher);
            hasher.finish()
        };
        let home = victim.cgroup.as_deref().map(|path| hash(path, false));
        let limit = match incident.scope.kind {
            None => None,
            Some(ScopeKind::Memcg) => incident.scope.cgroup.as_deref().map(|path| hash(path, true)),
            Some(_) => home,
        };
        (limit.is_some() || home.is_some()).then_some(Self { limit, home })
    }
}

/// The parts of a path between containers' ids. A restarted container has another one; its pod or slice stays.
fn without_ids(path: &str, mut part: impl FnMut(&str)) {
    let mut rest = path;
    while let Some((before, id)) = next_id(rest) {
        part(before);
        rest = id.trim_start_matches(|digit: char| digit.is_ascii_hexdigit());
    }
    part(rest);
}

/// Splits before the first row of digits that is long enough.
fn next_id(path: &str) -> Option<(&str, &str)> {
    let mut begin = 0;
    for (index, byte) in path.bytes().enumerate() {
        if !byte.is_ascii_hexdigit() {
            begin = index + 1;
        } else if index + 1 - begin == ID_DIGITS {
            return path.split_at_checked(begin);
        }
    }
    None
}

#[cfg(test)]
mod tests;
