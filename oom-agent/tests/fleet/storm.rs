//! Ten thousand nodes at the end of a collector's outage: how many requests come when. With the agent's own waits, and no
//! sockets: time is a number.

use oom_agent::backoff::Backoff;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::Duration,
};

const NODES: u64 = 10_000;

/// How it went.
#[derive(Debug)]
struct Storm {
    /// Requests in the busiest second while the collector was away, without those of the first two minutes, in which all notice.
    peak_away: usize,
    /// Requests in the busiest second after it came back.
    peak_back: usize,
    /// Seconds from its coming back until the last incident was taken.
    all_told_s: u64,
    requests: usize,
}

/// A number for a node's attempt, as good as random and the same each time.
fn random(node: u64, attempt: u64) -> u64 {
    let mut value = node.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ attempt.wrapping_mul(0xd1b5_4a32_d192_ed03);
    for _ in 0..3 {
        value ^= value >> 32;
        value = value.wrapping_mul(0xd6e8_feb8_6659_fd93);
    }
    value ^ (value >> 32)
}

/// All nodes have one batch to send within the first `spread` seconds, the collector is away for `away` seconds and can then
/// take `capacity` requests a second; of more it says that it is busy (503).
fn storm(spread: u64, away: u64, capacity: usize, jitter: bool) -> Storm {
    let mut due = BinaryHeap::new();
    for node in 0..NODES {
        due.push(Reverse((Duration::from_millis(random(node, 0) % (spread * 1000).max(1)), node)));
    }
    let mut nodes = vec![(Backoff::default(), 1_u64); NODES as usize];
    let mut each_second: BTreeMap<u64, usize> = BTreeMap::new();
    let mut last = Duration::ZERO;
    while let Some(Reverse((now, node))) = due.pop() {
        let requests = each_second.entry(now.as_secs()).or_default();
        *requests += 1;
        if now.as_secs() >= away && *requests <= capacity {
            last = now;
            continue;
        }
        let (backoff, attempts) = &mut nodes[node as usize];
        *attempts += 1;
        let random = if jitter { random(node, *attempts) } else { u64::MAX };
        due.push(Reverse((now + backoff.failed(None, false, random), node)));
    }
    let peak = |from: u64, to: u64| each_second.range(from..to).map(|(_, count)| *count).max().unwrap_or(0);
    Storm {
        peak_away: peak(120.min(away), away),
        peak_back: peak(away, u64::MAX),
        all_told_s: last.as_secs().saturating_sub(away),
        requests: each_second.values().sum(),
    }
}

#[test]
fn a_collector_that_comes_back_is_not_run_over() {
    println!("{NODES} nodes with incidents within 10 s, one collector");
    println!("away   takes/s   busiest second away   back   all told after   requests");
    for (away, capacity) in [(60, 10_000), (60, 1000), (600, 10_000), (600, 1000), (600, 200), (3600, 1000)] {
        let Storm { peak_away, peak_back, all_told_s, requests } = storm(10, away, capacity, true);
        println!(
            "{away:>4} s {capacity:>9} {peak_away:>21} {peak_back:>6} {all_told_s:>14} s {requests:>10}"
        );
        // A steady 10,000 in 45 s are 222 a second.
        assert!(away < 600 || peak_away < 500, "{peak_away}");
        assert!(capacity < 1000 || all_told_s <= 120, "{all_told_s}");
    }
    let together = storm(0, 600, 1000, false);
    let apart = storm(0, 600, 1000, true);
    println!(
        "Were all to wait the same: {} in the busiest second instead of {}",
        together.peak_back, apart.peak_back
    );
    assert!(together.peak_back > 10 * apart.peak_back, "{together:?} {apart:?}");
}
