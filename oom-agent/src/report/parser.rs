//! The state machine over the kernel's messages.
//!
//! The kernel holds `oom_lock` while it prints a report and kills, so reports never overlap; other messages may stand
//! between a report's lines.

use super::chosen::{Waiting, chosen, sharing};
use super::open::{MOST_TEXT, Open, is_part};
use super::pieces::Pieces;
use super::scan::{CUT_RECORD, cut, number};
use super::{Event, Killed, Outcome, What, invocation, kill};

/// Bytes of a message that are looked at; printk's own limit is 2 KiB.
const MOST_MESSAGE: usize = 16 * 1024;

/// Reads messages of the kernel's log, in their order, and tells what they say about OOM.
///
/// It never fails: what it does not understand is kept in the text of the report around it, or passed over.
#[derive(Debug, Default)]
pub struct Parser {
    open: Option<Open>,
    pieces: Pieces,
    chosen: Waiting,
    /// This kernel prints the victim's page tables in kB. `None`: its release is not known.
    pgtables_in_kb: Option<bool>,
}

impl Parser {
    /// A parser that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether [`Parser::message`] may have a use for a message, which may still be escaped. Cheap: most messages of a
    /// machine have nothing to do with OOM.
    pub fn wants(&self, message: &[u8]) -> bool {
        const BEGINS: [&[u8]; 18] = [
            b"** ",
            b"Kill process ",
            b"Killed process ",
            b"Kernel panic - not syncing: ",
            b"Memory cgroup out of memory",
            b"Memory cgroup stats for ",
            b"Memory limit reached of cgroup ",
            b"Out of memory",
            b"Task in ",
            b"Tasks in ",
            b"Tasks state ",
            b"[ ",
            b"kmem: usage ",
            b"memory",
            b"oom-kill:",
            b"oom_kill_process: ",
            b"oom_reaper: ",
            b"swap: usage ",
        ];
        self.is_open()
            || BEGINS.iter().any(|begin| message.starts_with(begin))
            || invocation::invoked_at(message).is_some()
    }

    /// Whether it is in the middle of something that the next messages belong to.
    pub fn is_open(&self) -> bool {
        self.open.is_some() || self.pieces.waiting()
    }

    /// Takes the next message.
    ///
    /// `time_ns` is the log's clock and `context` the thread that printed the message, where the log has them. A message
    /// as long as printk's longest is taken for one that it cut.
    pub fn message(
        &mut self,
        time_ns: Option<u64>,
        context: Option<u32>,
        message: &str,
        out: &mut Vec<Event>,
    ) {
        self.take(time_ns, context, message, message.len() >= CUT_RECORD, out);
    }

    /// Takes the next message, of which the end may be missing: it was cut by who wrote the log, or the file ends in it.
    /// What may be half a number is not told.
    pub fn cut_message(
        &mut self,
        time_ns: Option<u64>,
        context: Option<u32>,
        message: &str,
        out: &mut Vec<Event>,
    ) {
        self.take(time_ns, context, message, true, out);
    }

    fn take(
        &mut self,
        time_ns: Option<u64>,
        context: Option<u32>,
        message: &str,
        is_cut: bool,
        out: &mut Vec<Event>,
    ) {
        let message = cut(message, MOST_MESSAGE);
        if self.open.as_ref().is_some_and(|open| open.is_stale(time_ns)) {
            self.close(None, Outcome::Unknown, out);
        }
        // First, as these two alone begin with text that a user chooses.
        if let Some(invocation) = invocation::invoked(message, is_cut) {
            self.pieces.clear();
            self.close(None, Outcome::Unknown, out);
            let open = self.open.insert(Open::new(time_ns, context, Some(invocation)));
            open.push_text(message, MOST_TEXT);
            return;
        }
        if self.open.as_mut().is_some_and(|open| !open.is_foreign(context) && open.cpuset(message, is_cut)) {
            return;
        }
        if let Some(message) = self.pieces.join(message) {
            self.line(time_ns, context, &message, is_cut, out);
        }
    }

    /// Says that log records are missing between the last message and the next. `None`: nobody knows how many.
    pub fn gap(&mut self, records: Option<u64>, out: &mut Vec<Event>) {
        self.pieces.clear();
        self.chosen.clear();
        if let Some(open) = &mut self.open {
            open.gap(records, out);
        }
        out.push(Event { time_ns: None, what: What::Gap { records } });
    }

    /// Says that no message will follow: a report without its end is told as far as it goes.
    pub fn finish(&mut self, out: &mut Vec<Event>) {
        self.pieces.clear();
        self.close(None, Outcome::Unknown, out);
    }

    fn line(
        &mut self,
        time_ns: Option<u64>,
        context: Option<u32>,
        message: &str,
        is_cut: bool,
        out: &mut Vec<Event>,
    ) {
        let told = match message.as_bytes().first() {
            Some(b'K' | b'M' | b'O') => self.kill(time_ns, context, message, is_cut, out),
            Some(b'o') => {
                self.summary(time_ns, context, message, is_cut, out) || tell(time_ns, message, is_cut, out)
            }
            Some(b'T') => tell(time_ns, message, is_cut, out),
            Some(b'*') => match dropped(message) {
                Some(records) => {
                    self.gap(Some(records), out);
                    true
                }
                None => false,
            },
            _ => false,
        };
        if told {
            return;
        }
        if let Some(outcome) = ending(message) {
            self.ensure_open(time_ns, context).push_text(message, MOST_TEXT);
            self.close(time_ns, outcome, out);
        } else if self.open.is_some() || is_part(message) {
            let open = self.ensure_open(time_ns, context);
            if !open.is_foreign(context) {
                open.message(time_ns, message, is_cut, out);
            }
        }
    }

