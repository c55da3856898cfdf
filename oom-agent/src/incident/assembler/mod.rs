//! Facts to incidents: a state machine without I/O or clock. `now_ns` is `CLOCK_BOOTTIME`.
//!
//! The kernel serialises OOM kills (`oom_lock`), so facts of the small ring come in the order of the calls. Everything
//! else may come in any order: candidates and cgroup names over a ring of their own, exits before the victim is
//! marked, the kernel's log before or after what BPF tells. An incident is told when nothing of it is missing, or
//! when nothing more came for [`Config::wait_ns`]; what is missing then is said in its evidence.
//!
//! # Layout
//! - `pending`: the facts of one incident and when it is due. `marked`: one victim.
//! - `scans`, `levels`, `names`: the bulk ring: candidates by call, how full cgroups were, cgroup paths by id.
//! - `journal`: the kernel's log. `join`: which call its lines belong to. `recent`: early exits, and what was told already.
//! - `storm`: calls that find nothing to kill.
//! - `build`: facts of one incident to the [`Incident`].

mod build;
mod config;
mod join;
mod journal;
mod levels;
mod marked;
mod names;
mod pending;
mod recent;
mod scans;
mod storm;
#[cfg(test)]
mod tests;

pub use config::{Config, Totals};

use self::build::Ending;
use self::journal::Journal;
use self::levels::Levels;
use self::marked::{Marked, Process};
use self::names::Names;
use self::pending::{Due, Pending, Shown};
use self::recent::{Afterwards, Exits, Told};
use self::scans::Scans;
use self::storm::Storms;
use super::fact::{Fact, Reaper, Reaping, Victim};
use super::model::{Incident, Level, Rule};
use std::collections::{BTreeMap, VecDeque};

/// Calls in the making at once. The oldest is told as it is when one more comes.
const MAX_CALLS: usize = 1024;
/// Incidents that were told early for want of space and not fetched yet.
const MAX_FORCED: usize = 1024;
/// Records that were lost belong to what follows within this time.
const LOST_NS: u64 = 1_000_000_000;

/// Facts in, incidents out.
#[derive(Debug)]
pub struct Assembler {
    config: Config,
    calls: BTreeMap<u64, Pending>,
    scans: Scans,
    levels: Levels,
    names: Names,
    journal: Journal,
    exits: Exits,
    told: Told,
    storms: Storms,
    /// Told early for want of space.
    forced: VecDeque<Incident>,
    /// Lost records that the next incident may miss, and when that was known.
    lost: Option<(u64, u64)>,
    totals: Totals,
    /// What happened to victims after their incident was told.
    afterwards: Afterwards,
}

impl Assembler {
    /// An assembler for these sources.
    pub fn new(config: Config) -> Self {
        Self {
            journal: Journal::new(config.log_resolution_ns),
            config,
            calls: BTreeMap::new(),
            scans: Scans::default(),
            levels: Levels::default(),
            names: Names::default(),
            exits: Exits::default(),
            told: Told::default(),
            storms: Storms::default(),
            forced: VecDeque::new(),
            lost: None,
            totals: Totals::default(),
            afterwards: Afterwards::default(),
        }
    }

