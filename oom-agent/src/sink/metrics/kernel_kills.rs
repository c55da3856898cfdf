//! The kernel's own counters of kills, and what of them no incident explains.

use super::{
    Metrics,
    text::{Text, plain},
};

/// What the kernel counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct KernelKills {
    /// `oom_kill` of `/proc/vmstat`.
    pub kills: Option<u64>,
    /// What of it no incident explains; below 0: what incidents tell and it does not count.
    pub unexplained: Option<i64>,
    /// How much of what incidents explain is open.
    pub open: u64,
    /// Memory cgroups whose own counter differs from what was told of them.
    pub cgroups_that_differ: u64,
}

impl Metrics {
    pub(super) fn kernel_kills(&self, text: &mut Text) {
        let KernelKills { kills, unexplained, open, cgroups_that_differ } = self.counts.kernel;
        text.counter(
            "oom_kernel_kills_total",
            "Kills as the kernel counts them, since boot: oom_kill of /proc/vmstat. Not the same as victims: the first one of \
             a group kill is counted twice, unless its memory was gone by the second time; who only shares a victim's \
             memory, or was dying before, is not counted.",
            kills.into_iter().flat_map(plain),
        );
        text.gauge(
            "oom_kernel_kills_unexplained",
            "Kills that the kernel counted (oom_kernel_kills_total) and no incident explains, since the agent's first start in \
             this boot, also while it did not run; below 0: incidents tell of more. As of the last scrape at which no \
             incident was in the making. Other than 0 for long: kills were missed, or told twice.",
            unexplained.into_iter().flat_map(plain),
        );
        text.gauge(
            "oom_kernel_kills_open",
            "oom_kernel_kills_unexplained is exact but for so many kills: group kills of which the kernel's log was not read, \
             so that it is not known whether their first victim was counted twice.",
            plain(open),
        );
        text.gauge(
            "oom_kernel_kills_differing_cgroups",
            "Memory cgroups whose own counter (oom_kill of memory.events.local, of v1 memory.oom_control) has risen by another \
             number since the agent first saw it than incidents explain. The agent's log names them.",
            plain(cgroups_that_differ),
        );
    }
}
