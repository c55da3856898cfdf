//! Sums of reclaim over the time before a call, from the buckets that the BPF programs keep; and since the start.

mod skipped;
mod totals;

use super::load::HookStatus;
use crate::{
    clock,
    incident::{
        escalation::{Compacted, Kswapd, Skipped, Window, Work},
        fact::Escalation,
    },
};
use anyhow::{Context as _, Result};
use aya::{
    Ebpf, Pod,
    maps::{HashMap, MapData, MapError, PerCpuArray},
    util::nr_cpus,
};
use oom_ebpf as wire;
use skipped::Looks;
use std::collections::BTreeMap;

/// Lengths of the windows, seconds.
const SHORT: u64 = 10;
const LONG: u64 = 60;
/// Above so many entries for cgroups in one window some may have been pushed out of the map.
const CROWD: u64 = wire::CGROUP_BUCKETS as u64 / 2;

/// A value of a map as aya wants it.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Raw<T>(T);
// SAFETY: words without padding, of which all bytes are a value.
unsafe impl Pod for Raw<wire::Machine> {}
// SAFETY: as above.
unsafe impl Pod for Raw<wire::Work> {}
// SAFETY: as above.
unsafe impl Pod for Raw<wire::CgroupBucket> {}
// SAFETY: as above.
unsafe impl Pod for Raw<wire::Totals> {}

/// Entries for the map of cgroups' buckets: each CPU keeps some free ones in hand, which others do not get.
pub fn cgroup_buckets() -> u32 {
    let cpus = nr_cpus().map_or(1, |cpus| u32::try_from(cpus).unwrap_or(u32::MAX));
    wire::CGROUP_BUCKETS.saturating_add(wire::LRU_IN_HAND.saturating_mul(cpus))
}

/// The buckets and what is known of them.
pub struct Windows {
    machine: HashMap<MapData, u64, Raw<wire::Machine>>,
    cgroups: HashMap<MapData, Raw<wire::CgroupBucket>, Raw<wire::Work>>,
    totals: PerCpuArray<MapData, Raw<wire::Totals>>,
    view: View,
    /// Buckets that nobody adds to any more, by number.
    finished: BTreeMap<u64, wire::Machine>,
    skipped: Looks,
}

/// What can be seen.
#[expect(clippy::struct_excessive_bools, reason = "hooks, each there or not")]
#[derive(Clone, Copy, Debug, Default)]
struct View {
    /// Since when, nanoseconds since boot.
    since_ns: u64,
    direct: bool,
    memcg: bool,
    cgroup: bool,
    scans: bool,
    kswapd: bool,
    throttled: bool,
    compaction: bool,
    zones: bool,
    compactions: bool,
    /// What came of compaction.
    compact_results: bool,
    /// A page was looked at: this kernel tells of it. With the multi-generational LRU not all do.
    scans_told: bool,
}

impl View {
    /// Whether one of these has a page that was looked at.
    fn see<'a>(&mut self, mut sums: impl Iterator<Item = &'a wire::Machine>) {
        self.scans_told |=
            sums.any(|it| it.direct.scanned_pages | it.memcg.scanned_pages | it.kswapd_scanned_pages > 0);
    }

    /// Pages that were looked at are told.
    const fn tells_scans(self) -> bool {
        self.scans && self.scans_told
    }

    fn work(self, work: &wire::Work) -> Work {
        Work {
            rounds: work.rounds,
            ns: work.ns,
            scanned_pages: (self.tells_scans() || work.rounds == 0).then_some(work.scanned_pages),
            reclaimed_pages: work.reclaimed_pages,
        }
    }

    fn compacted(self, of: &wire::Compacted) -> Option<Compacted> {
        let wire::Compacted { runs, ns, succeeded } = *of;
        let succeeded = self.compact_results.then_some(succeeded);
        self.compactions.then_some(Compacted { runs, ns, succeeded })
    }

    fn kswapd(self, all: &wire::Machine) -> Option<Kswapd> {
        self.kswapd.then(|| Kswapd {
            wakes: all.kswapd_wakes,
            sleeps: all.kswapd_sleeps,
            scanned_pages: self.tells_scans().then_some(all.kswapd_scanned_pages),
            reclaimed_pages: self.tells_scans().then_some(all.kswapd_reclaimed_pages),
        })
    }
}

