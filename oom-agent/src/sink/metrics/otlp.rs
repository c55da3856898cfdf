//! What was sent to a collector, and what was not. Only where something is to be sent.

use super::{
    Metrics,
    text::{Text, plain, sample},
};
use crate::otlp::Reason;

/// What became of incidents that were to be sent. Since the start, but for the last two.
#[derive(Clone, Copy, Debug, Default)]
pub struct Otlp {
    /// The collector has acknowledged them.
    pub sent: u64,
    /// The collector will never take them.
    pub rejected: u64,
    /// They are damaged in the store.
    pub damaged: u64,
    /// The store had to drop them.
    pub expired: u64,
    /// The queue was full.
    pub full: u64,
    /// Requests that failed, in the order of [`Reason::ALL`].
    pub failures: [u64; Reason::ALL.len()],
    /// Incidents that wait.
    pub waiting: u64,
    /// How long ago the one that has waited longest happened.
    pub oldest_seconds: f64,
}

impl Metrics {
    pub(super) fn otlp(&self, text: &mut Text) {
        let Some(otlp) = &self.counts.otlp else { return };
        text.counter(
            "oom_agent_otlp_sent_incidents_total",
            "Incidents that the collector of OpenTelemetry (--otlp-endpoint) has acknowledged.",
            plain(otlp.sent),
        );
        text.counter(
            "oom_agent_otlp_failed_requests_total",
            "Requests to the collector that failed: it could not be reached or broke off (unreachable), did not answer in time \
             (timeout), is busy (unavailable), takes nothing from this agent (refused), or will never take these incidents \
             (rejected). All but the last are made again.",
            Reason::ALL.iter().zip(otlp.failures).map(|(why, count)| sample([("reason", why.name())], count)),
        );
        let dropped = [
            ("rejected", otlp.rejected),
            ("expired", otlp.expired),
            ("queue_full", otlp.full),
            ("damaged", otlp.damaged),
        ];
        text.counter(
            "oom_agent_otlp_dropped_incidents_total",
            "Incidents that will not be sent any more: the collector will never take them (rejected), the store had to drop \
             them before they were sent (expired), too many waited (queue_full; they stay in the store), or they cannot be read \
             (damaged).",
            dropped.into_iter().map(|(why, count)| sample([("reason", why)], count)),
        );
        text.gauge(
            "oom_agent_otlp_waiting_incidents",
            "Incidents that are still to be sent.",
            plain(otlp.waiting),
        );
        text.gauge(
            "oom_agent_otlp_oldest_waiting_seconds",
            "How long ago the incident happened that has waited longest to be sent. 0: none waits.",
            plain(otlp.oldest_seconds),
        );
    }
}
