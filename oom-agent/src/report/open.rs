//! The report that is being read.

use super::memory;
use super::scan::printable;
use super::table::Columns;
use super::{Event, Invocation, Outcome, Report, What, invocation};
use crate::incident::model::Limits;

/// Rows of the task table that are kept.
pub(super) const MOST_ROWS: usize = 65_536;
/// Bytes of text that are kept.
pub(super) const MOST_TEXT: usize = 256 * 1024;
/// Bytes of most of them.
const USUAL_TEXT: usize = 4 * 1024;
/// Bytes of it that the table leaves for the lines after it.
const TEXT_AFTER_TABLE: usize = 8 * 1024;
/// Counters that are kept; the kernel has about 80.
const MOST_COUNTERS: usize = 512;
/// A record this long was cut by printk (`LOG_LINE_MAX` is 976 or 992), perhaps within a number.
const CUT_RECORD: usize = 970;
/// A report whose lines do not go on for this long was cut off.
const PATIENCE_NS: u64 = 30_000_000_000;

/// Where counters may follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Section {
    /// Nowhere.
    #[default]
    Other,
    /// Below `Memory cgroup stats for`.
    Cgroup,
    /// Below `Mem-Info:`.
    Machine,
}

/// A report of which the end is still to come.
#[derive(Debug, Default)]
pub(super) struct Open {
    /// What is known of it.
    pub(super) report: Report,
    /// Thread that prints it, if the log says so.
    context: Option<u32>,
    /// Time of its first line.
    begin_ns: Option<u64>,
    /// Time of its last line that was understood.
    last_ns: Option<u64>,
    /// [`What::Invoked`] was told.
    told: bool,
    /// Where counters may follow.
    section: Section,
    columns: Option<Columns>,
    text_cut: bool,
}

impl Open {
    pub(super) fn new(time_ns: Option<u64>, context: Option<u32>, invocation: Option<Invocation>) -> Self {
        let text = String::with_capacity(USUAL_TEXT);
        let report = Report { invocation, text, ..Report::default() };
        Self { report, context, begin_ns: time_ns, last_ns: time_ns, ..Self::default() }
    }

    /// Whether a message printed by `context` cannot belong to it: one thread prints a report.
    pub(super) fn is_foreign(&self, context: Option<u32>) -> bool {
        matches!((self.context, context), (Some(own), Some(other)) if own != other)
    }

    /// Whether its end will not come any more.
    pub(super) fn is_stale(&self, time_ns: Option<u64>) -> bool {
        matches!((self.last_ns, time_ns), (Some(last), Some(now)) if now.saturating_sub(last) > PATIENCE_NS)
    }

    /// Takes a message that may be part of it. Unknown ones are kept in its text only.
    pub(super) fn message(&mut self, time_ns: Option<u64>, message: &str, out: &mut Vec<Event>) {
        let own = match self.record(message) {
            Some(own) => own,
            None => self.line(message, out),
        };
        if own {
            self.last_ns = time_ns.or(self.last_ns);
        }
    }

    /// Two records hold several lines: up to 6.1 the counters of a cgroup, and `Mem-Info`. A name may hold a line
    /// feed as well, but no record begins like these with a name in it.
    fn record(&mut self, message: &str) -> Option<bool> {
        if !message.contains('\n') {
            return None;
        }
        let first = message.split('\n').next()?;
        let fits = match self.section {
            Section::Cgroup => memory::counter(first).is_some(),
            Section::Machine => memory::mem_info(first).is_some(),
            Section::Other => false,
        };
        if !fits {
            return None;
        }
        let count = message.split('\n').count();
        for (at, line) in message.split('\n').enumerate() {
            if at + 1 < count || message.len() < CUT_RECORD {
                self.counter(line);
            }
            self.push_text(line, MOST_TEXT);
        }
        Some(true)
    }

    /// Takes one line; `true` if it was understood.
    fn line(&mut self, message: &str, out: &mut Vec<Event>) -> bool {
        if let Some(row) = self.columns.as_ref().and_then(|columns| columns.row(message)) {
            self.push_text(message, MOST_TEXT - TEXT_AFTER_TABLE);
            if self.report.tasks.len() < MOST_ROWS {
                self.report.tasks.push(row);
            } else {
                self.report.lost_lines += 1;
            }
            return true;
        }
        self.push_text(message, MOST_TEXT);
        if self.cpu(message) {
            self.tell(out);
            return true;
        }
        let own = self.section(message);
        if own {
            self.tell(out);
        }
        own
    }

