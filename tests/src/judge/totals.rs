//! Running totals of reclaim against every single round between two looks at them.

use super::Findings;
use super::reclaim::{Compacted, Other, Trace};
use super::sum::Sum;
use crate::truth::model::{Scrape, Totals, Truth};

/// Times are compared less exactly, as in [`super::reclaim`].
const SLACK: f64 = 0.05;
const PAUSE_SECONDS: f64 = 0.05;

/// Compares what was added to each total.
pub(super) fn compare(truth: &Truth, trace: &Trace, level: &str, findings: &mut Findings) {
    let Some(Totals { before, after }) = &truth.totals else { return };
    if level == "kmsg" {
        if !after.values.is_empty() {
            findings
                .wrong(format!("a log knows nothing of reclaim, but there are totals: {:?}", after.values));
        }
        return;
    }
    let mut check = Check { before, after, findings };
    let (from, to) =
        (before.asked_us.midpoint(before.answered_us), after.asked_us.midpoint(after.answered_us));
    // What happened while they were read may be in or out.
    let edge = (before.answered_us - before.asked_us).max(after.answered_us - after.asked_us);
    for (kind, direct) in [("direct", true), ("memcg", false)] {
        let rounds = trace.rounds.iter().filter(|round| round.direct == direct);
        let values = rounds.map(|r| (r.end_us, r.tid, [1, r.scanned, r.reclaimed, r.end_us - r.begin_us]));
        let sum = Sum::of(values, from, to, edge, 0);
        check.counted(&format!("oom_reclaim_rounds_total{{kind=\"{kind}\"}}"), &sum, 0, true);
        check.counted(&format!("oom_reclaim_scanned_pages_total{{kind=\"{kind}\"}}"), &sum, 1, false);
        check.counted(&format!("oom_reclaim_reclaimed_pages_total{{kind=\"{kind}\"}}"), &sum, 2, true);
        check.time(&format!("oom_reclaim_seconds_total{{kind=\"{kind}\"}}"), sum.least[3], sum.most[3]);
    }
    let others = |wanted: Other| Sum::of(trace.counted(wanted), from, to, edge, 0);
    check.counted("oom_kswapd_wakes_total", &others(Other::Wake), 0, true);
    check.counted("oom_kswapd_sleeps_total", &others(Other::Sleep), 0, true);
    let pages = others(Other::KswapdPages);
    check.counted("oom_reclaim_scanned_pages_total{kind=\"kswapd\"}", &pages, 0, false);
    check.counted("oom_reclaim_reclaimed_pages_total{kind=\"kswapd\"}", &pages, 1, false);
    check.counted("oom_reclaim_throttled_total", &others(Other::Throttled), 0, false);
    let zones = trace.zones.iter().flat_map(|(tid, zones)| zones.iter().map(|zone| (*tid, zone)));
    let zones = zones.filter(|(_, (_, zone))| zone.is_some());
    let zones = Sum::of(zones.map(|(tid, (time, _))| (*time, tid, [1])), from, to, edge, 0);
    check.counted("oom_reclaim_retry_zones_total", &zones, 0, true);
    let compactions =
        Sum::of(trace.compactions.iter().map(|(time, tid)| (*time, *tid, [1])), from, to, edge, 0);
    check.counted("oom_compaction_retries_total", &compactions, 0, true);
    for (kind, background) in [("direct", false), ("kcompactd", true)] {
        let runs = trace.compacted.iter().filter(|run| run.background == background);
        let sum = Sum::of(runs.map(Compacted::event), from, to, edge, 0);
        check.counted(&format!("oom_compactions_total{{kind=\"{kind}\"}}"), &sum, 0, true);
        check.counted(&format!("oom_compactions_succeeded_total{{kind=\"{kind}\"}}"), &sum, 2, true);
        let name = format!("oom_compaction_seconds_total{{kind=\"{kind}\"}}");
        check.time(&name, sum.least[1] / 1000, sum.most[1] / 1000);
    }
    let compacted = after.values.get("oom_compactions_total{kind=\"direct\"}");
    if compacted.is_none_or(|runs| *runs < 1.0) {
        findings.wrong(format!("memory was compacted, but there were {compacted:?} runs of it"));
    }
    let memcg = after.values.get("oom_reclaim_rounds_total{kind=\"memcg\"}");
    if memcg.is_none_or(|rounds| *rounds < 1.0) {
        findings.wrong(format!("a cgroup was filled, but it was reclaimed {memcg:?} times"));
    }
}

struct Check<'a> {
    before: &'a Scrape,
    after: &'a Scrape,
    findings: &'a mut Findings,
}

impl Check<'_> {
    /// What was added. It may have been absent, which is as if nothing had been counted yet.
    fn added(&self, name: &str) -> Option<f64> {
        let after = self.after.values.get(name)?;
        Some(after - self.before.values.get(name).unwrap_or(&0.0))
    }

    /// `always`: absent is right only if the kernel told of nothing.
    fn counted<const N: usize>(&mut self, name: &str, sum: &Sum<N>, at: usize, always: bool) {
        let (least, most) = (sum.least[at], sum.most[at]);
        self.findings.sums_compared += 1;
        self.findings.sums_at_edge += usize::from(least != most);
        match self.added(name) {
            Some(added) if (least as f64..=most as f64).contains(&added) => {}
            None if !always && least == 0 => {}
            added => self.findings.wrong(format!("{name} grew by {added:?}, counted {least} to {most}")),
        }
    }

    fn time(&mut self, name: &str, least_us: u64, most_us: u64) {
        let least = least_us as f64 / 1e6 * (1.0 - SLACK) - PAUSE_SECONDS;
        let most = most_us as f64 / 1e6 * (1.0 + SLACK) + PAUSE_SECONDS;
        match self.added(name) {
            Some(added) if (least..=most).contains(&added) => {}
            added => self.findings.wrong(format!("{name} grew by {added:?} s, counted {least} to {most}")),
        }
    }
}
