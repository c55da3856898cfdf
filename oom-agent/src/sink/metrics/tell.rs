//! Names, help and samples.

use super::{
    Metrics, SCOPES,
    cgroups::ROLES,
    text::{Text, labelled, plain, sample},
};
use crate::{identity::names::Unresolved, incident::model::Level};
use prometheus::core::Collector as _;

impl Metrics {
    /// The text.
    pub fn text(&mut self) -> Vec<u8> {
        let mut text = Text::with_room(self.length + self.length / 16);
        self.kills(&mut text);
        self.reclaim(&mut text);
        self.last(&mut text);
        self.kernel_kills(&mut text);
        self.next(&mut text);
        self.limits(&mut text);
        self.agent(&mut text);
        self.lost(&mut text);
        self.unresolved(&mut text);
        self.stored(&mut text);
        self.http(&mut text);
        self.otlp(&mut text);
        self.kube(&mut text);
        self.own(&mut text);
        let bytes = text.into_bytes();
        self.length = bytes.len();
        bytes
    }

    fn kills(&self, text: &mut Text) {
        let Self { scopes, cgroups, .. } = self;
        text.counter(
            "oom_incidents_total",
            "Decisions of the kernel's OOM killer that were told as incidents, by the limit that was hit: kills, and \
             decisions that found a process dying already or nothing to kill (of equal ones of these, one in 5 s). Those \
             that happened while the agent did not run, after its first start ever, and those that no scrape had seen when it \
             ended, are counted from the first scrape that comes a minute after the first one, here and for victims: so \
             they are an increase.",
            SCOPES.iter().zip(scopes).map(|((_, name), scope)| sample([("scope", *name)], scope.incidents)),
        );
        text.counter(
            "oom_victims_total",
            "Processes that died of the OOM killer's decisions, by their own memory cgroup and why they had to die. \
             \"(other)\": cgroups beyond the bound on series; \"(unknown)\": the cgroup was not seen. namespace, pod and \
             container are empty where there is no pod, or its names were not known when the series began; workload is there only where \
             Kubernetes' API is watched.",
            cgroups.victims().flat_map(|(labels, victims)| {
                let roles = ROLES.iter().zip(victims);
                roles.map(move |((_, role), count)| {
                    let mut labels = labels.clone();
                    labels.push(("role", *role));
                    labelled(&labels, *count)
                })
            }),
        );
        text.counter(
            "oom_diagnoses_total",
            "Explanations of incidents, by their code and how sure they are (docs/oom-killer.md). An incident may have \
             several, of each code one at most.",
            self.diagnoses.samples(),
        );
        text.counter(
            "oom_none_killable_calls_total",
            "Calls of the OOM killer that found nothing to kill, also those that were not told one by one.",
            plain(self.counts.none_killable),
        );
        for histogram in [&self.oom_path, &self.exit, &self.stall] {
            text.families(&histogram.collect());
        }
    }

    /// Absent as long as there was none, or while it is not known of the last one.
    fn last(&self, text: &mut Text) {
        let last = || SCOPES.iter().zip(&self.scopes).map(|((_, name), scope)| (*name, &scope.last));
        text.gauge(
            "oom_last_incident_timestamp_seconds",
            "When the last incident of this scope began, seconds since 1970.",
            last().filter_map(|(scope, it)| Some(sample([("scope", scope)], it.unix_seconds?))),
        );
        text.gauge(
            "oom_last_incident_points",
            "Points of the process that was chosen for having most in the last incident of this scope, and of the one that \
             would have been next: pages, with what oom_score_adj adds. Close together: it might have been the other one.",
            last().flat_map(|(scope, it)| {
                let of = |candidate, points: Option<i64>| {
                    points.map(|points| sample([("scope", scope), ("candidate", candidate)], points))
                };
                [of("chosen", it.chosen_points), of("runner_up", it.runner_up_points)].into_iter().flatten()
            }),
        );
        text.gauge(
            "oom_last_incident_total_pages",
            "Pages that points are measured against in the last incident of this scope (the kernel's totalpages): 1000 of \
             oom_score_adj are as much as all of them.",
            last().filter_map(|(scope, it)| Some(sample([("scope", scope)], it.total_pages?))),
        );
    }