    /// The `CPU:` line of the task that asked.
    fn cpu(&mut self, message: &str) -> bool {
        let Some(asked) = &mut self.report.invocation else { return false };
        if asked.tid.is_some() {
            return false;
        }
        let Some(cpu) = invocation::cpu(message, &asked.comm) else { return false };
        asked.tid = Some(cpu.tid);
        asked.kernel_release = cpu.release.map(str::to_owned);
        true
    }

    fn section(&mut self, message: &str) -> bool {
        if let Some((path, counters)) = memory::stats_header(message) {
            self.report.stats_cgroup = Some(path.to_owned());
            self.section = Section::Cgroup;
            for (name, value) in counters.split(' ').filter_map(memory::old_counter) {
                self.keep_counter(name, value);
            }
            return true;
        }
        if message == "Mem-Info:" {
            self.section = Section::Machine;
            return true;
        }
        if is_table(message) {
            self.report.has_table = true;
            self.section = Section::Other;
            return true;
        }
        if let Some(columns) = Columns::from_header(message) {
            self.report.has_table = true;
            self.section = Section::Other;
            self.columns = Some(columns);
            return true;
        }
        self.counter(message)
            || memory::limits(message, &mut self.report.limits)
            || memory::machine(message, &mut self.report.machine)
    }

    fn counter(&mut self, line: &str) -> bool {
        match self.section {
            Section::Cgroup => {
                let Some((name, value)) = memory::counter(line) else { return false };
                self.keep_counter(name, value);
            }
            Section::Machine => {
                let Some(counters) = memory::mem_info(line) else {
                    // The nodes and zones follow.
                    self.section = Section::Other;
                    return false;
                };
                for (name, value) in counters {
                    self.keep_counter(name, value);
                }
            }
            Section::Other => return false,
        }
        true
    }

    fn keep_counter(&mut self, name: &str, value: u64) {
        if self.report.stats.len() < MOST_COUNTERS {
            self.report.stats.insert(name.to_owned(), value);
        }
    }

    /// Adds a line to the text.
    pub(super) fn push_text(&mut self, message: &str, limit: usize) {
        let line = printable(message);
        let text = &mut self.report.text;
        if text.len() + line.len() < limit {
            text.push_str(&line);
            text.push('\n');
        } else if !self.text_cut {
            self.text_cut = true;
            text.push_str("[... lines left out: the report is too long ...]\n");
        }
    }

    /// Says that lines are missing here.
    pub(super) fn gap(&mut self, records: Option<u64>, out: &mut Vec<Event>) {
        self.tell(out);
        self.section = Section::Other;
        self.report.lost_lines = self.report.lost_lines.saturating_add(records.unwrap_or(1));
        let note = match records {
            Some(records) => format!("[... {records} log records lost ...]"),
            None => "[... log records lost ...]".to_owned(),
        };
        self.push_text(&note, MOST_TEXT);
    }

    /// Tells [`What::Invoked`], once.
    fn tell(&mut self, out: &mut Vec<Event>) {
        if self.told {
            return;
        }
        self.told = true;
        if let Some(invocation) = &self.report.invocation {
            let what = What::Invoked(Box::new(invocation.clone()));
            out.push(Event { time_ns: self.begin_ns, what });
        }
    }

    /// Ends it. `time_ns` is that of the line that ended it; `None`: it just stops.
    pub(super) fn close(mut self, time_ns: Option<u64>, outcome: Outcome, out: &mut Vec<Event>) {
        self.tell(out);
        self.report.outcome = outcome;
        out.push(Event { time_ns: time_ns.or(self.last_ns), what: What::Report(Box::new(self.report)) });
    }
}

/// Lines that only a report has: one that begins with them was cut off at its beginning.
pub(super) fn is_part(message: &str) -> bool {
    is_table(message)
        || memory::stats_header(message).is_some()
        || Columns::from_header(message).is_some()
        || memory::limits(message, &mut Limits::default())
}

fn is_table(message: &str) -> bool {
    message.starts_with("Tasks state (memory values in ")
}
