//! The kernel's log: what it says in a row belongs together, whether or not BPF tells of it too.

use super::pending::{Logged, Pending};
use crate::report::{Killed, Report};
use std::collections::VecDeque;

/// Incidents that only the log tells of (yet).
pub(super) const MAX_ENTRIES: usize = 256;
/// Lines of one group kill follow each other within this time on the log's clock.
const GROUP_LINE_NS: u64 = 50_000_000;
/// `Killed process` lines in one incident.
const MAX_LINES: usize = 65_536;

/// The state of reading the log.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// What it told that belongs to no call of BPF's (yet), oldest first.
    pub(super) entries: VecDeque<Pending>,
    /// `invoked oom-killer` whose report is not there yet.
    pub(super) invocation: Option<Logged>,
    /// The last entry is what the log is speaking of.
    speaking: bool,
    /// The last line began a group kill.
    group: bool,
    /// Lines are missing since the last one.
    gap: bool,
    lost: u64,
}

impl Journal {
    /// Log lines were lost.
    pub(super) fn gap(&mut self, records: u64) {
        self.gap = true;
        self.lost = self.lost.saturating_add(records);
        self.group = false;
    }

    fn begin(&mut self) -> Logged {
        let gap = std::mem::take(&mut self.gap);
        Logged { gap, lost: std::mem::take(&mut self.lost), ..Logged::default() }
    }

    /// Nothing more follows for what the log told till now.
    pub(super) fn close(&mut self) {
        self.speaking = false;
        self.group = false;
        for entry in &mut self.entries {
            entry.closed = true;
        }
    }

    /// `invoked oom-killer`.
    pub(super) fn invoked(&mut self, time_ns: Option<u64>, invocation: Box<crate::report::Invocation>) {
        self.close();
        let begun = self.begin();
        self.invocation = Some(Logged { time_ns, invocation: Some(invocation), ..begun });
    }

    /// A report is whole. Gives what is known of its incident.
    pub(super) fn reported(&mut self, time_ns: Option<u64>, report: Box<Report>) -> Logged {
        self.close();
        let begun = self.begin();
        let mut logged = self.invocation.take().unwrap_or_default();
        logged.absorb(begun);
        logged.time_ns = logged.time_ns.or(time_ns);
        logged.invocation = report.invocation.clone().map(Box::new).or(logged.invocation);
        logged.report = Some(report);
        logged
    }

    /// What the log says now belongs to this entry.
    pub(super) fn enter(&mut self, now_ns: u64, logged: Logged) {
        let mut entry = Pending::new(None, now_ns);
        entry.logged = logged;
        self.entries.push_back(entry);
        self.speaking = true;
    }

    /// What the log said lately belongs to a call of BPF's.
    pub(super) fn spoken_for(&mut self) {
        self.speaking = false;
    }

    /// Everything that was said before this line and belongs to it.
    pub(super) fn before_line(&mut self, time_ns: Option<u64>) -> Logged {
        let begun = self.begin();
        let mut logged = self.invocation.take().unwrap_or_default();
        logged.absorb(begun);
        logged.time_ns = logged.time_ns.or(time_ns);
        logged
    }

    /// `Killed process` that no call of BPF's explains.
    pub(super) fn killed(&mut self, now_ns: u64, time_ns: Option<u64>, killed: Killed) {
        let gap = self.gap;
        let logged = self.before_line(time_ns);
        let group = self.group;
        let current = if self.speaking { self.entries.back_mut() } else { None };
        if let Some(entry) = current.filter(|entry| continues(entry, group, gap, time_ns, &killed)) {
            if entry.logged.lines.iter().any(|(_, known)| known.pid == killed.pid) {
                // A group's first victim is named twice.
            } else if entry.logged.lines.len() < MAX_LINES {
                entry.logged.lines.push((time_ns, killed));
            } else {
                entry.dropped += 1;
            }
            entry.logged.last_line_ns = time_ns.or(entry.logged.last_line_ns);
            entry.logged.lost = entry.logged.lost.saturating_add(logged.lost);
            entry.touch(now_ns);
        } else {
            self.close();
            let last_line_ns = time_ns;
            self.enter(now_ns, Logged { lines: vec![(time_ns, killed)], last_line_ns, ..logged });
            self.group = group && !gap;
        }
    }

    /// `Tasks in PATH are going to be killed`.
    pub(super) fn group(&mut self, now_ns: u64) {
        self.group = true;
        if let Some(entry) = self.entries.back_mut().filter(|_| self.speaking) {
            entry.logged.group = true;
            entry.touch(now_ns);
        }
    }

    /// What the log said of this process while BPF had not told of it.
    pub(super) fn take(&mut self, names: impl Fn(u32) -> bool) -> Option<Logged> {
        let mine = |entry: &Pending| {
            let Logged { lines, report, .. } = &entry.logged;
            let kill = report.as_ref().and_then(|report| report.kill.as_ref()).filter(|_| lines.is_empty());
            lines.iter().any(|(_, killed)| names(killed.pid)) || kill.is_some_and(|kill| names(kill.pid))
        };
        let index = self.entries.iter().position(mine)?;
        let last = index + 1 == self.entries.len();
        let entry = self.entries.get_mut(index)?;
        let rest = entry.logged.lines.extract_if(.., |(_, killed)| !names(killed.pid)).collect::<Vec<_>>();
        let group = entry.logged.group;
        let last_line_ns = entry.logged.last_line_ns;
        let taken = std::mem::take(&mut entry.logged);
        if rest.is_empty() {
            self.entries.remove(index);
            self.speaking &= !last;
        } else {
            entry.logged =
                Logged { time_ns: taken.time_ns, lines: rest, group, last_line_ns, ..Logged::default() };
        }
        Some(taken)
    }
}

/// Whether a `Killed process` line belongs to what the log is speaking of.
fn continues(entry: &Pending, group: bool, gap: bool, time_ns: Option<u64>, killed: &Killed) -> bool {
    if entry.closed {
        return false;
    }
    let Logged { lines, report, last_line_ns, .. } = &entry.logged;
    if lines.is_empty() {
        // Kills are serialised: the line after a report is its own, unless lines are missing between them.
        let kill = report.as_ref().and_then(|report| report.kill.as_ref());
        return !gap || kill.is_some_and(|kill| kill.pid == killed.pid);
    }
    let near = match (last_line_ns, time_ns) {
        (Some(last), Some(time)) => time.saturating_sub(*last) <= GROUP_LINE_NS,
        _ => true,
    };
    group && near
}
