//! `cargo xtask vm`.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result};

use super::{Cgroup, End, Request, console_tail, run};
use crate::{kernel::Wanted, machine::Machine};

/// Lines of the console that a failure shows.
const TAIL: usize = 40;

/// Arguments of `cargo xtask vm`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Args {
    /// The kernel: a series (5.10, 6.1, 6.12, ...), a version (5.10.218) or newest
    #[arg(long, default_value = "6.12")]
    kernel: Wanted,
    /// Of which kind the machine is
    #[arg(long, value_enum, default_value_t = Machine::this())]
    arch: Machine,
    /// Memory, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(256..=65536))]
    memory: u32,
    /// Processors
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=32))]
    cpus: u32,
    /// Swap space, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=65536))]
    swap: u32,
    /// Two NUMA nodes
    #[arg(long)]
    numa: bool,
    /// Mount the memory controller as cgroup v1 (kernels up to 6.1)
    #[arg(long)]
    v1: bool,
    /// Leave the agent out
    #[arg(long)]
    no_agent: bool,
    /// At most this long from power-on to power-off, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86400))]
    timeout: u64,
    /// More words for the kernel's command line
    #[arg(long, value_name = "WORDS", default_value = "", allow_hyphen_values = true)]
    append: String,
    /// A file for the guest, as its path there and the file here
    #[arg(long = "file", value_name = "GUEST=HOST", value_parser = file)]
    files: Vec<(String, PathBuf)>,
    /// Where to put the results [default: a new directory in the cache]
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
    /// Debian with systemd as the first process, containerd and runc; the command is a service of it
    #[arg(long, conflicts_with = "v1")]
    systemd: bool,
    /// One more disk, an image; what is written to it is lost
    #[arg(long, value_name = "FILE")]
    disk: Option<PathBuf>,
    /// Do not show what the command writes
    #[arg(long)]
    quiet: bool,
    /// The command, as found in the guest's /bin: oom-agent, oom-guest, sh and the rest of busybox
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// Runs the VM. The exit status is the command's; 1 if the VM did not get that far.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let Args {
        kernel,
        arch,
        memory,
        cpus,
        swap,
        numa,
        v1,
        no_agent,
        timeout,
        append,
        files,
        results,
        systemd,
        disk,
        quiet,
        command,
    } = args;
    let outcome = run(&Request {
        machine: *arch,
        files: files.clone(),
        memory_mib: *memory,
        cpus: *cpus,
        swap_mib: *swap,
        numa: *numa,
        cgroup: if *v1 { Cgroup::V1 } else { Cgroup::V2 },
        systemd: *systemd,
        disk: disk.clone(),
        agent: !no_agent,
        append: append.clone(),
        timeout: Duration::from_secs(*timeout),
        quiet: *quiet,
        results: results.clone(),
        ..Request::new(kernel.clone(), command.clone())
    })?;
    let status = match outcome.end {
        End::Exited(code) => {
            let report = outcome.report.context("the guest handed back a report")?;
            eprintln!(
                "        vm  Linux {}: exit status {code} after {:.1} s; booted in {:.1} s, {:.1} s in all; results in {}",
                outcome.kernel,
                report.seconds,
                report.boot_seconds,
                outcome.seconds,
                outcome.results.display()
            );
            return Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)));
        }
        End::Down => "went down without a report".to_owned(),
        End::TimedOut => format!("was still running after {timeout} s and was stopped"),
    };
    eprintln!("{}", console_tail(&outcome.console, TAIL));
    eprintln!(
        "error: the VM (Linux {}) {status}; its console: {}",
        outcome.kernel,
        outcome.console.display()
    );
    Ok(ExitCode::FAILURE)
}

fn file(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((guest, host)) if guest.starts_with('/') && !guest.ends_with('/') && !host.is_empty() => {
            Ok((guest.to_owned(), PathBuf::from(host)))
        }
        _ => Err("it is written /path/in/guest=path/here".to_owned()),
    }
}
