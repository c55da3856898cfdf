//! What is kept and what makes room.

use super::super::Shape;
use super::*;
use crate::incident::model::{Limits, Scope};
use proptest::prelude::*;

const MIB: u64 = 1 << 20;
const SECOND: u64 = 1_000_000_000;

fn incident(kind: ScopeKind, seconds: u64) -> Incident {
    Incident {
        boottime_ns: Some(seconds * SECOND),
        scope: Scope { kind: Some(kind), ..Scope::default() },
        ..Incident::default()
    }
}

#[test]
fn a_cgroup_and_the_machine() {
    let mut history = History::new(60, 8);
    history.admit(7, 100 * MIB).unwrap();
    for step in 1..=6 {
        history.tick(step * 10 * SECOND);
        history.machine(step * 1000 * MIB, 8000 * MIB);
        history.cgroup(7, step * 15 * MIB);
        history.cgroup(8, 1);
        history.file_refaults(7, u64::from(u32::MAX) + step * 5);
    }
    let mut kill = incident(ScopeKind::Memcg, 65);
    kill.limits = Limits { usage_bytes: Some(100 * MIB), memory_bytes: Some(100 * MIB), ..Limits::default() };
    let growth = history.growth(&kill, Some(7)).unwrap();
    assert_eq!(growth.samples.first(), Some(&(55.0, 15 * MIB)));
    assert_eq!(growth.samples.last(), Some(&(0.0, 100 * MIB)));
    assert_eq!(growth.shape, Some(Shape::Steady));
    assert_eq!(growth.file_refaults, Some(25));
    assert_eq!(history.growth(&kill, Some(8)), None, "it has no limit");
    assert_eq!(history.growth(&kill, None), None);
    // Sampled after the kill.
    kill.boottime_ns = Some(35 * SECOND);
    let growth = history.growth(&kill, Some(7)).unwrap();
    assert_eq!(growth.samples.len(), 4);
    assert_eq!(history.growth(&incident(ScopeKind::Memcg, 5), Some(7)), None);

    let growth = history.growth(&incident(ScopeKind::Global, 61), None).unwrap();
    assert_eq!((growth.samples.len(), growth.samples[5]), (6, (1.0, 6000 * MIB)));
    assert_eq!(history.growth(&incident(ScopeKind::Cpuset, 61), None), None);
}

#[test]
fn the_oldest_columns_go() {
    let mut history = History::new(3, 1);
    history.admit(7, MIB).unwrap();
    for step in 1..=5 {
        history.tick(step * SECOND);
        if step != 4 {
            history.cgroup(7, step * UNIT);
        }
    }
    let growth = history.growth(&incident(ScopeKind::Memcg, 5), Some(7)).unwrap();
    assert_eq!(growth.samples, [(2.0, 3 * UNIT), (0.0, 5 * UNIT)]);
    assert_eq!(growth.file_refaults, None);
}

#[test]
fn one_that_is_gone_then_the_least_recently_changed_makes_room() {
    let mut history = History::new(60, 3);
    for id in 1..=3 {
        assert_eq!(history.admit(id, 1000 * UNIT), Ok(None));
    }
    let tick = |history: &mut History, at: u64| {
        history.tick(at * SECOND);
        history.cgroup(1, at * 50 * UNIT);
        history.cgroup(2, 5 * UNIT);
        history.cgroup(3, at * 50 * UNIT);
    };
    tick(&mut history, 1);
    assert_eq!(history.admit(4, MIB), Err(NoRoom), "all have changed of late");
    history.gone(3);
    history.gone(77);
    assert!(history.growth(&incident(ScopeKind::Memcg, 2), Some(3)).is_some(), "kept until it makes room");
    assert_eq!(history.admit(4, MIB), Ok(Some(3)));
    for at in 2..=8 {
        tick(&mut history, at);
        history.cgroup(4, at * MIB / 10);
    }
    assert_eq!(history.admit(5, MIB), Ok(Some(2)));
    assert_eq!(history.growth(&incident(ScopeKind::Memcg, 9), Some(5)), None, "nothing of the one before it");
    assert_eq!(history.growth(&incident(ScopeKind::Memcg, 9), Some(2)), None);
    assert_eq!(History::new(60, 0).admit(1, 1), Err(NoRoom));
}

