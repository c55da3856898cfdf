//! What is read when somebody scrapes: reclaim, cgroups and their limits, who would be next, the agent's own process.

use super::{
    Metrics,
    text::{Text, labelled, plain, sample},
};
use crate::{
    incident::{
        escalation::{Skipped, Totals, Work},
        growth::history::Standing,
    },
    rank::read::next::NextVictim,
    source::own::Own,
};

/// What was read. What is not known is absent, and so are its series.
#[derive(Clone, Debug, Default)]
pub struct Scrape {
    /// Reclaim since the agent attached.
    pub reclaim: Option<Totals>,
    /// Who would be killed if the machine were full.
    pub next: Option<NextVictim>,
    /// The agent's process.
    pub own: Own,
    /// How cgroups stand to their limits, by their paths. Only those that have series are told.
    pub standings: Vec<(String, Standing)>,
}

impl Metrics {
    /// What was read now.
    pub fn scrape(&mut self, mut scrape: Scrape) {
        let standings = std::mem::take(&mut scrape.standings).into_iter();
        scrape.standings =
            standings.filter_map(|(path, it)| Some((self.cgroups.there(&path)?, it))).collect();
        scrape.standings.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.scrape = scrape;
    }

    pub(super) fn limits(&self, text: &mut Text) {
        let all = || self.scrape.standings.iter();
        let of = |cgroup: &str, value: f64| labelled(&self.cgroups.labels(cgroup), value);
        text.gauge(
            "oom_cgroup_memory_usage_bytes",
            "Memory in use by a cgroup that has a limit of its own, with its page cache (memory.current, v1: \
             memory.usage_in_bytes), at the agent's last sample: every 10 s, up to every 60 s while nothing changes.",
            all().map(|(cgroup, it)| of(cgroup, it.usage_bytes as f64)),
        );
        text.gauge(
            "oom_cgroup_memory_limit_bytes",
            "Limit of a cgroup's memory (memory.max, v1: memory.limit_in_bytes); of those without one there are no series.",
            all().map(|(cgroup, it)| of(cgroup, it.limit_bytes as f64)),
        );
        text.gauge(
            "oom_cgroup_memory_growth_bytes_per_second",
            "How fast oom_cgroup_memory_usage_bytes grew over the agent's samples of the last 10 minutes (slope of the straight line that fits \
             them best); negative where it shrank. Absent until there are three samples.",
            all().filter_map(|(cgroup, it)| Some(of(cgroup, it.bytes_per_second?))),
        );
    }

    pub(super) fn next(&self, text: &mut Text) {
        let next = self.scrape.next.as_ref();
        text.gauge(
            "oom_next_victim_points",
            "Points of the process that the kernel would choose if the machine ran out of memory now: pages, with what \
             oom_score_adj adds. Looked for when scraped, at most once a minute; absent while it is not known, where nobody can \
             be killed or where points do not decide (vm.panic_on_oom, vm.oom_kill_allocating_task).",
            next.into_iter().flat_map(|next| plain(next.points)),
        );
        text.gauge(
            "oom_next_victim_memory_bytes",
            "Memory of the process of oom_next_victim_points: resident, in swap and page tables.",
            next.and_then(|next| next.memory_bytes).into_iter().flat_map(plain),
        );
    }