    /// `Kill process`, `Killed process` and what stands for them.
    fn kill(
        &mut self,
        time_ns: Option<u64>,
        context: Option<u32>,
        message: &str,
        is_cut: bool,
        out: &mut Vec<Event>,
    ) -> bool {
        // Before 4.19 a report ends with one of these lines. Where records were lost it may be another's kill.
        let own =
            self.open.as_ref().is_some_and(|open| open.report.lost_lines == 0 && !open.is_foreign(context));
        let outcome = if own { Outcome::Kill } else { Outcome::Unknown };
        if let Some(mut killed) = kill::killed(message, is_cut) {
            self.close(None, outcome, out);
            self.complete(&mut killed);
            out.push(Event { time_ns, what: What::Killed(Box::new(killed)) });
        } else if let Some(chosen) = chosen(message) {
            if let Some(open) = self.open.as_mut().filter(|_| own) {
                open.choose(&chosen, message);
            }
            self.close(time_ns.filter(|_| own), outcome, out);
            self.chosen.push(chosen);
        } else if let Some((pid, comm)) = sharing(message) {
            out.push(Event { time_ns, what: What::Sharing { pid, comm: comm.to_owned() } });
        } else if let Some((pid, comm)) = kill::exiting(message) {
            out.push(Event { time_ns, what: What::Exiting { pid, comm: comm.to_owned() } });
        } else {
            return false;
        }
        true
    }

    /// Adds what the line before said, and takes away what may not be true.
    fn complete(&mut self, killed: &mut Killed) {
        // A whole multiple of 4 MiB may be bytes that are called kB (5.4.0 to 5.4.8, mm_pgtables_bytes in
        // __oom_kill_process): a multiple of the page size.
        let suspect = killed.memory.pgtables_bytes.is_some_and(|bytes| bytes > 0 && bytes % (4 << 20) == 0);
        if suspect && self.pgtables_in_kb != Some(true) {
            killed.memory.pgtables_bytes = None;
        }
        if self.chosen.is_empty() {
            return;
        }
        killed.chosen = self.chosen.take(killed.pid);
        if let Some(chosen) = killed.chosen.as_ref().filter(|_| killed.is_memcg.is_none()) {
            killed.message.clone_from(&chosen.message);
            killed.is_memcg = kill::reason(&chosen.message);
        }
    }

    /// The `oom-kill:` line: the end of a report that a kill follows.
    fn summary(
        &mut self,
        time_ns: Option<u64>,
        context: Option<u32>,
        message: &str,
        is_cut: bool,
        out: &mut Vec<Event>,
    ) -> bool {
        let (tasks, stats_cgroup) = match &self.open {
            Some(open) => (open.report.tasks.as_slice(), open.report.stats_cgroup.as_deref()),
            None => (&[][..], None),
        };
        let Some(kill) = kill::summary(message, is_cut, tasks, stats_cgroup) else { return false };
        let open = self.ensure_open(time_ns, context);
        open.push_text(message, MOST_TEXT);
        open.report.kill = Some(kill);
        self.close(time_ns, Outcome::Kill, out);
        true
    }

    fn ensure_open(&mut self, time_ns: Option<u64>, context: Option<u32>) -> &mut Open {
        self.open.get_or_insert_with(|| Open::new(time_ns, context, None))
    }

    fn close(&mut self, time_ns: Option<u64>, outcome: Outcome, out: &mut Vec<Event>) {
        if let Some(open) = self.open.take() {
            let release = open.report.invocation.as_ref().and_then(|asked| asked.kernel_release.as_deref());
            if let Some(release) = release {
                self.pgtables_in_kb = Some(!release.starts_with("5.4.") && !release.starts_with("5.5.0-rc"));
            }
            open.close(time_ns, outcome, out);
        }
    }
}

/// Lines that are told as they are.
fn tell(time_ns: Option<u64>, message: &str, is_cut: bool, out: &mut Vec<Event>) -> bool {
    let what = if let Some(path) = kill::group(message) {
        What::GroupKill { cgroup: path.to_owned() }
    } else if let Some((pid, comm)) = kill::reaped(message) {
        What::Reaped { pid, comm: comm.to_owned() }
    } else if let Some((pid, comm)) = kill::not_reaped(message).filter(|_| !is_cut) {
        What::NotReaped { pid, comm: comm.to_owned() }
    } else if let Some(reports) = kill::suppressed(message) {
        What::Suppressed { reports }
    } else {
        return false;
    };
    out.push(Event { time_ns, what });
    true
}

/// `** 3 printk messages dropped **`: the console was too slow (`console_unlock`).
fn dropped(message: &str) -> Option<u64> {
    let (records, rest) = number(message.strip_prefix("** ")?)?;
    (rest.trim_end() == " printk messages dropped **").then_some(records)
}

/// Lines that end a report that no kill follows (`out_of_memory`, `check_panic_on_oom`).
fn ending(message: &str) -> Option<Outcome> {
    if message == "Out of memory and no killable processes..." {
        return Some(Outcome::NoneKillable);
    }
    let panic = message.strip_prefix("Kernel panic - not syncing: ")?;
    (panic.starts_with("Out of memory") || panic.starts_with("System is deadlocked on memory"))
        .then_some(Outcome::Panic)
}