impl Windows {
    /// Takes the maps of an object whose programs are attached. `compact_results`: they see what comes of compaction.
    ///
    /// # Errors
    /// If it has not the maps.
    pub fn new(object: &mut Ebpf, hooks: &[HookStatus], compact_results: bool) -> Result<Self> {
        let mut map =
            |name: &str| object.take_map(name).with_context(|| format!("the BPF object has no map {name}"));
        let mut machine: HashMap<_, u64, Raw<wire::Machine>> = HashMap::try_from(map("MACHINE")?)?;
        let mut cgroups: HashMap<_, Raw<wire::CgroupBucket>, Raw<wire::Work>> =
            HashMap::try_from(map("CGROUPS")?)?;
        let totals = PerCpuArray::try_from(map("TOTALS")?)?;
        let used = |target: &str| hooks.iter().any(|hook| hook.target == target && hook.used.is_some());
        let round = |kind: &str| {
            ["begin", "end"].iter().all(|edge| used(&format!("mm_vmscan_{kind}_reclaim_{edge}")))
        };
        // Not every hook has seen what is there by now. Who adds meanwhile to what is removed makes it anew. The machine's few
        // last, right before the time is taken from which on they count.
        for bucket in cgroups.keys().flatten().collect::<Vec<_>>() {
            let _ = cgroups.remove(&bucket);
        }
        for bucket in machine.keys().flatten().collect::<Vec<_>>() {
            let _ = machine.remove(&bucket);
        }
        let view = View {
            since_ns: clock::boottime_ns(),
            direct: round("direct"),
            memcg: round("memcg"),
            cgroup: round("memcg") && used("try_to_free_mem_cgroup_pages"),
            scans: used("mm_vmscan_lru_shrink_inactive"),
            kswapd: used("mm_vmscan_kswapd_wake") && used("mm_vmscan_kswapd_sleep"),
            throttled: used("mm_vmscan_throttled"),
            compaction: used("compact_retry"),
            zones: used("reclaim_retry_zone"),
            compactions: used("mm_compaction_begin") && used("mm_compaction_end"),
            compact_results,
            scans_told: false,
        };
        let skipped = Looks::new(object, view.since_ns);
        Ok(Self { machine, cgroups, totals, view, finished: BTreeMap::new(), skipped })
    }

    /// Has a look at what the kernel has skipped by now. To be called from time to time: what was skipped since a moment is
    /// known from the last look before it.
    pub fn look(&mut self, now_ns: u64) {
        self.skipped.look(now_ns);
    }

    /// Adds the windows to what a record says.
    pub fn add(&mut self, record: &wire::Escalation, fact: &mut Escalation) {
        fact.compaction_seen = self.view.compaction;
        let results = |it: Compacted| it.succeeded.filter(|_| self.view.compact_results);
        let own = fact.compaction.filter(|_| self.view.compactions);
        let now_ns = clock::boottime_ns();
        let now = bucket(now_ns);
        self.skipped.look(now_ns);
        let minute_ago_ns = record.header.time_ns.saturating_sub(LONG * 1_000_000_000);
        fact.skipped = self.skipped.since(minute_ago_ns);
        // Not by now: this record may have waited, and what the incident is about to wait for may have been skipped.
        fact.skipped_until = self.skipped.by(record.header.time_ns);
        fact.compaction = own
            .filter(|_| fact.skipped.compactions == 0)
            .map(|it| Compacted { succeeded: results(it), ..it });
        let Some(long) = Span::new(record.header.time_ns, LONG, self.view.since_ns) else { return };
        let first = bucket(long.from_ns);
        // Whoever takes a bucket's place has removed it. Without reclaim since then it is still there: rather say nothing.
        if now >= first + u64::from(wire::BUCKETS) {
            return;
        }
        let Ok(machine) = self.machine_buckets(first, bucket(long.to_ns), now) else { return };
        let cgroups = self.cgroup_buckets(record.cgroup, first, bucket(long.to_ns));
        let cgroups = cgroups.ok().filter(|_| record.cgroup != 0);
        self.view.see(machine.values().chain([&record.machine_now]));
        fact.scans_told = self.view.tells_scans();
        let window = |span: &Span| {
            window(span, self.view, record, &machine, cgroups.as_ref(), &self.skipped.since(span.from_ns))
        };
        fact.last_10s = Span::new(record.header.time_ns, SHORT, self.view.since_ns).map(|span| window(&span));
        fact.last_60s = Some(window(&long));
    }

