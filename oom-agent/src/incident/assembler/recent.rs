//! What happened lately: exits that came before their victim, and victims that were told of already.

use super::marked::{Marked, Process};
use crate::incident::fact::Exit;
use std::collections::VecDeque;

/// Exits that wait for their victim.
pub(super) const MAX_EXITS: usize = 1024;
/// Victims remembered after their incident.
pub(super) const MAX_TOLD: usize = 2048;
/// Calls remembered after their incident.
pub(super) const MAX_CALLS: usize = 2048;
/// Sentences that wait to be read.
const MAX_AFTERWARDS: usize = 64;
/// How long any of it may matter.
const KEEP_NS: u64 = 5_000_000_000;

/// Exits that came before their victim: `sched_process_exit` can fire before `mark_victim`.
#[derive(Debug, Default)]
pub(super) struct Exits {
    waiting: VecDeque<(u64, Exit)>,
}

impl Exits {
    /// Keeps an exit. Gives how many were dropped for it.
    pub(super) fn push(&mut self, now_ns: u64, exit: Exit) -> u64 {
        while self.waiting.front().is_some_and(|(since, _)| now_ns.saturating_sub(*since) > KEEP_NS) {
            self.waiting.pop_front();
        }
        let full = self.waiting.len() >= MAX_EXITS;
        if full {
            self.waiting.pop_front();
        }
        self.waiting.push_back((now_ns, exit));
        u64::from(full)
    }

    /// Gives a victim its exit, if that came before.
    pub(super) fn give(&mut self, now_ns: u64, victim: &mut Marked) {
        if victim.exited_ns.is_some() {
            return;
        }
        let found = self
            .waiting
            .iter()
            .position(|(since, exit)| now_ns.saturating_sub(*since) <= KEEP_NS && victim.exit(exit));
        if let Some(index) = found {
            self.waiting.remove(index);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

/// Sentences about victims that were told of before. Nobody may ask for them.
#[derive(Debug, Default)]
pub(super) struct Afterwards(Vec<String>);

impl Afterwards {
    pub(super) fn push(&mut self, words: String) {
        if self.0.len() < MAX_AFTERWARDS {
            self.0.push(words);
        }
    }

    pub(super) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.0)
    }
}

/// A process that was told of.
#[derive(Clone, Copy, Debug)]
struct ToldOf {
    since_ns: u64,
    process: Process,
    /// The log has told all that it tells of its kill.
    logged: bool,
}

/// What incidents told already: facts that come late belong to them and make no new ones.
#[derive(Debug, Default)]
pub(super) struct Told {
    processes: VecDeque<ToldOf>,
    calls: VecDeque<u64>,
}

impl Told {
    /// `logged`: the log has told all that it tells of its kill.
    pub(super) fn process(&mut self, now_ns: u64, process: Process, logged: bool) {
        if self.processes.len() >= MAX_TOLD {
            self.processes.pop_front();
        }
        self.processes.push_back(ToldOf { since_ns: now_ns, process, logged });
    }

    pub(super) fn call(&mut self, call: u64) {
        if self.calls.len() >= MAX_CALLS {
            self.calls.pop_front();
        }
        self.calls.push_back(call);
    }

    pub(super) fn has_call(&self, call: u64) -> bool {
        self.calls.iter().rev().any(|&told| told == call)
    }

    fn lately(&self, now_ns: u64) -> impl Iterator<Item = &ToldOf> {
        let fresh = move |told: &&ToldOf| now_ns.saturating_sub(told.since_ns) <= KEEP_NS;
        self.processes.iter().rev().take_while(fresh)
    }

    pub(super) fn has_process(&self, now_ns: u64, process: Process) -> bool {
        self.lately(now_ns).any(|told| told.process.is(process))
    }

    /// The log's number for a process that was told of.
    pub(super) fn has_logged(&self, now_ns: u64, pid: u32) -> bool {
        self.lately(now_ns).any(|told| told.process.logged_as(pid))
    }

    /// The same, of the last process with this number, if the log may have more to say of its kill.
    pub(super) fn has_unlogged(&self, now_ns: u64, pid: u32) -> bool {
        self.lately(now_ns).find(|told| told.process.logged_as(pid)).is_some_and(|told| !told.logged)
    }
}
