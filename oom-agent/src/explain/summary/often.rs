//! How many incidents of one place there were in a short time: a container that is restarted and killed again.

use crate::explain::moment::Moment;
use std::collections::VecDeque;

/// A short time, nanoseconds: the pause between restarts grows to 5 minutes (kubelet's back-off), so two and the first.
const SHORT_NS: i128 = 10 * 60 * 1_000_000_000;
/// Moments that are kept. More in ten minutes are counted as so many.
const KEPT: usize = 128;

/// The incidents of one place.
#[derive(Clone, Debug, Default)]
pub(super) struct Often {
    begun: bool,
    pub(super) first: Moment,
    pub(super) last: Moment,
    recent: VecDeque<Moment>,
    /// The most that were in a short time.
    pub(super) most: Option<Burst>,
}

/// Incidents in a short time.
#[derive(Clone, Debug)]
pub(super) struct Burst {
    pub(super) count: usize,
    /// From the first to the last of them.
    pub(super) ns: u64,
    pub(super) from: Moment,
    /// There were more.
    pub(super) at_least: bool,
}

impl Often {
    /// Adds one. Without `is_one_place` they are not counted as often: they have only in common that it is not known where
    /// they were.
    pub(super) fn add(&mut self, moment: &Moment, is_one_place: bool) {
        if !std::mem::replace(&mut self.begun, true) || moment.is_before(&self.first) {
            self.first = moment.clone();
        }
        if !moment.is_before(&self.last) {
            self.last = moment.clone();
        }
        if !is_one_place {
            return;
        }
        // A time that goes back or is not known begins anew.
        while let Some(oldest) = self.recent.front() {
            match moment.since(oldest) {
                Some(0..=SHORT_NS) => break,
                _ => self.recent.pop_front(),
            };
        }
        let at_least = self.recent.len() == KEPT;
        if at_least {
            self.recent.pop_front();
        }
        self.recent.push_back(moment.clone());
        let count = self.recent.len();
        let Some(from) = self.recent.front() else { return };
        if at_least || self.most.as_ref().is_none_or(|most| count > most.count) {
            let ns = moment.since(from).and_then(|ns| u64::try_from(ns).ok()).unwrap_or(0);
            let at_least = at_least || self.most.as_ref().is_some_and(|most| most.at_least);
            self.most = Some(Burst { count, ns, from: from.clone(), at_least });
        }
    }

    /// If there were so many in a short time that it is worth a word.
    pub(super) fn burst(&self) -> Option<&Burst> {
        self.most.as_ref().filter(|burst| burst.count >= 3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: &[u64]) -> Often {
        let mut often = Often::default();
        for second in seconds {
            often.add(&Moment { boot_ns: Some(second * 1_000_000_000), ..Moment::default() }, true);
        }
        often
    }

    fn most(seconds: &[u64]) -> Option<(usize, u64)> {
        after(seconds).burst().map(|burst| (burst.count, burst.ns / 1_000_000_000))
    }

    #[test]
    fn the_most_in_ten_minutes_are_found() {
        assert_eq!(most(&[]), None);
        assert_eq!(most(&[0, 600]), None, "two are not often");
        assert_eq!(most(&[0, 300, 600]), Some((3, 600)));
        assert_eq!(most(&[0, 301, 602, 903]), None);
        assert_eq!(most(&[0, 10, 20, 5000, 5001, 5002, 5003, 9000]), Some((4, 3)));
        assert_eq!(most(&[1000, 1001, 5, 6]), None, "after a reboot the clock begins anew");
        let often = after(&[100, 200, 7]);
        assert_eq!((often.first.short(), often.last.short()), ("100.000 s".to_owned(), "7.000 s".to_owned()));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let often = after(&(0..1000).collect::<Vec<_>>()[..500]);
        let burst = often.burst().unwrap();
        assert_eq!((often.recent.len(), burst.count, burst.at_least), (KEPT, KEPT, true));
    }

    #[test]
    fn unknown_times_are_not_often() {
        let mut often = Often::default();
        for _ in 0..5 {
            often.add(&Moment::default(), true);
        }
        assert!(often.burst().is_none());
    }
}
