//! What the log says, given to the calls that BPF told of.
//!
//! Both tell of kills in the kernel's order and name the same processes; their clocks differ by some milliseconds, so
//! the names decide. What belongs to no call (yet) waits in the journal.

use super::marked::{Marked, Process};
use super::pending::{Logged, Pending};
use super::{Assembler, journal};
use crate::incident::fact::Task;
use crate::report::{Event, Killed, Outcome, Report, What};
use std::collections::BTreeMap;

impl Assembler {
    /// Takes what the log said.
    pub(super) fn log(&mut self, now_ns: u64, event: Event) {
        let Event { time_ns, what } = event;
        if self.config.calls {
            self.journal.forget_gap(now_ns);
        }
        match what {
            What::Invoked(_) => self.journal.invoked(time_ns),
            What::Report(report) => self.report(now_ns, time_ns, report),
            What::Killed(killed) => self.killed(now_ns, time_ns, *killed),
            What::GroupKill { .. } => {
                self.journal.group(now_ns);
                let latest = self.calls.values_mut().rev();
                if let Some(pending) =
                    latest.into_iter().find(|pending| pending.logged.last_line_ns.is_some())
                {
                    pending.logged.group = true;
                    pending.latest_ns = now_ns;
                }
            }
            // The figures in that line are what the victim still has, not what came back.
            What::Reaped { pid, .. } => self.reaper(now_ns, pid, true),
            What::NotReaped { pid, .. } => self.reaper(now_ns, pid, false),
            What::Exiting { pid, .. } => self.journal.exiting(now_ns, pid),
            What::Sharing { pid, comm } => self.journal.sharing(now_ns, time_ns, pid, comm),
            What::Suppressed { reports } => self.journal.suppressed(reports),
            What::Gap { records } => self.gap(now_ns, records.unwrap_or(1)),
        }
        while self.journal.entries.len() > journal::MAX_ENTRIES {
            if let Some(oldest) = self.journal.entries.pop_front() {
                self.force(now_ns, oldest);
            }
        }
    }

    /// The reaper took a victim's memory, or gave it up (`oom_reap_task`). It comes 2 s after the kill
    /// (`OOM_REAPER_DELAY`): the incident may be told already.
    fn reaper(&mut self, now_ns: u64, pid: u32, done: bool) {
        let calls = self.calls.values_mut().rev();
        let mut pending = calls.chain(self.journal.entries.iter_mut().rev());
        if let Some(Pending { logged, .. }) = pending.find(|pending| pending.killed(pid)) {
            let pids = if done { &mut logged.reaped } else { &mut logged.not_reaped };
            if !pids.contains(&pid) {
                pids.push(pid);
            }
        } else if !done && self.told_logged(now_ns, pid) {
            self.afterwards
                .push(format!("the OOM reaper could not take the memory of {pid}, told of before"));
        }
    }

    /// Lines of the log are missing.
    fn gap(&mut self, now_ns: u64, records: u64) {
        self.journal.gap(now_ns, records);
        self.totals.missed_lines = self.totals.missed_lines.saturating_add(records);
        if !self.config.calls {
            self.totals.lost_records = self.totals.lost_records.saturating_add(records);
            return;
        }
        // BPF tells of the kills. It matters to a call whose report may be among them, and to one that comes next.
        self.totals.lost_lines = self.totals.lost_lines.saturating_add(records);
        for pending in self.calls.values_mut().filter(|pending| pending.logged.report.is_none()) {
            pending.logged.gap = true;
            pending.logged.lost = pending.logged.lost.saturating_add(records);
        }
    }

    fn report(&mut self, now_ns: u64, time_ns: Option<u64>, report: Box<Report>) {
        if self.journal.panicked(&report) {
            return;
        }
        let kills = matches!(report.outcome, Outcome::Kill | Outcome::Unknown);
        let kill = report.kill.as_ref().map(|kill| (kill.pid, kill.comm.clone()));
        let chosen = kill.as_ref().map(|(pid, _)| *pid);
        let logged = self.journal.reported(time_ns, report);
        let asked = asked(&logged);
        let calls = self.config.calls;
        let mine = |pending: &&mut Pending| {
            let nothing = pending.end.is_some_and(|end| end.none_killable);
            let trigger = pending.entry.as_ref().map(|entry| entry.trigger.tid);
            let same_task = asked.is_some() && asked == trigger;
            pending.logged.report.is_none() && same_task && if kills { calls && !nothing } else { nothing }
        };
        let found = match &kill {
            Some((pid, comm)) => spoken_of(&mut self.calls, *pid, comm, |pending| {
                let task = pending.chosen_logged_as(*pid);
                task.or_else(|| Some(&pending.victim_logged_as(*pid)?.task))
                    .filter(|_| pending.logged.report.is_none())
            }),
            None => self.calls.values_mut().find(mine),
        };
        if let Some(pending) = found {
            pending.logged.absorb(logged);
            pending.latest_ns = now_ns;
        } else if calls && chosen.is_none() {
            // BPF tells of the call, or has: without its decision it is nothing of its own.
            if !kills {
                self.journal.keep(now_ns, logged);
            }
        } else if chosen.is_none_or(|pid| !self.told_unlogged(now_ns, pid)) {
            self.journal.enter(now_ns, logged);
        }
    }

