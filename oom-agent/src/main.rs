//! Command line of the OOM agent: parses and dispatches.

#[cfg(oom_no_bpf)]
compile_error!(
    "the BPF programs cannot be compiled on this machine yet: run `cargo xtask setup` once, it installs what is missing"
);

use clap::{Parser, Subcommand};
use oom_agent::{
    doctor::{self, DoctorArgs},
    trace::{self, NotPermitted, TraceArgs},
};
use std::process::ExitCode;

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
    /// Show what this kernel, these privileges and these settings allow.
    Doctor(DoctorArgs),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Trace(args) => trace::run(&args),
        Command::Doctor(args) => doctor::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("oom-agent: {error:#}");
            ExitCode::from(if error.is::<NotPermitted>() { 3 } else { 1 })
        }
    }
}
