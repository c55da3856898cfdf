//! What the log says, given to the calls that BPF told of.
//!
//! Both tell of kills in the kernel's order and name the same processes; their clocks differ by some milliseconds, so
//! the names decide. What belongs to no call (yet) waits in the journal.

use super::marked::Marked;
use super::pending::{Logged, Pending};
use super::{Assembler, journal};
use crate::report::{Event, Killed, Outcome, Report, What};

impl Assembler {
    /// Takes what the log said.
    pub(super) fn log(&mut self, now_ns: u64, event: Event) {
        let Event { time_ns, what } = event;
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
            What::Reaped { .. }
            | What::NotReaped { .. }
            | What::Exiting { .. }
            | What::Sharing { .. }
            | What::Suppressed { .. } => {}
            What::Gap { records } => {
                let records = records.unwrap_or(1);
                self.totals.lost_records = self.totals.lost_records.saturating_add(records);
                self.journal.gap(records);
            }
        }
        while self.journal.entries.len() > journal::MAX_ENTRIES {
            if let Some(oldest) = self.journal.entries.pop_front() {
                self.force(now_ns, oldest);
            }
        }
    }

    fn report(&mut self, now_ns: u64, time_ns: Option<u64>, report: Box<Report>) {
        let kills = matches!(report.outcome, Outcome::Kill | Outcome::Unknown);
        let chosen = report.kill.as_ref().map(|kill| kill.pid);
        let logged = self.journal.reported(time_ns, report);
        let asked = logged.report.as_ref().and_then(|report| report.invocation.as_ref()?.tid);
        let mine = |pending: &&mut Pending| {
            let open = pending.logged.report.is_none();
            let nothing = pending.end.is_some_and(|end| end.none_killable);
            let trigger = pending.entry.as_ref().map(|entry| entry.trigger.tid);
            open && match chosen {
                Some(pid) => pending.concerns(pid),
                None => !kills && nothing && asked.is_some() && asked == trigger,
            }
        };
        if let Some(pending) = self.calls.values_mut().find(mine) {
            pending.logged.absorb(logged);
            pending.latest_ns = now_ns;
        } else if (kills || !self.config.calls) && chosen.is_none_or(|pid| !self.told_logged(now_ns, pid)) {
            // Where BPF sees every call, it has told of one with nothing to kill, or will.
            self.journal.enter(now_ns, logged);
        }
    }

    fn killed(&mut self, now_ns: u64, time_ns: Option<u64>, killed: Killed) {
        let mine = |pending: &&mut Pending| {
            pending.victims.iter().any(|victim| victim.process().logged_as(killed.pid))
        };
        if let Some(pending) = self.calls.values_mut().find(mine) {
            let before = self.journal.before_line(time_ns);
            self.journal.spoken_for();
            pending.logged.absorb(before);
            line(pending, time_ns, killed);
            pending.touch(now_ns);
        } else if self.told_logged(now_ns, killed.pid) {
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
}

/// Gives a line of the log to the victim that it names.
pub(super) fn line(pending: &mut Pending, time_ns: Option<u64>, killed: Killed) {
    let Logged { last_line_ns, .. } = &mut pending.logged;
    *last_line_ns = time_ns.or(*last_line_ns).or(Some(0));
    let named = |victim: &&mut Marked| victim.process().logged_as(killed.pid);
    if let Some(victim) = pending.victims.iter_mut().find(named) {
        victim.line.get_or_insert(Box::new(killed));
    }
}
