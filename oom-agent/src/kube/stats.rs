//! What is counted of the API server, for the metrics. Written by its tasks, read by whoever scrapes.

use super::failure::Failure;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// How often something failed, in the order of [`Failure::NAMES`].
pub type FailureCounts = [u64; Failure::NAMES.len()];

/// Of a watch.
#[derive(Debug, Default)]
pub struct WatchStats {
    pub(super) watching: AtomicBool,
    pub(super) pods: AtomicU64,
    pub(super) odd: AtomicU64,
    pub(super) failures: Failures,
}

/// What they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// A watch is open.
    pub watching: bool,
    /// Pods that are there.
    pub pods: u64,
    /// Objects that were no pods as Kubernetes has them.
    pub odd: u64,
    /// How often it failed.
    pub failures: FailureCounts,
}

impl WatchStats {
    /// As they are now.
    pub fn read(&self) -> Watched {
        let Self { watching, pods, odd, failures } = self;
        Watched {
            watching: watching.load(Relaxed),
            pods: pods.load(Relaxed),
            odd: odd.load(Relaxed),
            failures: failures.read(),
        }
    }
}

/// Failures by their kind.
#[derive(Debug, Default)]
pub(super) struct Failures([AtomicU64; Failure::NAMES.len()]);

impl Failures {
    pub(super) fn count(&self, failure: &Failure) {
        if let Some(count) = self.0.get(failure.index()) {
            count.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn read(&self) -> FailureCounts {
        self.0.each_ref().map(|count| count.load(Relaxed))
    }
}
