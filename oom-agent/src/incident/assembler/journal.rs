//! The kernel's log: what it says in a row belongs together, whether or not BPF tells of it too.

use super::join::asked;
use super::pending::{Logged, Pending};
use crate::report::{Killed, Outcome, Report, TaskRow};
use std::collections::VecDeque;

/// Incidents that only the log tells of (yet).
pub(super) const MAX_ENTRIES: usize = 256;
/// Lines of one group kill follow each other within this time on the log's clock.
const GROUP_LINE_NS: u64 = 50_000_000;
/// The line after a report follows within this time.
const NEXT_LINE_NS: u64 = 500_000_000;
/// `Killed process` lines in one incident.
const MAX_LINES: usize = 65_536;
/// Processes that share the memory of one victim.
const MAX_SHARING: usize = 1024;
/// Reports of calls with nothing to kill that wait for BPF to tell of them.
const MAX_KEPT: usize = 2;
/// How long they wait, and how long a gap may matter to what comes after it.
const KEEP_NS: u64 = 1_000_000_000;

/// The state of reading the log.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// What it told that belongs to no call of BPF's (yet), oldest first.
    pub(super) entries: VecDeque<Pending>,
    /// Time of an `invoked oom-killer` whose report is not there yet.
    invoked_ns: Option<u64>,
    /// The last entry is what the log is speaking of.
    speaking: bool,
    /// The last line began a group kill.
    group: bool,
    /// Lines are missing since the last one; when that was noticed.
    gap_ns: Option<u64>,
    lost: u64,
    /// See [`super::Config::log_resolution_ns`].
    resolution_ns: u64,
    /// Reports of calls with nothing to kill that BPF has not told of yet, and when they came.
    kept: VecDeque<(u64, Logged)>,
    /// Reports that were not printed since the last one.
    suppressed: u64,
}

impl Journal {
    pub(super) fn new(resolution_ns: u64) -> Self {
        Self { resolution_ns, ..Self::default() }
    }

    /// Log lines were lost.
    pub(super) fn gap(&mut self, now_ns: u64, records: u64) {
        self.gap_ns = Some(now_ns);
        self.lost = self.lost.saturating_add(records);
        self.group = false;
        self.invoked_ns = None;
    }

    fn begin(&mut self) -> Logged {
        let gap = self.gap_ns.take().is_some();
        Logged { gap, lost: std::mem::take(&mut self.lost), ..Logged::default() }
    }

    /// A gap that was noticed long ago has nothing to do with what happens now.
    pub(super) fn forget_gap(&mut self, now_ns: u64) {
        if self.gap_ns.is_some_and(|since| now_ns.saturating_sub(since) > KEEP_NS) {
            self.gap_ns = None;
            self.lost = 0;
        }
    }

    /// Nothing more follows for what the log told till now.
    pub(super) fn close(&mut self) {
        self.speaking = false;
        self.group = false;
        for entry in &mut self.entries {
            entry.closed = true;
        }
    }

    /// `invoked oom-killer`. Its report follows in any case, perhaps cut off, and says so again.
    pub(super) fn invoked(&mut self, time_ns: Option<u64>) {
        self.close();
        self.invoked_ns = time_ns;
    }

    /// The panic that follows where nothing is left to kill on the whole machine (`out_of_memory`) belongs to what the log
    /// is speaking of, as far as that is not told.
    pub(super) fn panicked(&mut self, report: &Report) -> bool {
        let alone = report.invocation.is_none() && !report.has_table;
        let current = self.entries.back_mut().filter(|entry| !entry.closed && alone);
        let before = current.and_then(|entry| entry.logged.report.as_mut());
        let Some(before) = before.filter(|before| before.outcome == Outcome::NoneKillable) else {
            return false;
        };
        if report.outcome != Outcome::Panic {
            return false;
        }
        before.outcome = Outcome::Panic;
        before.text.push_str(&report.text);
        self.close();
        true
    }

