//! What was counted since the programs were attached.

use super::{View, Windows, add_machine};
use crate::incident::escalation::{Skipped, Totals, Work};
use anyhow::{Context as _, Result};
use oom_ebpf as wire;

impl Windows {
    /// Reclaim on the machine since the start.
    ///
    /// # Errors
    /// If the map cannot be read.
    pub fn totals(&mut self) -> Result<Totals> {
        let by_cpu = self.totals.get(&0, 0).context("cannot read the BPF totals of reclaim")?;
        let mut all = wire::Totals::default();
        for cpu in by_cpu.iter() {
            let wire::Totals { machine, retry_zones, compact_retries } = &cpu.0;
            add_machine(&mut all.machine, machine);
            all.retry_zones += retry_zones;
            all.compact_retries += compact_retries;
        }
        self.view.see(std::iter::once(&all.machine));
        Ok(Totals { skipped: self.skipped(), ..told(self.view, &all) })
    }

    /// Runs of programs that the kernel has skipped since the start. `None`: it does not count them.
    pub fn skipped(&self) -> Option<Skipped> {
        self.skipped.now()
    }
}

fn told(view: View, all: &wire::Totals) -> Totals {
    let wire::Totals { machine, retry_zones, compact_retries } = all;
    // Without a round, too, 0 would say that pages are told of.
    let work = |work: &wire::Work| Work {
        scanned_pages: view.tells_scans().then_some(work.scanned_pages),
        ..view.work(work)
    };
    Totals {
        direct: view.direct.then(|| work(&machine.direct)),
        memcg: view.memcg.then(|| work(&machine.memcg)),
        kswapd: view.kswapd(machine),
        throttled: view.throttled.then_some(machine.throttled),
        throttled_ns: view.throttled.then_some(machine.throttled_ns),
        retry_zones: view.zones.then_some(*retry_zones),
        compact_retries: view.compaction.then_some(*compact_retries),
        compaction: view.compacted(&machine.compaction),
        kcompactd: view.compacted(&machine.kcompactd),
        skipped: None,
        missed_rounds: machine.missed,
        missed_compactions: machine.compactions_missed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::escalation::{Compacted, Kswapd};

    #[test]
    fn what_is_not_hooked_is_not_told() {
        let work = wire::Work { rounds: 2, ns: 30, scanned_pages: 0, reclaimed_pages: 5 };
        let compaction = wire::Compacted { runs: 6, ns: 50, succeeded: 2 };
        let machine = wire::Machine {
            direct: work,
            kswapd_wakes: 7,
            throttled: 1,
            compaction,
            ..wire::Machine::default()
        };
        let all = wire::Totals { machine, retry_zones: 3, compact_retries: 4 };
        assert_eq!(told(View::default(), &all), Totals::default());
        let mut view = View { direct: true, scans: true, kswapd: true, zones: true, ..View::default() };
        let seen = told(view, &all);
        let direct = Work { rounds: 2, ns: 30, scanned_pages: None, reclaimed_pages: 5 };
        assert_eq!((seen.direct, seen.memcg, seen.retry_zones), (Some(direct), None, Some(3)));
        let kswapd = Kswapd { wakes: 7, ..Kswapd::default() };
        assert_eq!(seen.kswapd, Some(kswapd), "no page was told of: how many there were is not known");
        assert_eq!((seen.compaction, seen.compact_retries), (None, None));
        let hooked = View { compactions: true, ..view };
        let told_compaction = |view| told(view, &all).compaction;
        let expected = |succeeded| Some(Compacted { runs: 6, ns: 50, succeeded });
        assert_eq!(told_compaction(hooked), expected(None));
        assert_eq!(told_compaction(View { compact_results: true, ..hooked }), expected(Some(2)));
        // Another one's pages show that this kernel tells of them.
        let pages = wire::Machine { kswapd_scanned_pages: 9, ..machine };
        view.see([&pages].into_iter());
        let seen = told(view, &wire::Totals { machine: pages, ..all });
        assert_eq!(seen.direct.unwrap().scanned_pages, Some(0));
        assert_eq!(seen.kswapd.unwrap().scanned_pages, Some(9));
    }
}
