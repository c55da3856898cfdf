//! Whose line it is. A log may be written by several machines, and by several CPUs of one.
//!
//! One machine cannot mix two reports up: the kernel prints them, and kills, under `oom_lock` (`mm/oom_kill.c`). So a report
//! that begins while another one is open is another machine's, or the open one was cut off. Either way it gets a stream
//! of its own, and lines go where they fit: by host and boot, by the thread that printed them, by the clock.

use super::line::Line;
use super::stamp::Years;
use super::stream::{Kind, Stream};
use super::times::{Dated, Dates};
use super::{Found, Options};
use crate::report::parser::Parser;
use memchr::memmem::Finder;

/// Streams at once.
const MOST_STREAMS: usize = 64;
/// Lines of reports that are held at once, over all streams.
const MOST_WEIGHT: usize = 65_536;
/// Lines after which a report that does not go on was cut off.
const CUT_LINES: u64 = 4096;
/// Lines within which something may still follow a kill.
const RECENT_LINES: u64 = 512;
/// How often it is looked how much is held, in lines.
const LOOK_LINES: u64 = 64;
/// How often streams are looked after, in lines.
const SWEEP_LINES: u64 = 256;

const INVOKED: &str = " invoked oom-killer: gfp_mask=";
const KILLED: &str = "Killed process ";

/// The streams of a log.
#[derive(Debug)]
pub(super) struct Streams {
    /// The last one that took a line is the last.
    list: Vec<Stream>,
    sources: Vec<String>,
    years: Years,
    dates: Dates,
    /// How many have a report open.
    busy: usize,
    lines: u64,
    crowded: u64,
    /// Has seen nothing: says what can begin something.
    fresh: Parser,
    invoked: Finder<'static>,
    killed: Finder<'static>,
}

impl Streams {
    pub(super) fn new(options: Options) -> Self {
        let years = Years { latest: options.latest };
        Self {
            years,
            dates: Dates::new(years),
            list: Vec::new(),
            sources: vec![options.source],
            busy: 0,
            lines: 0,
            crowded: 0,
            fresh: Parser::new(),
            invoked: Finder::new(INVOKED),
            killed: Finder::new(KILLED),
        }
    }

    /// A report is open.
    pub(super) fn busy(&self) -> bool {
        self.busy > 0
    }