    /// A report is whole, or cut off. Gives what is known of its incident.
    pub(super) fn reported(&mut self, time_ns: Option<u64>, report: Box<Report>) -> Logged {
        self.close();
        let begun = self.begin();
        let invoked_ns = self.invoked_ns.take().filter(|_| report.invocation.is_some());
        let suppressed = std::mem::take(&mut self.suppressed);
        Logged {
            time_ns: invoked_ns.or(time_ns),
            invoked_ns,
            last_line_ns: time_ns,
            report: Some(report),
            suppressed,
            ..begun
        }
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

    /// What is missing before this line.
    pub(super) fn before_line(&mut self, time_ns: Option<u64>) -> Logged {
        self.invoked_ns = None;
        Logged { time_ns, ..self.begin() }
    }

    /// `Killed process` that no call of BPF's explains.
    pub(super) fn killed(&mut self, now_ns: u64, time_ns: Option<u64>, killed: Killed) {
        let gap = self.gap_ns.is_some();
        let logged = self.before_line(time_ns);
        let Self { group, resolution_ns, .. } = *self;
        let current = if self.speaking { self.entries.back_mut() } else { None };
        if let Some(entry) =
            current.filter(|entry| continues(entry, group, gap, time_ns, &killed, resolution_ns))
        {
            if entry.logged.lines.iter().any(|(_, known)| known.pid == killed.pid) {
                // A group's first victim is named twice.
            } else if entry.logged.lines.len() < MAX_LINES {
                entry.logged.lines.push((time_ns, killed));
            } else {
                entry.dropped += 1;
            }
            entry.logged.counted += 1;
            entry.logged.last_line_ns = time_ns.or(entry.logged.last_line_ns);
            entry.logged.lost = entry.logged.lost.saturating_add(logged.lost);
            entry.touch(now_ns);
        } else {
            self.close();
            let last_line_ns = time_ns;
            self.enter(now_ns, Logged { lines: vec![(time_ns, killed)], counted: 1, last_line_ns, ..logged });
            self.group = group && !gap;
        }
    }

    /// `Kill process PID (NAME) sharing same memory`: right after the line of the victim whose memory it is.
    pub(super) fn sharing(&mut self, now_ns: u64, time_ns: Option<u64>, pid: u32, comm: String) {
        let current = self.entries.back_mut().filter(|entry| self.speaking && !entry.closed);
        let Some(entry) = current.filter(|entry| !entry.logged.lines.is_empty()) else { return };
        let Logged { lines, sharing, last_line_ns, .. } = &mut entry.logged;
        let known = lines.last().is_some_and(|(_, line)| line.pid == pid)
            || sharing.last().is_some_and(|(_, known, _)| *known == pid);
        if sharing.len() >= MAX_SHARING {
            entry.dropped += 1;
        } else if !known {
            sharing.push((time_ns, pid, comm));
        }
        *last_line_ns = time_ns.or(*last_line_ns);
        entry.touch(now_ns);
    }

    /// `OOM victim PID (NAME) is already exiting`: right after the report that chose it. That of a member of a group does
    /// not matter: it is no victim.
    pub(super) fn exiting(&mut self, now_ns: u64, pid: u32) {
        let current = self.entries.back_mut().filter(|entry| self.speaking && !entry.closed);
        let Some(entry) = current.filter(|entry| entry.logged.lines.is_empty()) else { return };
        if entry.logged.report.as_ref().is_some_and(|report| names(report, pid)) {
            entry.logged.exiting = true;
            entry.touch(now_ns);
        }
    }

    /// `callbacks suppressed`: printed before the next report (`___ratelimit`).
    pub(super) fn suppressed(&mut self, reports: u64) {
        self.suppressed = self.suppressed.saturating_add(reports);
    }

    /// `Tasks in PATH are going to be killed`.
    pub(super) fn group(&mut self, now_ns: u64) {
        self.group = true;
        if let Some(entry) = self.entries.back_mut().filter(|_| self.speaking) {
            entry.logged.group = true;
            entry.touch(now_ns);
        }
    }

    /// A report of a call with nothing to kill, of which BPF has not told. It may never do so: in a storm of such calls
    /// it tells few of them.
    pub(super) fn keep(&mut self, now_ns: u64, logged: Logged) {
        while self.kept.len() >= MAX_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((now_ns, logged));
    }

    /// The latest such report of this task.
    pub(super) fn take_kept(&mut self, now_ns: u64, tid: u32) -> Option<Logged> {
        self.kept.retain(|(since, _)| now_ns.saturating_sub(*since) <= KEEP_NS);
        let index = self.kept.iter().rposition(|(_, logged)| asked(logged) == Some(tid))?;
        self.kept.remove(index).map(|(_, logged)| logged)
    }

    /// A report that names this process as the chosen one and that no line follows yet.
    pub(super) fn take_report(&mut self, names: impl Fn(u32) -> bool) -> Option<Logged> {
        let mine = |entry: &Pending| {
            let kill = entry.logged.report.as_ref().and_then(|report| report.kill.as_ref());
            entry.logged.lines.is_empty() && kill.is_some_and(|kill| names(kill.pid))
        };
        let index = self.entries.iter().position(mine)?;
        self.speaking &= index + 1 != self.entries.len();
        self.entries.remove(index).map(|entry| entry.logged)
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
        let mut taken = std::mem::take(&mut entry.logged);
        // Who is named again is a group's first.
        let counted = rest.len() as u64;
        taken.counted = taken.counted.saturating_sub(counted);
        if rest.is_empty() {
            self.entries.remove(index);
            self.speaking &= !last;
        } else {
            entry.logged = Logged {
                time_ns: taken.time_ns,
                lines: rest,
                counted,
                group,
                last_line_ns,
                ..Logged::default()
            };
        }
        Some(taken)
    }
}

/// Whether a `Killed process` line belongs to what the log is speaking of.
fn continues(
    entry: &Pending,
    group: bool,
    gap: bool,
    time_ns: Option<u64>,
    killed: &Killed,
    resolution_ns: u64,
) -> bool {
    if entry.closed {
        return false;
    }
    let Logged { lines, report, last_line_ns, .. } = &entry.logged;
    let near = |within_ns| match (last_line_ns, time_ns) {
        (Some(last), Some(time)) => time.abs_diff(*last) <= within_ns + resolution_ns,
        _ => true,
    };
    if let Some((_, last)) = lines.last() {
        return group && near(GROUP_LINE_NS) && last.message == killed.message;
    }
    // Kills are serialised: the line after a report is its own, unless lines are missing between them. The report
    // names the leader, the line the thread that has the memory.
    let Some(report) = report else { return false };
    names(report, killed.pid) || (!gap && near(NEXT_LINE_NS))
}

/// The report's chosen one is this thread's process.
fn names(report: &Report, pid: u32) -> bool {
    report.kill.as_ref().is_some_and(|kill| {
        let thread = |row: &TaskRow| row.pid == pid && row.tgid == kill.pid;
        kill.pid == pid || report.tasks.iter().any(thread)
    })
}