    /// Takes a fact. Ask [`Self::ready`] afterwards; after a batch of facts is early enough.
    pub fn push(&mut self, now_ns: u64, fact: Fact) {
        match fact {
            Fact::Call(call) => {
                if let Some(pending) = self.open(now_ns, call.call) {
                    pending.entry.get_or_insert(call);
                }
            }
            Fact::Escalation(escalation) => {
                if let Some(pending) = self.open(now_ns, escalation.call) {
                    pending.escalation.get_or_insert(escalation);
                }
            }
            Fact::Decision(decision) => {
                let call = decision.call;
                if let Some(pending) = self.open(now_ns, call) {
                    pending.decision.get_or_insert(decision);
                    self.earlier_report(now_ns, call);
                }
            }
            Fact::End(end) => {
                if let Some(pending) = self.open(now_ns, end.call) {
                    pending.end.get_or_insert(end);
                    self.earlier_report(now_ns, end.call);
                    self.earlier_line(end.call);
                }
            }
            Fact::Victim(victim) => self.victim(now_ns, *victim),
            Fact::Exit(exit) => {
                let mut known = false;
                for pending in self.calls.values_mut() {
                    if self.config.calls && pending.is_of(&exit) {
                        pending.leave(now_ns);
                    }
                    for victim in &mut pending.victims {
                        if victim.exit(&exit) {
                            known = true;
                            pending.latest_ns = now_ns;
                        }
                    }
                }
                let process = Process { pid: exit.pid, tid: exit.pid, start_ns: exit.start_ns };
                if !known && !self.told.has_process(now_ns, process) {
                    let dropped = self.exits.push(now_ns, exit);
                    // Where calls are not seen, exits of whatever the kernel killed come too, a container's end is enough.
                    if self.config.calls {
                        self.totals.lost_records += dropped;
                    }
                }
            }
            Fact::MemoryBack(back) => {
                for pending in self.calls.values_mut() {
                    if pending.give_back(&back) {
                        pending.latest_ns = now_ns;
                    }
                }
            }
            Fact::Zones(zones) => {
                if let Some(pending) = self.calls.get_mut(&zones.call) {
                    pending.look(*zones);
                }
            }
            Fact::Reaper(reaper) => {
                let mut latest = self.calls.values_mut().rev();
                let known = latest.any(|pending| pending.reap(reaper, now_ns));
                let Reaper { tid, what, .. } = reaper;
                if !known && what == Reaping::Finished && self.told.has_logged(now_ns, tid) {
                    self.afterwards.push(format!("the OOM reaper took the memory of {tid}, told of before"));
                }
            }
            Fact::Candidate(candidate) => {
                if self.calls.contains_key(&candidate.call) || !self.told.has_call(candidate.call) {
                    self.scans.push(*candidate, |call| self.calls.contains_key(&call));
                }
            }
            Fact::Level(level) => {
                if self.calls.contains_key(&level.call) || !self.told.has_call(level.call) {
                    self.levels.level(*level);
                }
            }
            Fact::Child(child) => {
                if self.calls.contains_key(&child.call) || !self.told.has_call(child.call) {
                    self.levels.child(*child);
                }
            }
            Fact::Files(files) => self.files(files),
            Fact::Skipped(skipped) => {
                for pending in self.calls.values_mut() {
                    pending.count_skipped(&skipped, now_ns);
                }
            }
            Fact::CgroupName { id, path } => self.names.insert(id, path),
            Fact::Lost { records } => self.lose(now_ns, records),
            Fact::Log(event) => self.log(now_ns, event),
        }
    }

    /// The next incident that is due. Call it until it gives `None`.
    pub fn ready(&mut self, now_ns: u64) -> Option<Incident> {
        loop {
            if let Some(incident) = self.forced.pop_front() {
                return Some(incident);
            }
            let (pending, ending) = self.take_due(now_ns)?;
            if let Some(incident) = self.tell(now_ns, pending, ending) {
                return Some(incident);
            }
        }
    }

    /// An incident waits in vain, maybe since a program was skipped: [`Fact::Skipped`] is wanted.
    pub fn asks(&self, now_ns: u64) -> bool {
        let late = |due: Due| matches!(due, Due::At { ns, late: true } if ns <= now_ns);
        self.calls.values().filter(|pending| pending.escalation.is_some()).any(|pending| {
            pending.asks_at(&self.config).is_some_and(|ns| ns <= now_ns) || late(self.due(pending))
        })
    }

    /// When [`Self::ready`] gives more, or [`Self::asks`], without new facts.
    pub fn deadline(&self) -> Option<u64> {
        if !self.forced.is_empty() {
            return Some(0);
        }
        let due = |pending: &Pending| match self.due(pending) {
            Due::Now => Some(0),
            Due::At { ns, .. } => Some(ns),
            Due::Open => None,
        };
        let asks = self.calls.values().filter_map(|pending| pending.asks_at(&self.config));
        self.calls.values().chain(&self.journal.entries).filter_map(due).chain(asks).min()
    }

    /// Nothing follows in the log for now: tells what would be complete if nothing followed at all. What the log says of it
    /// later makes no incident of its own, and is not told.
    pub fn pause(&mut self) -> Vec<Incident> {
        let mut incidents = Vec::new();
        let mut entries = std::mem::take(&mut self.journal.entries);
        for entry in &mut entries {
            // The line that says that a report's process was killed comes soon, or never.
            if entry.shown == Shown::No && entry.awaits_line() {
                entry.shown = Shown::Waited;
                continue;
            }
            incidents.extend(self.tell(entry.latest_ns, entry.clone(), Ending::Complete));
            entry.shown = Shown::Told;
        }
        self.journal.entries = entries;
        incidents
    }