#[test]
fn a_hundredth_of_the_limit_is_a_change() {
    let mut history = History::new(60, 8);
    history.admit(7, 1000 * MIB).unwrap();
    let mut now = 0;
    let mut changed = |mib: u64| {
        now += SECOND;
        history.tick(now);
        history.cgroup(7, mib * MIB);
        history.changed()
    };
    let usage = [500, 500, 505, 495, 511, 511, 515, 519, 522, 522];
    assert_eq!(usage.map(&mut changed), [true, false, false, false, true, false, false, false, true, false]);
}

proptest! {
    #[test]
    fn memory_is_fixed(steps in proptest::collection::vec((0_u8..6, 0_u64..12, any::<u64>()), 0..400)) {
        let mut history = History::new(4, 5);
        let before = (history.usage.len(), history.rows.capacity());
        let mut now = 0;
        for (step, id, value) in steps {
            match step {
                0 => {
                    now += SECOND;
                    history.tick(now);
                }
                1 => drop(history.admit(id, value)),
                2 => history.gone(id),
                3 => history.cgroup(id, value),
                4 => history.file_refaults(id, value),
                _ => history.machine(value, value),
            }
            let growth = history.growth(&incident(ScopeKind::Memcg, value % 300), Some(id));
            if let Some(growth) = growth {
                prop_assert!(growth.samples.len() <= 4);
                prop_assert!(growth.samples.is_sorted_by(|a, b| a.0 > b.0));
            }
            prop_assert_eq!(history.rows.len(), history.by_id.len() + 1);
        }
        prop_assert_eq!((history.usage.len(), history.rows.capacity()), before);
    }
}

#[test]
fn how_a_cgroup_stands_now() {
    let mut history = History::new(60, 8);
    history.admit(7, 100 * MIB).unwrap();
    assert_eq!(history.standing(7), None, "not sampled yet");
    // What was long before the last sample does not count: every minute, then every 10 s.
    let times = (0..10).map(|minute| minute * 60).chain((0..61).map(|ten| 600 + ten * 10));
    let mut now = 0;
    for seconds in times {
        now = seconds;
        history.tick(seconds * SECOND);
        history.cgroup(7, if seconds < 600 { 80 * MIB } else { (seconds - 590) * 40_960 });
    }
    let standing = history.standing(7).unwrap();
    assert_eq!((standing.usage_bytes, standing.limit_bytes), (610 * 40_960, 100 * MIB));
    assert_eq!(standing.bytes_per_second, Some(40_960.0));
    for step in 1..=3 {
        history.tick((now + step * 10) * SECOND);
        history.cgroup(7, MIB);
    }
    assert!(history.standing(7).unwrap().bytes_per_second < Some(40_000.0));
    history.tick((now + 40) * SECOND);
    assert_eq!(history.standing(7), None, "not in the last sample");
    history.cgroup(7, MIB);
    history.gone(7);
    assert_eq!(history.standing(7), None);
    assert_eq!(history.standing(8), None);
}

#[test]
fn two_samples_tell_no_growth() {
    let mut history = History::new(60, 8);
    history.admit(7, 100 * MIB).unwrap();
    for (seconds, mib, expected) in
        [(10, 30, None), (20, 20, None), (30, 10, Some(-(MIB as f64))), (40, 0, Some(-(MIB as f64)))]
    {
        history.tick(seconds * SECOND);
        history.cgroup(7, mib * MIB);
        assert_eq!(history.standing(7).unwrap().bytes_per_second, expected, "{seconds}");
    }
}
