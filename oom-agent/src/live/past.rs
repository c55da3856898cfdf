//! What the kernel's log tells of the time before the agent was there.

use crate::{
    clock,
    incident::{
        assembler::{Assembler, Config},
        fact::Fact,
        model::Incident,
    },
    report::{Event, Outcome, What},
    source::{klog::Klog, kmsg::Kmsg},
};
use anyhow::Result;

/// Batches of records that are read, at most: about a million records. Whoever floods the log meanwhile must not keep the
/// agent from its start.
const MOST_BATCHES: usize = 1024;
/// Lines of one kill follow each other within this time: of what is younger the log may have more to say.
const YOUNG_NS: u64 = 50_000_000;

/// What of the log is wanted.
pub struct Before<'a> {
    /// Only from this record on. `None`: all that the ring holds.
    pub since: Option<u64>,
    /// Is told each incident, oldest first.
    pub tell: &'a mut dyn FnMut(Incident),
}

/// How it was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// The first record that the ring still held.
    pub first_seq: u64,
    /// The log goes on before `since`: it is another one. All of it was read.
    pub other_log: bool,
}

/// Reads what is there and tells its incidents. `held`: what the log is just saying; the rest comes later, with what BPF
/// sees.
pub(super) fn read(
    kmsg: &mut Kmsg,
    since: Option<u64>,
    config: &Config,
    held: &mut Vec<Event>,
    tell: &mut dyn FnMut(Incident),
) -> Result<Read> {
    kmsg.skip_before(since.unwrap_or(0));
    one_pass(kmsg, config, held, tell)?;
    let ahead = |next: u64| since.is_some_and(|since| next < since);
    let other_log = kmsg.next_seq().is_some_and(ahead);
    if other_log {
        // A machine that was brought back to an earlier state has the same boot id.
        kmsg.rewind()?;
        held.clear();
        one_pass(kmsg, config, held, tell)?;
    }
    Ok(Read { first_seq: kmsg.first_seq().unwrap_or(0), other_log })
}

/// The same where the log has no numbers: whoever is told must know what was told before.
pub(super) fn read_all(
    klog: &mut Klog,
    config: &Config,
    held: &mut Vec<Event>,
    tell: &mut dyn FnMut(Incident),
) -> Result<Read> {
    klog.read(held)?;
    let mut past = Past::new(config);
    past.take(clock::boottime_ns(), held, tell);
    past.finish(tell);
    Ok(Read::default())
}

fn one_pass(
    kmsg: &mut Kmsg,
    config: &Config,
    held: &mut Vec<Event>,
    tell: &mut dyn FnMut(Incident),
) -> Result<()> {
    let mut past = Past::new(config);
    for _ in 0..MOST_BATCHES {
        let more = kmsg.read_some(held)?;
        past.take(clock::boottime_ns(), held, tell);
        if !more {
            break;
        }
    }
    past.finish(tell);
    Ok(())
}

/// From events to incidents.
struct Past {
    assembler: Assembler,
    suspended_ns: u64,
    now_ns: u64,
}

impl Past {
    fn new(config: &Config) -> Self {
        Self { assembler: Assembler::new(config.clone()), suspended_ns: clock::suspended_ns(), now_ns: 0 }
    }

    /// Takes the events but those at the end that the log has more to say of.
    fn take(&mut self, now_ns: u64, events: &mut Vec<Event>, tell: &mut dyn FnMut(Incident)) {
        let since = now_ns.saturating_sub(self.suspended_ns).saturating_sub(YOUNG_NS);
        let is_whole = |event: &Event| !is_open(event) && event.time_ns.is_none_or(|time| time < since);
        let whole = events.iter().rposition(is_whole).map_or(0, |last| last + 1);
        for mut event in events.drain(..whole) {
            event.time_ns = event.time_ns.map(|time| time.saturating_add(self.suspended_ns));
            self.now_ns = event.time_ns.unwrap_or(self.now_ns);
            self.assembler.push(self.now_ns, Fact::Log(event));
            while let Some(incident) = self.assembler.ready(self.now_ns) {
                tell(self.noted(incident));
            }
        }
    }

    fn finish(mut self, tell: &mut dyn FnMut(Incident)) {
        for incident in self.assembler.finish() {
            tell(self.noted(incident));
        }
    }

    fn noted(&self, mut incident: Incident) -> Incident {
        let notes = &mut incident.evidence.notes;
        notes.push(
            "It was read from the kernel's log later: the agent did not run when it happened.".to_owned(),
        );
        if self.suspended_ns > 0 {
            let seconds = self.suspended_ns / 1_000_000_000;
            notes.push(format!(
                "The machine was suspended for {seconds} s since boot: the time may be late by as much."
            ));
        }
        incident
    }
}

/// The log has more to say of this kill: the line that names the victim follows a report.
fn is_open(event: &Event) -> bool {
    match &event.what {
        What::Invoked(_) => true,
        What::Report(report) => report.outcome == Outcome::Kill,
        What::Killed(_)
        | What::GroupKill { .. }
        | What::Reaped { .. }
        | What::NotReaped { .. }
        | What::Exiting { .. }
        | What::Sharing { .. }
        | What::Suppressed { .. }
        | What::Gap { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{incident::model::Level, report::parser::Parser};

    const REPORT: &str = include_str!("../report/testdata/7.3.4-memcg-group.txt");

    /// Events of lines with their times.
    fn events(parser: &mut Parser, lines: &[&str]) -> Vec<Event> {
        let mut out = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            let message = line.split_once("] ").map_or(*line, |(_, message)| message);
            parser.message(Some(1_000_000_000 + at as u64), None, message, &mut out);
        }
        out
    }

    /// The same log, read in pieces of any size, gives the same incidents, and the end that is open is held back.
    #[test]
    fn where_reads_end_changes_nothing() {
        let lines: Vec<&str> = REPORT.lines().collect();
        let last = lines.iter().rposition(|line| line.contains("Killed process")).unwrap();
        let told = |size: usize, lines: &[&str]| {
            let config = Config::new(Level::Kmsg);
            let (mut past, mut held, mut parser) = (Past::new(&config), Vec::new(), Parser::new());
            let mut told = Vec::new();
            let all = events(&mut parser, lines);
            for piece in all.chunks(size) {
                held.extend_from_slice(piece);
                past.take(60_000_000_000, &mut held, &mut |incident| told.push(incident));
            }
            past.finish(&mut |incident| told.push(incident));
            (told, held.len())
        };
        let (whole, held) = told(usize::MAX, &lines[..=last]);
        assert_eq!((whole.len(), held), (1, 0));
        assert_eq!(whole[0].victims.len(), 3);
        assert!(whole[0].evidence.notes.iter().any(|note| note.contains("later")), "{whole:?}");
        for size in 1..4 {
            assert_eq!(told(size, &lines[..=last]), (whole.clone(), 0), "{size}");
        }
        let first = lines.iter().position(|line| line.contains("Killed process")).unwrap();
        let (none, held) = told(1, &lines[..first]);
        assert!(none.is_empty() && held > 0, "a report whose kill is still to come: {none:?}");
    }
}
