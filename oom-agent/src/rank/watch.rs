//! The ranking again and again: on a terminal in place, elsewhere one line each time.

use super::{Format, Question, RankArgs, answer::Answer, shown, text};
use crate::{note::note, trace::output::Output};
use anyhow::{Context as _, Result};
use std::{
    io::{ErrorKind, IsTerminal as _, stdout},
    time::Duration,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval},
};

/// Cursor to the top left corner, clear what is there.
const CLEAR: &str = "\x1b[H\x1b[2J";

pub(super) fn run(args: &RankArgs, question: &Question, every: Duration) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start the runtime")?;
    // Dropped without waiting: the output thread may be stuck in a pipe that nobody reads.
    let done = runtime.block_on(watch(args, question, every));
    runtime.shutdown_background();
    done
}

async fn watch(args: &RankArgs, question: &Question, every: Duration) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let (mut output, mut pipe) = Output::start().context("cannot start the output thread")?;
    let terminal = stdout().is_terminal();
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failed = None;
    loop {
        tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            () = pipe.broken() => break,
            _ = ticks.tick() => match question.ask() {
                Ok(answer) => output.write(frame(args, &answer, terminal)),
                // The cgroup or the process of the question is gone.
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            },
        }
    }
    let written = output.finish();
    if written.dropped > 0 {
        note(&format!("{} rankings were not written: stdout was not read in time", written.dropped));
    }
    match (failed, written.error) {
        (Some(error), _) => Err(error),
        (None, Some(error)) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to stdout")
        }
        (None, _) => Ok(()),
    }
}

fn frame(args: &RankArgs, answer: &Answer, terminal: bool) -> String {
    match args.format {
        Format::Json => shown(args, answer),
        Format::Text if terminal => format!("{CLEAR}{}", shown(args, answer)),
        Format::Text => text::line(answer),
    }
}