    /// What the log said of the chosen one, of whose mark BPF has not told by the end of the call.
    pub(super) fn earlier_line(&mut self, call: u64) {
        let Some(pending) = self.calls.get_mut(&call) else { return };
        let Some(decision) = pending.decision.as_ref() else { return };
        let chosen = Process::of(&decision.chosen);
        if pending.victims.iter().any(|victim| victim.process().is(chosen)) {
            return;
        }
        if let Some(logged) = self.journal.take(|pid| chosen.logged_as(pid)) {
            pending.logged.absorb(logged);
        }
    }

    /// What the log said of this call before BPF did: the rings are read first, so it was printed in between.
    pub(super) fn earlier_report(&mut self, now_ns: u64, call: u64) {
        let Some(pending) = self.calls.get_mut(&call).filter(|pending| pending.logged.report.is_none())
        else {
            return;
        };
        let nothing = pending.end.is_some_and(|end| end.none_killable);
        let found = match (&pending.decision, &pending.entry) {
            (Some(decision), _) => {
                let chosen = Process::of(&decision.chosen);
                self.journal.take_report(|pid| chosen.logged_as(pid))
            }
            (None, Some(entry)) if nothing => self.journal.take_kept(now_ns, entry.trigger.tid),
            (None, _) => None,
        };
        if let Some(logged) = found {
            pending.logged.absorb(logged);
        }
    }

    fn killed(&mut self, now_ns: u64, time_ns: Option<u64>, killed: Killed) {
        let found = spoken_of(&mut self.calls, killed.pid, &killed.comm, |pending| {
            let victim = pending.victim_logged_as(killed.pid).map(|victim| &victim.task);
            // Its mark may come yet, or be lost.
            victim.or_else(|| pending.chosen_logged_as(killed.pid))
        });
        if let Some(pending) = found {
            let before = self.journal.before_line(time_ns);
            self.journal.spoken_for();
            pending.logged.absorb(before);
            pending.logged.counted += 1;
            line(pending, time_ns, killed);
            pending.touch(now_ns);
        } else if self.told_unlogged(now_ns, killed.pid) {
            let _told = self.journal.before_line(time_ns);
            self.journal.spoken_for();
        } else {
            self.journal.killed(now_ns, time_ns, killed);
        }
    }

    /// BPF told of this process and its incident is out: the log comes late. Without BPF the log tells all there is.
    fn told_logged(&self, now_ns: u64, pid: u32) -> bool {
        (self.config.calls || self.config.victims) && self.told.has_logged(now_ns, pid)
    }

    /// The same, and more of the log may come: else it speaks of another process with this number.
    fn told_unlogged(&self, now_ns: u64, pid: u32) -> bool {
        (self.config.calls || self.config.victims) && self.told.has_unlogged(now_ns, pid)
    }
}

/// The call of which the log speaks when it names a process. A number is given out again as soon as its process is gone, and
/// kills of both may be in the making. The log is in the kernel's order: it is the first call whose process has no line
/// yet, and where lines are missing the one with that name. A group's first victim has two.
fn spoken_of<'a>(
    calls: &'a mut BTreeMap<u64, Pending>,
    pid: u32,
    comm: &str,
    named: impl Fn(&Pending) -> Option<&Task>,
) -> Option<&'a mut Pending> {
    let fits = |pending: &Pending| {
        let same_name = named(pending)?.comm == comm;
        Some((pending.victim_logged_as(pid).is_none_or(|victim| victim.line.is_none()), same_name))
    };
    // The last of those that fit as well, which in this order is the first call.
    let fitting = calls.values_mut().rev().filter_map(|pending| Some((fits(pending)?, pending)));
    fitting.max_by_key(|(fit, _)| *fit).map(|(_, pending)| pending)
}

/// The thread that asked, as the report names it.
pub(super) fn asked(logged: &Logged) -> Option<u32> {
    logged.report.as_ref()?.invocation.as_ref()?.tid
}

/// Gives a line of the log to the victim that it names, or keeps it for that one.
pub(super) fn line(pending: &mut Pending, time_ns: Option<u64>, killed: Killed) {
    let Logged { last_line_ns, .. } = &mut pending.logged;
    *last_line_ns = time_ns.or(*last_line_ns).or(Some(0));
    let named = |victim: &&mut Marked| victim.process().logged_as(killed.pid);
    if let Some(victim) = pending.victims.iter_mut().find(named) {
        victim.line.get_or_insert(Box::new(killed));
    } else if pending.logged.lines.iter().all(|(_, known)| known.pid != killed.pid) {
        pending.logged.lines.push((time_ns, killed));
    }
}