    /// The agent stops: what was told early and what is pending, said to be incomplete where it is.
    pub fn finish(&mut self) -> Vec<Incident> {
        let mut incidents: Vec<Incident> = self.forced.drain(..).collect();
        self.journal.close();
        let entries = std::mem::take(&mut self.journal.entries);
        let pending: Vec<Pending> = std::mem::take(&mut self.calls).into_values().chain(entries).collect();
        let now_ns = pending.iter().map(|pending| pending.latest_ns).max().unwrap_or(0);
        for pending in pending {
            let ending = match self.due(&pending) {
                Due::Now | Due::At { late: false, .. } => Ending::Complete,
                Due::At { late: true, .. } | Due::Open => Ending::Stopped,
            };
            incidents.extend(self.tell(now_ns, pending, ending));
        }
        incidents
    }

    /// The kernel's log cannot be read any more.
    pub fn without_log(&mut self) {
        self.config.log = false;
    }

    /// What happened to victims after their incident was told, in sentences.
    pub fn afterwards(&mut self) -> Vec<String> {
        self.afterwards.take()
    }

    /// Nothing is in the making.
    pub fn is_idle(&self) -> bool {
        self.calls.is_empty() && self.journal.entries.is_empty() && self.forced.is_empty()
    }

    /// What was told until now.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    fn due(&self, pending: &Pending) -> Due {
        pending.due(&self.config, pending.call.map_or(0, |call| self.scans.received(call)))
    }

    fn take_due(&mut self, now_ns: u64) -> Option<(Pending, Ending)> {
        let ending = |due: Due| match due {
            Due::Now => Some(Ending::Complete),
            Due::At { ns, late } if ns <= now_ns => Some(if late { Ending::Late } else { Ending::Complete }),
            Due::At { .. } | Due::Open => None,
        };
        let call = self.calls.iter().find_map(|(&call, pending)| Some((call, ending(self.due(pending))?)));
        if let Some((call, ending)) = call {
            return self.calls.remove(&call).map(|pending| (pending, ending));
        }
        let mut entries = self.journal.entries.iter().enumerate();
        let (index, ending) = entries.find_map(|(index, entry)| Some((index, ending(self.due(entry))?)))?;
        if index + 1 == self.journal.entries.len() {
            self.journal.spoken_for();
        }
        self.journal.entries.remove(index).map(|pending| (pending, ending))
    }

    /// The call that a fact of the small ring belongs to. `None`: it was told already.
    fn open(&mut self, now_ns: u64, call: u64) -> Option<&mut Pending> {
        if !self.calls.contains_key(&call) {
            if self.told.has_call(call) {
                self.totals.lost_records += 1;
                return None;
            }
            self.create(now_ns, call);
        }
        for earlier in self.calls.range_mut(..call).map(|(_, pending)| pending) {
            earlier.leave(now_ns);
        }
        let calls = &self.calls;
        self.scans.forget_before(call, |call| calls.contains_key(&call));
        let pending = self.calls.get_mut(&call)?;
        pending.touch(now_ns);
        Some(pending)
    }

    fn create(&mut self, now_ns: u64, call: u64) {
        if self.calls.len() >= MAX_CALLS
            && let Some((_, oldest)) = self.calls.pop_first()
        {
            self.force(now_ns, oldest);
        }
        let mut pending = Pending::new(Some(call), now_ns);
        if let Some((records, since)) = self.lost.take()
            && now_ns.saturating_sub(since) <= LOST_NS
        {
            pending.lost = records;
        }
        // A call that is not the latest is over.
        pending.left = self.calls.last_key_value().is_some_and(|(&last, _)| last > call);
        self.calls.insert(call, pending);
    }

    fn victim(&mut self, now_ns: u64, fact: Victim) {
        let call = fact.call;
        let mut victim = Marked::new(fact);
        self.exits.give(now_ns, &mut victim);
        let process = victim.process();
        let logged = if self.config.log { self.journal.take(|pid| process.logged_as(pid)) } else { None };
        let again = !self.calls.contains_key(&call) && self.told.has_call(call);
        if again {
            self.create(now_ns, call);
        }
        let Some(pending) = self.open(now_ns, call) else { return };
        pending.again |= again;
        pending.left |= again;
        pending.add(victim);
        if let Some(logged) = logged {
            pending.logged.absorb(logged);
        }
        for (time_ns, killed) in pending.take_lines(process) {
            join::line(pending, time_ns, killed);
        }
    }

    fn lose(&mut self, now_ns: u64, records: u64) {
        self.totals.lost_records = self.totals.lost_records.saturating_add(records);
        for pending in self.calls.values_mut() {
            pending.lost = pending.lost.saturating_add(records);
            pending.leave(now_ns);
        }
        let known = self.lost.filter(|&(_, since)| now_ns.saturating_sub(since) <= LOST_NS);
        let carried = known.map_or(0, |(records, _)| records);
        self.lost = Some((carried.saturating_add(records), now_ns));
    }

    fn force(&mut self, now_ns: u64, pending: Pending) {
        if let Some(incident) = self.tell(now_ns, pending, Ending::Crowded) {
            if self.forced.len() >= MAX_FORCED {
                self.forced.pop_front();
                self.totals.lost_records += 1;
            }
            self.forced.push_back(incident);
        }
    }

    /// Makes the incident, unless it is one that was told already.
    fn tell(&mut self, now_ns: u64, pending: Pending, ending: Ending) -> Option<Incident> {
        if pending.shown == Shown::Told {
            return None;
        }
        let scan = pending.call.map(|call| self.scans.take(call)).unwrap_or_default();
        let filled = pending.call.map(|call| self.levels.take(call)).unwrap_or_default();
        if let Some(call) = pending.call {
            self.told.call(call);
        }
        let end = pending.end.unwrap_or_default();
        self.totals.none_killable = self.totals.none_killable.saturating_add(end.repeats_elsewhere);
        self.totals.lost_records = self
            .totals
            .lost_records
            .saturating_add(end.candidates_lost)
            .saturating_add(end.names_lost)
            .saturating_add(end.levels_lost)
            .saturating_add(pending.dropped)
            .saturating_add(scan.dropped);
        if self.only_marked_again(now_ns, &pending) {
            return None;
        }
        // What the log says of a call is printed before its end. Who has no company has one line.
        let company = pending.logged.group || pending.victims.iter().any(Marked::may_have_company);
        let over = pending.end.is_some() || !company;
        let lined = over && pending.victims.iter().any(|victim| victim.line.is_some());
        if let Some(decision) = &pending.decision {
            self.told.process(now_ns, Process::of(&decision.chosen), lined);
        }
        for victim in &pending.victims {
            self.told.process(now_ns, victim.process(), over && victim.line.is_some());
        }
        for (_, killed) in &pending.logged.lines {
            self.told.process(now_ns, Process { pid: 0, tid: killed.pid, start_ns: 0 }, false);
        }
        let mut incident = build::incident(&self.config, &mut self.names, pending, (&scan, &filled), ending);
        // The log of another time or machine is told as it is.
        let live = self.config.level != Level::Log;
        if live && incident.decision.as_ref().is_some_and(|decision| decision.rule == Rule::NoneKillable) {
            let repeats = end.repeats;
            self.totals.none_killable = self.totals.none_killable.saturating_add(1).saturating_add(repeats);
            let at_ns = incident.boottime_ns.unwrap_or(now_ns);
            let swallowed = self.storms.admit(at_ns, &incident, repeats)?;
            if swallowed > 0 {
                let note = format!(
                    "{swallowed} equal calls with nothing to kill before this one are not told one by one."
                );
                incident.evidence.notes.push(note);
            }
        }
        self.totals.incidents += 1;
        self.totals.victims += incident.victims.len() as u64;
        Some(incident)
    }

    /// The kernel only gave a dying victim of an earlier call (another thread of it) access to the reserves again: not
    /// a kill, nothing new.
    fn only_marked_again(&self, now_ns: u64, pending: &Pending) -> bool {
        let Some(call) = pending.call else { return false };
        !pending.victims.is_empty()
            && pending.victims.iter().all(|victim| {
                let process = victim.process();
                let earlier = self.calls.range(..call).flat_map(|(_, pending)| &pending.victims);
                !victim.was_killed()
                    && (earlier.into_iter().any(|known| known.process().is(process))
                        || self.told.has_process(now_ns, process))
            })
    }
}
