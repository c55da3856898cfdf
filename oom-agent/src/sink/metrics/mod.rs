//! Incidents and the agent's own state as Prometheus metrics, text format 0.0.4. The only place that knows `prometheus`.
//!
//! `oom_` is what the kernel did, `oom_agent_` what the agent is and has lost. No command name is a label: a process may
//! call itself anything, as often as it likes. Cgroups are labels, within bounds (see [`Bounds`]).
//!
//! # Layout
//! - [`Metrics`]: what is counted.
//! - `cgroups`: which of them have series, and until when.
//! - `diagnoses`: which explanations were given.
//! - [`KernelKills`]: the kernel's own counters. [`Kube`]: Kubernetes' API server.
//! - [`Recovered`]: what happened while the agent did not run. [`Otlp`]: what was sent to a collector.
//! - `tell`: names, help and samples. [`Scrape`]: of what is read when somebody scrapes.
//! - `text`: the format.

mod cgroups;
mod diagnoses;
mod kernel_kills;
mod kube;
mod otlp;
mod recovered;
mod scrape;
mod tell;
mod text;

pub use cgroups::Bounds;
pub use kernel_kills::KernelKills;
pub use kube::Kube;
pub use otlp::Otlp;
pub use recovered::Recovered;
pub use scrape::Scrape;

use crate::identity::{Labels, UnresolvedCounts};
use crate::incident::model::{Decision, Incident, Level, Rule, ScopeKind};
use cgroups::Cgroups;
use diagnoses::Diagnoses;
use jiff::Timestamp;
use prometheus::{Histogram, HistogramOpts};

/// The content type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All scopes, with their names in the JSON.
const SCOPES: [(Option<ScopeKind>, &str); 6] = [
    (Some(ScopeKind::Global), "global"),
    (Some(ScopeKind::Memcg), "memcg"),
    (Some(ScopeKind::Cpuset), "cpuset"),
    (Some(ScopeKind::MemoryPolicy), "memory_policy"),
    (Some(ScopeKind::Sysrq), "sysrq"),
    (None, "unknown"),
];

/// What the agent can see, and how it does.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// How much the kernel lets us see.
    pub level: Level,
    /// Every hook, and how it is attached (`fentry`, `raw_tracepoint`...), where it is.
    pub hooks: Vec<(&'static str, Option<&'static str>)>,
}

/// What the agent counts itself. All but the last since its start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Records of the BPF rings that found no room.
    pub lost_events: u64,
    /// The same of the bulk ring.
    pub lost_bulk: u64,
    /// Records of the kernel's log that were overwritten before they were read.
    pub missed_log_records: u64,
    /// Calls of the OOM killer that found nothing to kill.
    pub none_killable: u64,
    /// Names that were not known, by reason.
    pub unresolved: UnresolvedCounts,
    /// The kernel's log is read.
    pub reads_log: bool,
    /// Records of the kernel's log that were overwritten between the agent's last run and this one. `None`: not known.
    pub overwritten_log_records: Option<u64>,
    /// The kernel's own counters.
    pub kernel: KernelKills,
    /// The store, see [`Stored`].
    pub stored: Stored,
    /// Who asks by HTTP, see [`Http`].
    pub http: Http,
    /// What was sent to a collector, where something is.
    pub otlp: Option<Otlp>,
    /// Kubernetes' API server, see [`Kube`].
    pub kube: Kube,
}

/// Who asks by HTTP.
#[derive(Clone, Copy, Debug, Default)]
pub struct Http {
    /// Connections that were closed since what they had asked for was not read in time.
    pub slow_readers: u64,
    /// Requests without a right password or token.
    pub refused_logins: u64,
    /// Who listens to events now.
    pub subscribers: u64,
    /// Who wanted to, and found no room.
    pub refused_subscribers: u64,
}

/// How the store of incidents does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stored {
    /// The disk can be used.
    pub on_disk: bool,
    /// Bytes on the disk.
    pub bytes: Option<u64>,
    /// Incidents in memory only.
    pub held: u64,
    /// Incidents that found no room there either.
    pub lost: u64,
    /// Incidents that were dropped for age or size.
    pub expired: u64,
    /// Damaged files that were set aside.
    pub set_aside: u64,
}

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    about: About,
    counts: Counts,
    scopes: [Scope; SCOPES.len()],
    cgroups: Cgroups,
    diagnoses: Diagnoses,
    scrape: Scrape,
    oom_path: Histogram,
    exit: Histogram,
    stall: Histogram,
    waiting: recovered::Waiting,
    /// Incidents that were recovered at the start.
    recovered: u64,
    /// Bytes of the last text.
    length: usize,
}

