//! What the agent says about itself: on stderr, never on stdout.
//!
//! # Layout
//! - [`note`], [`warn`], [`fail`]: one line each, for all commands. The daemon uses the macros of `tracing` where it has more
//!   to say than a sentence.
//! - [`listen`]: where it all goes; [`set`]: as what.
//! - `line`: pure. What was said as a line.

mod line;

use crate::clock;
use clap::ValueEnum;
use line::{Line, Said};
use std::{
    env,
    io::{IsTerminal as _, Write as _, stderr},
    sync::atomic::{AtomicU8, Ordering},
};
use tracing::{
    Event, Level, Metadata, Subscriber,
    span::{Attributes, Id, Record},
    subscriber::Interest,
};

/// How lines of the log are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, otherwise JSON.
    Auto,
    /// For a person.
    Text,
    /// One JSON object a line.
    Json,
}

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// What ends the agent.
    Error,
    /// Also what does not work.
    Warn,
    /// Also incidents, the start and the end.
    Info,
    /// Also what is only of interest to who looks for a fault.
    Debug,
}

/// What is said by whom nothing else is known of.
const TARGET: &str = "oom_agent";

/// Says something that is as it should be.
pub fn note(text: &str) {
    tracing::info!(target: TARGET, "{text}");
}

/// Says what does not work.
pub fn warn(text: &str) {
    tracing::warn!(target: TARGET, "{text}");
}

/// Says what ends the command.
pub fn fail(text: &str) {
    tracing::error!(target: TARGET, "{text}");
}

/// From now on what is said is written to stderr: as `oom-agent: ...` until [`set`] is called.
pub fn listen() {
    // Fails only if there is one already, and there is no other.
    let _ = tracing::subscriber::set_global_default(Log);
}

/// Says it as a daemon does. May be called again.
pub fn set(format: LogFormat, level: LogLevel) {
    let terminal = stderr().is_terminal();
    let line = match format {
        LogFormat::Auto if !terminal => Line::Json,
        LogFormat::Json => Line::Json,
        LogFormat::Auto | LogFormat::Text if to_journal() => Line::Journal,
        LogFormat::Auto | LogFormat::Text => Line::Text { colour: terminal && !plain() },
    };
    LEVEL.store(level as u8, Ordering::Relaxed);
    LINE.store(line.number(), Ordering::Relaxed);
}

/// Sends what is logged through the `log` crate, which is what the BPF programs say (`--bpf-log`), the same way.
pub fn log_to_stderr() {
    // Fails only if there is a logger already, and there is no other.
    if log::set_logger(&Bpf).is_ok() {
        log::set_max_level(log::LevelFilter::Info);
    }
}

/// [`LogLevel`] and [`Line`], to be changed while it runs.
static LEVEL: AtomicU8 = AtomicU8::new(LogLevel::Info as u8);
static LINE: AtomicU8 = AtomicU8::new(Line::Plain.number());

/// Whoever asked for it to look plain.
fn plain() -> bool {
    env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// stderr is connected to systemd's journal: `JOURNAL_STREAM` names it by device and inode, systemd.exec(5).
fn to_journal() -> bool {
    let Some(stream) = env::var("JOURNAL_STREAM").ok() else { return false };
    let named = stream.split_once(':').and_then(|(dev, ino)| Some((dev.parse().ok()?, ino.parse().ok()?)));
    let is = rustix::fs::fstat(stderr()).ok().map(|stat| (stat.st_dev, stat.st_ino));
    named.is_some() && named == is
}

/// Everything that is said, as lines on stderr. Without spans: nobody makes any.
struct Log;

impl Subscriber for Log {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        // The level may change.
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        severity(*metadata.level()) <= LEVEL.load(Ordering::Relaxed)
    }

    fn event(&self, event: &Event<'_>) {
        let line = Line::from_number(LINE.load(Ordering::Relaxed));
        let mut said = Said::new(event.metadata());
        event.record(&mut said);
        let time =
            if line.has_time() { clock::wall(clock::boottime_ns()).map(|(_, time)| time) } else { None };
        // In one write, so that lines of several agents do not mix. There is nobody to tell that it failed: unlike
        // `eprintln!` this does not panic where nobody reads stderr any more (`2>&1 | head -1`).
        let _ = stderr().write_all(line.write(time.as_deref(), &said).as_bytes());
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// As a number of [`LogLevel`].
fn severity(level: Level) -> u8 {
    (match level {
        Level::ERROR => LogLevel::Error,
        Level::WARN => LogLevel::Warn,
        Level::INFO => LogLevel::Info,
        Level::DEBUG => LogLevel::Debug,
        // Nothing is said at this level.
        Level::TRACE => return u8::MAX,
    }) as u8
}

struct Bpf;

impl log::Log for Bpf {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        note(&format!("{}: {}", record.target(), record.args()));
    }

    fn flush(&self) {}
}