    /// The machine's buckets from `first` up to, not with, `last`. An absent one is empty.
    fn machine_buckets(
        &mut self,
        first: u64,
        last: u64,
        now: u64,
    ) -> Result<BTreeMap<u64, wire::Machine>, MapError> {
        self.finished = self.finished.split_off(&first);
        let mut buckets = BTreeMap::new();
        for number in first..last {
            if let Some(known) = self.finished.get(&number) {
                buckets.insert(number, *known);
                continue;
            }
            let found = match self.machine.get(&number, 0) {
                Ok(Raw(found)) => found,
                Err(MapError::KeyNotFound) => wire::Machine::default(),
                Err(error) => return Err(error),
            };
            // Who took the time in it may still be about to add to it.
            if number + 1 < now {
                self.finished.insert(number, found);
            }
            buckets.insert(number, found);
        }
        Ok(buckets)
    }

    fn cgroup_buckets(
        &self,
        cgroup: u64,
        first: u64,
        last: u64,
    ) -> Result<BTreeMap<u64, wire::Work>, MapError> {
        let mut buckets = BTreeMap::new();
        for bucket in first..last {
            match self.cgroups.get(&Raw(wire::CgroupBucket { cgroup, bucket }), 0) {
                Ok(Raw(found)) => {
                    buckets.insert(bucket, found);
                }
                Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(buckets)
    }
}

const fn bucket(ns: u64) -> u64 {
    ns >> wire::BUCKET_SHIFT
}

/// The time before an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    from_ns: u64,
    to_ns: u64,
}

impl Span {
    /// At most so many seconds, from the begin of a bucket or from when on buckets were kept. `None`: nothing was seen.
    fn new(entry_ns: u64, seconds: u64, since_ns: u64) -> Option<Self> {
        let longest = entry_ns.saturating_sub(seconds * 1_000_000_000);
        let begin = (bucket(longest) + 1) << wire::BUCKET_SHIFT;
        let from_ns = if since_ns > longest { since_ns } else { begin };
        (from_ns < entry_ns).then_some(Self { from_ns, to_ns: entry_ns })
    }
}

fn window(
    span: &Span,
    view: View,
    record: &wire::Escalation,
    machine: &BTreeMap<u64, wire::Machine>,
    cgroups: Option<&BTreeMap<u64, wire::Work>>,
    skipped: &Skipped,
) -> Window {
    let numbers = bucket(span.from_ns)..bucket(span.to_ns);
    let mut all = record.machine_now;
    for (_, bucket) in machine.range(numbers.clone()) {
        add_machine(&mut all, bucket);
    }
    let mut own = record.cgroup_now;
    for (_, bucket) in cgroups.into_iter().flat_map(|cgroups| cgroups.range(numbers.clone())) {
        add(&mut own, bucket);
    }
    // Sums that are too small are not told.
    let Skipped { rounds, scans, kswapd, throttled, compactions, .. } = *skipped;
    let whole = all.missed == 0 && rounds + scans == 0;
    let compactions_whole = all.compactions_missed == 0 && compactions == 0;
    let own_whole = whole && view.cgroup && all.unnamed == 0 && all.cgroups <= CROWD;
    Window {
        seconds: (span.to_ns - span.from_ns) as f64 / 1e9,
        cgroup: (own_whole && cgroups.is_some()).then(|| view.work(&own)),
        direct: (whole && view.direct).then(|| view.work(&all.direct)),
        memcg: (whole && view.memcg).then(|| view.work(&all.memcg)),
        kswapd: view.kswapd(&all).filter(|_| kswapd + scans == 0),
        throttled: (view.throttled && throttled == 0).then_some(all.throttled),
        throttled_ns: (view.throttled && throttled == 0).then_some(all.throttled_ns),
        compaction: view.compacted(&all.compaction).filter(|_| compactions_whole),
        kcompactd: view.compacted(&all.kcompactd).filter(|_| compactions_whole),
    }
}

fn add_machine(sum: &mut wire::Machine, bucket: &wire::Machine) {
    let wire::Machine {
        direct,
        memcg,
        kswapd_wakes,
        kswapd_sleeps,
        kswapd_scanned_pages,
        kswapd_reclaimed_pages,
        throttled,
        throttled_ns,
        compaction,
        kcompactd,
        missed,
        compactions_missed,
        unnamed,
        cgroups,
    } = bucket;
    add(&mut sum.direct, direct);
    add(&mut sum.memcg, memcg);
    sum.kswapd_wakes += kswapd_wakes;
    sum.kswapd_sleeps += kswapd_sleeps;
    sum.kswapd_scanned_pages += kswapd_scanned_pages;
    sum.kswapd_reclaimed_pages += kswapd_reclaimed_pages;
    sum.throttled += throttled;
    sum.throttled_ns += throttled_ns;
    add_compacted(&mut sum.compaction, compaction);
    add_compacted(&mut sum.kcompactd, kcompactd);
    sum.missed += missed;
    sum.compactions_missed += compactions_missed;
    sum.unnamed += unnamed;
    sum.cgroups += cgroups;
}

fn add(sum: &mut wire::Work, bucket: &wire::Work) {
    let wire::Work { rounds, ns, scanned_pages, reclaimed_pages } = bucket;
    sum.rounds += rounds;
    sum.ns += ns;
    sum.scanned_pages += scanned_pages;
    sum.reclaimed_pages += reclaimed_pages;
}

fn add_compacted(sum: &mut wire::Compacted, bucket: &wire::Compacted) {
    let wire::Compacted { runs, ns, succeeded } = bucket;
    sum.runs += runs;
    sum.ns += ns;
    sum.succeeded += succeeded;
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const BUCKET: u64 = 1 << wire::BUCKET_SHIFT;

    #[test]
    fn a_span_begins_with_a_bucket_or_with_the_agent() {
        let entry = 100 * BUCKET + 5;
        for (seconds, since, from) in [
            (10, 0, Some(91 * BUCKET)),
            (60, 0, Some(45 * BUCKET)),
            (10, 95 * BUCKET + 7, Some(95 * BUCKET + 7)),
            (60, 44 * BUCKET, Some(45 * BUCKET)),
            // It knows only a part of the bucket that the window would have begun before.
            (10, entry - 10 * SECOND + 1, Some(entry - 10 * SECOND + 1)),
            (10, entry, None),
            (10, entry + SECOND, None),
        ] {
            let span = Span::new(entry, seconds, since);
            assert_eq!(span.map(|span| span.from_ns), from, "{seconds} s, since {since}");
            assert!(span.is_none_or(|span| span.to_ns - span.from_ns <= seconds * SECOND));
        }
        assert_eq!(Span::new(5 * SECOND, 10, 0).unwrap().from_ns, BUCKET, "the machine has just booted");
    }

    #[test]
    fn what_is_older_or_younger_does_not_count() {
        let work = |rounds| wire::Work { rounds, ns: 10 * rounds, scanned_pages: 3, reclaimed_pages: 2 };
        let machine: BTreeMap<u64, _> = (80..102)
            .map(|number| (number, wire::Machine { memcg: work(number), ..wire::Machine::default() }))
            .collect();
        let cgroups = BTreeMap::from([(90, work(1000)), (91, work(2)), (99, work(3)), (100, work(1000))]);
        let record = wire::Escalation {
            cgroup: 7,
            cgroup_now: work(5),
            machine_now: wire::Machine { memcg: work(1), kswapd_wakes: 4, ..wire::Machine::default() },
            ..wire::Escalation::default()
        };
        let view = View { memcg: true, cgroup: true, scans: true, scans_told: true, ..View::default() };
        let span = Span::new(100 * BUCKET + 5, SHORT, 0).unwrap();
        let told = window(&span, view, &record, &machine, Some(&cgroups), &Skipped::default());
        assert_eq!(told.memcg.unwrap().rounds, (91..100).sum::<u64>() + 1);
        let own = Work { rounds: 10, ns: 100, scanned_pages: Some(9), reclaimed_pages: 6 };
        assert_eq!(told.cgroup, Some(own));
        assert_eq!((told.direct, told.kswapd, told.throttled), (None, None, None), "not hooked");
        assert!((told.seconds - (9 * BUCKET + 5) as f64 / 1e9).abs() < 1e-12);

        let untold = View { scans_told: false, ..view };
        let told = window(&span, untold, &record, &machine, None, &Skipped::default());
        assert_eq!((told.memcg.unwrap().scanned_pages, told.cgroup), (None, None));
    }

    #[test]
    fn sums_that_are_too_small_are_not_told() {
        let view = View { direct: true, memcg: true, cgroup: true, ..View::default() };
        let span = Span::new(100 * BUCKET, SHORT, 0).unwrap();
        let seen = |now: wire::Machine| {
            let record = wire::Escalation { cgroup: 7, machine_now: now, ..wire::Escalation::default() };
            let told =
                window(&span, view, &record, &BTreeMap::new(), Some(&BTreeMap::new()), &Skipped::default());
            (told.cgroup.is_some(), told.memcg.is_some(), told.direct.is_some())
        };
        let whole = wire::Machine::default();
        assert_eq!(seen(whole), (true, true, true));
        assert_eq!(seen(wire::Machine { missed: 1, ..whole }), (false, false, false));
        assert_eq!(seen(wire::Machine { unnamed: 1, ..whole }), (false, true, true));
        assert_eq!(seen(wire::Machine { cgroups: CROWD + 1, ..whole }), (false, true, true));
    }

    #[test]
    fn what_skipped_programs_would_have_seen_is_not_told() {
        let view = View {
            direct: true,
            memcg: true,
            kswapd: true,
            throttled: true,
            compactions: true,
            ..View::default()
        };
        let span = Span::new(100 * BUCKET, SHORT, 0).unwrap();
        let told = |skipped| {
            let told = window(&span, view, &wire::Escalation::default(), &BTreeMap::new(), None, &skipped);
            let Window { direct, memcg, kswapd, throttled, compaction, .. } = told;
            assert_eq!(direct.is_some(), memcg.is_some());
            (direct.is_some(), kswapd.is_some(), throttled.is_some(), compaction.is_some())
        };
        let none = Skipped::default();
        assert_eq!(told(none), (true, true, true, true));
        assert_eq!(told(Skipped { rounds: 1, ..none }), (false, true, true, true));
        assert_eq!(told(Skipped { scans: 1, ..none }), (false, false, true, true));
        assert_eq!(told(Skipped { kswapd: 1, ..none }), (true, false, true, true));
        assert_eq!(told(Skipped { throttled: 1, ..none }), (true, true, false, true));
        assert_eq!(told(Skipped { compactions: 1, ..none }), (true, true, true, false));
        assert_eq!(told(Skipped { kills: 1, exits: 1, ..none }), (true, true, true, true));
    }
}
