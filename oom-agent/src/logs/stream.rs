//! One machine's messages, or one thread's of it, to incidents.

use super::Found;
use super::line::Line;
use super::stamp::Years;
use super::times::{self, Clock, Dated, Marks};
use crate::incident::assembler::{Assembler, Config};
use crate::incident::fact::Fact;
use crate::incident::model::{Incident, Level};
use crate::report::parser::Parser;
use crate::report::{Event, Outcome, What};
use std::cmp::Reverse;

/// A line of a report follows the one before within this time on its own clock, as slow as the console may be.
const PATIENCE_NS: u64 = 30_000_000_000;
/// CPUs stamp their messages before they get to write them, and writers of logs may swap lines.
const BACK_NS: u64 = 1_000_000_000;
/// A line this near may be of a stream; which one is nearer says nothing then.
const NEAR_NS: u64 = 1_000_000_000;
/// The distance of a line whose time, or the stream's, is not known.
const UNKNOWN_NS: u64 = 0;

/// What a line is to the streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `invoked oom-killer`.
    Begin,
    /// `Killed process`, with its number.
    Killed(Option<u32>),
    /// `Tasks in PATH are going to be killed`.
    Group,
    /// Anything else: a part of a report, or nothing.
    Part,
}

/// Messages of one machine as they belong together.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) host: Option<Box<str>>,
    pub(super) boot_id: Option<Box<str>>,
    /// Thread that prints the report (`CONFIG_PRINTK_CALLER`).
    pub(super) context: Option<u32>,
    /// The process whose kill a report announced; its line is still to come.
    pub(super) awaits: Option<u32>,
    /// Number of the line that its report began with.
    pub(super) begun: u64,
    /// Number of the last line that told something.
    pub(super) touched: u64,
    /// A report is open.
    pub(super) busy: bool,
    /// So many other lines came since it was complete that nothing belongs to it any more.
    pub(super) settled: bool,
    /// Lines that it holds.
    pub(super) weight: usize,
    /// Its report began while another one was open that could not be told from it.
    pub(super) rival: Option<u64>,
    /// Lines of two reports may be mixed in what it tells next.
    pub(super) mixed: bool,
    clock: Clock,
    years: Years,
    last_ns: Option<u64>,
    parser: Parser,
    assembler: Assembler,
    marks: Marks,
}

impl Stream {
    pub(super) fn new(message: &Dated<'_>, sources: &[String], years: Years) -> Self {
        let clock = Clock::of(message);
        let config = Config {
            sources: sources.to_vec(),
            log_resolution_ns: clock.resolution_ns(message),
            ..Config::new(Level::Log)
        };
        Self {
            host: message.line.host.as_deref().map(Box::from),
            boot_id: message.line.boot_id.as_deref().map(Box::from),
            context: None,
            awaits: None,
            begun: 0,
            touched: 0,
            busy: false,
            settled: false,
            weight: 0,
            rival: None,
            mixed: false,
            clock,
            years,
            last_ns: None,
            parser: Parser::new(),
            assembler: Assembler::new(config),
            marks: Marks::default(),
        }
    }

    fn is_of(&self, message: &Dated<'_>) -> bool {
        self.host.as_deref() == message.line.host.as_deref()
            && self.boot_id.as_deref() == message.line.boot_id.as_deref()
    }

    /// How far a line is from its last one. `None`: it is not of this machine, or of another boot.
    fn distance_ns(&self, message: &Dated<'_>) -> Option<u64> {
        if self.settled {
            return Some(UNKNOWN_NS);
        }
        let (Some(last), Some(time)) = (self.last_ns, self.clock.time_ns(message)) else {
            return Some(UNKNOWN_NS);
        };
        let distance = time.abs_diff(last);
        // Dates of one machine may be set back, and a silent machine's go on. A time since boot cannot.
        let fits = self.clock != Clock::Boot || distance <= if time < last { BACK_NS } else { PATIENCE_NS };
        fits.then_some(distance)
    }

    /// Its report is open, or the kill that it announced is still to come.
    pub(super) fn is_open(&self) -> bool {
        self.busy || self.awaits.is_some()
    }

    /// Whether it is open and nothing tells its lines from those that follow this one.
    pub(super) fn is_rival(&self, message: &Dated<'_>) -> bool {
        let near = self.distance_ns(message).is_some_and(|distance| distance <= NEAR_NS);
        self.is_of(message)
            && self.is_open()
            && (self.context.is_none() || message.line.context.is_none())
            && (self.clock != Clock::Boot || near)
    }

    /// Whether the thread that printed a line is not the one that prints this report.
    fn is_foreign(&self, message: &Dated<'_>) -> bool {
        matches!((self.context, message.line.context), (Some(own), Some(other)) if own != other)
    }

