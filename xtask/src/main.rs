//! The project's own commands: `cargo xtask <command>`.

mod process;
mod setup;
mod cache;
mod debian;
mod kernel;
mod qemu_install;
mod timed;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install what the project needs on this machine, and nothing else.
    Setup(setup::Args),
    /// Run a command on a real kernel, in a throwaway VM.
    Vm(vm::cli::Args),
    /// List the kernels that are cached, and with --available those that the mirror offers.
    Kernels(kernel::cli::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Setup(args) => setup::main(&args),
        Command::Vm(args) => vm::cli::main(&args),
        Command::Kernels(args) => kernel::cli::main(&args),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
