//! Sums of events within a window of time, by a clock that was looked at at another moment.

use std::collections::BTreeMap;

/// Microseconds, thread, and what is summed up.
pub(super) type Event<const N: usize> = (u64, u32, [u64; N]);

/// Counts what is certain and what is so close to an edge that it may be in or out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sum<const N: usize> {
    pub(super) least: [u64; N],
    pub(super) most: [u64; N],
}

impl<const N: usize> Sum<N> {
    /// `stalled`: so many processors may have stood still between the two looks at the clock, since their host had other
    /// work, for [`STALL_US`] at most: one thread on each, which was there with one event.
    pub(super) fn of(
        events: impl Iterator<Item = Event<N>>,
        from_us: u64,
        to_us: u64,
        edge_us: u64,
        stalled: usize,
    ) -> Self {
        let mut sum = Self { least: [0; N], most: [0; N] };
        let mut near = [from_us, to_us].map(Near::of);
        for (time, tid, values) in events {
            let maybe = time + edge_us >= from_us && time <= to_us + edge_us;
            let surely = time > from_us + edge_us && time + edge_us < to_us;
            for ((most, least), value) in sum.most.iter_mut().zip(&mut sum.least).zip(values) {
                *most += if maybe { value } else { 0 };
                *least += if surely { value } else { 0 };
            }
            for near in near.iter_mut().filter(|_| stalled > 0) {
                near.add(time, tid, [surely, !maybe], values);
            }
        }
        for near in near {
            let events: Vec<_> = near.sides.into_iter().flat_map(BTreeMap::into_values).collect();
            for (at, (least, most)) in sum.least.iter_mut().zip(&mut sum.most).enumerate() {
                let largest = |in_or_out: usize| {
                    let of_them = events.iter().filter(|(_, certain, _)| certain[in_or_out]);
                    let mut values: Vec<u64> = of_them.map(|(.., values)| values[at]).collect();
                    values.sort_unstable_by(|a, b| b.cmp(a));
                    values.into_iter().take(stalled).sum::<u64>()
                };
                *least = least.saturating_sub(largest(0));
                *most += largest(1);
            }
        }
        sum
    }
}

/// A processor stands still for no longer, microseconds.
const STALL_US: u64 = 1_000_000;

/// How far away, whether it is certainly in or certainly out, and what is summed up.
type Nearest<const N: usize> = (u64, [bool; 2], [u64; N]);

/// The events of each thread that are nearest to an edge, on either side: whether they are certainly in or certainly out.
struct Near<const N: usize> {
    edge_us: u64,
    sides: [BTreeMap<u32, Nearest<N>>; 2],
}

impl<const N: usize> Near<N> {
    const fn of(edge_us: u64) -> Self {
        Self { edge_us, sides: [BTreeMap::new(), BTreeMap::new()] }
    }

    fn add(&mut self, time: u64, tid: u32, certain: [bool; 2], values: [u64; N]) {
        let away = time.abs_diff(self.edge_us);
        if away > STALL_US {
            return;
        }
        let nearest =
            self.sides[usize::from(time > self.edge_us)].entry(tid).or_insert((away, certain, values));
        if away <= nearest.0 {
            *nearest = (away, certain, values);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two threads, an event each 100 us and 110 us; the first one's count 1, the other's 10.
    fn sum(stalled: usize) -> Sum<1> {
        let events = (1..100).flat_map(|at| [(at * 100, 1, [1]), (at * 110, 2, [10])]);
        Sum::of(events, 1_050, 5_050, 0, stalled)
    }

    #[test]
    fn who_stood_still_has_one_event_on_the_other_side_of_an_edge() {
        let exact = sum(0);
        // 1,100 to 5,000, and 1,100 to 4,950.
        assert_eq!((exact.least, exact.most), ([40 + 360], [40 + 360]));
        let one = sum(1);
        assert_eq!((one.least, one.most), ([400 - 2 * 10], [400 + 2 * 10]));
        let both = sum(2);
        assert_eq!((both.least, both.most), ([400 - 2 * 11], [400 + 2 * 11]));
        // There are no more threads.
        assert_eq!((sum(9).least, sum(9).most), (both.least, both.most));
    }

    #[test]
    fn what_may_be_in_or_out_anyhow_is_counted_once() {
        let close = [(1_000, 1, [1]), (2_000, 1, [1]), (2_990, 1, [1])];
        let sum = |stalled| Sum::of(close.into_iter(), 1_500, 3_000, 100, stalled);
        assert_eq!((sum(0).least, sum(0).most), ([1], [2]));
        // At the begin one may be in that is out, and one out that is in. At the end there is the one that may be either.
        assert_eq!((sum(1).least, sum(1).most), ([0], [3]));
    }
}
