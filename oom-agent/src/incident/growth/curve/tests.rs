//! Curves as tables.

use super::*;
use proptest::prelude::*;

const MIB: u64 = 1 << 20;
const LIMIT: u64 = 1000 * MIB;

/// Samples every 10 s, the last one so many seconds before the kill.
fn samples(last: f64, mib: &[u64]) -> Vec<(f64, u64)> {
    let count = mib.len();
    mib.iter().enumerate().map(|(at, mib)| (last + 10.0 * (count - 1 - at) as f64, mib * MIB)).collect()
}

fn memcg(last: f64, mib: &[u64]) -> Growth {
    let curve = Curve {
        samples: samples(last, mib),
        limit: Some(LIMIT),
        at_kill: Some(LIMIT),
        full: true,
        file_refaults: None,
    };
    curve.growth().unwrap()
}

#[test]
fn shapes() {
    use Shape::{Burst, Full, Steady, Uneven};
    for (mib, shape) in [
        (&[100, 280, 460, 640, 820][..], Some(Steady)),
        // Noise is no fall.
        (&[100, 282, 455, 644, 639, 820], Some(Steady)),
        // Flat before.
        (&[100, 100, 101, 100, 100, 280, 460, 640, 820], Some(Steady)),
        // Another life before.
        (&[700, 850, 990, 100, 280, 460, 640, 820], Some(Steady)),
        (&[100, 100, 100, 100, 100, 100], Some(Burst)),
        (&[100, 100, 100, 100, 100, 600], Some(Burst)),
        (&[100], Some(Burst)),
        (&[100, 500], Some(Burst)),
        (&[950, 990, 980, 940, 1000], Some(Full)),
        (&[910, 955], Some(Full)),
        (&[300, 700, 400, 800, 600, 900], Some(Uneven)),
        (&[800, 500, 800, 800, 800], Some(Uneven)),
        // Slowly, then fast.
        (&[500, 510, 520, 530, 540, 550, 560, 900], Some(Uneven)),
        (&[800], None),
        (&[600, 800, 900], None),
    ] {
        assert_eq!(memcg(10.0, mib).shape, shape, "{mib:?}");
    }
}

#[test]
fn a_leak_in_numbers() {
    let growth = memcg(10.0, &[100, 280, 460, 640, 820]);
    assert_eq!(growth.bytes_per_second, Some((18 * MIB) as f64));
    assert_eq!(growth.seconds, Some(50.0));
    // 900 MiB are reached 80 / 180 of the way from the last sample to the kill.
    assert_eq!(growth.seconds_from_90_percent, Some(5.556));
    assert_eq!(growth.samples.len(), 6);
    assert_eq!(growth.samples.first(), Some(&(50.0, 100 * MIB)));
    assert_eq!(growth.samples.last(), Some(&(0.0, LIMIT)));
}

#[test]
fn the_flat_part_before_is_not_growth() {
    let growth = memcg(10.0, &[100, 100, 100, 100]);
    assert_eq!((growth.seconds, growth.bytes_per_second), (Some(10.0), Some((90 * MIB) as f64)));
}

#[test]
fn nothing_is_told_of_nothing() {
    assert_eq!(Curve { at_kill: Some(LIMIT), full: true, ..Curve::default() }.growth(), None);
    // One sample, and nothing known of the kill.
    let growth = Curve { samples: samples(5.0, &[7]), ..Curve::default() }.growth().unwrap();
    assert_eq!(growth, Growth { samples: vec![(5.0, 7 * MIB)], ..Growth::default() });
    // Full all the time: when it became so was not seen, and it did not grow.
    let growth = memcg(10.0, &[1000, 1000, 1000]);
    assert_eq!((growth.seconds_from_90_percent, growth.bytes_per_second), (None, None));
}

#[test]
fn a_machine_has_no_sample_at_the_kill() {
    let machine = |full| {
        let samples = samples(8.0, &[100, 100, 300]);
        Curve { samples, limit: Some(LIMIT), full, ..Curve::default() }.growth().unwrap()
    };
    let growth = machine(true);
    assert_eq!(growth.samples.last(), Some(&(8.0, 300 * MIB)), "what was not measured is not a sample");
    assert_eq!(growth.shape, Some(Shape::Burst));
    assert_eq!(growth.seconds_from_90_percent, Some(1.143));
    // It was not full: how it went on is unknown.
    assert_eq!((machine(false).shape, machine(false).seconds_from_90_percent), (None, None));
}

proptest! {
    #[test]
    fn no_number_is_out_of_bounds(
        usage in proptest::collection::vec((0_u32..30, any::<u64>()), 0..70),
        limit in proptest::option::of(any::<u64>()),
        at_kill in proptest::option::of(any::<u64>()),
        full in any::<bool>(),
    ) {
        let mut age = 0.0;
        let mut samples: Vec<(f64, u64)> = Vec::new();
        for (gap, bytes) in usage {
            age += f64::from(gap);
            samples.insert(0, (age, bytes));
        }
        let count = samples.len();
        let growth = Curve { samples, limit, at_kill, full, file_refaults: None }.growth();
        prop_assert_eq!(growth.is_some(), count > 0);
        if let Some(growth) = growth {
            prop_assert_eq!(growth.samples.len(), count + usize::from(at_kill.is_some()));
            prop_assert!(growth.bytes_per_second.is_none_or(|rate| rate.is_finite() && rate >= 0.0));
            for seconds in [growth.seconds, growth.seconds_from_90_percent].into_iter().flatten() {
                prop_assert!((0.0..=age + 0.001).contains(&seconds), "{} of {}", seconds, age);
            }
        }
    }
}