    /// How well a message fits to it. `None`: it is another one's. The thread that printed it says most; then the
    /// nearest clock, and of those that are near the latest report.
    pub(super) fn fit(&self, message: &Dated<'_>) -> Option<(bool, Reverse<u64>, u64)> {
        if !self.is_of(message) || self.is_foreign(message) {
            return None;
        }
        let distance = self.distance_ns(message)?;
        let by_thread = message.line.context.is_some() && self.context == message.line.context;
        let distance = if by_thread || distance <= NEAR_NS { 0 } else { distance };
        Some((by_thread, Reverse(distance), self.begun))
    }

    /// Takes a line; `true` if it told something. `number` is its place among all lines.
    pub(super) fn line(
        &mut self,
        message: &Dated<'_>,
        kind: Kind,
        number: u64,
        out: &mut Vec<Found>,
    ) -> bool {
        self.settled = false;
        let time_ns = self.clock.time_ns(message);
        if kind == Kind::Begin || !self.busy {
            self.marks.push(time_ns, message.line.stamp.as_ref());
        }
        if !self.is_open() {
            self.begun = number;
            self.context = message.line.context.or(self.context);
        }
        if kind == Kind::Begin {
            self.begun = number;
            self.awaits = None;
            self.context = message.line.context;
            self.rival = None;
        }
        let mut events = Vec::new();
        let Line { context, message: text, .. } = message.line;
        if message.is_cut {
            self.parser.cut_message(time_ns, *context, text, &mut events);
        } else {
            self.parser.message(time_ns, *context, text, &mut events);
        }
        // No message is wanted when nothing is open.
        self.busy = self.parser.wants(b"");
        self.weight += usize::from(self.busy);
        self.last_ns = time_ns.or(self.last_ns);
        let told = !events.is_empty() || kind == Kind::Begin || message.line.message.starts_with('[');
        if told {
            self.touched = number;
        }
        self.events(time_ns, events, out);
        told
    }

    fn events(&mut self, time_ns: Option<u64>, events: Vec<Event>, out: &mut Vec<Found>) {
        if events.is_empty() {
            return;
        }
        let now_ns = time_ns.or(self.last_ns).unwrap_or(0);
        for event in events {
            match &event.what {
                What::Report(report) => {
                    self.mixed |= self.rival.is_some() && report.invocation.is_none();
                    let kill = report.kill.as_ref().filter(|_| report.outcome == Outcome::Kill);
                    self.awaits = kill.map(|kill| kill.pid);
                }
                What::Killed(_) | What::Exiting { .. } => self.awaits = None,
                What::Invoked(_)
                | What::GroupKill { .. }
                | What::Sharing { .. }
                | What::Reaped { .. }
                | What::NotReaped { .. }
                | What::Suppressed { .. }
                | What::Gap { .. } => {}
            }
            self.assembler.push(now_ns, Fact::Log(event));
        }
        while let Some(incident) = self.assembler.ready(now_ns) {
            self.tell(incident, out);
        }
    }

    /// Gives up a report whose end did not come.
    pub(super) fn give_up(&mut self, out: &mut Vec<Found>) {
        let mut events = Vec::new();
        self.parser.finish(&mut events);
        self.busy = false;
        self.awaits = None;
        self.events(None, events, out);
    }

    /// See [`super::Reader::pause`].
    pub(super) fn pause(&mut self, out: &mut Vec<Found>) {
        for incident in self.assembler.pause() {
            self.tell(incident, out);
        }
    }

    /// Nothing follows.
    pub(super) fn finish(mut self, out: &mut Vec<Found>) {
        self.give_up(out);
        for incident in self.assembler.finish() {
            self.tell(incident, out);
        }
    }

    fn tell(&mut self, mut incident: Incident, out: &mut Vec<Found>) {
        self.weight = 0;
        let stamp = incident.boottime_ns.and_then(|time_ns| self.marks.take(time_ns));
        let wall = times::fill(&mut incident, self.clock, stamp, self.years);
        incident.node = self.host.as_deref().map(str::to_owned);
        incident.boot_id = self.boot_id.as_deref().map(str::to_owned);
        if std::mem::take(&mut self.mixed) {
            doubt(&mut incident);
        }
        out.push(Found { incident, wall });
    }
}

/// Leaves only what one line alone says: the other lines may be another report's.
fn doubt(incident: &mut Incident) {
    incident.scope = crate::incident::model::Scope::default();
    incident.trigger = None;
    incident.kernel_release = None;
    incident.total_pages = None;
    incident.limits = crate::incident::model::Limits::default();
    incident.candidates.clear();
    incident.candidates_evaluated = None;
    incident.candidates_lost = None;
    incident.decision = None;
    incident.memory.clear();
    incident.zones.clear();
    incident.unreclaimable_slabs.clear();
    for victim in &mut incident.victims {
        victim.cgroup = None;
        // What the task table adds to the line.
        victim.memory.swap_bytes = None;
    }
    incident.evidence.notes.push(
        "Two reports overlap here, and nothing tells their lines apart: only what the kernel said of the victims is taken."
            .to_owned(),
    );
}
