//! Which Events are written when: what happens again is counted in the Event that is there, and there are never many in a
//! short time. Pure and bounded.

use super::event::{Draft, Key, again};
use crate::{backoff, kube::failure::Failure};
use std::{collections::HashMap, time::Duration};

/// Events that are remembered, with those that wait.
const KEPT: usize = 256;
/// Requests in a row, and how often there is another one: on each node, and there may be thousands.
const BURST: u64 = 20;
const REFILL_NS: u64 = 5_000_000_000;
/// An Event is not changed more often than this.
const REST_NS: u64 = 20_000_000_000;
/// What has not happened for so long begins again: the API server has forgotten the Event by then (`--event-ttl`).
const FORGET_NS: u64 = 3_000_000_000_000;
/// The API server may not ask for a longer wait.
const ASKED: Duration = Duration::from_mins(1);
/// Who may not is not asked more often than this.
const FORBIDDEN_NS: u64 = 600_000_000_000;

/// Why an Event was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// Too many wait.
    Full,
    /// The pod's name is not known.
    Nameless,
    /// The service account may not.
    Forbidden,
    /// The API server does not take it.
    Refused,
    /// It waited for too long.
    TooOld,
}

impl Dropped {
    /// All names, by their places.
    pub const NAMES: [&'static str; 5] = ["full", "nameless", "forbidden", "refused", "too_old"];
}

/// What is to be asked of the API server.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Job {
    pub(super) key: Key,
    /// Else it is changed.
    pub(super) create: bool,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) body: String,
    /// How often it happened, as is written.
    count: u64,
}

/// Events and when they are due.
#[derive(Debug)]
pub(super) struct Pace {
    entries: HashMap<Key, Entry>,
    tokens: u64,
    refilled_ns: u64,
    failures: u32,
    /// Nothing is asked before.
    paused_ns: u64,
    /// Nothing is taken before: it is forbidden.
    off_ns: Option<u64>,
    dropped: [u64; Dropped::NAMES.len()],
}

#[derive(Debug)]
struct Entry {
    /// What is, or will be, written.
    draft: Draft,
    /// The last one, in case the first is forgotten.
    last: Draft,
    count: u64,
    written: bool,
    /// What is to be written is not yet.
    waits: bool,
    due_ns: u64,
    last_ns: u64,
}

impl Pace {
    pub(super) fn new(now_ns: u64) -> Self {
        Self {
            entries: HashMap::new(),
            tokens: BURST,
            refilled_ns: now_ns,
            failures: 0,
            paused_ns: 0,
            off_ns: None,
            dropped: Default::default(),
        }
    }

    /// Something happened.
    pub(super) fn offer(&mut self, draft: Draft, now_ns: u64) {
        if self.is_off(now_ns) {
            return self.drop(Dropped::Forbidden, 1);
        }
        self.forget(now_ns);
        if let Some(entry) = self.entries.get_mut(&draft.key) {
            entry.count += 1;
            (entry.last, entry.last_ns, entry.waits) = (draft, now_ns, true);
            return;
        }
        if self.entries.len() >= KEPT && !self.make_room() {
            return self.drop(Dropped::Full, 1);
        }
        let entry = Entry {
            last: draft.clone(),
            draft,
            count: 1,
            written: false,
            waits: true,
            due_ns: now_ns,
            last_ns: now_ns,
        };
        self.entries.insert(entry.draft.key.clone(), entry);
    }

    /// What is to be asked now.
    pub(super) fn next(&mut self, now_ns: u64) -> Option<Job> {
        self.forget(now_ns);
        self.refill(now_ns);
        if self.tokens == 0 || now_ns < self.paused_ns {
            return None;
        }
        let due = self.entries.values().filter(|entry| entry.waits && entry.due_ns <= now_ns);
        let entry = due.min_by_key(|entry| (entry.due_ns, entry.last_ns))?;
        self.tokens -= 1;
        let Entry { draft, last, count, written, .. } = entry;
        let body = if *written { again(*count, last.time_us) } else { draft.body(*count, last.time_us) };
        Some(Job {
            key: draft.key.clone(),
            create: !written,
            namespace: draft.namespace.clone(),
            name: draft.name.clone(),
            body: body.to_string(),
            count: *count,
        })
    }

