//! Samples to what an incident tells of them.

use super::{Growth, Shape};

/// A fall by less than this part of what was in use is noise: the kernel's counters are exact to a batch per CPU only, and
/// reclaim gives a little back on the way.
const NOISE: f64 = 0.01;
/// A first step of a run that rises less than this part of the whole rise is not yet growth.
const FLAT: f64 = 0.01;
/// Points that a steady or an uneven curve has at least.
const ENOUGH: usize = 5;
/// How far a steady curve may be from the straight line, as a part of its rise.
const BEND: f64 = 0.15;
/// What a steady curve rises by at least, as a part of what was in use at the end.
const RISE: f64 = 0.1;
/// What comes of a burst after the last but one sample at least, as a part of what was in use at the end.
const SUDDEN: f64 = 0.5;
/// From this part of the limit on a cgroup is nearly full.
const NEARLY: f64 = 0.9;
/// Points of a curve that was full all the time.
const FULL: usize = 3;

/// What was sampled, and what is known of the kill.
#[derive(Clone, Debug, Default)]
pub(super) struct Curve {
    /// Seconds before the kill and bytes in use, oldest first.
    pub(super) samples: Vec<(f64, u64)>,
    /// The limit, bytes.
    pub(super) limit: Option<u64>,
    /// In use at the kill, bytes.
    pub(super) at_kill: Option<u64>,
    /// All of the limit was in use at the kill: it is why the kernel killed.
    pub(super) full: bool,
    /// File refaults over the samples.
    pub(super) file_refaults: Option<u64>,
}

/// A sample as a point: seconds until the kill (negative), bytes.
type Point = (f64, f64);

impl Curve {
    /// `None` without a sample.
    pub(super) fn growth(self) -> Option<Growth> {
        let before = self.samples.len();
        if before == 0 {
            return None;
        }
        let end = self.at_kill.or(self.limit.filter(|_| self.full));
        let at = |(seconds, bytes): &(f64, u64)| (-seconds, *bytes as f64);
        let points: Vec<Point> =
            self.samples.iter().map(at).chain(end.map(|end| (0.0, end as f64))).collect();
        let run = run(&points);
        let (rise, seconds) = span(run);
        let grew = rise > 0.0 && seconds > 0.0;
        let limit = self.limit.filter(|limit| *limit > 0).map(|limit| limit as f64);
        let mut samples = self.samples;
        samples.extend(self.at_kill.map(|bytes| (0.0, bytes)));
        Some(Growth {
            samples,
            bytes_per_second: grew.then(|| (rise / seconds).round()),
            seconds: grew.then(|| thousandths(seconds)),
            // Between two points alone it may have gone any way.
            seconds_from_90_percent: limit
                .filter(|_| points.len() >= FULL)
                .and_then(|limit| since(&points, NEARLY * limit))
                .map(thousandths),
            shape: shape(&points, run, limit, end.is_some()),
            file_refaults: self.file_refaults,
            ..Growth::default()
        })
    }
}

/// Rounded, so that no digits are written that mean nothing.
pub(super) fn thousandths(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// The slope of the straight line that fits best (least squares). `None`: two points fit any.
pub(super) fn slope(points: impl Iterator<Item = Point>) -> Option<f64> {
    // Around the first one, so that no digits are lost.
    let (mut first, mut n, mut x, mut y, mut xx, mut xy) = (None, 0.0, 0.0, 0.0, 0.0, 0.0);
    for (seconds, bytes) in points {
        let (from, base) = *first.get_or_insert((seconds, bytes));
        let (dx, dy) = (seconds - from, bytes - base);
        n += 1.0;
        x += dx;
        y += dy;
        xx += dx * dx;
        xy += dx * dy;
    }
    let spread = n * xx - x * x;
    (n >= FULL as f64 && spread > 0.0).then(|| ((n * xy - x * y) / spread).round())
}

/// The longest run up to the last point that does not fall, without the flat part at its begin.
fn run(points: &[Point]) -> &[Point] {
    let falls = |pair: &[Point]| pair[1].1 < pair[0].1 * (1.0 - NOISE);
    let from = points.windows(2).rposition(falls).map_or(0, |at| at + 1);
    let run = &points[from..];
    let (rise, _) = span(run);
    let lifts = |pair: &[Point]| pair[1].1 - pair[0].1 > rise * FLAT;
    let flat = run.windows(2).position(lifts).unwrap_or(0);
    &run[flat..]
}

/// What a run rises by, bytes, and how long it lasts, seconds.
fn span(run: &[Point]) -> (f64, f64) {
    match (run.first(), run.last()) {
        (Some(first), Some(last)) => (last.1 - first.1, last.0 - first.0),
        _ => (0.0, 0.0),
    }
}

/// Seconds since the last time that `level` was reached from below.
fn since(points: &[Point], level: f64) -> Option<f64> {
    points.last().filter(|last| last.1 >= level)?;
    let pair = points.windows(2).rfind(|pair| pair[0].1 < level)?;
    let ((from, low), (to, high)) = (pair[0], pair[1]);
    let crossed = from + (to - from) * (level - low) / (high - low);
    Some(-crossed)
}

/// `whole`: the last point is the kill, not only the last sample.
fn shape(points: &[Point], run: &[Point], limit: Option<f64>, whole: bool) -> Option<Shape> {
    let last = points.last()?.1;
    let full = |limit: f64| points.iter().all(|point| point.1 >= NEARLY * limit);
    if points.len() >= FULL && limit.is_some_and(full) {
        return Some(Shape::Full);
    }
    // How it ended is unknown if the last sample is far from the limit.
    if !whole && limit.is_none_or(|limit| last < NEARLY * limit) {
        return None;
    }
    if run.len() >= ENOUGH && is_steady(run, last) {
        return Some(Shape::Steady);
    }
    let before = points.len() - 1;
    if before > 0 && last - points[before.saturating_sub(2)].1 >= SUDDEN * last {
        return Some(Shape::Burst);
    }
    (points.len() >= ENOUGH).then_some(Shape::Uneven)
}

fn is_steady(run: &[Point], last: f64) -> bool {
    let (rise, seconds) = span(run);
    let first = run[0];
    let off = |point: &Point| (point.1 - first.1 - rise * (point.0 - first.0) / seconds).abs();
    seconds > 0.0 && rise >= RISE * last && run.iter().all(|point| off(point) <= BEND * rise)
}

#[cfg(test)]
mod tests;
