//! The project's own commands: `cargo xtask <command>`.

mod apt;
mod bench;
mod cache;
mod collector;
mod dashboards;
mod debian;
mod demo;
mod deploy;
mod fuzz;
mod image;
mod kernel;
mod kubernetes;
mod machine;
mod process;
mod qemu_install;
mod setup;
mod static_build;
mod test;
mod tidy;
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
    /// Provoke a real OOM kill in a throwaway cgroup and show the incident.
    Demo(demo::DemoArgs),
    /// Prove it: checks, unit tests, real OOM kills here and on real kernels in VMs.
    Test(test::TestArgs),
    /// Measure: next to the tools that people use today, what it costs the kernel, how fast logs are read.
    Bench(bench::BenchArgs),
    /// Write the Grafana dashboards, or with --check look at them and at the alerts.
    Dashboards(dashboards::Args),
    /// Feed random bytes to what reads what others write: logs, type data, records, paths, files, requests.
    Fuzz(fuzz::FuzzArgs),
    /// Build the container image, from nothing but the static agent.
    Image(image::ImageArgs),
    /// Check what is in deploy/: rendered, against Kubernetes' schemas, and the chart against the kustomization.
    Deploy(deploy::DeployArgs),
    /// Check the project's invariants.
    Tidy,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Setup(args) => setup::main(&args),
        Command::Vm(args) => vm::cli::main(&args),
        Command::Kernels(args) => kernel::cli::main(&args),
        Command::Demo(args) => demo::main(&args),
        Command::Test(args) => test::main(&args),
        Command::Bench(args) => bench::main(&args),
        Command::Dashboards(args) => dashboards::main(args),
        Command::Fuzz(args) => fuzz::main(&args),
        Command::Image(args) => image::main(&args),
        Command::Deploy(args) => deploy::main(&args),
        Command::Tidy => tidy::main(),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