    fn agent(&self, text: &mut Text) {
        let Self { about, counts, cgroups, .. } = self;
        text.gauge(
            "oom_agent_build_info",
            "Always 1; the agent's version, and the revision of its source where whoever built it has told.",
            std::iter::once(labelled(&build(), 1_u64)),
        );
        let levels = [(Level::Full, "full"), (Level::Tracepoint, "tracepoint"), (Level::Kmsg, "kmsg")];
        text.gauge(
            "oom_agent_level",
            "1 for how much the kernel lets the agent see: everything by BPF (full), victims by BPF and the rest by the \
             kernel's log (tracepoint), or only the log (kmsg).",
            levels.iter().map(|(level, name)| sample([("level", *name)], about.level == *level)),
        );
        text.gauge(
            "oom_agent_hook_attached",
            "Whether a function or tracepoint of the kernel is hooked by BPF, and how. None is at level kmsg.",
            about.hooks.iter().map(|(hook, kind)| {
                sample([("hook", *hook), ("kind", kind.unwrap_or("none"))], kind.is_some())
            }),
        );
        text.gauge(
            "oom_agent_kmsg_read",
            "Whether the kernel's log (/dev/kmsg, or syslog(2)) is read.",
            plain(counts.reads_log),
        );
        text.gauge(
            "oom_agent_cgroups",
            "Memory cgroups that have series here, with those that are gone for less than the retention.",
            plain(cgroups.number()),
        );
        text.gauge(
            "oom_agent_cgroups_limit",
            "Memory cgroups that can have series here.",
            plain(cgroups.limit()),
        );
        text.gauge(
            "oom_agent_cgroups_without_series",
            "Memory cgroups that are there and found no room: their victims are counted under \"(other)\".",
            plain(cgroups.without_series()),
        );
    }

    fn lost(&self, text: &mut Text) {
        let counts = &self.counts;
        text.counter(
            "oom_agent_lost_records_total",
            "Records of the BPF programs that found no room in their ring: calls, decisions, victims and exits (events), \
             candidates and cgroup names (bulk).",
            [("events", counts.lost_events), ("bulk", counts.lost_bulk)]
                .into_iter()
                .map(|(ring, count)| sample([("ring", ring)], count)),
        );
        text.counter(
            "oom_agent_kmsg_missed_records_total",
            "Records of the kernel's log that were overwritten before the agent had read them.",
            plain(counts.missed_log_records),
        );
        text.gauge(
            "oom_agent_recovered_incidents",
            "Incidents that happened while the agent did not run, and that it found in the kernel's log when it was started. From \
             before its first start ever they are only stored, not counted elsewhere.",
            plain(self.recovered),
        );
        text.gauge(
            "oom_agent_kmsg_overwritten_before_start_records",
            "Records of the kernel's log that were overwritten between the agent's last run (or boot) and its start: kills \
             that they told of are not known. 0 at its first start ever; absent where the log has no numbers (syslog(2)).",
            counts.overwritten_log_records.into_iter().flat_map(plain),
        );
    }

    fn unresolved(&self, text: &mut Text) {
        text.counter(
            "oom_identity_unresolved_total",
            "Names of pods and containers that were not known when an incident was told, of the cgroup that was full and of \
             those of victims: nothing that names pods can be read (no_source), the pod or the container is not among what was \
             read, or it is not of Kubernetes, and nobody is asked (not_kubernetes). Workloads and limits that were not: Kubernetes' API \
             server does not answer (api_unavailable) or has no such pod on this node (api_unknown_pod).",
            Unresolved::ALL
                .iter()
                .zip(self.counts.unresolved)
                .map(|(why, count)| sample([("reason", why.name())], count)),
        );
    }

    fn http(&self, text: &mut Text) {
        let http = &self.counts.http;
        text.counter(
            "oom_agent_http_slow_readers_total",
            "Connections that were closed since what they had asked for was not read in time.",
            plain(http.slow_readers),
        );
        text.counter(
            "oom_agent_http_refused_logins_total",
            "Requests that were refused for want of a right password or token.",
            plain(http.refused_logins),
        );
        text.gauge(
            "oom_agent_http_event_subscribers",
            "Who listens to incidents as server-sent events now.",
            plain(http.subscribers),
        );
        text.counter(
            "oom_agent_http_refused_event_subscribers_total",
            "Who wanted to listen to server-sent events, and found no room.",
            plain(http.refused_subscribers),
        );
    }

    fn stored(&self, text: &mut Text) {
        let stored = &self.counts.stored;
        text.gauge(
            "oom_agent_store_writable",
            "Whether incidents can be written to the store's disk. 0: they are kept in memory until they can.",
            plain(stored.on_disk),
        );
        text.gauge(
            "oom_agent_store_bytes",
            "Bytes of the store on the disk.",
            stored.bytes.into_iter().flat_map(plain),
        );
        text.gauge(
            "oom_agent_store_held_incidents",
            "Incidents that are in memory only, since the disk cannot be used.",
            plain(stored.held),
        );
        text.counter(
            "oom_agent_store_lost_incidents_total",
            "Incidents that found no room in memory while the disk could not be used.",
            plain(stored.lost),
        );
        text.counter(
            "oom_agent_store_expired_incidents_total",
            "Incidents that were dropped for their age or for the size of the store.",
            plain(stored.expired),
        );
        text.counter(
            "oom_agent_store_set_aside_total",
            "Damaged files of the store that were set aside.",
            plain(stored.set_aside),
        );
    }
}

/// Whoever builds it may set `OOM_AGENT_REVISION` (`git rev-parse HEAD`).
fn build() -> Vec<(&'static str, &'static str)> {
    let revision = option_env!("OOM_AGENT_REVISION").filter(|revision| !revision.is_empty());
    let version = Some(("version", env!("CARGO_PKG_VERSION")));
    version.into_iter().chain(revision.map(|revision| ("revision", revision))).collect()
}
