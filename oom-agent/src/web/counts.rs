//! What the web counts, for the metrics.

use super::api::Subscribers;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Shared by all connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Counters(Arc<Numbers>);

#[derive(Debug, Default)]
struct Numbers {
    slow_readers: AtomicU64,
    refused_subscribers: AtomicU64,
    refused_logins: AtomicU64,
}

/// How many there were, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that were closed since what they had asked for was not read in time.
    pub slow_readers: u64,
    /// Who wanted to listen to events, and found no room.
    pub refused_subscribers: u64,
    /// Requests without a right password or token.
    pub refused_logins: u64,
    /// Who listens to events now.
    pub subscribers: u64,
}

impl Counters {
    pub(super) fn slow_reader(&self) {
        self.0.slow_readers.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refuse_subscriber(&self) {
        self.0.refused_subscribers.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refuse_login(&self) {
        self.0.refused_logins.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn get(&self, subscribers: &Subscribers) -> Counts {
        let Numbers { slow_readers, refused_subscribers, refused_logins } = &*self.0;
        Counts {
            slow_readers: slow_readers.load(Ordering::Relaxed),
            refused_subscribers: refused_subscribers.load(Ordering::Relaxed),
            refused_logins: refused_logins.load(Ordering::Relaxed),
            subscribers: subscribers.number() as u64,
        }
    }
}
