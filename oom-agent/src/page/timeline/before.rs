//! The time before the kernel entered its OOM path.

use crate::incident::escalation::{Escalation, Window, Work};
use crate::incident::model::{Incident, ScopeKind};
use crate::units;

/// What is drawn of it.
#[derive(Debug, PartialEq)]
pub(super) struct Before {
    /// How far it goes back.
    pub(super) seconds: f64,
    /// Seconds before, and bytes in use; oldest first.
    pub(super) samples: Vec<(f64, u64)>,
    /// Reclaim, oldest first. They do not overlap.
    pub(super) reclaim: Vec<Reclaim>,
}

/// Reclaim in some time.
#[derive(Debug, PartialEq)]
pub(super) struct Reclaim {
    /// Seconds before, the larger one.
    pub(super) from: f64,
    pub(super) to: f64,
    /// From 0 to 3, by the share of the time that was spent in it.
    pub(super) strength: usize,
    /// In words.
    pub(super) said: String,
}

impl Before {
    /// `None`: nothing was seen.
    pub(super) fn of(incident: &Incident) -> Option<Self> {
        let usable = |(seconds, _): &(f64, u64)| seconds.is_finite() && *seconds >= 0.0;
        let samples: Vec<(f64, u64)> =
            incident.growth.iter().flat_map(|growth| &growth.samples).copied().filter(usable).collect();
        let reclaim = incident.escalation.as_ref().map(|seen| reclaim(incident, seen)).unwrap_or_default();
        let oldest = samples.iter().map(|(seconds, _)| *seconds).fold(0.0, f64::max);
        let seconds = reclaim.iter().map(|window| window.from).fold(oldest, f64::max);
        (seconds > 0.0).then_some(Self { seconds, samples, reclaim })
    }
}

/// `2 min ago`, as one says of a time before the kill.
pub(super) fn ago(seconds: f64) -> String {
    if seconds <= 0.0 {
        return "at the kill".to_owned();
    }
    format!("{} before", units::nanoseconds((seconds * 1e9) as u64))
}

/// The last 60 s without the last 10, and these: for the limit that was full, or what the machine's tasks did.
fn reclaim(incident: &Incident, seen: &Escalation) -> Vec<Reclaim> {
    let memcg = incident.scope.kind == Some(ScopeKind::Memcg);
    let own = [&seen.last_60s, &seen.last_10s].into_iter().flatten().any(|window| window.cgroup.is_some());
    let (whose, work): (&str, fn(&Window) -> Option<Work>) = match (memcg, own) {
        (true, true) => ("for this cgroup", |window| window.cgroup),
        (true, false) => ("for all memory cgroups", |window| window.memcg),
        (false, _) => ("of direct reclaim", |window| window.direct),
    };
    let of = |window: &Option<Window>| {
        let window = window.as_ref().filter(|window| window.seconds.is_finite() && window.seconds > 0.0)?;
        Some((window.seconds, work(window)?))
    };
    let (long, short) = (of(&seen.last_60s), of(&seen.last_10s));
    let mut all = Vec::new();
    if let (Some((long, whole)), Some((short, last))) = (long, short)
        && long > short
    {
        let earlier = Work {
            rounds: whole.rounds.saturating_sub(last.rounds),
            ns: whole.ns.saturating_sub(last.ns),
            ..whole
        };
        all.extend(one(long, short, earlier, whose));
    }
    if let Some((short, last)) = short.or(long) {
        all.extend(one(short, 0.0, last, whose));
    }
    all
}

fn one(from: f64, to: f64, work: Work, whose: &str) -> Option<Reclaim> {
    if work.rounds == 0 {
        return None;
    }
    let share = work.ns as f64 / 1e9 / (from - to);
    let strength = match share {
        ..0.01 => 0,
        ..0.1 => 1,
        ..0.5 => 2,
        _ => 3,
    };
    let rounds = units::plural(work.rounds, "round", "rounds");
    let time = |seconds: f64| units::nanoseconds((seconds * 1e9) as u64);
    let when = if to > 0.0 {
        format!("from {} to {} before", time(from), time(to))
    } else {
        format!("in the last {}", time(from))
    };
    let said = format!("{rounds} {whose} {when}, {} in them", units::nanoseconds(work.ns));
    Some(Reclaim { from, to, strength, said })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::growth::Growth;
    use crate::sink::samples;

    #[test]
    fn windows_do_not_overlap_and_the_time_is_that_of_the_oldest() {
        let mut incident = samples::memcg();
        let seen = Before::of(&incident).unwrap();
        let windows: Vec<_> = seen.reclaim.iter().map(|it| (it.from, it.to, it.strength)).collect();
        assert_eq!((seen.seconds, windows), (59.8, vec![(59.8, 9.3, 1), (9.3, 0.0, 2)]));
        assert!(seen.reclaim[0].said.starts_with("1,492 rounds for this cgroup from 1 min to 9.3 s before"));
        let samples = vec![(f64::NAN, 1), (-1.0, 1), (300.0, 5), (0.0, 9)];
        incident.growth = Some(Growth { samples, ..Growth::default() });
        let seen = Before::of(&incident).unwrap();
        assert_eq!((seen.seconds, &seen.samples[..]), (300.0, &[(300.0, 5), (0.0, 9)][..]));
        assert_eq!(Before::of(&Incident::default()), None);
    }
}
