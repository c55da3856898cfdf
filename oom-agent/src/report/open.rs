//! The report that is being read.

use super::scan::printable;
use super::table::Columns;
use super::zone::{self, Zones};
use super::{Chosen, Event, Invocation, Outcome, PAGE_SIZE, Report, What, chosen, invocation, memory};

/// Rows of the task table that are kept.
pub(super) const MOST_ROWS: usize = 65_536;
/// Bytes of text that are kept.
pub(super) const MOST_TEXT: usize = 256 * 1024;
/// Bytes of text of a usual report.
const USUAL_TEXT: usize = 4 * 1024;
/// Bytes of it that the table leaves for the lines after it.
const TEXT_AFTER_TABLE: usize = 8 * 1024;
/// Counters that are kept; the kernel has about 80.
const MOST_COUNTERS: usize = 512;
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
    /// Below `Mem-Info:`, up to the first zone.
    Machine,
    /// Below `Unreclaimable slab info:`.
    Slabs,
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
    zones: Zones,
    /// Cgroup whose limit was hit, and the chosen task's, where a line of their own tells (up to 4.20).
    limit: Option<String>,
    task: Option<String>,
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

    /// Takes the line with the cpuset of the task that asked, which begins with its name.
    pub(super) fn cpuset(&mut self, message: &str, cut: bool) -> bool {
        let asked =
            self.report.invocation.as_mut().filter(|asked| asked.tid.is_none() && asked.cpuset.is_none());
        let own = asked.is_some_and(|asked| invocation::cpuset(message, cut, asked));
        if own {
            self.push_text(message, MOST_TEXT);
        }
        own
    }

    /// Takes the `Kill process` line, which ends it.
    pub(super) fn choose(&mut self, chosen: &Chosen, message: &str) {
        self.push_text(message, MOST_TEXT);
        let asked = self.report.invocation.as_ref();
        self.report.kill = Some(chosen::summary(chosen, asked, self.limit.as_deref(), self.task.as_deref()));
        self.report.chosen = Some(chosen.clone());
    }

    /// Takes a message that may be part of it. Unknown ones are kept in its text only.
    pub(super) fn message(&mut self, time_ns: Option<u64>, message: &str, cut: bool, out: &mut Vec<Event>) {
        let own = match self.record(message, cut) {
            Some(own) => own,
            None => self.line(message, cut, out),
        };
        if own {
            self.last_ns = time_ns.or(self.last_ns);
        }
    }

    /// Two records hold several lines: up to 6.1 the counters of a cgroup, and `Mem-Info`. A name may hold a line
    /// feed as well, but no record begins like these with a name in it.
    fn record(&mut self, message: &str, cut: bool) -> Option<bool> {
        if !matches!(self.section, Section::Cgroup | Section::Machine) {
            return None;
        }
        let (first, _) = message.split_once('\n')?;
        let fits = match self.section {
            Section::Cgroup => memory::counter(first).is_some(),
            _ => memory::mem_info(first).is_some(),
        };
        if !fits {
            return None;
        }
        let mut lines = message.split('\n').peekable();
        while let Some(line) = lines.next() {
            self.counter(line, cut && lines.peek().is_none());
            self.push_text(line, MOST_TEXT);
        }
        Some(true)
    }

    /// Takes one line; `true` if it was understood.
    fn line(&mut self, message: &str, cut: bool, out: &mut Vec<Event>) -> bool {
        if let Some(own) = self.row(message, cut) {
            return own;
        }
        self.push_text(message, MOST_TEXT);
        let own = self.cpu(message, cut) || self.section(message, cut);
        if own {
            self.tell(out);
        }
        own
    }

    /// Takes a row of the task table.
    fn row(&mut self, message: &str, cut: bool) -> Option<bool> {
        let page_size = self.report.page_size.unwrap_or(PAGE_SIZE);
        let row = self.columns.as_ref()?.row(message, page_size)?;
        self.push_text(message, MOST_TEXT - TEXT_AFTER_TABLE);
        // Its last number or its name may not be whole.
        if !cut && self.report.tasks.len() < MOST_ROWS {
            self.report.tasks.push(row);
        } else {
            self.report.lost_lines = self.report.lost_lines.saturating_add(1);
        }
        Some(true)
    }

    /// The `CPU:` line of the task that asked.
    fn cpu(&mut self, message: &str, cut: bool) -> bool {
        let Some(asked) = &mut self.report.invocation else { return false };
        if asked.tid.is_some() {
            return false;
        }
        let Some(cpu) = invocation::cpu(message, cut, &asked.comm) else { return false };
        asked.tid = Some(cpu.tid);
        asked.kernel_release = cpu.release.map(str::to_owned);
        true
    }

    fn section(&mut self, message: &str, cut: bool) -> bool {
        match message.as_bytes().first() {
            Some(b'M' | b'T') if self.cgroup(message, cut) => return true,
            Some(b'M') if message == "Mem-Info:" => {
                self.section = Section::Machine;
                return true;
            }
            Some(b'M') if message.starts_with("Memory cgroup min protection ") => return true,
            Some(b'U') if message == "Unreclaimable slab info:" => {
                self.section = Section::Slabs;
                return true;
            }
            Some(b'T') if is_table(message) => {
                self.report.has_table = true;
                self.section = Section::Other;
                return true;
            }
            Some(b'[') => {
                let Some(columns) = Columns::from_header(message) else { return false };
                self.report.has_table = true;
                self.section = Section::Other;
                self.columns = Some(columns);
                return true;
            }
            _ => {}
        }
        // The counters' names begin with small letters as well.
        self.counter(message, cut)
            || match message.as_bytes().first() {
                Some(b'm' | b's' | b'k') => memory::limits(message, &mut self.report),
                Some(b'0'..=b'9' | b'F' | b'T' | b'S') => memory::machine(message, &mut self.report),
                Some(b'N' | b'D' | b'H' | b'M' | b'l') => self.zone(message, cut),
                _ => false,
            }
    }

    /// Lines about the cgroup whose limit was hit.
    fn cgroup(&mut self, message: &str, cut: bool) -> bool {
        if let Some((task, limit)) = chosen::cgroups(message) {
            self.task = task.map(str::to_owned);
            self.limit = Some(limit.to_owned()).filter(|_| !cut);
            return true;
        }
        let Some((path, counters)) = memory::stats_header(message, cut) else { return false };
        // Before 5.2 its descendants' follow (`for_each_mem_cgroup_tree`).
        let own = match (&self.report.stats_cgroup, &self.limit) {
            (Some(_), _) => false,
            (None, Some(limit)) => limit == path,
            (None, None) => counters.is_empty() || self.report.limits.usage_bytes.is_some(),
        };
        self.section = Section::Other;
        if own {
            self.report.stats_cgroup = Some(path.to_owned());
            self.section = Section::Cgroup;
            self.old_counters(counters);
        }
        true
    }

    fn zone(&mut self, message: &str, cut: bool) -> bool {
        let before = self.report.page_size;
        let own = self.zones.line(message, cut, &mut self.report);
        if own && self.section == Section::Machine && !message.ends_with(" per-cpu:") {
            self.section = Section::Other;
        }
        // The machine's counters, which come first, are pages too.
        if let (None, Some(size)) = (before, self.report.page_size.filter(|&size| size != PAGE_SIZE))
            && self.report.stats_cgroup.is_none()
        {
            for bytes in self.report.stats.values_mut() {
                *bytes = (*bytes / PAGE_SIZE).saturating_mul(size);
            }
        }
        own
    }

    /// `cut`: its last number may not be whole.
    fn counter(&mut self, line: &str, cut: bool) -> bool {
        match self.section {
            Section::Cgroup if line.starts_with(' ') => return self.old_counters(line),
            Section::Cgroup => {
                let Some((name, value)) = memory::counter(line) else { return false };
                if !cut {
                    self.keep_counter(name, value);
                }
            }
            Section::Machine => {
                let Some(counters) = memory::mem_info(line) else { return false };
                let kept = line.split_ascii_whitespace().count() - usize::from(cut);
                for (name, value) in counters.take(kept) {
                    self.keep_counter(name, value);
                }
            }
            Section::Slabs => return zone::slab(line, &mut self.report.unreclaimable_slabs),
            Section::Other => return false,
        }
        true
    }

    /// ` cache:0KB rss:51200KB`, which may go on in a record of its own.
    fn old_counters(&mut self, text: &str) -> bool {
        let mut any = false;
        for (name, value) in text.split(' ').filter_map(memory::old_counter) {
            self.keep_counter(name, value);
            any = true;
        }
        any
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
    match message.as_bytes().first() {
        Some(b'T') => is_table(message) || chosen::cgroups(message).is_some(),
        Some(b'[') => Columns::from_header(message).is_some(),
        Some(b'M') => memory::stats_header(message, false).is_some() || chosen::cgroups(message).is_some(),
        Some(b'm' | b's' | b'k') => memory::is_limits(message),
        _ => false,
    }
}

fn is_table(message: &str) -> bool {
    message.starts_with("Tasks state (memory values in ")
}