    fn count(&mut self) {
        self.busy = self.list.iter().filter(|stream| stream.busy).count();
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> (usize, usize) {
        (self.list.len(), self.list.iter().map(|stream| stream.weight).sum())
    }

    /// How many were told before their end for want of space.
    pub(super) fn crowded(&self) -> u64 {
        self.crowded
    }

    /// Takes a line, of which the end may be missing; `true` if it told something.
    pub(super) fn line(&mut self, line: &Line<'_>, is_cut: bool, out: &mut Vec<Found>) -> bool {
        self.lines += 1;
        if self.lines.is_multiple_of(SWEEP_LINES) {
            self.sweep(out);
        }
        if line.is_foreign {
            return false;
        }
        let message = &self.dates.date(line, is_cut);
        let kind = self.kind(&message.line.message);
        let Some(at) = self.choose(message, kind) else {
            return self.fresh.wants(message.line.message.as_bytes()) && self.add(message, kind, out);
        };
        let stream = &mut self.list[at];
        let (was_open, was_busy) = (stream.is_open(), stream.busy);
        let told = stream.line(message, kind, self.lines, out);
        self.busy = self.busy - usize::from(was_busy) + usize::from(stream.busy);
        let over = was_open && !stream.is_open();
        let begun = stream.begun;
        if over {
            self.over(at, begun);
        }
        if told {
            self.list[at..].rotate_left(1);
        }
        if self.lines.is_multiple_of(LOOK_LINES) {
            self.lighten(out);
        }
        told
    }

    /// Nothing follows for now.
    pub(super) fn pause(&mut self, out: &mut Vec<Found>) {
        for stream in &mut self.list {
            stream.pause(out);
        }
    }

    /// Nothing follows.
    pub(super) fn finish(&mut self, out: &mut Vec<Found>) {
        for stream in self.list.drain(..) {
            stream.finish(out);
        }
        self.busy = 0;
    }

    /// Much was passed over: what is complete stays so.
    pub(super) fn settle(&mut self) {
        for stream in self.list.iter_mut().filter(|stream| !stream.busy) {
            stream.settled = true;
            stream.awaits = None;
        }
    }

    /// Gives up what does not go on.
    fn sweep(&mut self, out: &mut Vec<Found>) {
        for stream in &mut self.list {
            let silent = self.lines - stream.touched;
            if stream.busy && silent > CUT_LINES {
                stream.give_up(out);
            }
            if !stream.busy && silent > RECENT_LINES {
                stream.settled = true;
                stream.awaits = None;
            }
        }
        self.count();
    }

    fn kind(&self, message: &str) -> Kind {
        // Names of cgroups may hold anything; these lines do.
        const NAMED: [&str; 4] = ["oom-kill:", "Memory cgroup ", "Tasks in ", "Task in "];
        // A name of 15 bytes, each escaped, comes before it.
        const MOST_NAME: usize = 4 * 15;
        let text = message.as_bytes();
        let head = &text[..text.len().min(MOST_NAME + INVOKED.len())];
        if let Some(at) = self.killed.find(text) {
            let number = message[at + KILLED.len()..].split(' ').next();
            return Kind::Killed(number.and_then(|number| number.parse().ok()));
        }
        // Instead of it, where the chosen one was found without memory (`__oom_kill_process`).
        let reason =
            ["Memory cgroup out of memory", "Out of memory"].iter().any(|it| message.starts_with(it));
        if reason && let Some((_, rest)) = message.split_once(": OOM victim ") {
            return Kind::Killed(rest.split(' ').next().and_then(|number| number.parse().ok()));
        }
        if message.starts_with("Tasks in ") {
            Kind::Group
        } else if self.invoked.find(head).is_some() && !NAMED.iter().any(|name| message.starts_with(name)) {
            Kind::Begin
        } else {
            Kind::Part
        }
    }

    /// The stream of a line. `None`: none has a use for it.
    fn choose(&self, message: &Dated<'_>, kind: Kind) -> Option<usize> {
        // Almost always the report that is open goes on.
        if kind == Kind::Part
            && let [.., last] = &*self.list
            && self.busy == 1
            && last.busy
            && last.fit(message).is_some()
        {
            return Some(self.list.len() - 1);
        }
        let of = |wanted: &dyn Fn(&Stream) -> bool| {
            let among = self.list.iter().enumerate().filter(|(_, stream)| wanted(stream));
            let fitting = among.filter_map(|(at, stream)| Some((stream.fit(message)?, at)));
            fitting.max_by_key(|(fit, _)| *fit).map(|(_, at)| at)
        };
        match kind {
            // A thread prints one report after the other.
            Kind::Begin => of(&|stream| {
                !stream.settled && message.line.context.is_some() && stream.context == message.line.context
            })
            .or_else(|| of(&|stream| !stream.is_open() && !stream.settled))
            .or_else(|| of(&|stream| !stream.is_open())),
            Kind::Killed(pid) => of(&|stream| pid.is_some() && stream.awaits == pid)
                .or_else(|| of(&|stream| !stream.settled))
                .or_else(|| of(&|stream| stream.settled)),
            Kind::Group => of(&|stream| !stream.settled).or_else(|| of(&|stream| stream.settled)),
            Kind::Part => of(&|stream| stream.busy).or_else(|| {
                let begins = self.fresh.wants(message.line.message.as_bytes());
                begins.then(|| of(&|stream| !stream.is_open())).flatten()
            }),
        }
    }

    fn add(&mut self, message: &Dated<'_>, kind: Kind, out: &mut Vec<Found>) -> bool {
        let mut stream = Stream::new(message, &self.sources, self.years);
        let told = stream.line(message, kind, self.lines, out);
        if kind == Kind::Begin {
            let rival = self.list.iter().rfind(|stream| stream.is_rival(message));
            stream.rival = rival.map(|stream| stream.begun);
        }
        if self.list.len() >= MOST_STREAMS {
            self.end(0, out);
        }
        self.list.push(stream);
        self.count();
        told
    }

    /// A report, begun with this line, came to its end. If one has begun in it that nothing tells from it, it was not cut
    /// off there, so the lines of both may be in either.
    fn over(&mut self, at: usize, begun: u64) {
        let Some(rival) = self.list.iter().position(|stream| stream.rival == Some(begun)) else { return };
        for at in [at, rival] {
            self.list[at].mixed = true;
        }
    }

    /// Ends the longest silent streams where they hold too much.
    fn lighten(&mut self, out: &mut Vec<Found>) {
        while self.list.iter().map(|stream| stream.weight).sum::<usize>() > MOST_WEIGHT {
            let last = self.list.len().saturating_sub(1);
            let Some(at) = self.list[..last].iter().position(|stream| stream.weight > 0) else { return };
            self.end(at, out);
        }
    }

    fn end(&mut self, at: usize, out: &mut Vec<Found>) {
        let stream = self.list.remove(at);
        self.crowded += u64::from(stream.is_open());
        stream.finish(out);
        self.count();
    }
}
