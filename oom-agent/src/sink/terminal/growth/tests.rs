//! Sentences and curves.

use super::*;
use crate::incident::model::Limits;
use crate::sink::terminal::Show;

const MIB: u64 = 1 << 20;

fn text(growth: Growth, limit: Option<u64>) -> String {
    let incident = Incident {
        growth: Some(growth),
        limits: Limits { memory_bytes: limit, ..Limits::default() },
        ..Incident::default()
    };
    let page = Page { width: 200, candidates: Show::All, whole: false };
    let mut out = String::new();
    for line in lines(&incident, &page) {
        line.write(&mut out, false);
    }
    out
}

#[test]
fn sentences() {
    let leak = Growth {
        samples: (0..=55_u32).map(|step| (f64::from(55 - step) * 10.0, u64::from(step) * 18 * MIB)).collect(),
        bytes_per_second: Some(1.8 * MIB as f64),
        seconds: Some(550.0),
        seconds_from_90_percent: Some(55.6),
        shape: Some(Shape::Steady),
        file_refaults: Some(1234),
        swapped_out_pages: Some(5678),
        swapped_in_pages: Some(0),
    };
    let few = Growth { samples: vec![(8.2, 5 * MIB)], ..Growth::default() };
    let full = Growth {
        samples: vec![(20.0, 99 * MIB), (10.0, 98 * MIB), (0.0, 100 * MIB)],
        shape: Some(Shape::Full),
        ..Growth::default()
    };
    let gap = Growth {
        samples: vec![(60.0, 10 * MIB), (3.0, 10 * MIB), (1.0, 60 * MIB), (0.0, 100 * MIB)],
        shape: Some(Shape::Burst),
        bytes_per_second: Some(30.0 * MIB as f64),
        seconds: Some(3.0),
        ..Growth::default()
    };
    for (growth, limit, shown) in [
        (
            leak,
            Some(1000 * MIB),
            "grew steadily, 1.8 MiB/s for 9 min 10 s, from 90 % to the kill in 56 s, 1,234 file pages read again after eviction,\n5,678 pages swapped out on the machine ___....::::----====+++****####\n",
        ),
        (few, None, "did not grow in 8.2 s\n"),
        (full, Some(100 * MIB), "nearly full for 20 s or longer ###\n"),
        (gap, None, "grew suddenly, 30 MiB/s for 3 s ___#\n"),
        (Growth::default(), None, ""),
    ] {
        assert_eq!(text(growth, limit), shown);
    }
}

#[test]
fn a_curve_is_bounded() {
    let growth =
        Growth { samples: vec![(f64::MAX, u64::MAX), (0.0, 0), (-5.0, u64::MAX)], ..Growth::default() };
    assert_eq!(curve(&growth, Some(u64::MAX)).len(), 3);
}
