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
    /// Somebody scrapes: what is known, and a new search below `root` (`/` but in tests) begins if it is time.
    pub(super) fn asked(&mut self, root: &Path, now_ns: u64) -> Option<NextVictim> {
        let age = self.began_ns.map(|began| now_ns.saturating_sub(began));
        let found = self.found.filter(|_| age.is_some_and(|age| age < STALE_NS));
        if self.search.is_none() && age.is_none_or(|age| age >= REST_NS) {
            self.began_ns = Some(now_ns);
            self.search = Search::begin(root, rustix::param::page_size() as u64);
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
                future::pending::<()>().await;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rank::read::next::tests::crowd;

    /// Takes all steps.
    fn search(next: &mut Next) -> usize {
        let mut steps = 0;
        while next.search.is_some() {
            next.step();
            steps += 1;
        }
        steps
    }

    #[test]
    fn it_is_looked_for_once_a_minute_and_forgotten_when_it_is_old() {
        let root = crowd(100);
        let mut next = Next::default();
        assert_eq!(next.asked(root.path(), 5), None, "not yet");
        assert!(search(&mut next) > 1);
        let found = next.asked(root.path(), 6);
        assert!(found.is_some() && next.search.is_none());
        assert_eq!(next.asked(root.path(), 5 + REST_NS), found, "the last one, until the new one is there");
        assert!(search(&mut next) > 1);
        // Nobody asked for long.
        assert_eq!(next.asked(root.path(), 5 + REST_NS + STALE_NS), None);
        search(&mut next);
        assert_eq!(next.asked(root.path(), 6 + REST_NS + STALE_NS), found);
        // Points do not decide any more.
        let root = root.file("proc/sys/vm/panic_on_oom", "1\n");
        let later = 5 + 2 * REST_NS + STALE_NS;
        next.asked(root.path(), later);
        assert_eq!((search(&mut next), next.asked(root.path(), later + 1)), (0, None));
    }

    #[tokio::test]
    async fn without_a_search_nothing_is_due() {
        let root = crowd(1);
        let mut next = Next::default();
        tokio::select! {
            biased;
            () = next.due() => panic!("nothing to do"),
            () = yield_now() => {}
        }
        next.asked(root.path(), 5);
        next.due().await;
    }
}