    pub(super) fn reclaim(&self, text: &mut Text) {
        let Some(totals) = &self.scrape.reclaim else { return };
        let Totals {
            direct,
            memcg,
            kswapd,
            throttled,
            throttled_ns,
            retry_zones,
            compact_retries,
            compaction,
            kcompactd,
            skipped,
            missed_rounds,
            missed_compactions,
        } = totals;
        let seconds = |ns: u64| ns as f64 / 1e9;
        let rounds = [("direct", direct), ("memcg", memcg)].into_iter();
        let rounds = || rounds.clone().filter_map(|(kind, work)| Some((kind, work.as_ref()?)));
        let of_rounds = |value: fn(&Work) -> Option<u64>| {
            rounds().filter_map(move |(kind, work)| Some((kind, value(work)?)))
        };
        let by_kind = |values: Vec<(&'static str, u64)>| {
            values.into_iter().map(|(kind, value)| sample([("kind", kind)], value))
        };
        text.counter(
            "oom_reclaim_rounds_total",
            "Rounds of reclaim that ended on the machine since the agent attached, by why: an allocation that found too little \
             free memory (direct), or a memory cgroup at its limit (memcg).",
            by_kind(of_rounds(|work| Some(work.rounds)).collect()),
        );
        text.counter(
            "oom_reclaim_seconds_total",
            "Time of tasks in rounds of reclaim, from begin to end, waits and other tasks' turns on the processor included. kswapd's \
             is not known.",
            rounds().map(|(kind, work)| sample([("kind", kind)], seconds(work.ns))),
        );
        let kswapd_pages = |value: Option<u64>| value.map(|pages| ("kswapd", pages));
        text.counter(
            "oom_reclaim_scanned_pages_total",
            "Pages that reclaim looked at (mm_vmscan_lru_shrink_inactive), by who: tasks in rounds of reclaim, or kswapd. Absent \
             until this kernel has told of one: with the multi-generational LRU not all do.",
            by_kind(
                of_rounds(|work| work.scanned_pages)
                    .chain(kswapd_pages(kswapd.and_then(|it| it.scanned_pages)))
                    .collect(),
            ),
        );
        text.counter(
            "oom_reclaim_reclaimed_pages_total",
            "Pages that reclaim freed: in rounds, slab pages included (nr_reclaimed of mm_vmscan_*_reclaim_end), or by \
             kswapd from the LRU lists only.",
            by_kind(
                of_rounds(|work| Some(work.reclaimed_pages))
                    .chain(kswapd_pages(kswapd.and_then(|it| it.reclaimed_pages)))
                    .collect(),
            ),
        );
        let some = |value: Option<u64>| value.into_iter().flat_map(plain);
        text.counter(
            "oom_reclaim_throttled_total",
            "Waits of reclaim for writeback or for others (mm_vmscan_throttled). Absent before Linux 5.16.",
            some(*throttled),
        );
        text.counter(
            "oom_reclaim_throttled_seconds_total",
            "Time in the waits of oom_reclaim_throttled_total.",
            throttled_ns.map(seconds).into_iter().flat_map(plain),
        );
        text.counter(
            "oom_kswapd_wakes_total",
            "Times that kswapd began to work (mm_vmscan_kswapd_wake): after a sleep, or at once where there was more to do.",
            some(kswapd.map(|it| it.wakes)),
        );
        text.counter(
            "oom_kswapd_sleeps_total",
            "Times that kswapd went back to sleep (mm_vmscan_kswapd_sleep).",
            some(kswapd.map(|it| it.sleeps)),
        );
        text.counter(
            "oom_reclaim_retry_zones_total",
            "Zones that the page allocator looked at after a round of direct reclaim, to see whether another one may help \
             (should_reclaim_retry).",
            some(*retry_zones),
        );
        text.counter(
            "oom_compaction_retries_total",
            "Times that an allocation of more than one page asked whether to compact once more (should_compact_retry).",
            some(*compact_retries),
        );
        let runs = [("direct", compaction), ("kcompactd", kcompactd)].into_iter();
        let runs = || runs.clone().filter_map(|(kind, runs)| Some((kind, runs.as_ref()?)));
        text.counter(
            "oom_compactions_total",
            "Runs of compaction that ended, each over one zone (mm_compaction_end), by who: tasks (direct; mostly in allocations \
             of several pages in one piece), or kcompactd.",
            by_kind(runs().map(|(kind, it)| (kind, it.runs)).collect()),
        );
        text.counter(
            "oom_compactions_succeeded_total",
            "Runs of compaction that made a free block of the size (COMPACT_SUCCESS).",
            by_kind(runs().filter_map(|(kind, it)| Some((kind, it.succeeded?))).collect()),
        );
        text.counter(
            "oom_compaction_seconds_total",
            "Time in runs of compaction, from begin to end.",
            runs().map(|(kind, it)| sample([("kind", kind)], seconds(it.ns))),
        );
        let skipped = skipped.map(|it| {
            let Skipped { rounds, scans, kswapd, throttled, compactions, kills, exits } = it;
            [
                ("rounds", rounds),
                ("scans", scans),
                ("kswapd", kswapd),
                ("throttled", throttled),
                ("compactions", compactions),
                ("kills", kills),
                ("exits", exits),
            ]
        });
        text.counter(
            "oom_agent_skipped_runs_total",
            "Runs of the agent's BPF programs that the kernel skipped (recursion_misses), by what they see: from Linux 7.0 on a \
             task can be preempted in one, and others on that processor go unseen until it goes on. Absent where it does not count them (before 5.12).",
            skipped.into_iter().flatten().map(|(sees, runs)| sample([("sees", sees)], runs)),
        );
        text.counter(
            "oom_agent_missed_reclaim_rounds_total",
            "Rounds of reclaim that could not be counted, since another task's was under way in the same place: the totals are \
             too small by them.",
            plain(*missed_rounds),
        );
        text.counter(
            "oom_agent_missed_compactions_total",
            "Runs of compaction that could not be counted, since another task's was under way in the same place.",
            plain(*missed_compactions),
        );
    }

    /// As Prometheus' client libraries name them.
    pub(super) fn own(&self, text: &mut Text) {
        let Own { cpu_seconds, start_unix_seconds, resident_bytes, virtual_bytes, open_files, most_files } =
            self.scrape.own;
        let some = |value: Option<u64>| value.into_iter().flat_map(plain);
        text.counter(
            "process_cpu_seconds_total",
            "Time of the agent on processors, in user space and in the kernel. What its BPF programs cost is others' time.",
            cpu_seconds.into_iter().flat_map(plain),
        );
        text.gauge(
            "process_start_time_seconds",
            "When the agent started, seconds since 1970.",
            start_unix_seconds.into_iter().flat_map(plain),
        );
        text.gauge("process_resident_memory_bytes", "Memory of the agent in RAM.", some(resident_bytes));
        text.gauge("process_virtual_memory_bytes", "Addresses of the agent.", some(virtual_bytes));
        text.gauge("process_open_fds", "Files that the agent has open.", some(open_files));
        text.gauge(
            "process_max_fds",
            "Files that the agent may have open.",
            most_files.map(|most| most as f64).map(plain).into_iter().flatten(),
        );
    }
}
