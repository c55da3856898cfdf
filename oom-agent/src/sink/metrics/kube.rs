//! Kubernetes' API server: pods that are watched, Events that are written. Without it there are no such series.

use super::{
    Metrics,
    text::{Text, plain, sample},
};
use crate::kube::{
    Failure,
    events::{Dropped, Written},
    stats::Watched,
};

/// What is known of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kube {
    /// The watch of this node's pods.
    pub watched: Option<Watched>,
    /// Events on pods and nodes.
    pub written: Option<Written>,
}

impl Metrics {
    pub(super) fn kube(&self, text: &mut Text) {
        let Kube { watched, written } = self.counts.kube;
        let reasons = |counts: [u64; Failure::NAMES.len()]| {
            Failure::NAMES.into_iter().zip(counts).map(|(reason, count)| sample([("reason", reason)], count))
        };
        text.gauge(
            "oom_agent_kube_watching",
            "Whether this node's pods are watched at Kubernetes' API server now.",
            watched.into_iter().flat_map(|it| plain(it.watching)),
        );
        text.gauge(
            "oom_agent_kube_pods",
            "Pods of this node, as Kubernetes' API server says.",
            watched.into_iter().flat_map(|it| plain(it.pods)),
        );
        text.counter(
            "oom_agent_kube_watch_failures_total",
            "Lists and watches of pods that failed and were tried again. gone: what had changed was not known any more, so all were listed \
             again; that happens now and then.",
            watched.into_iter().flat_map(|it| reasons(it.failures)),
        );
        text.counter(
            "oom_agent_kube_unreadable_pods_total",
            "Pods that the API server wrote otherwise than Kubernetes does, and that were passed over.",
            watched.into_iter().flat_map(|it| plain(it.odd)),
        );
        text.counter(
            "oom_agent_kube_events_written_total",
            "Events on pods and nodes: made (created), or changed since it happened again (updated).",
            written.into_iter().flat_map(|Written { created, updated, .. }| {
                [("created", created), ("updated", updated)].map(|(how, count)| sample([("how", how)], count))
            }),
        );
        text.counter(
            "oom_agent_kube_events_failures_total",
            "Requests to write an Event that failed; what may work later is tried again.",
            written.into_iter().flat_map(|it| reasons(it.failures)),
        );
        text.counter(
            "oom_agent_kube_events_dropped_total",
            "Events that were not written: too many waited (full), the pod's name was not known (nameless), the service account \
             may not (forbidden), the API server does not take it (refused), it waited for 50 minutes (too_old).",
            written.into_iter().flat_map(|it| {
                let dropped = Dropped::NAMES.into_iter().zip(it.dropped);
                dropped.map(|(reason, count)| sample([("reason", reason)], count))
            }),
        );
    }
}
