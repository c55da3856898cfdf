//! Who would be killed next: looked for when somebody scrapes, a few processes at a time.

use crate::rank::read::next::{Found, NextVictim, Search};
use std::{future, path::Path};
use tokio::task::yield_now;

/// Not more often than this.
const REST_NS: u64 = 60_000_000_000;
/// What is older is not told.
const STALE_NS: u64 = 3 * REST_NS;

/// The search and what came of the last one.
#[derive(Debug, Default)]
pub(super) struct Next {
    search: Option<Search>,
    began_ns: Option<u64>,
    found: Option<NextVictim>,
}

impl Next {
    /// Somebody scrapes: what is known, and a new search begins if it is time.
    pub(super) fn asked(&mut self, now_ns: u64) -> Option<NextVictim> {
        let age = self.began_ns.map(|began| now_ns.saturating_sub(began));
        let found = self.found.filter(|_| age.is_some_and(|age| age < STALE_NS));
        if self.search.is_none() && age.is_none_or(|age| age >= REST_NS) {
            self.began_ns = Some(now_ns);
            self.search = Search::begin(Path::new("/"), rustix::param::page_size() as u64);
            if self.search.is_none() {
                self.found = None;
            }
        }
        found
    }

    /// When to take a step: once everybody else had their turn. For ever, if there is no search.
    pub(super) fn due(&self) -> impl Future<Output = ()> + use<> {
        let searching = self.search.is_some();
        async move {
            if searching {
                yield_now().await;
            } else {
                future::pending().await
            }
        }
    }

    pub(super) fn step(&mut self) {
        if let Some(Found::Done(found)) = self.search.as_mut().map(Search::step) {
            self.found = found;
            self.search = None;
        }
    }
}
