//! `cargo xtask test`: the proof, here and on real kernels.
//!
//! # Layout
//! - [`checks`]: what needs no kernel: format, lints, conventions, unit tests.
//! - [`emulated`]: unit tests as another machine runs them.
//! - [`pods`]: kills in pods of a real containerd. [`collectors`]: incidents for real collectors.
//! - [`page`]: the daemon's page in a browser, where there is one.
//! - [`matrix`]: real OOM kills, on this machine and in VMs, judged against the kernel's own word.

mod checks;
mod collectors;
mod emulated;
mod matrix;
mod node;
mod page;
mod pods;

use crate::{
    kernel::Wanted,
    machine::Machine,
    setup::{self, Need},
};
use anyhow::Result;
use clap::Args;
use std::{process::ExitCode, time::Instant};

/// Arguments of `test`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  cargo xtask test                      everything: checks, this machine, every kernel of the matrix
  cargo xtask test --quick              checks and this machine only
  cargo xtask test --kernel 6.12        checks, this machine and one kernel
  cargo xtask test --arch arm64         unit tests for arm64 and its kernels, all emulated
  cargo xtask test --kubernetes         kills in pods, where containerd and runc are installed, and in VMs
  cargo xtask test --otlp               incidents for OpenTelemetry's own collector and rotel, over an outage of a minute
  cargo xtask test --kernel 6.1 --only shared --only headless

The files of a failed case are kept; the verdict names them.")]
pub(crate) struct TestArgs {
    /// A kernel of the matrix: a series (6.1), a version (5.10.218) or newest; may be repeated.
    #[arg(long, value_name = "X")]
    kernel: Vec<Wanted>,
    /// Only VMs of this kind; of another kind than this machine also the unit tests. What it takes is built and installed.
    #[arg(long, value_enum, conflicts_with = "quick")]
    arch: Option<Machine>,
    /// Only kills in 100 pods that a real containerd makes and deletes (--only here), the same in VMs with systemd (vm), and
    /// those of a kubelet's pods there (cluster).
    #[arg(long, conflicts_with_all = ["kernel", "quick", "arch"])]
    kubernetes: bool,
    /// Only incidents that real collectors receive, which are fetched and built for it.
    #[arg(long, conflicts_with_all = ["kernel", "quick", "only", "arch", "kubernetes"])]
    otlp: bool,
    /// No VMs.
    #[arg(long, conflicts_with = "kernel")]
    quick: bool,
    /// Only these cases.
    #[arg(long, value_name = "CASE")]
    only: Vec<String>,
}

/// How many of what.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Count {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    fn one(passed: bool) -> Self {
        Self { passed: usize::from(passed), failed: usize::from(!passed), skipped: 0 }
    }
}

/// Runs `cargo xtask test`.
pub(crate) fn main(args: &TestArgs) -> Result<ExitCode> {
    let begin = Instant::now();
    setup::ensure(Need::Bpf)?;
    let mut count = Count::default();
    if args.kubernetes {
        if args.only.is_empty() || args.only.iter().any(|only| only == "here") {
            count.add(pods::run());
        }
        count.add(node::run(&pods::number(), &args.only)?);
    } else if args.otlp {
        count.add(collectors::run());
    } else if let Some(machine) = args.arch {
        if args.kernel.is_empty() && args.only.is_empty() {
            count.add(emulated::run(machine)?);
        }
        count.add(matrix::kernels(machine, &args.kernel, &args.only)?);
    } else {
        if args.only.is_empty() {
            count.add(checks::run()?);
        }
        count.add(matrix::here(&args.only)?);
        if args.only.is_empty() {
            count.add(page::run()?);
        }
        if !args.quick {
            count.add(matrix::kernels(Machine::this(), &args.kernel, &args.only)?);
        }
    }
    let Count { passed, failed, skipped } = count;
    eprintln!("\nafter {:.0} s:", begin.elapsed().as_secs_f64());
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    Ok(if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
