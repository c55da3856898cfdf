//! `oom-agent doctor`: what this kernel, these privileges and these settings allow.
//!
//! # Layout
//! - [`probe`]: finds it out, by trying; the only part that asks the system.
//! - [`levels`]: what can be seen at which level.
//! - [`settings`]: what the kernel's settings mean for an OOM.
//! - [`advice`]: what would give more.
//! - [`text`], [`json`]: for a person, for a machine.

pub mod advice;
pub mod json;
pub mod levels;
pub mod probe;
#[cfg(test)]
mod samples;
pub mod settings;
#[cfg(test)]
mod tests;
pub mod text;

use crate::{
    incident::model::Level,
    kernel::{
        host::{Host, Known, privilege::Capability},
        load::HookStatus,
    },
    sink::terminal::{Show, Style},
    startup::NotPermitted,
};
use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use std::io::{self, Write as _};

/// How the diagnosis is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For a person.
    Text,
    /// One JSON object on one line.
    Json,
}

/// Arguments of `doctor`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Every hook is really attached and detached again: what is shown as used works.

Exit status: 0 `oom-agent trace` works here, 1 failed, 2 usage, 3 not permitted or not supported here.")]
pub struct DoctorArgs {
    /// How it is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// What was found out. Rendering it asks nothing more of the system.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// The machine's configuration and this process's privileges.
    pub host: Host,
    /// How far BPF got.
    pub bpf: Bpf,
    /// Every hook of the probe table.
    pub hooks: Vec<HookStatus>,
    /// The kernel's type data.
    pub btf: Btf,
    /// How the kernel's log can be read, or why `/dev/kmsg` cannot.
    pub kernel_log: Result<LogBy, String>,
    /// Which version of Landlock the daemon can be confined by.
    pub landlock: Known<u8>,
}

/// How the kernel's log can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogBy {
    /// `/dev/kmsg`, which tells of what is new.
    Device,
    /// `syslog(2)`, once BPF has told of a kill.
    Syslog,
}

/// How far BPF got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bpf {
    /// The hooks were attached at this level.
    Attached(Level),
    /// It was tried and cannot be used: why.
    Refused(String),
    /// Not tried, since these capabilities are missing.
    NotTried(Vec<Capability>),
}

/// The kernel's type data, as far as the agent wants them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Btf {
    /// The file is there.
    pub present: bool,
    /// How many types it has, or why it cannot be read.
    pub types: Known<u32>,
    /// Fields without which BPF cannot be used.
    pub missing_required: Vec<&'static str>,
    /// Fields without which some evidence is missing.
    pub missing_optional: Vec<&'static str>,
}

/// Runs it.
///
/// # Errors
/// [`NotPermitted`] after the diagnosis was written, if `oom-agent trace` would end with that as well; or stdout
/// cannot be written.
pub fn run(args: &DoctorArgs) -> Result<()> {
    let diagnosis = probe::diagnose()?;
    let out = match args.format {
        Format::Text => text::render(&diagnosis, &Style::detect(Show::None)),
        Format::Json => json::line(&diagnosis),
    };
    let mut stdout = io::stdout().lock();
    match stdout.write_all(out.as_bytes()).and_then(|()| stdout.flush()) {
        // Whoever read the pipe has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.context("cannot write to stdout")?,
    }
    verdict(&diagnosis)
}

fn verdict(diagnosis: &Diagnosis) -> Result<()> {
    let why = match (&diagnosis.bpf, &diagnosis.kernel_log) {
        (Bpf::Attached(_), _) | (Bpf::Refused(_), Ok(LogBy::Device)) => return Ok(()),
        (Bpf::NotTried(missing), _) => format!("not permitted: {} missing", advice::names(missing, " and ")),
        (Bpf::Refused(_), Err(_) | Ok(LogBy::Syslog)) => {
            "not supported here: neither BPF nor the kernel's log can be used".to_owned()
        }
    };
    Err(NotPermitted(why).into())
}