/// Incidents of one scope.
#[derive(Clone, Copy, Debug, Default)]
struct Scope {
    incidents: u64,
    last: Last,
}

/// The last of them.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    unix_seconds: Option<f64>,
    chosen_points: Option<i64>,
    runner_up_points: Option<i64>,
    total_pages: Option<u64>,
}

impl Metrics {
    /// With nothing counted.
    ///
    /// # Errors
    /// If a name or a bucket below is no good.
    pub fn new(about: About, bounds: Bounds) -> anyhow::Result<Self> {
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))
        };
        Ok(Self {
            about,
            counts: Counts::default(),
            scopes: Default::default(),
            cgroups: Cgroups::new(bounds),
            diagnoses: Diagnoses::new(),
            scrape: Scrape::default(),
            oom_path: histogram(
                "oom_path_seconds",
                "Time from entry into to return from out_of_memory, the kernel's OOM killer, of incidents. During it \
                 nobody else on the machine can enter it. Seen at the full level only.",
                &[1e-4, 2.5e-4, 1e-3, 2.5e-3, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0],
            )?,
            exit: histogram(
                "oom_kill_to_exit_seconds",
                "Time from SIGKILL to the exit of the last thread, of victims of which both were seen. From Linux 6.16 on \
                 their memory is given back only after that.",
                &[1e-3, 2.5e-3, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0],
            )?,
            stall: histogram(
                "oom_reclaim_stall_seconds",
                "Time that the task whose allocation failed had spent in direct and memory cgroup reclaim before the OOM \
                 killer was called, of incidents for which it was seen.",
                &[1e-4, 1e-3, 0.01, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0, 60.0],
            )?,
            waiting: recovered::Waiting::default(),
            recovered: 0,
            length: 0,
        })
    }

    /// Counts an incident. Once.
    pub fn incident(&mut self, incident: &Incident) {
        let at = SCOPES.iter().position(|(kind, _)| *kind == incident.scope.kind);
        if let Some(scope) = at.and_then(|at| self.scopes.get_mut(at)) {
            scope.incidents += 1;
            scope.last = Last::of(incident);
        }
        for victim in &incident.victims {
            self.cgroups.victim(victim.cgroup.as_deref(), victim.role, Labels::of(&victim.identity));
            observe(&self.exit, victim.exit_after_ns);
        }
        for diagnosis in &incident.diagnosis {
            self.diagnoses.given(diagnosis);
        }
        observe(&self.oom_path, incident.oom_path_ns);
        let reclaim = incident.escalation.as_ref();
        observe(&self.stall, reclaim.and_then(|reclaim| reclaim.trigger_stall_ns));
    }

    /// These memory cgroups are there now, and no others: paths as the kernel writes them. They have series from now on,
    /// and those that are not among them for as long as [`Bounds`] say. `names`: what a new one is called.
    pub fn cgroups<'a>(
        &mut self,
        paths: impl Iterator<Item = &'a str>,
        now_ns: u64,
        names: impl FnMut(&str) -> Labels,
    ) {
        self.cgroups.seen(paths, now_ns, names);
    }

    /// What the agent counts itself.
    pub const fn counts(&mut self, counts: Counts) {
        self.counts = counts;
    }
}

impl Last {
    fn of(incident: &Incident) -> Self {
        let time: Option<Timestamp> = incident.time.as_deref().and_then(|time| time.parse().ok());
        let by_points = |decision: &&Decision| matches!(decision.rule, Rule::HighestPoints | Rule::Sysrq);
        let decision = incident.decision.as_ref().filter(by_points);
        let points = decision.and_then(|decision| decision.points);
        let margin = decision.and_then(|decision| decision.margin_points);
        Self {
            unix_seconds: time.map(|time| time.as_millisecond() as f64 / 1e3),
            chosen_points: points,
            runner_up_points: points.zip(margin).map(|(points, margin)| points.saturating_sub(margin)),
            total_pages: incident.total_pages,
        }
    }
}

/// What is not known is not observed.
fn observe(histogram: &Histogram, nanoseconds: Option<u64>) {
    if let Some(nanoseconds) = nanoseconds {
        histogram.observe(nanoseconds as f64 / 1e9);
    }
}

#[cfg(test)]
mod tests;
