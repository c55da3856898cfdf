//! The state machine over the kernel's messages.
//!
//! The kernel holds `oom_lock` while it prints a report and kills, so reports never overlap; other messages may stand
//! between a report's lines.

use super::open::{MOST_TEXT, Open, is_part};
use super::pieces::Pieces;
use super::scan::cut;
use super::{Event, Outcome, What, invocation, kill};

/// Bytes of a message that are looked at; printk's own limit is 2 KiB.
const MOST_MESSAGE: usize = 16 * 1024;

/// Reads messages of the kernel's log, in their order, and tells what they say about OOM.
///
/// It never fails: what it does not understand is kept in the text of the report around it, or passed over.
#[derive(Debug, Default)]
pub struct Parser {
    open: Option<Open>,
    pieces: Pieces,
}

impl Parser {
    /// A parser that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether [`Parser::message`] may have a use for a message, which may still be escaped. Cheap: most messages of a
    /// machine have nothing to do with OOM.
    pub fn wants(&self, message: &[u8]) -> bool {
        const BEGINS: [&[u8]; 13] = [
            b"Killed process ",
            b"Kernel panic - not syncing: ",
            b"Memory cgroup out of memory",
            b"Memory cgroup stats for ",
            b"Out of memory",
            b"Tasks in ",
            b"Tasks state ",
            b"[ ",
            b"kmem: usage ",
            b"memory",
            b"oom-kill:",
            b"oom_reaper: ",
            b"swap: usage ",
        ];
        const INVOKED: &[u8] = b" invoked oom-killer: ";
        // A name of 15 bytes, each escaped.
        let invoked =
            || message.iter().take(4 * 15 + 1).enumerate().any(|(at, _)| message[at..].starts_with(INVOKED));
        self.open.is_some()
            || self.pieces.waiting()
            || BEGINS.iter().any(|begin| message.starts_with(begin))
            || invoked()
    }

    /// Takes the next message.
    ///
    /// `time_ns` is the log's clock and `context` the thread that printed the message, where the log has them.
    pub fn message(
        &mut self,
        time_ns: Option<u64>,
        context: Option<u32>,
        message: &str,
        out: &mut Vec<Event>,
    ) {
        let message = cut(message, MOST_MESSAGE);
        if self.open.as_ref().is_some_and(|open| open.is_stale(time_ns)) {
            self.close(None, Outcome::Unknown, out);
        }
        // First, as it alone begins with text that a user chooses.
        if let Some(invocation) = invocation::invoked(message) {
            self.pieces.clear();
            self.close(None, Outcome::Unknown, out);
            let open = self.open.insert(Open::new(time_ns, context, Some(invocation)));
            open.push_text(message, MOST_TEXT);
            return;
        }
        if let Some(message) = self.pieces.join(message) {
            self.line(time_ns, context, &message, out);
        }
    }

    /// Says that log records are missing between the last message and the next. `None`: nobody knows how many.
    pub fn gap(&mut self, records: Option<u64>, out: &mut Vec<Event>) {
        self.pieces.clear();
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

    fn line(&mut self, time_ns: Option<u64>, context: Option<u32>, message: &str, out: &mut Vec<Event>) {
        if let Some(killed) = kill::killed(message) {
            // A report that is still open lost its last line: the kill belongs to it, nothing comes between them.
            self.close(None, Outcome::Kill, out);
            out.push(Event { time_ns, what: What::Killed(Box::new(killed)) });
        } else if let Some(path) = kill::group(message) {
            out.push(Event { time_ns, what: What::GroupKill { cgroup: path.to_owned() } });
        } else if let Some((pid, comm)) = kill::reaped(message) {
            out.push(Event { time_ns, what: What::Reaped { pid, comm: comm.to_owned() } });
        } else if self.summary(time_ns, context, message, out) {
        } else if let Some(outcome) = ending(message) {
            self.ensure_open(time_ns, context).push_text(message, MOST_TEXT);
            self.close(time_ns, outcome, out);
        } else if self.open.is_some() || is_part(message) {
            let open = self.ensure_open(time_ns, context);
            if !open.is_foreign(context) {
                open.message(time_ns, message, out);
            }
        }
    }

    /// The `oom-kill:` line: the end of a report that a kill follows.
    fn summary(
        &mut self,
        time_ns: Option<u64>,
        context: Option<u32>,
        message: &str,
        out: &mut Vec<Event>,
    ) -> bool {
        let (tasks, stats_cgroup) = match &self.open {
            Some(open) => (open.report.tasks.as_slice(), open.report.stats_cgroup.as_deref()),
            None => (&[][..], None),
        };
        let Some(kill) = kill::summary(message, tasks, stats_cgroup) else { return false };
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
            open.close(time_ns, outcome, out);
        }
    }
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
