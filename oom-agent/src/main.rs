//! Command line of the OOM agent: parses and dispatches.

#[cfg(oom_no_bpf)]
compile_error!(
    "the BPF programs cannot be compiled on this machine yet: run `cargo xtask setup` once, it installs what is missing"
);

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use oom_agent::{
    doctor::{self, DoctorArgs},
    explain::{self, ExplainArgs, Usage},
    incidents::{self, IncidentsArgs},
    kernel::load::Ahead,
    note::{fail, listen},
    rank::{self, RankArgs},
    resident,
    run::{self, RunArgs},
    startup::NotPermitted,
    trace::{self, TraceArgs},
};
use std::{io::ErrorKind, process::ExitCode};

/// Every OOM kill as one incident: who was killed, who asked for memory, which limit was hit, why this one.
#[derive(Parser)]
#[command(name = "oom-agent", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show OOM kills as they happen.
    Trace(TraceArgs),
    /// Run as a daemon: incidents stored, metrics over HTTP, until SIGTERM.
    Run(Box<RunArgs>),
    /// Show the OOM kills that kernel logs tell of: files or stdin, any machine's, without root.
    Explain(Box<ExplainArgs>),
    /// Show the OOM kills that `oom-agent run` stored on this machine.
    Incidents(IncidentsArgs),
    /// Show who would be killed now.
    Rank(RankArgs),
    /// Show what this kernel, these privileges and these settings allow.
    Doctor(DoctorArgs),
}

fn main() -> ExitCode {
    listen();
    // What takes long is begun before anything else, by those who need it.
    let attaches = std::env::args_os().nth(1).is_some_and(|command| command == "trace" || command == "run");
    let ahead = attaches.then(begin);
    let parsed = Cli::command().try_get_matches();
    let parsed = parsed.and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(answer) => return show(&answer),
    };
    let done = match cli.command {
        Command::Trace(args) => trace::run(&args, ahead.unwrap_or_else(begin)),
        // It puts them together with a file.
        Command::Run(_) => {
            run::run(matches.subcommand_matches("run").unwrap_or(&matches), ahead.unwrap_or_else(begin))
        }
        Command::Explain(args) => explain::run(&args),
        Command::Incidents(args) => incidents::run(&args),
        Command::Rank(args) => rank::run(&args),
        Command::Doctor(args) => doctor::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            fail(&format!("{error:#}"));
            ExitCode::from(match () {
                () if error.is::<NotPermitted>() => 3,
                () if error.is::<Usage>() => 2,
                () => 1,
            })
        }
    }
}

/// Begins a start.
fn begin() -> Ahead {
    resident::begin();
    Ahead::begin()
}

/// Help and version go to stdout, what is wrong with the arguments to stderr.
fn show(answer: &clap::Error) -> ExitCode {
    match answer.print() {
        Err(error) if error.kind() != ErrorKind::BrokenPipe && !answer.use_stderr() => {
            fail(&format!("cannot write to stdout: {error}"));
            ExitCode::FAILURE
        }
        _ => ExitCode::from(if answer.use_stderr() { 2 } else { 0 }),
    }
}