    /// When there may be something. `None`: nothing waits.
    pub(super) fn due_ns(&self) -> Option<u64> {
        let waits = self.entries.values().filter(|entry| entry.waits);
        let due = waits.map(|entry| entry.due_ns).min()?;
        let token = if self.tokens == 0 { self.refilled_ns.saturating_add(REFILL_NS) } else { 0 };
        Some(due.max(token).max(self.paused_ns))
    }

    /// What came of it.
    pub(super) fn done(&mut self, job: &Job, done: Result<(), Failure>, now_ns: u64) {
        let Some(entry) = self.entries.get_mut(&job.key) else { return };
        match done {
            // 409: an answer was lost, and it is there.
            Ok(()) | Err(Failure::Refused(409, _)) => {
                self.failures = 0;
                (entry.written, entry.waits) = (true, entry.count > job.count);
                entry.due_ns = now_ns.saturating_add(REST_NS);
            }
            // The API server has forgotten it: it begins again with what was last.
            Err(Failure::Refused(404, _) | Failure::Gone) if !job.create => {
                entry.draft = entry.last.clone();
                (entry.count, entry.written, entry.due_ns) = (1, false, now_ns);
            }
            Err(Failure::Refused(..)) => {
                self.entries.remove(&job.key);
                self.drop(Dropped::Refused, 1);
            }
            Err(Failure::Forbidden(_)) => self.forbidden(now_ns),
            Err(failure) => {
                let wait = backoff::longest(self.failures);
                self.failures += 1;
                let asked = if let Failure::Busy(Some(asked)) = failure { asked } else { Duration::ZERO };
                let wait = wait.max(asked.min(ASKED));
                self.paused_ns = now_ns.saturating_add(wait.as_nanos() as u64);
            }
        }
    }

    /// It is known that nothing may be written: nothing is kept for later.
    pub(super) fn forbidden(&mut self, now_ns: u64) {
        let waiting = self.entries.values().filter(|entry| entry.waits).count();
        self.entries.clear();
        self.drop(Dropped::Forbidden, waiting as u64);
        self.off_ns = Some(now_ns.saturating_add(FORBIDDEN_NS));
    }

    /// Those that were not written, in the order of [`Dropped::NAMES`].
    pub(super) const fn dropped(&self) -> [u64; Dropped::NAMES.len()] {
        self.dropped
    }

    fn drop(&mut self, why: Dropped, number: u64) {
        if let Some(count) = self.dropped.get_mut(why as usize) {
            *count += number;
        }
    }

    fn is_off(&mut self, now_ns: u64) -> bool {
        self.off_ns = self.off_ns.filter(|off| now_ns < *off);
        self.off_ns.is_some()
    }

    fn refill(&mut self, now_ns: u64) {
        let more = now_ns.saturating_sub(self.refilled_ns) / REFILL_NS;
        self.refilled_ns += more * REFILL_NS;
        self.tokens = self.tokens.saturating_add(more).min(BURST);
    }

    fn forget(&mut self, now_ns: u64) {
        let Self { entries, dropped, .. } = self;
        entries.retain(|_, entry| {
            let keep = now_ns.saturating_sub(entry.last_ns) < FORGET_NS;
            if !keep
                && entry.waits
                && let Some(count) = dropped.get_mut(Dropped::TooOld as usize)
            {
                *count += 1;
            }
            keep
        });
    }

    /// What is written makes room, the oldest first.
    fn make_room(&mut self) -> bool {
        let written = self.entries.iter().filter(|(_, entry)| !entry.waits);
        let oldest = written.min_by_key(|(_, entry)| entry.last_ns).map(|(key, _)| key.clone());
        oldest.is_some_and(|key| self.entries.remove(&key).is_some())
    }
}

#[cfg(test)]
mod tests;
