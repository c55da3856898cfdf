//! `oom-agent trace`: incidents on stdout as they happen.
//!
//! # Layout
//! - [`TraceArgs`]: its arguments.
//! - [`output`]: a thread that writes, so that a full pipe never stops the reading.

mod args;
pub mod output;

use crate::{
    clock,
    filter::Filter,
    incident::model::Incident,
    kernel::{host::Host, load::Ahead},
    live::{Before, Live, Read},
    note::{log_to_stderr, note},
    print::Printer,
    resident,
    sink::{Tally, summary},
    startup::{NotPermitted, announce},
};
use anyhow::{Context as _, Result, bail};
pub use args::TraceArgs;
use output::{Output, Written};
use std::{
    fmt::Write as _,
    pin::pin,
    time::{Duration, Instant},
};
use tokio::signal::unix::{SignalKind, signal};

/// Runs the command until its end. `ahead`: what is begun already.
///
/// # Errors
/// [`NotPermitted`] where privileges are missing or neither BPF nor the kernel's log can be used; anything else failed.
pub fn run(args: &TraceArgs, ahead: Ahead) -> Result<()> {
    let host = args.uses.host();
    args.uses.permitted(&host, "trace")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start the runtime")?;
    // Dropped first, without waiting: the output thread may be stuck in a pipe that nobody reads.
    let done = runtime.block_on(trace(args, &host, ahead));
    runtime.shutdown_background();
    done
}

async fn trace(args: &TraceArgs, host: &Host, ahead: Ahead) -> Result<()> {
    let began = Instant::now();
    if args.uses.bpf_log {
        log_to_stderr();
    }
    // Before anything else: a signal during the start must end it cleanly too.
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let (output, mut pipe) = Output::start().context("cannot start the output thread")?;
    let mut past = Vec::new();
    let mut tell = |incident| past.push(incident);
    let before = args.since_boot.then_some(Before { since: None, tell: &mut tell });
    let names = (args.uses.cri(), None);
    let (mut live, mut start) =
        Live::start(host, &args.uses.options(), ahead, before, args.uses.sample_every.0, names)
            .map_err(|error| NotPermitted(format!("not supported here: {error:#}")))?;
    start.warnings.extend(start.read.filter(|read| read.first_seq > 0).map(|Read { first_seq, .. }| {
        format!(
            "since boot: the kernel's log has lost its first {first_seq} records, and earlier kills with them"
        )
    }));
    let printer = Printer::new(args.format, args.candidates);
    let filter = Filter::new(&args.place, None);
    let mut shown = Shown { args, printer, filter, output, tally: Tally::default(), filtered: 0 };
    for incident in &past {
        if shown.wanted() {
            shown.incident(incident);
        }
    }
    resident::settle();
    // It works without.
    let _ = resident::lock();
    announce(&start, host, began.elapsed(), "Ctrl-C ends");

    let mut deadline = pin!(clock::after(args.duration));
    let mut failed = None;
    while shown.wanted() {
        tokio::select! {
            incident = live.next() => match incident {
                Ok(incident) => incident.iter().for_each(|incident| shown.incident(incident)),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            },
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            () = &mut deadline => break,
            () = pipe.broken() => break,
        }
    }
    for incident in live.finish() {
        if shown.wanted() {
            shown.incident(&incident);
        }
    }
    let Shown { output, tally, filtered, .. } = shown;
    let end = output.finish();
    let narrowed = args.place.given().collect::<Vec<_>>().join(", ");
    farewell(tally, (filtered, &narrowed), &live, &end, began.elapsed());
    match (failed, end.error) {
        (Some(error), _) => Err(error),
        // Whoever read the pipe has seen enough.
        (None, Some(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        (None, Some(error)) => Err(error).context("cannot write to stdout"),
        (None, None) if end.dropped > 0 => bail!("incidents are missing on stdout: it was not read in time"),
        (None, None) => Ok(()),
    }
}

/// What is shown of what happens.
struct Shown<'a> {
    args: &'a TraceArgs,
    printer: Printer,
    filter: Filter,
    output: Output,
    tally: Tally,
    filtered: u64,
}

impl Shown<'_> {
    fn wanted(&self) -> bool {
        self.args.count.is_none_or(|count| self.tally.incidents < count.get())
    }

    fn incident(&mut self, incident: &Incident) {
        if !self.filter.wants(incident) {
            self.filtered += 1;
            return;
        }
        self.tally.count(incident);
        self.output.write(self.printer.text(incident));
    }
}

fn farewell(mut tally: Tally, (filtered, narrowed): (u64, &str), live: &Live, end: &Written, took: Duration) {
    let totals = live.totals();
    // What was lost or not killable outside of the incidents that were shown is said too. Their sum would be too much:
    // records that were lost among several incidents are said in each of them.
    tally.lost_records = totals.lost_records.max(live.dropped().events);
    tally.none_killable = tally.none_killable.max(totals.none_killable);
    let mut text = summary(&tally, took);
    if filtered > 0 {
        let _ = write!(text, ", {filtered} not shown ({narrowed})");
    }
    if totals.lost_lines > 0 {
        let _ = write!(text, ", {} log records missed", totals.lost_lines);
    }
    if end.dropped > 0 {
        let _ = write!(text, ", {} NOT WRITTEN: stdout was not read in time", end.dropped);
    }
    note(&text);
}
